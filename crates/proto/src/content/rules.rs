//! The rules' names, and what became of a message under them.

use core::fmt;

macro_rules! rules {
    ($($name:ident $doc:literal,)*) => {
        /// A rule for content, as the protocol notes number them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Rule { $(#[doc = $doc] $name,)* }

        impl Rule {
            /// The name, such as `V14`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What the rule is about.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }
            }
        }
    };
}

rules! {
    P1 "The input ends where a field ends.",
    P2 "No length goes beyond its parent.",
    P3 "Varints have at most 64 bits, tags 32.",
    P4 "Field numbers, wire types and group marks are valid.",
    P5 "Known fields have their wire type.",
    P6 "Strings are UTF-8.",
    P7 "Nesting is bounded.",
    P9 "Size is bounded.",
    V1 "Exactly one content field.",
    V2 "Wrappers at most as deep as the limit.",
    V3 "Only own companions send on a user's behalf.",
    V4 "Text is neither empty nor too long.",
    V5 "Media have key, hashes, type and place.",
    V6 "Media have a length within the limit.",
    V7 "Media places are safe paths or allowed URLs.",
    V8 "Thumbnails are small JPEG or PNG files.",
    V9 "Media types and file names are clean.",
    V10 "A waveform has 64 samples of 0 to 100.",
    V11 "Contacts hold vCards.",
    V12 "Places have a latitude and a longitude.",
    V13 "Reactions, revokes and edits name their target.",
    V14 "A target is in this chat, and its author's.",
    V15 "An edit holds a text or a caption.",
    V16 "A quote names its message and author, one level deep.",
    V17 "Mentions are distinct JIDs.",
    V18 "A sender key belongs to the group it came in.",
    V19 "A message secret has 32 bytes.",
    V20 "A timer is at most the longest offered.",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a receiver does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Shown or acted on.
    Accept,
    /// Stored and acknowledged; nothing is shown.
    Silent,
    /// Acknowledged with a normal receipt; a "cannot be shown" line.
    Placeholder,
    /// Refused with error 491; the id is remembered so that a replay is not shown.
    Reject,
}

impl Verdict {
    /// The stable name, such as `placeholder`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Silent => "silent",
            Self::Placeholder => "placeholder",
            Self::Reject => "reject",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the sender did wrong: a strict observer reports each, a forgiving receiver goes by the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The rule that is broken.
    pub rule: Rule,
    /// What the receiver does about it.
    pub verdict: Verdict,
    /// One sentence for the sender's developer.
    pub note: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.note)
    }
}

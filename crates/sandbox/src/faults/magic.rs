//! Numbers that behave in a way of their own: who writes to one needs no control API to see what its client makes of it.
//!
//! They are fictional numbers of North America. Their phones are made when somebody first asks for them.

use std::sync::Arc;

use landbridge_stanza::codes::{IqErrorCode, MessageErrorCode};
use landbridge_wire::{Jid, Node};
use serde::Serialize;

use crate::events::EventKind;
use crate::state::State;
use crate::{PhoneError, SandboxError, phones};

macro_rules! magic {
    ($($magic:ident $number:literal $what:literal;)+) => {
        /// A number that behaves in a way of its own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Magic {
            $(#[doc = $what] $magic,)+
        }

        impl Magic {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$magic,)+];

            /// Its number, digits alone.
            pub const fn number(self) -> &'static str {
                match self { $(Self::$magic => $number,)+ }
            }

            /// What it does.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$magic => $what,)+ }
            }
        }
    };
}

magic! {
    Echo "15550100000" "Always answers: with the text it was sent.";
    NeverOnline "15550100001" "Never connects: messages are sent and not delivered.";
    NoKeys "15550100002" "Has no keys: a fetch gives error 406.";
    PrekeysOut "15550100003" "Has no one-time prekeys left: its bundles come without. Answers.";
    Reinstalls "15550100004" "Answers; behind the first answer it is set up anew: its identity changes, once.";
    AsksAgain "15550100005" "Asks for every message a second time. Answers.";
    Blocks "15550100006" "Blocks who writes to it, after the first message.";
    Slow "15550100007" "Takes its messages 5 seconds late. Answers.";
    Twice "15550100008" "Answers, and every answer is delivered twice.";
    OutOfOrder "15550100009" "Answers with three messages that are delivered in another order.";
    Unknown "15550100010" "Is no user: a fetch of keys and a message give error 404.";
    RateLimited "15550100011" "Messages to it are refused with error 429.";
    NotYet "15550100012" "Messages to it are refused with error 463: not allowed yet.";
}

/// A number, as the control API shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct MagicNumber {
    number: &'static str,
    what: &'static str,
}

impl Magic {
    /// The number of an address, if it is one of these.
    pub(crate) fn of(jid: &Jid) -> Option<Self> {
        if jid.is_user() { Self::of_number(jid.user_part()) } else { None }
    }

    pub(crate) fn of_number(number: &str) -> Option<Self> {
        // All of them begin with these digits, others hardly ever do.
        number.strip_prefix("155501000")?;
        Self::ALL.iter().copied().find(|magic| magic.number() == number)
    }

    pub(crate) fn table() -> Vec<MagicNumber> {
        Self::ALL.iter().map(|magic| MagicNumber { number: magic.number(), what: magic.what() }).collect()
    }

    /// Error of a fetch of its keys.
    pub(crate) const fn keys_refused(self) -> Option<IqErrorCode> {
        match self {
            Self::NoKeys => Some(IqErrorCode::NotAcceptable),
            Self::Unknown => Some(IqErrorCode::ItemNotFound),
            _ => None,
        }
    }

    /// Error of a message to it.
    pub(crate) const fn message_refused(self) -> Option<MessageErrorCode> {
        match self {
            Self::Unknown => Some(MessageErrorCode::NoSuchRecipient),
            Self::RateLimited => Some(MessageErrorCode::RateOverlimit),
            Self::NotYet => Some(MessageErrorCode::ReachOutLocked),
            _ => None,
        }
    }

    /// What it writes back.
    pub(crate) fn answers(self, text: &str) -> Vec<String> {
        match self {
            Self::Echo | Self::PrekeysOut | Self::Reinstalls | Self::AsksAgain | Self::Slow | Self::Twice => {
                vec![text.to_owned()]
            }
            Self::OutOfOrder => (1..=3).map(|n| format!("{n}/3 {text}")).collect(),
            _ => Vec::new(),
        }
    }
}

impl State {
    /// Writes to the journal what a magic number did.
    pub(crate) fn magic(&self, magic: Magic, id: Option<&str>, detail: impl Into<String>) {
        let (id, detail) = (id.map(str::to_owned), detail.into());
        let kind = EventKind::MagicNumber { number: magic.number(), id, detail };
        self.note(None, Some(&Jid::user(magic.number())), kind);
    }

    /// What is delivered, with a second copy of what comes from the number that does everything twice.
    pub(crate) fn twice(&self, stanzas: Vec<Node>) -> Vec<Node> {
        let is_twice = |stanza: &Node| {
            let view = stanza.view();
            view.is("message")
                && view.attr_jid("from").and_then(|from| Magic::of(&from)) == Some(Magic::Twice)
        };
        if !stanzas.iter().any(is_twice) {
            return stanzas;
        }
        let mut all = Vec::with_capacity(2 * stanzas.len());
        for stanza in stanzas {
            if is_twice(&stanza) {
                self.magic(Magic::Twice, stanza.view().attr_str("id").as_deref(), "delivered twice");
                all.push(stanza.clone());
            }
            all.push(stanza);
        }
        all
    }

    /// Makes the phone of a magic number, if this is one and it was never asked for.
    pub(crate) fn summon(&self, jid: &Jid) -> Result<Option<Magic>, SandboxError> {
        let Some(magic) = Magic::of(jid) else { return Ok(None) };
        if magic == Magic::Unknown || self.phones.get(magic.number()).is_some() {
            return Ok(Some(magic));
        }
        // The sandbox is there as long as somebody asks it.
        if let Some(state) = self.me.upgrade() {
            match phones::create(&Arc::clone(&state), magic.number(), magic.number()) {
                // Two have asked at once.
                Ok(_) | Err(PhoneError::Exists) => {}
                Err(source) => {
                    return Err(SandboxError::Phone { number: magic.number().to_owned(), source });
                }
            }
            self.magic(magic, None, "its phone was made");
        }
        Ok(Some(magic))
    }
}

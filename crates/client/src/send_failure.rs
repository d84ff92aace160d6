//! Why a message of ours has failed.

use std::fmt;

use landbridge_stanza::codes::MessageErrorCode;

/// Why a message has failed. Sending the same again gives the same; nothing is repeated by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendFailure {
    /// The server does not let this account write to this user yet.
    NotAllowedYet {
        /// What has to come first.
        why: NotAllowed,
    },
    /// There is no such recipient.
    NoSuchRecipient,
    /// The server refuses the message.
    Refused {
        /// Its code (stanza catalogue 4.3).
        code: u16,
    },
    /// It was never sent.
    NotSent {
        /// Why, as a phrase.
        reason: String,
    },
}

/// What has to come before a message is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAllowed {
    /// The recipient must be reached, or write, first (code 463).
    ReachFirst,
    /// So many new chats are enough for today (code 475): tomorrow.
    NewChatsUsedUp,
}

/// How the store names a refusal of the server.
const REFUSED: &str = "ack error ";

impl SendFailure {
    pub(crate) fn of(code: MessageErrorCode) -> Self {
        match code {
            MessageErrorCode::ReachOutLocked => Self::NotAllowedYet { why: NotAllowed::ReachFirst },
            MessageErrorCode::NewChatCap => Self::NotAllowedYet { why: NotAllowed::NewChatsUsedUp },
            MessageErrorCode::NoSuchRecipient => Self::NoSuchRecipient,
            code => Self::Refused { code: code.number() },
        }
    }

    /// A stored phrase.
    pub(crate) fn read(phrase: &str) -> Self {
        let code = phrase.strip_prefix(REFUSED).and_then(|rest| rest.split(':').next()?.parse::<u16>().ok());
        match code {
            Some(code) => Self::of(code.into()),
            None => Self::NotSent { reason: phrase.to_owned() },
        }
    }
}

impl fmt::Display for SendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, why) = match self {
            Self::NotAllowedYet { why: NotAllowed::ReachFirst } => {
                (463, "not allowed yet, the recipient must be reached first")
            }
            Self::NotAllowedYet { why: NotAllowed::NewChatsUsedUp } => {
                (475, "not allowed yet, too many new chats today")
            }
            Self::NoSuchRecipient => (404, "no such recipient"),
            Self::Refused { code: code @ (400 | 479) } => (*code, "the stanza is refused"),
            Self::Refused { code } => (*code, "not allowed"),
            Self::NotSent { reason } => return f.write_str(reason),
        };
        write!(f, "{REFUSED}{code}: {why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_reads_back() {
        for code in [400, 401, 404, 463, 475, 479, 999] {
            let failure = SendFailure::of(code.into());
            assert_eq!(SendFailure::read(&failure.to_string()), failure);
        }
        let other = SendFailure::NotSent { reason: "account deleted".to_owned() };
        assert_eq!(SendFailure::read("account deleted"), other);
        assert_eq!(SendFailure::read("ack error 463"), SendFailure::of(MessageErrorCode::ReachOutLocked));
    }
}

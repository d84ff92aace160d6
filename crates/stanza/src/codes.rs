//! Numbers with a meaning. An unknown number stays what it is, in `Other`.

use crate::macros::numbers;

numbers! {
    /// `error` of an ack that a client sends: why it cannot take a stanza (PEERS).
    NackCode {
        /// The stanza does not parse.
        Parsing = 487,
        /// The tag is unknown.
        UnknownTag = 488,
        /// The class is unknown.
        UnknownClass = 489,
        /// The type is unknown.
        UnknownType = 490,
        /// The content protobuf is invalid.
        InvalidProtobuf = 491,
        /// The message secret is missing.
        MissingSecret = 495,
        /// Signal: the counter was used before.
        CounterUsed = 496,
        /// Deleted on the peer.
        DeletedOnPeer = 499,
        /// Anything else, but never a missing key: that is a retry receipt.
        Unhandled = 500,
        /// Revoking as an admin is not supported.
        AdminRevokeUnsupported = 550,
        /// Groups of hidden numbers are not supported.
        LidGroupUnsupported = 551,
        /// The own database failed.
        DatabaseFailed = 552,
    }
}

numbers! {
    /// `code` of `<error>` in an iq (PEERS).
    IqErrorCode {
        /// bad-request: a bug of the asker.
        BadRequest = 400,
        /// not-authorized.
        NotAuthorized = 401,
        /// forbidden, also "not a member".
        Forbidden = 403,
        /// item-not-found; what is not found depends on the request.
        ItemNotFound = 404,
        /// not-allowed.
        NotAllowed = 405,
        /// not-acceptable; on keys: the user has none.
        NotAcceptable = 406,
        /// request-timeout.
        RequestTimeout = 408,
        /// conflict.
        Conflict = 409,
        /// gone.
        Gone = 410,
        /// resource-limit.
        ResourceLimit = 419,
        /// locked.
        Locked = 423,
        /// rate-overlimit: wait.
        RateOverlimit = 429,
        /// internal-server-error.
        InternalServerError = 500,
        /// feature-not-implemented: the answer to a request of unknown namespace (ASSUMED).
        NotImplemented = 501,
        /// service-unavailable.
        ServiceUnavailable = 503,
        /// partial-server-error: use what came.
        PartialServerError = 530,
    }
}

impl IqErrorCode {
    /// The words that go with the code, empty for an unknown one.
    pub const fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::NotAuthorized => "not-authorized",
            Self::Forbidden => "forbidden",
            Self::ItemNotFound => "item-not-found",
            Self::NotAllowed => "not-allowed",
            Self::NotAcceptable => "not-acceptable",
            Self::RequestTimeout => "request-timeout",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::ResourceLimit => "resource-limit",
            Self::Locked => "locked",
            Self::RateOverlimit => "rate-overlimit",
            Self::InternalServerError => "internal-server-error",
            Self::NotImplemented => "feature-not-implemented",
            Self::ServiceUnavailable => "service-unavailable",
            Self::PartialServerError => "partial-server-error",
            Self::Other(_) => "",
        }
    }

    /// What the asker does about it.
    pub const fn reaction(self) -> IqReaction {
        match self {
            Self::RequestTimeout | Self::Conflict => IqReaction::RetryOnce,
            Self::RateOverlimit => IqReaction::Wait,
            Self::InternalServerError | Self::ServiceUnavailable => IqReaction::RetryThrice,
            Self::PartialServerError => IqReaction::UsePart,
            _ => IqReaction::Report,
        }
    }
}

/// What a client does about a refused request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IqReaction {
    /// Tell the caller; asking again gives the same.
    Report,
    /// Ask once more.
    RetryOnce,
    /// Ask again with back-off, three times at most.
    RetryThrice,
    /// Wait `backoff` seconds if the error names them, else exponentially from 5 s, and ask again.
    Wait,
    /// Use what came, ask again for the rest.
    UsePart,
}

numbers! {
    /// `error` of the server's ack to a message (PEERS).
    MessageErrorCode {
        /// The stanza is refused.
        BadRequest = 400,
        /// Not allowed.
        NotAuthorized = 401,
        /// Not allowed.
        Forbidden = 403,
        /// There is no such recipient.
        NoSuchRecipient = 404,
        /// Not allowed.
        NotAllowed = 405,
        /// Not allowed.
        NotAcceptable = 406,
        /// The addressing of a group, or its list of participants, is out of date.
        StaleGroup = 421,
        /// Too fast.
        RateOverlimit = 429,
        /// The recipient was never contacted, or the account may not start chats.
        ReachOutLocked = 463,
        /// The number of new chats is used up for today.
        NewChatCap = 475,
        /// The stanza is refused by its schema.
        SchemaRefused = 479,
        /// Trouble of the server.
        InternalServerError = 500,
        /// Trouble of the server.
        ServiceUnavailable = 503,
    }
}

/// What a client does about a refused message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageReaction {
    /// The message has failed; sending it again gives the same.
    Fail,
    /// Refresh the group and send with the same id.
    RefreshGroup,
    /// Send the same bytes again with back-off.
    Retry,
    /// Failed until tomorrow.
    FailForToday,
}

impl MessageErrorCode {
    /// What the sender does about it. An unknown code is a failure.
    pub const fn reaction(self) -> MessageReaction {
        match self {
            Self::StaleGroup => MessageReaction::RefreshGroup,
            Self::RateOverlimit | Self::InternalServerError | Self::ServiceUnavailable => {
                MessageReaction::Retry
            }
            Self::NewChatCap => MessageReaction::FailForToday,
            _ => MessageReaction::Fail,
        }
    }
}

numbers! {
    /// `error` of `<retry>`: why a message did not decrypt (PEERS).
    RetryReason {
        /// Not known.
        Unknown = 0,
        /// There is no session.
        NoSession = 1,
        /// A key is invalid.
        InvalidKey = 2,
        /// A key id is unknown.
        InvalidKeyId = 3,
        /// The message does not parse.
        InvalidMessage = 4,
        /// A signature is wrong.
        BadSignature = 5,
        /// The message is too far in the future of its chain.
        FutureMessage = 6,
        /// The MAC is wrong.
        BadMac = 7,
        /// The session is broken.
        InvalidSession = 8,
        /// The message key is wrong.
        InvalidMessageKey = 9,
        /// The companion device is unknown.
        UnknownCompanion = 11,
        /// The identity of the companion device is wrong.
        CompanionIdentity = 12,
        /// The status was revoked.
        StatusRevoked = 13,
    }
}

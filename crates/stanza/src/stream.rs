//! Start and end of a stream: success, failure, stream errors (PEERS), and what a client does about them.

use landbridge_wire::{Jid, Node, NodeRef};

use crate::error::StanzaError;
use crate::macros::numbers;
use crate::profile::Profile;
use crate::read::El;

/// Tag of the node that ends a stream, either way.
const END: &str = "xmlstreamend";

/// The end of a stream: the peer is done, close the socket.
pub fn end_node() -> Node {
    Node::new(END)
}

/// Whether a node is the end of a stream.
pub fn is_end(node: NodeRef<'_>) -> bool {
    node.is(END)
}

/// What a client does after a failure, a stream error, or the end of a stream. Keys and history are never deleted because
/// of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reaction {
    /// Reconnect with back-off.
    Retry {
        /// So many steps further up than a common failure.
        extra_steps: u32,
    },
    /// Reconnect at once.
    Now,
    /// Fetch a fresh token, then reconnect at once; at most twice in a row.
    FreshToken,
    /// Enlist again with the same keys, then reconnect at once; at most once per hour.
    Enlist,
    /// Stay away for so many seconds.
    Wait {
        /// Seconds from now.
        seconds: u64,
    },
    /// Stay away until the user or a push asks: the account is connected elsewhere.
    Yield,
    /// Stop and tell the user.
    Stop,
    /// Keep reading: the server ends the stream itself.
    KeepReading,
}

impl Reaction {
    const RETRY: Self = Self::Retry { extra_steps: 0 };
}

/// The login is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Success {
    /// The server's time in unix seconds.
    pub t: Option<u64>,
    /// The own hidden number.
    pub lid: Option<Jid>,
    /// Region of the server.
    pub location: Option<String>,
    /// When the account was made, unix seconds.
    pub creation: Option<u64>,
}

impl Success {
    /// Accepted at `t`.
    pub fn at(t: u64) -> Self {
        Self { t: Some(t), ..Self::default() }
    }

    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        Node::new("success")
            .attr_opt("t", self.t)
            .attr_opt("lid", self.lid.as_ref())
            .attr_opt("location", self.location.as_deref())
            .attr_opt("creation", self.creation)
    }

    /// Reads the stanza. All attributes may be missing.
    ///
    /// # Errors
    /// A [`StanzaError`] if `t` is no number.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let success = El::root(node, "success")?;
        Ok(Self {
            t: success.opt_time("t")?,
            lid: node.attr_jid("lid"),
            location: success.opt_str("location"),
            creation: success.opt_time("creation").unwrap_or_default(),
        })
    }
}

numbers! {
    /// `reason` of a refused login.
    FailureReason {
        /// Anything.
        Generic = 400,
        /// The account or its key is unknown (name PEERS, meaning ASSUMED).
        LoggedOut = 401,
        /// Banned for a time.
        TemporaryBan = 402,
        /// The account is locked.
        Locked = 403,
        /// The client's version is too old.
        ClientOutdated = 405,
        /// Banned.
        Banned = 406,
        /// The user agent of the login is refused.
        BadUserAgent = 409,
        /// The token has expired (PEERS for another product, ASSUMED here).
        TokenExpired = 413,
        /// The token is invalid (as above).
        TokenInvalid = 414,
        /// There is no such account.
        NotFound = 415,
        /// The client is unknown.
        ClientUnknown = 418,
        /// Trouble of the server.
        InternalServerError = 500,
        /// Experimental.
        Experimental = 501,
        /// Trouble of the server.
        ServiceUnavailable = 503,
    }
}

numbers! {
    /// `code` of a temporary ban.
    BanCode {
        /// Messages to too many strangers.
        TooManyPeople = 101,
        /// Blocked by too many.
        BlockedByMany = 102,
        /// Too many groups.
        TooManyGroups = 103,
        /// The same message too often.
        SameMessage = 104,
        /// Broadcasts.
        Broadcasts = 106,
    }
}

/// The login is refused; the server closes the connection after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoginFailure {
    /// Why. `None` if the server gives no number, or one outside 400 to 599.
    pub reason: Option<FailureReason>,
    /// Why a ban.
    pub ban: Option<BanCode>,
    /// Seconds from now until a ban ends.
    pub expire: Option<u64>,
    /// Region of the server.
    pub location: Option<String>,
    /// Text of the server.
    pub message: Option<String>,
    /// Address for more.
    pub url: Option<String>,
    /// Heading to show.
    pub logout_message_header: Option<String>,
    /// Text to show below it.
    pub logout_message_subtext: Option<String>,
}

impl LoginFailure {
    /// A refusal with a reason and nothing else.
    pub fn new(reason: FailureReason) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }

    /// What the client does.
    pub fn reaction(&self, profile: &Profile) -> Reaction {
        let Some(reason) = self.reason else { return Reaction::Stop };
        if profile.login.reenlist_failures.contains(&reason.number()) {
            return Reaction::Enlist;
        }
        if profile.login.token_failures.contains(&reason.number()) {
            return Reaction::FreshToken;
        }
        match (reason, self.expire) {
            (FailureReason::TemporaryBan, Some(seconds)) => Reaction::Wait { seconds },
            (
                FailureReason::InternalServerError
                | FailureReason::Experimental
                | FailureReason::ServiceUnavailable,
                _,
            ) => Reaction::RETRY,
            _ => Reaction::Stop,
        }
    }

    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        Node::new("failure")
            .attr_opt("reason", self.reason.map(FailureReason::number))
            .attr_opt("code", self.ban.map(BanCode::number))
            .attr_opt("expire", self.expire)
            .attr_opt("location", self.location.as_deref())
            .attr_opt("message", self.message.as_deref())
            .attr_opt("url", self.url.as_deref())
            .attr_opt("logout_message_header", self.logout_message_header.as_deref())
            .attr_opt("logout_message_subtext", self.logout_message_subtext.as_deref())
    }

    /// Reads the stanza. A refusal that cannot be read in parts is still a refusal, so only another tag is an error.
    ///
    /// # Errors
    /// [`StanzaError::Tag`] if it is another stanza.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let failure = El::root(node, "failure")?;
        let number = |key| failure.opt_num::<u16>(key, "a decimal code").unwrap_or_default();
        Ok(Self {
            reason: number("reason").filter(|reason| (400..=599).contains(reason)).map(FailureReason::from),
            ban: number("code").map(BanCode::from),
            expire: failure.opt_num("expire", "seconds in decimal").unwrap_or_default(),
            location: failure.opt_str("location"),
            message: failure.opt_str("message"),
            url: failure.opt_str("url"),
            logout_message_header: failure.opt_str("logout_message_header"),
            logout_message_subtext: failure.opt_str("logout_message_subtext"),
        })
    }
}

/// The server gives a stream up; it closes the connection after it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// Code 515: reconnect.
    Restart,
    /// The same account is connected elsewhere (`conflict type=replaced`, code 409).
    Replaced,
    /// The account was removed (`conflict type=device_removed`, codes 401 and 516).
    Removed {
        /// The code, if there is one.
        code: Option<u16>,
    },
    /// The token was refused while connected (413, 414).
    Token {
        /// 413 or 414.
        code: u16,
    },
    /// Code 429: too many connections.
    RateLimited,
    /// Codes 500 to 599 but 515 and 516.
    Server {
        /// The code.
        code: u16,
    },
    /// The server could not read a stanza of ours.
    NotWellFormed,
    /// Code 479: a stanza of ours is refused by its schema.
    SchemaRefused,
    /// A stanza was never acked; the server will send it again.
    Unacked {
        /// Tag of the stanza.
        class: Option<String>,
        /// Type of the stanza.
        kind: Option<String>,
        /// Id of the stanza.
        id: Option<String>,
    },
    /// Anything else.
    Other {
        /// The code, if there is one.
        code: Option<u16>,
        /// Text of the server.
        text: Option<String>,
    },
}

impl StreamError {
    /// What the client does.
    pub fn reaction(&self, profile: &Profile) -> Reaction {
        match self {
            Self::Restart => Reaction::Now,
            Self::Replaced => Reaction::Yield,
            Self::Removed { .. } => Reaction::Enlist,
            Self::Token { .. } => Reaction::FreshToken,
            Self::RateLimited => Reaction::Retry { extra_steps: profile.connection.rate_limit_extra_steps },
            Self::Unacked { .. } => Reaction::KeepReading,
            Self::Server { .. } | Self::NotWellFormed | Self::SchemaRefused | Self::Other { .. } => {
                Reaction::RETRY
            }
        }
    }

    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        let node = Node::new("stream:error");
        let conflict = |kind: &str| Node::new("conflict").attr("type", kind);
        match self {
            Self::Restart => node.attr("code", 515_u16),
            Self::Replaced => node.child(conflict("replaced")),
            Self::Removed { code } => node.attr_opt("code", *code).child(conflict("device_removed")),
            Self::Token { code } | Self::Server { code } => node.attr("code", *code),
            Self::RateLimited => node.attr("code", 429_u16),
            Self::NotWellFormed => node.child(Node::new("xml-not-well-formed")),
            Self::SchemaRefused => node.attr("code", 479_u16),
            Self::Unacked { class, kind, id } => node.child(
                Node::new("ack")
                    .attr_opt("class", class.as_deref())
                    .attr_opt("type", kind.as_deref())
                    .attr_opt("id", id.as_deref()),
            ),
            Self::Other { code, text } => node
                .attr_opt("code", *code)
                .children(text.as_ref().map(|text| Node::new("text").bytes(text.as_bytes()))),
        }
    }

    /// Reads the stanza. As with a refused login, only another tag is an error. `<error code=479>` at top level is read
    /// too.
    ///
    /// # Errors
    /// [`StanzaError::Tag`] if it is another stanza.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let error = El::root(node, "stream:error").or_else(|_| El::root(node, "error"))?;
        let code = error.opt_num::<u16>("code", "a decimal code").unwrap_or_default();
        if let Some(conflict) = error.opt_child("conflict") {
            match conflict.opt_str("type").as_deref() {
                Some("replaced") => return Ok(Self::Replaced),
                Some("device_removed") => return Ok(Self::Removed { code }),
                _ => {}
            }
        }
        if let Some(ack) = error.opt_child("ack") {
            let (class, kind, id) = (ack.opt_str("class"), ack.opt_str("type"), ack.opt_str("id"));
            return Ok(Self::Unacked { class, kind, id });
        }
        if error.opt_child("xml-not-well-formed").is_some() {
            return Ok(Self::NotWellFormed);
        }
        Ok(match code {
            Some(515) => Self::Restart,
            Some(409) => Self::Replaced,
            Some(401 | 516) => Self::Removed { code },
            Some(code @ (413 | 414)) => Self::Token { code },
            Some(429) => Self::RateLimited,
            Some(479) => Self::SchemaRefused,
            Some(code @ 500..=599) => Self::Server { code },
            _ => {
                let text = error
                    .opt_child("text")
                    .and_then(|text| text.node().content_bytes().map(|b| b.into_owned()));
                Self::Other { code, text: text.and_then(|text| String::from_utf8(text).ok()) }
            }
        })
    }
}

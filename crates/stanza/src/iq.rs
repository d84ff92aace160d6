//! The iq envelope: requests, results, errors (PEERS).

use std::fmt;

use landbridge_wire::{Jid, Node, NodeRef};

use crate::codes::IqErrorCode;
use crate::error::{ReplyError, StanzaError};
use crate::profile::Profile;
use crate::read::El;
use crate::server_jid;

/// Whether a request reads or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IqType {
    /// Reads.
    Get,
    /// Changes.
    Set,
}

impl IqType {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
        }
    }
}

/// A request with the parser and the builder of its answer.
///
/// The client calls [`to_node`](Self::to_node) and [`parse_reply`](Self::parse_reply), a server
/// [`from_node`](Self::from_node) and [`reply_node`](Self::reply_node) or [`IqError::to_node`].
pub trait Request: Sized {
    /// What a good answer says.
    type Reply;

    /// The `iq` with the given id, unique per connection.
    fn to_node(&self, id: &str, profile: &Profile) -> Node;

    /// Reads the request. The envelope (tag, namespace, type) is the business of
    /// [`ClientStanza::from_node`](crate::ClientStanza::from_node); this reads the content.
    ///
    /// # Errors
    /// A [`StanzaError`] that names the part that is not as it should be.
    fn from_node(node: NodeRef<'_>, profile: &Profile) -> Result<Self, StanzaError>;

    /// Reads the content of an `iq` of type `result`.
    ///
    /// # Errors
    /// A [`StanzaError`] that names the part that is not as it should be.
    fn parse_result(node: NodeRef<'_>, profile: &Profile) -> Result<Self::Reply, StanzaError>;

    /// The `iq` of type `result` that answers the request `id`.
    fn reply_node(&self, reply: &Self::Reply, id: &str, profile: &Profile) -> Node;

    /// Reads the answer, be it a result or an error.
    ///
    /// # Errors
    /// [`ReplyError::Refused`] for an error of the server, [`ReplyError::Malformed`] for what is no answer.
    fn parse_reply(node: NodeRef<'_>, profile: &Profile) -> Result<Self::Reply, ReplyError> {
        match IqReply::from_node(node)?.error {
            Some(error) => Err(ReplyError::Refused(error)),
            None => Ok(Self::parse_result(node, profile)?),
        }
    }
}

/// The envelope of an answer: which request, and the error if there is one. The content of a result is read by
/// [`Request::parse_reply`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IqReply {
    /// Id of the request.
    pub id: String,
    /// Who answers. A client's answer has no `from`.
    pub from: Option<Jid>,
    /// The error of an `iq` of type `error`.
    pub error: Option<IqError>,
}

impl IqReply {
    /// Reads an `iq` of type `result` or `error`.
    ///
    /// # Errors
    /// A [`StanzaError`] if it is no such thing, or lacks its id or its error code.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let iq = El::root(node, "iq")?;
        let error = match iq.str("type", "`result` or `error`")?.as_str() {
            "result" => None,
            "error" => Some(IqError::read(&iq.child("error", "an element with a code")?)?),
            _ => return Err(iq.bad_attr("type", "`result` or `error`")),
        };
        Ok(Self { id: iq.str("id", "the id of the request")?, from: iq.opt_jid("from")?, error })
    }
}

/// The error of a request, or of one user within a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IqError {
    /// The code.
    pub code: IqErrorCode,
    /// Words that go with it.
    pub text: Option<String>,
    /// `type` of the error element, seldom set.
    pub kind: Option<String>,
    /// Seconds to wait before asking again.
    pub backoff: Option<u64>,
}

impl IqError {
    /// An error with its usual words.
    pub fn new(code: IqErrorCode) -> Self {
        let text = code.text();
        Self { code, text: (!text.is_empty()).then(|| text.to_owned()), kind: None, backoff: None }
    }

    /// The same with a time to wait, in seconds.
    #[must_use]
    pub fn with_backoff(mut self, seconds: u64) -> Self {
        self.backoff = Some(seconds);
        self
    }

    /// The server's answer to the request `id`.
    pub fn to_node(&self, id: &str) -> Node {
        Node::new("iq").attr("from", server_jid()).attr("type", "error").attr("id", id).child(self.element())
    }

    /// The client's answer to a request of the server at `to`.
    pub fn to_server_node(&self, id: &str, to: &Jid) -> Node {
        Node::new("iq").attr("to", to).attr("type", "error").attr("id", id).child(self.element())
    }

    pub(crate) fn element(&self) -> Node {
        Node::new("error")
            .attr("code", self.code.number())
            .attr_opt("text", self.text.as_deref())
            .attr_opt("type", self.kind.as_deref())
            .attr_opt("backoff", self.backoff)
    }

    pub(crate) fn read(error: &El<'_, '_>) -> Result<Self, StanzaError> {
        Ok(Self {
            code: IqErrorCode::from(error.num::<u16>("code", "a decimal number below 65,536")?),
            text: error.opt_str("text"),
            kind: error.opt_str("type"),
            // A back-off that cannot be read is worth less than the code beside it.
            backoff: error.opt_num("backoff", "seconds in decimal").unwrap_or_default(),
        })
    }
}

impl fmt::Display for IqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.as_deref().unwrap_or(self.code.text()) {
            "" => write!(f, "error {}", self.code),
            text => write!(f, "error {} ({text})", self.code),
        }
    }
}

impl std::error::Error for IqError {}

/// A request to the server without its content.
pub(crate) fn request(id: &str, xmlns: &str, kind: IqType) -> Node {
    Node::new("iq").attr("id", id).attr("xmlns", xmlns).attr("type", kind.as_str()).attr("to", server_jid())
}

/// A result of the server without its content.
pub(crate) fn result(id: &str) -> Node {
    Node::new("iq").attr("from", server_jid()).attr("type", "result").attr("id", id)
}

//! Everything that a client receives.

use landbridge_wire::{Jid, Node, NodeRef};

use crate::ack::AckIn;
use crate::chatstate::ChatStateIn;
use crate::codes::IqErrorCode;
use crate::error::StanzaError;
use crate::ib::Ib;
use crate::iq::{IqError, IqReply};
use crate::liveness::ServerPing;
use crate::message::MessageIn;
use crate::notification::Notification;
use crate::presence::PresenceIn;
use crate::profile::Profile;
use crate::receipt::ReceiptIn;
use crate::server_jid;
use crate::stream::{self, LoginFailure, StreamError, Success};

/// A stanza of the server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Inbound {
    /// The login is accepted.
    Success(Success),
    /// The login is refused.
    Failure(LoginFailure),
    /// The stream is given up.
    StreamError(StreamError),
    /// The stream ends.
    End,
    /// The answer to a request; read the rest with that request's [`parse_reply`](crate::Request::parse_reply).
    Reply(IqReply),
    /// Answer it with [`ServerPing::reply_node`].
    Ping(ServerPing),
    /// Another request of the server; answer it with [`ServerRequest::refusal`].
    Request(ServerRequest),
    /// A message.
    Message(Box<MessageIn>),
    /// A receipt.
    Receipt(Box<ReceiptIn>),
    /// The server has taken, or refused, a message or a receipt.
    Ack(AckIn),
    /// A notification.
    Notification(Box<Notification>),
    /// A peer types.
    ChatState(ChatStateIn),
    /// A peer comes or goes.
    Presence(PresenceIn),
    /// Information about the mailbox or the connection.
    Ib(Ib),
    /// Any other stanza, calls among them, whole. If [`AckOut::answering`](crate::ack::AckOut::answering) has an ack for
    /// it, it is owed: without an error for a `call`, else with 488.
    Unknown(Node),
}

/// A request of the server that the client does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRequest {
    /// Id to answer with.
    pub id: String,
    /// Who asks.
    pub from: Jid,
    /// Namespace.
    pub xmlns: Option<String>,
}

impl ServerRequest {
    /// The answer: `profile.iq.unknown_request_code`, or nothing if the profile says so.
    pub fn refusal(&self, profile: &Profile) -> Option<Node> {
        let code = IqErrorCode::from(profile.iq.unknown_request_code?);
        Some(IqError::new(code).to_server_node(&self.id, &self.from))
    }
}

impl Inbound {
    /// Reads a stanza of the server.
    ///
    /// # Errors
    /// A [`StanzaError`] if a known stanza lacks a part. The stanza is still owed an answer:
    /// [`AckOut::answering`](crate::ack::AckOut::answering) with 487.
    pub fn from_node(node: NodeRef<'_>, profile: &Profile) -> Result<Self, StanzaError> {
        Ok(match node.tag().as_ref() {
            "success" => Self::Success(Success::from_node(node)?),
            "failure" => Self::Failure(LoginFailure::from_node(node)?),
            "stream:error" | "error" => Self::StreamError(StreamError::from_node(node)?),
            "iq" => return Self::iq(node),
            "message" => Self::Message(Box::new(MessageIn::from_node(node)?)),
            "receipt" => Self::Receipt(Box::new(ReceiptIn::from_node(node)?)),
            "ack" => Self::Ack(AckIn::from_node(node)?),
            "notification" => Self::Notification(Box::new(Notification::from_node(node, profile)?)),
            "chatstate" => Self::ChatState(ChatStateIn::from_node(node)?),
            "presence" => Self::Presence(PresenceIn::from_node(node)?),
            "ib" => Self::Ib(Ib::from_node(node)?),
            _ if stream::is_end(node) => Self::End,
            _ => Self::Unknown(node.to_node()),
        })
    }

    fn iq(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        if ServerPing::matches(node) {
            return Ok(Self::Ping(ServerPing::from_node(node)?));
        }
        if node.attr_str("type").is_some_and(|kind| kind == "get" || kind == "set") {
            let ServerPing { id, from } = ServerPing::from_node(node)?;
            return Ok(Self::Request(ServerRequest {
                id,
                from,
                xmlns: node.attr_str("xmlns").map(Into::into),
            }));
        }
        Ok(Self::Reply(IqReply::from_node(node)?))
    }

    /// Whether a `from` names the server itself.
    pub fn is_server(from: &Jid) -> bool {
        *from == server_jid()
    }
}

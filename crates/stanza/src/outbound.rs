//! Everything that a server receives.

use landbridge_wire::{Jid, Node, NodeRef};

use crate::account::{self, Clean, DeleteAccount};
use crate::ack::AckOut;
use crate::blocklist::{self, GetBlocklist, UpdateBlocklist};
use crate::chatstate::ChatStateOut;
use crate::error::StanzaError;
use crate::ib::Ib;
use crate::iq::{IqReply, IqType, Request};
use crate::keys::{self, CountKeys, DigestKeys, FetchKeys, RotateSignedPreKey, UploadKeys};
use crate::liveness::{self, Ping, SetActive};
use crate::message::MessageOut;
use crate::presence::PresenceOut;
use crate::profile::Profile;
use crate::reach::Reach;
use crate::read::El;
use crate::receipt::ReceiptOut;
use crate::stream;

/// A stanza of a client.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ClientStanza {
    /// A request; answer it with its own [`reply_node`](Request::reply_node) or with
    /// [`IqError::to_node`](crate::IqError::to_node).
    Request {
        /// Id to answer with.
        id: String,
        /// Whom the client asks.
        to: Option<Jid>,
        /// What.
        request: ClientRequest,
    },
    /// The answer to a request of the server.
    Reply(IqReply),
    /// A message.
    Message(Box<MessageOut>),
    /// A receipt.
    Receipt(Box<ReceiptOut>),
    /// An ack.
    Ack(AckOut),
    /// The user types.
    ChatState(ChatStateOut),
    /// The user comes or goes.
    Presence(PresenceOut),
    /// The client wants more of its mailbox, or says something else.
    Ib(Ib),
    /// The client is done.
    End,
    /// Any other stanza, whole.
    Unknown(Node),
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ClientRequest {
    /// Are you there?
    Ping(Ping),
    /// May the server deliver?
    SetActive(SetActive),
    /// Here are keys.
    UploadKeys(Box<UploadKeys>),
    /// How many one-time prekeys are left?
    CountKeys(CountKeys),
    /// The bundles of some users.
    FetchKeys(FetchKeys),
    /// A new signed prekey.
    RotateSignedPreKey(Box<RotateSignedPreKey>),
    /// The own keys as the server sees them.
    DigestKeys(DigestKeys),
    /// The block list.
    GetBlocklist(GetBlocklist),
    /// A change of it.
    UpdateBlocklist(UpdateBlocklist),
    /// The account shall be deleted.
    DeleteAccount(DeleteAccount),
    /// Something dirty was fetched.
    Clean(Clean),
    /// A user shall enable interoperability.
    Reach(Reach),
    /// Any other request, whole.
    Unknown(Node),
}

impl ClientStanza {
    /// Reads a stanza of a client.
    ///
    /// # Errors
    /// A [`StanzaError`] if a known stanza lacks a part. An `iq` is then answered with error 400, a message with an ack
    /// of error 400, for anything else the stream ends.
    pub fn from_node(node: NodeRef<'_>, profile: &Profile) -> Result<Self, StanzaError> {
        Ok(match node.tag().as_ref() {
            "iq" => return Self::iq(node, profile),
            "message" => Self::Message(Box::new(MessageOut::from_node(node)?)),
            "receipt" => Self::Receipt(Box::new(ReceiptOut::from_node(node)?)),
            "ack" => Self::Ack(AckOut::from_node(node)?),
            "chatstate" => Self::ChatState(ChatStateOut::from_node(node)?),
            "presence" => Self::Presence(PresenceOut::from_node(node)?),
            "ib" => Self::Ib(Ib::from_node(node)?),
            _ if stream::is_end(node) => Self::End,
            _ => Self::Unknown(node.to_node()),
        })
    }

    fn iq(node: NodeRef<'_>, profile: &Profile) -> Result<Self, StanzaError> {
        let iq = El::root(node, "iq")?;
        let kind = match iq.str("type", "get, set, result or error")?.as_str() {
            "get" => IqType::Get,
            "set" => IqType::Set,
            "result" | "error" => return Ok(Self::Reply(IqReply::from_node(node)?)),
            _ => return Err(iq.bad_attr("type", "get, set, result or error")),
        };
        let id = iq.str("id", "an id to answer with")?;
        let xmlns = iq.str("xmlns", "a namespace")?;
        Ok(Self::Request {
            id,
            to: iq.opt_jid("to")?,
            request: ClientRequest::read(&iq, kind, &xmlns, profile)?,
        })
    }
}

impl ClientRequest {
    fn read(iq: &El<'_, '_>, kind: IqType, xmlns: &str, profile: &Profile) -> Result<Self, StanzaError> {
        let node = iq.node();
        let has = |tag: &str| iq.opt_child(tag).is_some();
        Ok(match (kind, xmlns) {
            (IqType::Get, liveness::PING_XMLNS) => Self::Ping(Ping::from_node(node, profile)?),
            (IqType::Set, liveness::PASSIVE_XMLNS) => Self::SetActive(SetActive::from_node(node, profile)?),
            (IqType::Set, keys::XMLNS) if has("rotate") => {
                Self::RotateSignedPreKey(Box::new(RotateSignedPreKey::from_node(node, profile)?))
            }
            (IqType::Set, keys::XMLNS) => Self::UploadKeys(Box::new(UploadKeys::from_node(node, profile)?)),
            (IqType::Get, keys::XMLNS) if has("count") => {
                Self::CountKeys(CountKeys::from_node(node, profile)?)
            }
            (IqType::Get, keys::XMLNS) if has("digest") => {
                Self::DigestKeys(DigestKeys::from_node(node, profile)?)
            }
            (IqType::Get, keys::XMLNS) => Self::FetchKeys(FetchKeys::from_node(node, profile)?),
            (IqType::Get, blocklist::XMLNS) => Self::GetBlocklist(GetBlocklist::from_node(node, profile)?),
            (IqType::Set, blocklist::XMLNS) => {
                Self::UpdateBlocklist(UpdateBlocklist::from_node(node, profile)?)
            }
            (IqType::Set, account::DIRTY_XMLNS) => Self::Clean(Clean::from_node(node, profile)?),
            (kind, xmlns) if xmlns == profile.deletion.xmlns && kind == profile.deletion.iq_type => {
                Self::DeleteAccount(DeleteAccount::from_node(node, profile)?)
            }
            (kind, xmlns)
                if profile.reach.enabled && xmlns == profile.reach.xmlns && kind == profile.reach.iq_type =>
            {
                Self::Reach(Reach::from_node(node, profile)?)
            }
            _ => Self::Unknown(node.to_node()),
        })
    }
}

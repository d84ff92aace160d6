//! What a client's stanza does. No I/O: the effects are in the database, the answer is in the [`Outcome`].

use landbridge_stanza::ack::{AckClass, AckIn};
use landbridge_stanza::codes::{IqErrorCode, MessageErrorCode};
use landbridge_stanza::ib::Ib;
use landbridge_stanza::liveness::{Pong, SetActive};
use landbridge_stanza::presence::PresenceOut;
use landbridge_stanza::stream::StreamError;
use landbridge_stanza::{ClientRequest, ClientStanza, IqError, Request, StanzaError};
use landbridge_wire::{Node, NodeRef};

use super::Session;
use crate::SandboxError;
use crate::events::{EventKind, Rule};
use crate::state::State;

/// What a stanza led to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Stanzas to write, in order.
    pub(crate) replies: Vec<Node>,
    /// Positions of the mailbox that the client has taken.
    pub(crate) taken: Vec<i64>,
    /// The client became active or passive.
    pub(crate) mode: Option<SetActive>,
    /// The client asks for so many stanzas more of its mailbox.
    pub(crate) credit: Option<u32>,
    /// The connection ends after the replies.
    pub(crate) finish: Option<Finish>,
}

/// How a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The client is done.
    ByClient,
    /// The server is done: end of stream.
    ByServer(&'static str),
    /// The stream is given up.
    Error(StreamError),
}

impl Outcome {
    pub(super) fn reply(node: Node) -> Self {
        Self { replies: vec![node], ..Self::default() }
    }

    fn finish(finish: Finish) -> Self {
        Self { finish: Some(finish), ..Self::default() }
    }
}

impl State {
    /// Does what a client's stanza says.
    pub(crate) fn handle(&self, who: &Session, node: NodeRef<'_>) -> Outcome {
        let stanza = match ClientStanza::from_node(node, self.profile()) {
            Ok(stanza) => stanza,
            Err(error) => return self.malformed(who, node, &error),
        };
        let request = match &stanza {
            ClientStanza::Request { id, .. } => Some(id.clone()),
            _ => None,
        };
        let result = match stanza {
            ClientStanza::Request { id, request, .. } => self.request(who, &id, request),
            ClientStanza::Message(message) => self.message(who, *message, node),
            ClientStanza::Receipt(receipt) => self.receipt(who, *receipt),
            ClientStanza::Ack(ack) => self.ack(who, &ack),
            ClientStanza::ChatState(typing) => self.typing(who, &typing),
            ClientStanza::Presence(presence) => self.presence(who, presence),
            ClientStanza::Ib(Ib::OfflineBatch { count }) => {
                Ok(Outcome { credit: Some(count), ..Outcome::default() })
            }
            // Answers to our pings are good for the silence that they end, nothing more.
            ClientStanza::Reply(_) => Ok(Outcome::default()),
            ClientStanza::End => Ok(Outcome::finish(Finish::ByClient)),
            _ => Ok(self.unknown(who, node)),
        };
        result.unwrap_or_else(|error| {
            self.internal("a stanza could not be acted on", &error);
            match request {
                Some(id) => Outcome::reply(IqError::new(IqErrorCode::InternalServerError).to_node(&id)),
                None => Outcome::finish(Finish::Error(StreamError::Server { code: 500 })),
            }
        })
    }

    fn request(&self, who: &Session, id: &str, request: ClientRequest) -> Result<Outcome, SandboxError> {
        let profile = self.profile();
        match request {
            ClientRequest::Ping(ping) => {
                Ok(Outcome::reply(ping.reply_node(&Pong { t: Some(self.now()) }, id, profile)))
            }
            ClientRequest::SetActive(mode) => {
                Ok(Outcome { mode: Some(mode), ..Outcome::reply(mode.reply_node(&(), id, profile)) })
            }
            ClientRequest::UploadKeys(upload) => self.upload_keys(who, id, &upload),
            ClientRequest::CountKeys(count) => {
                let held = self.db.read(|tx| tx.count_prekeys(who.user))?;
                Ok(Outcome::reply(count.reply_node(&held, id, profile)))
            }
            ClientRequest::FetchKeys(fetch) => self.fetch_keys(who, id, fetch),
            ClientRequest::RotateSignedPreKey(rotate) => self.rotate_key(who, id, &rotate),
            ClientRequest::DigestKeys(digest) => self.digest_keys(who, id, digest),
            ClientRequest::GetBlocklist(get) => {
                let list = self.db.read(|tx| tx.blocklist(who.user))?;
                Ok(Outcome::reply(get.reply_node(&list, id, profile)))
            }
            ClientRequest::UpdateBlocklist(update) => self.update_blocklist(who, id, &update),
            ClientRequest::DeleteAccount(delete) => self.delete_account(who, id, delete),
            ClientRequest::Clean(clean) => Ok(Outcome::reply(clean.reply_node(&(), id, profile))),
            ClientRequest::Reach(reach) => self.reach(who, id, &reach),
            ClientRequest::Unknown(node) => {
                let xmlns = node.view().attr_str("xmlns").unwrap_or_default().into_owned();
                let detail = format!("a request in the namespace `{xmlns}` with this content is not known");
                self.broken(Some(who.connection), Some(&who.jid), Rule::UNKNOWN_REQUEST, detail);
                let code = profile.iq.unknown_request_code.unwrap_or(IqErrorCode::BadRequest.number());
                Ok(refuse(id, IqErrorCode::from(code)))
            }
            _ => Ok(refuse(id, IqErrorCode::NotImplemented)),
        }
    }

    fn presence(&self, who: &Session, presence: PresenceOut) -> Result<Outcome, SandboxError> {
        match presence {
            PresenceOut::Available { name } => {
                who.set_available(true);
                let name = name.filter(|name| !name.is_empty());
                self.db.write(|tx| tx.seen(who.user, self.now(), name.as_deref()))?;
            }
            PresenceOut::Unavailable { .. } => who.set_available(false),
            PresenceOut::Subscribe { .. } | PresenceOut::Unsubscribe { .. } => {
                let detail = "a subscription to somebody's presence is passed over".to_owned();
                let kind = EventKind::Unusual { rule: Rule::SUBSCRIBE, detail };
                self.note(Some(who.connection), Some(&who.jid), kind);
            }
        }
        Ok(Outcome::default())
    }

    fn unknown(&self, who: &Session, node: NodeRef<'_>) -> Outcome {
        let tag = node.tag().into_owned();
        let detail = format!("<{tag}> is no stanza that clients send");
        self.broken(Some(who.connection), Some(&who.jid), Rule::UNKNOWN_STANZA, detail);
        let (Some(id), Some(to)) = (node.attr_str("id"), node.attr_jid("to")) else {
            return Outcome::default();
        };
        let ack = AckIn { class: AckClass::from(tag.as_str()), ..AckIn::message(id, to, self.now()) };
        Outcome::reply(ack.refused(MessageErrorCode::from(488)).to_node(self.profile()))
    }

    /// The narrowest answer there is: an error of the request, a refusal of the message, the end of the stream.
    fn malformed(&self, who: &Session, node: NodeRef<'_>, error: &StanzaError) -> Outcome {
        self.broken(Some(who.connection), Some(&who.jid), Rule::STANZA, error.to_string());
        let id = node.attr_str("id").filter(|id| !id.is_empty());
        if node.is("iq")
            && let Some(id) = id
        {
            let keys = node.attr_str("xmlns").is_some_and(|xmlns| xmlns == landbridge_stanza::keys::XMLNS);
            let wrong_size = matches!(error, StanzaError::BadContent { .. });
            let code = if keys && wrong_size { IqErrorCode::NotAcceptable } else { IqErrorCode::BadRequest };
            return refuse(&id, code);
        }
        if node.is("message")
            && let (Some(id), Some(to)) = (id, node.attr_jid("to"))
        {
            let ack = AckIn::message(id, to, self.now()).refused(MessageErrorCode::BadRequest);
            return Outcome::reply(ack.to_node(self.profile()));
        }
        Outcome::finish(Finish::Error(StreamError::SchemaRefused))
    }
}

/// An error in answer to a request.
pub(super) fn refuse(id: &str, code: IqErrorCode) -> Outcome {
    Outcome::reply(IqError::new(code).to_node(id))
}

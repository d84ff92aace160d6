//! Messages: sending, and what both directions share.

mod about;
pub(crate) mod cipher;
pub(crate) mod flood;
pub(crate) mod outbox;
pub(crate) mod present;
pub(crate) mod receive;
pub(crate) mod relate;
pub(crate) mod retry;

use std::sync::Arc;

use landbridge_proto::message::Message;
use landbridge_signal::{Address, EncryptError};
use landbridge_stanza::MessageId;
use landbridge_stanza::ack::AckOut;
use landbridge_stanza::chatstate::ChatState;
use landbridge_store::{
    Enlistment, Noted, OutState, OutboxMessage, OwedClass, Relation, Sighting, StoreTx, TrailStep,
};
use landbridge_wire::Jid;
use prost::Message as _;

use crate::client::Inner;
use crate::error::Error;
use crate::message::StoredMessage;
use crate::receipts::owe;
use crate::send_failure::SendFailure;
use crate::session::Session;
use crate::trust::Notice;
use cipher::{address, chat_of};

/// The type of stanzas that do not end the writing of a message.
const REACTION: &str = "reaction";

/// How often keys are fetched for one message at most: a session can vanish between the fetch and the encryption.
const MAX_FETCHES: u32 = 2;

pub(crate) async fn send(inner: &Arc<Inner>, to: &Jid, content: &Message) -> Result<MessageId, Error> {
    let to = recipient(inner, to)?;
    let id = MessageId::generate(&mut inner.rng.fork());
    send_as(inner, &to, id, content, Beside::Nothing).await
}

/// What else is done in the transaction that stores a message.
#[derive(Clone)]
pub(crate) enum Beside {
    Nothing,
    /// What the message does to another one is kept.
    Relation(Relation),
    /// The upload of its file ends. If it has ended already, the message is not stored.
    Upload {
        /// Its encrypted file.
        spool: String,
    },
}

/// Sends under an id of the caller's.
pub(crate) async fn send_as(
    inner: &Arc<Inner>,
    to: &Jid,
    id: MessageId,
    content: &Message,
    beside: Beside,
) -> Result<MessageId, Error> {
    check_content(inner, content)?;
    let plaintext = content.encode_to_vec();
    let kind = landbridge_proto::content::outer(content).stanza_type;
    let mut without = if inner.session().is_ok() { WithoutSession::Say } else { WithoutSession::Store };
    for _ in 0..=MAX_FETCHES {
        let draft = Draft { kind, plaintext: plaintext.clone(), beside: beside.clone() };
        let enqueued = enqueue(inner, to, &id, draft, without).await?;
        if enqueued == Enqueued::Ended {
            return Ok(id);
        }
        if enqueued == Enqueued::Yes {
            inner.poke_outbox();
            if kind != REACTION
                && let Ok(session) = inner.session()
            {
                // Should the connection have ended meanwhile, the peer knows by that.
                let _ended = session.set_typing(to, ChatState::Paused).await.is_err();
            }
            return Ok(id);
        }
        match crate::keys::ensure_session(inner, to).await {
            Ok(()) => {}
            // The connection is gone: the next one will fetch the keys.
            Err(Error::NotConnected | Error::Disconnected { .. }) => without = WithoutSession::Store,
            Err(error) => return Err(error),
        }
    }
    let source = EncryptError::NoSession { peer: address(to) };
    Err(Error::Encrypt { jid: to.clone(), source })
}

/// What to do with a message to a peer that there is no session with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WithoutSession {
    /// Store it as it is; it is encrypted once there are keys.
    Store,
    /// Say so.
    Say,
}

#[derive(PartialEq, Eq)]
enum Enqueued {
    Yes,
    /// There is no session: fetch keys first.
    NoSession,
    /// The upload of its file was taken back.
    Ended,
}

/// What is to be encrypted and stored.
struct Draft {
    kind: &'static str,
    plaintext: Vec<u8>,
    beside: Beside,
}

/// Encrypts and stores, in one step. What may not be encrypted yet, or would overtake something that may not, is stored as
/// it is.
async fn enqueue(
    inner: &Arc<Inner>,
    to: &Jid,
    id: &MessageId,
    draft: Draft,
    without: WithoutSession,
) -> Result<Enqueued, Error> {
    let Draft { kind, plaintext, beside } = draft;
    let (owner, name) = (Arc::clone(inner), (chat_of(to), id.as_str().to_owned()));
    let spool = match &beside {
        Beside::Upload { spool } => Some(spool.clone()),
        Beside::Nothing | Beside::Relation(_) => None,
    };
    let mut maker = cipher::Maker::new(inner, to, id);
    let created_at = inner.clock.now();
    let step = move |tx: &mut dyn StoreTx| {
        match tx.account()?.map(|account| account.enlistment) {
            Some(Enlistment::Enlisted { .. } | Enlistment::Lapsed { .. }) => {}
            Some(Enlistment::Prepared | Enlistment::Deleting { .. }) | None => {
                return Err(Stay::from(Error::NotEnlisted));
            }
        }
        let (id, recipient) = (maker.id.as_str().to_owned(), chat_of(&maker.to));
        if matches!(beside, Beside::Upload { .. }) && !tx.end_upload(&recipient, &id)? {
            return Ok(Enqueued::Ended);
        }
        let stanza = if tx.has_unsealed(&recipient)? {
            Vec::new()
        } else {
            match maker.encrypt(tx, &plaintext, None) {
                Ok(stanza) => stanza,
                Err(Error::SendingHeld { .. }) => Vec::new(),
                Err(Error::Encrypt { source: EncryptError::NoSession { .. }, .. }) => match without {
                    WithoutSession::Store => Vec::new(),
                    WithoutSession::Say => return Err(Stay::NoSession),
                },
                Err(error) => return Err(error.into()),
            }
        };
        let step = if stanza.is_empty() { TrailStep::Held } else { TrailStep::Queued };
        tx.note(&recipient, &id, created_at, &step)?;
        tx.enqueue(&OutboxMessage { id, recipient, kind: kind.to_owned(), plaintext, stanza, created_at })?;
        if let Beside::Relation(about) = beside {
            tx.relate(&Relation { t: created_at, ..about })?;
        }
        Ok(Enqueued::Yes)
    };
    let tell = move |enqueued: &mut Enqueued| {
        if let (Enqueued::Yes, Some(spool)) = (enqueued, spool) {
            owner.uploads.ended(&name, &spool);
        }
    };
    match inner.vault.write_and_tell(step, tell).await {
        Ok(enqueued) => Ok(enqueued),
        Err(Stay::NoSession) => Ok(Enqueued::NoSession),
        Err(Stay::Failed(error)) => Err(error),
    }
}

/// Why nothing is stored.
enum Stay {
    NoSession,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stay {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

pub(crate) fn has_session(tx: &dyn StoreTx, peer: &Address) -> Result<bool, Error> {
    let record = tx.load_session(peer).map_err(cipher::store_failed)?;
    Ok(record.is_some_and(|record| record.has_current()))
}

pub(crate) fn check_content(inner: &Inner, content: &Message) -> Result<(), Error> {
    let limits = &inner.profile.content;
    if let Some(text) = &content.conversation {
        if text.is_empty() {
            return Err(Error::Content { what: "the text is empty" });
        }
        if text.chars().count() > limits.max_text_chars {
            return Err(Error::Content { what: "the text is too long" });
        }
    }
    match content.encoded_len() {
        0 => Err(Error::Content { what: "it is empty" }),
        length if length > limits.max_plaintext_bytes => Err(Error::Content { what: "it is too large" }),
        _ => Ok(()),
    }
}

/// The address that a message goes to: a user, without device.
pub(crate) fn recipient(inner: &Inner, to: &Jid) -> Result<Jid, Error> {
    let to = to.clone().without_device();
    let own = match inner.session() {
        Ok(session) => session.own.same_user(&to),
        Err(_) => false,
    };
    if own || !(to.is_user() || to.is_lid()) {
        return Err(Error::BadAddress { jid: to, what: "written to" });
    }
    Ok(to)
}

pub(crate) async fn message(
    inner: &Arc<Inner>,
    chat: &Jid,
    id: &MessageId,
) -> Result<Option<StoredMessage>, Error> {
    let (chat, id) = (chat.clone().without_device(), id.clone());
    let limits = Arc::clone(&inner.content_limits);
    let step = move |tx: &mut dyn StoreTx| {
        let own = crate::account::own_address(tx)?;
        present::message(tx, &chat, &id, &present::Reader { own: &own, limits: &limits })
    };
    inner.vault.read(step).await
}

pub(crate) async fn state(inner: &Arc<Inner>, to: &Jid, id: &MessageId) -> Result<Option<OutState>, Error> {
    let (recipient, id) = (chat_of(to), id.as_str().to_owned());
    let step = move |tx: &mut dyn StoreTx| {
        Ok::<_, Error>(match tx.outgoing(&recipient, &id)? {
            Some(entry) => Some(entry.state),
            // Its file is on its way.
            None => tx.upload(&recipient, &id)?.map(|_| OutState::Pending),
        })
    };
    inner.vault.read(step).await
}

pub(crate) async fn why_failed(
    inner: &Arc<Inner>,
    to: &Jid,
    id: &MessageId,
) -> Result<Option<SendFailure>, Error> {
    let (recipient, id) = (chat_of(to), id.as_str().to_owned());
    let step = move |tx: &mut dyn StoreTx| {
        let entry = tx.outgoing(&recipient, &id)?.filter(|entry| entry.state == OutState::Failed);
        Ok::<_, Error>(entry.and_then(|entry| entry.failure))
    };
    Ok(inner.vault.read(step).await?.as_deref().map(SendFailure::read))
}

/// Looks at the stored state, and again each time a message has moved, until this one is at `goal` or has failed.
pub(crate) async fn wait_for(
    inner: &Arc<Inner>,
    to: &Jid,
    id: &MessageId,
    goal: OutState,
) -> Result<OutState, Error> {
    loop {
        // Registered before looking, so that a move in between wakes us up.
        let mut moved = std::pin::pin!(inner.events.moved.notified());
        moved.as_mut().enable();
        match state(inner, to, id).await? {
            None => return Err(Error::NoSuchMessage),
            Some(OutState::Failed) => return Ok(OutState::Failed),
            Some(state) if state >= goal => return Ok(state),
            Some(_) => moved.await,
        }
    }
}

/// The server's word that a peer has another identity: the session goes, the notice stays.
pub(crate) async fn identity_changed(session: &Arc<Session>, peer: Jid, ack: &AckOut) -> Result<(), Error> {
    let inner = &session.inner;
    let (notice, whom, told) = (Notice::new(inner), address(&peer), ack.id.clone());
    let owed =
        owe(inner, OwedClass::Ack, &ack.to, ack.participant.as_ref(), &ack.id, &ack.to_node(&inner.profile))?;
    let step = move |tx: &mut dyn StoreTx| {
        let old = tx.remote_identity(&whom).map_err(cipher::store_failed)?;
        let (event, noted) = notice.changed(tx, &peer, old.as_ref(), Sighting::Notification(&told))?;
        // One that was learnt before has its session already.
        if matches!(noted, Noted::New { .. }) {
            tx.delete_session(&whom).map_err(cipher::store_failed)?;
        }
        tx.owe(&owed)?;
        Ok::<_, Error>(event)
    };
    let event = inner.vault.write(step).await?;
    session.owed_news.notify_one();
    if let Some(event) = event {
        inner.events.push(event);
    }
    Ok(())
}

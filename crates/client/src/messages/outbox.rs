//! What waits to be sent goes out: in the order of the store, the same bytes each time, from the store alone. New messages
//! and those of earlier connections take the same way.

use std::sync::Arc;
use std::time::Duration;

use landbridge_stanza::MessageId;
use landbridge_stanza::ack::AckIn;
use landbridge_stanza::codes::{MessageErrorCode, MessageReaction};
use landbridge_store::{Advanced, OutState, OutboxEntry, Progress, Recrypt, StoreTx, TrailStep};
use landbridge_wire::Jid;

use super::cipher::{Maker, address, chat_of};
use super::has_session;
use crate::error::{Error, Reaction};
use crate::event::Event;
use crate::session::Session;

/// Messages read from the store at a time.
const PAGE: usize = 64;
/// Waits before a message that the server could not take is sent again on the same connection (ASSUMED).
const RESEND_AFTER: [u64; 3] = [5, 10, 20];

/// Why a message fails that was taken back before it could go out.
const TAKEN_BACK: &str = "taken back before it was sent";

/// A message that is due, and whether its ciphertext still belongs to a session.
struct Due {
    entry: OutboxEntry,
    to: Jid,
    stale: bool,
}

pub(crate) async fn run(session: Arc<Session>) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let due = due(&session, after).await?;
        if due.is_empty() {
            session.outbox_news.notified().await;
            continue;
        }
        for due in due {
            after = due.entry.seq;
            let name = (due.entry.message.recipient.clone(), due.entry.message.id.clone());
            if !due.stale {
                session.queue(due.entry.message.stanza).await?;
                session.note_written(name);
                continue;
            }
            match renew(&session, due).await {
                Ok(Some(stanza)) => {
                    session.queue(stanza).await?;
                    session.note_written(name);
                }
                Ok(None) => {}
                Err(error @ (Error::Store { .. } | Error::Disconnected { .. } | Error::NotConnected)) => {
                    return Err(error);
                }
                // It stays pending, and the next connection begins with it.
                Err(error) => {
                    tracing::warn!(error = error.for_log(), "a message could not be encrypted anew yet")
                }
            }
        }
    }
}

async fn due(session: &Arc<Session>, after: u64) -> Result<Vec<Due>, Error> {
    let step = move |tx: &mut dyn StoreTx| {
        let mut due = Vec::new();
        for entry in tx.pending(after, PAGE)? {
            // Only addresses were stored, so they read.
            let Ok(to) = entry.message.recipient.parse::<Jid>() else { continue };
            let stale = !has_session(tx, &address(&to))?;
            due.push(Due { entry, to, stale });
        }
        Ok::<_, Error>(due)
    };
    session.inner.vault.read(step).await
}

/// The session that a message was encrypted in is gone, for the peer has another identity: the message is encrypted anew.
/// `None`: it has failed.
async fn renew(session: &Arc<Session>, due: Due) -> Result<Option<Vec<u8>>, Error> {
    let inner = &session.inner;
    let message = due.entry.message;
    let Ok(id) = MessageId::try_from(message.id.clone()) else { return Ok(None) };
    if message.plaintext.is_empty() {
        // Taken back meanwhile: there is nothing left to be encrypted.
        let (reason, at) = (TAKEN_BACK.to_owned(), inner.clock.now());
        progress(session, &due.to, &id, Moved::Failed(reason), at).await?;
        return Ok(None);
    }
    match crate::keys::ensure_session(inner, &due.to).await {
        Ok(()) => {}
        Err(error) if matches!(error.reaction(), Reaction::GiveUp | Reaction::FixRequest) => {
            let reason = error.to_string();
            let at = inner.clock.now();
            progress(session, &due.to, &id, Moved::Failed(reason), at).await?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let (maker, now) = (Maker::new(inner, &due.to, &id), inner.clock.now());
    let step = move |tx: &mut dyn StoreTx| {
        let stanza = maker.encrypt(tx, &message.plaintext, None)?;
        tx.note(&message.recipient, &message.id, now, &TrailStep::Reencrypted)?;
        tx.replace_stanza(&message.recipient, &message.id, &stanza, Recrypt::NewIdentity)?;
        Ok::<_, Error>(Some(stanza))
    };
    inner.vault.write(step).await
}

/// The server has taken a message, or refused it.
pub(crate) async fn acked(session: &Arc<Session>, ack: AckIn) -> Result<(), Error> {
    let Ok(id) = MessageId::try_from(ack.id) else { return Ok(()) };
    let at = ack.t.unwrap_or_else(|| session.inner.clock.now());
    let moved = match ack.error {
        None => Moved::To(OutState::Sent),
        Some(code) => match code.reaction() {
            MessageReaction::Retry => {
                resend_later(session, ack.from, id);
                return Ok(());
            }
            _ => Moved::Failed(failure(code)),
        },
    };
    progress(session, &ack.from, &id, moved, at).await
}

fn failure(code: MessageErrorCode) -> String {
    let why = match code {
        MessageErrorCode::NoSuchRecipient => "no such recipient",
        MessageErrorCode::ReachOutLocked => "the recipient must be reached first",
        MessageErrorCode::NewChatCap => "too many new chats today",
        MessageErrorCode::SchemaRefused | MessageErrorCode::BadRequest => "the stanza is refused",
        _ => "not allowed",
    };
    format!("ack error {code}: {why}")
}

/// The server is in trouble or wants less: the same bytes again, later, as long as this connection lives; after that, the
/// next one begins with them.
fn resend_later(session: &Arc<Session>, to: Jid, id: MessageId) {
    let Some(attempt) = session.note_resend(&id) else { return };
    let Some(seconds) = RESEND_AFTER.get(attempt).copied() else { return };
    session.spawn(move |session| async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let (recipient, id) = (chat_of(&to), id.into_string());
        let now = session.inner.clock.now();
        let step = move |tx: &mut dyn StoreTx| {
            let entry = tx.outgoing(&recipient, &id)?;
            if entry.as_ref().is_some_and(|entry| entry.state == OutState::Pending) {
                tx.note(&recipient, &id, now, &TrailStep::Postponed { seconds })?;
            }
            Ok::<_, Error>(entry)
        };
        match session.inner.vault.write(step).await? {
            Some(entry) if entry.state == OutState::Pending => session.queue(entry.message.stanza).await,
            _ => Ok(()),
        }
    });
}

/// Where a message has got to.
pub(crate) enum Moved {
    To(OutState),
    Failed(String),
}

/// Stores how far a message has got, and tells the application if that is news.
pub(crate) async fn progress(
    session: &Arc<Session>,
    to: &Jid,
    id: &MessageId,
    moved: Moved,
    at: u64,
) -> Result<(), Error> {
    let (recipient, key) = (chat_of(to), id.as_str().to_owned());
    let (state, failure) = match &moved {
        Moved::To(state) => (*state, None),
        Moved::Failed(reason) => (OutState::Failed, Some(reason.clone())),
    };
    let (now, written) = (session.inner.clock.now(), session.take_written(&recipient, &key));
    let step = move |tx: &mut dyn StoreTx| {
        if let Some(written) = written {
            tx.note(&recipient, &key, written, &TrailStep::Written)?;
        }
        let news = advance(tx, &recipient, &key, &moved, at)?;
        if news {
            crate::trail::moved(tx, &recipient, &key, now, &moved)?;
        }
        Ok::<_, Error>(news)
    };
    if session.inner.vault.write(step).await? {
        let (to, id) = (to.clone().without_device(), id.clone());
        session.inner.events.push(Event::MessageState { to, id, state, at, failure });
    }
    Ok(())
}

/// Whether the message moved.
pub(crate) fn advance(
    tx: &mut dyn StoreTx,
    to: &str,
    id: &str,
    moved: &Moved,
    at: u64,
) -> Result<bool, Error> {
    let progress = match moved {
        Moved::To(OutState::Pending) => return Ok(false),
        Moved::To(OutState::Sent) => Progress::Sent,
        Moved::To(OutState::Delivered) => Progress::Delivered,
        Moved::To(OutState::Read) => Progress::Read,
        Moved::To(OutState::Played) => Progress::Played,
        Moved::To(OutState::Failed) => Progress::Failed { reason: "refused" },
        Moved::Failed(reason) => Progress::Failed { reason },
    };
    let advanced = tx.advance(to, id, progress, at)?;
    Ok(matches!(advanced, Advanced::To { .. }))
}

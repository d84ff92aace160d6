//! What waits to be sent goes out: in the order of the store, the same bytes each time, from the store alone. New messages
//! and those of earlier connections take the same way.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use landbridge_stanza::MessageId;
use landbridge_stanza::ack::AckIn;
use landbridge_stanza::codes::MessageReaction;
use landbridge_store::{Advanced, OutState, OutboxEntry, Progress, Recrypt, StoreTx, TrailStep};
use landbridge_wire::Jid;

use super::cipher::{Maker, address, chat_of};
use super::has_session;
use crate::error::Error;
use crate::event::Event;
use crate::send_failure::SendFailure;
use crate::session::Session;

/// Messages read from the store at a time.
const PAGE: usize = 64;
/// Waits before a message that the server could not take is sent again on the same connection (ASSUMED).
const RESEND_AFTER: [u64; 3] = [5, 10, 20];

/// Why a message fails that was taken back before it could go out.
const TAKEN_BACK: &str = "taken back before it was sent";

/// What can be done with a message that is due.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// Its stanza is written.
    Ready,
    /// It is encrypted first: it waited for that, or the session that its ciphertext belongs to is gone.
    Unsealed,
    /// It waits for the user.
    Held,
}

struct Due {
    entry: OutboxEntry,
    to: Jid,
    fit: Fit,
}

/// Which messages are looked at.
enum Which {
    /// All of them.
    All,
    /// Those to one peer, up to a position.
    To { chat: String, until: u64 },
}

pub(crate) async fn run(session: Arc<Session>) -> Result<(), Error> {
    if session.inner.deleting.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut queue = Queue { session, after: 0, stuck: HashMap::new(), waiting: BTreeMap::new() };
    // What was released and not answered before an earlier connection ended.
    let waiting =
        queue.session.inner.vault.read(|tx| tx.peers_with_held_retries().map_err(Error::from)).await?;
    for chat in waiting {
        super::retry::answer_held(&queue.session, &chat).await?;
    }
    loop {
        for chat in queue.session.take_released() {
            queue.go_back(chat).await?;
        }
        let due = due(&queue.session, queue.after, Which::All).await?;
        if due.is_empty() {
            queue.session.outbox_news.notified().await;
            continue;
        }
        for due in due {
            queue.after = due.entry.seq;
            if queue.stuck.contains_key(&due.entry.message.recipient) {
                // In order: with those before it, which are tried again because of it.
                queue.waiting.insert(due.entry.seq, due.fit);
                queue.go_back(due.entry.message.recipient).await?;
            } else {
                queue.forward(due).await?;
            }
        }
    }
}

/// How far one connection has got with the outbox.
struct Queue {
    session: Arc<Session>,
    after: u64,
    /// Peers for whom nothing could be encrypted on this connection, and how often that was tried.
    stuck: HashMap<String, usize>,
    /// Messages to them that were not written on this connection, as they were found. One whose session was gone is not
    /// fit for the session that is begun since.
    waiting: BTreeMap<u64, Fit>,
}

impl Queue {
    /// Everything that waits for one peer, from the oldest message on.
    async fn go_back(&mut self, chat: String) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let which = Which::To { chat: chat.clone(), until: self.after };
            let due = due(&self.session, after, which).await?;
            if due.is_empty() {
                break;
            }
            for mut due in due {
                after = due.entry.seq;
                if due.fit == Fit::Ready {
                    // What is encrypted was written on this connection, unless it had to wait.
                    let Some(found) = self.waiting.get(&after) else { continue };
                    due.fit = *found;
                }
                if !self.forward(due).await? {
                    return Ok(());
                }
                self.waiting.remove(&after);
            }
        }
        self.stuck.remove(&chat);
        super::retry::answer_held(&self.session, &chat).await
    }

    /// Writes one message, if it may be and can be. `false`: the peer's later ones have to wait as well.
    async fn forward(&mut self, due: Due) -> Result<bool, Error> {
        let name = (due.entry.message.recipient.clone(), due.entry.message.id.clone());
        match due.fit {
            Fit::Held => return Ok(false),
            Fit::Ready => {
                self.session.queue(due.entry.message.stanza).await?;
                self.session.note_written(name);
                return Ok(true);
            }
            Fit::Unsealed => {}
        }
        let (chat, seq) = (due.entry.message.recipient.clone(), due.entry.seq);
        match seal(&self.session, due).await {
            Ok(Some(stanza)) => {
                self.session.queue(stanza).await?;
                self.session.note_written(name);
            }
            Ok(None) => {}
            Err(error @ (Error::Store { .. } | Error::Disconnected { .. } | Error::NotConnected)) => {
                return Err(error);
            }
            Err(Error::SendingHeld { .. }) => return Ok(false),
            Err(error) => {
                tracing::warn!(error = error.for_log(), "a message could not be encrypted yet");
                self.waiting.insert(seq, Fit::Unsealed);
                self.try_later(chat);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// It stays pending. If the time does not help, a later message to the peer or the next connection may.
    fn try_later(&mut self, chat: String) {
        let tries = self.stuck.entry(chat.clone()).or_default();
        let wait = RESEND_AFTER.get(*tries).copied();
        *tries += 1;
        if let Some(seconds) = wait {
            self.session.spawn(move |session| async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                session.release(chat);
                Ok(())
            });
        }
    }
}

async fn due(session: &Arc<Session>, after: u64, which: Which) -> Result<Vec<Due>, Error> {
    let step = move |tx: &mut dyn StoreTx| {
        let (mut after, mut due) = (after, Vec::new());
        // A page may hold nothing of one peer.
        while due.is_empty() {
            let page = tx.pending(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for entry in page {
                match &which {
                    Which::To { until, .. } if entry.seq > *until => return Ok(due),
                    Which::To { chat, .. } if entry.message.recipient != *chat => continue,
                    _ => {}
                }
                // Only addresses were stored, so they read.
                let Ok(to) = entry.message.recipient.parse::<Jid>() else { continue };
                let fit = fit(tx, &entry, &to)?;
                due.push(Due { entry, to, fit });
            }
        }
        Ok::<_, Error>(due)
    };
    session.inner.vault.read(step).await
}

fn fit(tx: &dyn StoreTx, entry: &OutboxEntry, to: &Jid) -> Result<Fit, Error> {
    if tx.peer(&entry.message.recipient)?.held_since.is_some() {
        return Ok(Fit::Held);
    }
    let sealed = !entry.message.stanza.is_empty() && has_session(tx, &address(to))?;
    Ok(if sealed { Fit::Ready } else { Fit::Unsealed })
}

/// Encrypts a message for the peer's present session, which is begun if there is none. `None`: the message has failed.
async fn seal(session: &Arc<Session>, due: Due) -> Result<Option<Vec<u8>>, Error> {
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
        Err(error) if error.is_final() => {
            let reason = error.to_string();
            let at = inner.clock.now();
            progress(session, &due.to, &id, Moved::Failed(reason), at).await?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let (mut maker, now) = (Maker::new(inner, &due.to, &id), inner.clock.now());
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
            _ => Moved::Failed(SendFailure::of(code).to_string()),
        },
    };
    progress(session, &ack.from, &id, moved, at).await
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
            // One that waits to be encrypted meanwhile comes of itself.
            let entry = tx
                .outgoing(&recipient, &id)?
                .filter(|entry| entry.state == OutState::Pending && !entry.message.stanza.is_empty());
            if entry.is_some() {
                tx.note(&recipient, &id, now, &TrailStep::Postponed { seconds })?;
            }
            Ok::<_, Error>(entry)
        };
        match session.inner.vault.write(step).await? {
            Some(entry) => session.queue(entry.message.stanza).await,
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
    let queue = Arc::clone(&session.inner);
    let (to, id) = (to.clone().without_device(), id.clone());
    let tell = move |news: &mut bool| {
        if *news {
            let failure = failure.as_deref().map(SendFailure::read);
            queue.events.push(Event::MessageState { to, id, state, at, failure });
        }
    };
    session.inner.vault.write_and_tell(step, tell).await.map(drop)
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

//! Retry receipts, both ways: asking for a message that did not open, and encrypting one of ours anew.

use std::sync::Arc;

use landbridge_curve::PrivateKey;
use landbridge_curve::PublicKey;
use landbridge_signal::{
    BundleError, DecryptError, PreKeyBundle, PreKeyId, PreKeyPublic, SessionInfo, SignedPreKeyId,
    SignedPreKeyPublic, TrustPolicy,
};
use landbridge_stanza::MessageId;
use landbridge_stanza::ack::AckOut;
use landbridge_stanza::codes::RetryReason;
use landbridge_stanza::keys::{PreKey, SignedPreKey};
use landbridge_stanza::message::MessageOut;
use landbridge_stanza::receipt::ReceiptOut;
use landbridge_stanza::retry::{Retry, RetryKeys};
use landbridge_store::{HeldRetry, OutboxEntry, PeerRecord, Recrypt, StoreTx, TrailStep};
use landbridge_wire::{Jid, Limits, decode_payload, encode_payload};
use tokio::sync::mpsc;

use super::cipher::{Again, Maker, address, chat_of, store_failed};
use super::has_session;
use super::receive::{Receiver, Why};
use crate::error::Error;
use crate::event::Event;
use crate::session::Session;
use crate::trust::Notice;

/// Requests of one peer that are kept while sending is held.
const MOST_HELD: usize = 256;

/// Whether a request is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// It is.
    First,
    /// It was sent before and is only repeated: no further one-time key is given away.
    Repeat,
    /// It is one of a flood: without keys.
    Bare,
}

/// Asks the sender to encrypt a message anew. Keys that go along are stored first, in the same transaction.
pub(super) fn request(
    receiver: &mut Receiver,
    tx: &mut dyn StoreTx,
    why: &Why,
    asked: u32,
    form: Form,
) -> Result<ReceiptOut, Error> {
    let receipts = &receiver.profile.receipts;
    let no_session = matches!(
        why,
        Why::Error(
            DecryptError::NoSession { .. }
                | DecryptError::NoPreKey { .. }
                | DecryptError::NoSignedPreKey { .. }
        )
    );
    let with_keys = form != Form::Bare
        && (asked >= u32::from(receipts.keys_from_count) || (no_session && receipts.keys_without_session));
    let keys = if with_keys { Some(own_keys(receiver, tx, form)?) } else { None };
    let retry = Retry {
        id: receiver.message.id.clone(),
        t: receiver.message.t,
        count: u8::try_from(asked).unwrap_or(u8::MAX),
        error: Some(why.reason()),
        registration: tx.registration_id().map_err(store_failed)?,
        keys: keys.flatten(),
    };
    let mut receipt = ReceiptOut::retry(receiver.message.from.clone(), retry);
    receipt.recipient.clone_from(&receiver.message.recipient);
    Ok(receipt)
}

fn own_keys(receiver: &mut Receiver, tx: &mut dyn StoreTx, form: Form) -> Result<Option<RetryKeys>, Error> {
    let identity = tx.identity_key().map_err(store_failed)?;
    let signed = tx.signed_prekeys()?;
    let Some(signed) = signed.iter().find(|entry| entry.uploaded).or(signed.first()) else { return Ok(None) };
    let prekey = match form {
        Form::Repeat | Form::Bare => None,
        Form::First => {
            let key = PrivateKey::generate(&mut receiver.rng);
            let value = *key.public().as_bytes();
            let ids = tx.add_prekeys(&[key])?;
            tx.mark_uploaded(&ids)?;
            ids.first().map(|id| PreKey { id: id.get(), value })
        }
    };
    let signed = signed.key.public();
    Ok(Some(RetryKeys {
        identity: *identity.public().as_bytes(),
        prekey,
        signed_prekey: SignedPreKey {
            id: signed.id.get(),
            value: *signed.key.as_bytes(),
            signature: signed.signature,
        },
        device_identity: None,
    }))
}

pub(super) fn reason(error: &DecryptError) -> RetryReason {
    match error {
        DecryptError::NoSession { .. } => RetryReason::NoSession,
        DecryptError::NoPreKey { .. } | DecryptError::NoSignedPreKey { .. } => RetryReason::InvalidKeyId,
        DecryptError::InvalidKey(_) | DecryptError::LowOrderKey(_) => RetryReason::InvalidKey,
        DecryptError::Malformed(_)
        | DecryptError::LegacyVersion { .. }
        | DecryptError::UnknownVersion { .. } => RetryReason::InvalidMessage,
        DecryptError::TooFar { .. } => RetryReason::FutureMessage,
        DecryptError::NoSessionFits { .. } => RetryReason::BadMac,
        _ => RetryReason::Unknown,
    }
}

/// A peer could not open a message of ours.
pub(crate) struct RetryJob {
    pub(crate) from: Jid,
    pub(crate) retry: Retry,
    pub(crate) ack: AckOut,
}

/// Answers retry requests one after the other, beside the reading: an answer may need the peer's keys from the server.
/// The request is acked last, so one that was cut short comes again.
pub(crate) async fn run(session: Arc<Session>, mut jobs: mpsc::Receiver<RetryJob>) -> Result<(), Error> {
    while let Some(job) = jobs.recv().await {
        let RetryJob { from, retry, ack } = job;
        let wish = Wish {
            peer: from.without_device(),
            id: retry.id,
            again: Again { count: retry.count, t: retry.t },
            installation: Some((retry.registration, retry.keys)),
        };
        match answer(&session, wish).await {
            Ok(Some(stanza)) => session.write(stanza).await?,
            Ok(None) => {}
            Err(error) if error.is_final() => {
                tracing::warn!(error = error.for_log(), "a message could not be encrypted anew");
            }
            Err(error @ (Error::Store { .. } | Error::Disconnected { .. } | Error::NotConnected)) => {
                return Err(error);
            }
            Err(error) => {
                // Not acked, so the server repeats the request.
                tracing::warn!(error = error.for_log(), "a message could not be encrypted anew yet");
                continue;
            }
        }
        // Not owed: two requests for one message have the same ack, and each gets its own. One that is lost brings the
        // request again, which is answered with the same bytes.
        let node = ack.to_node(&session.inner.profile);
        session.write(encode_payload(&node, &session.inner.encode_options)?).await?;
    }
    Ok(())
}

/// Answers the requests of a peer that had to wait while sending was held. They were acked when they came, so each is kept
/// until its answer is written.
pub(crate) async fn answer_held(session: &Arc<Session>, chat: &str) -> Result<(), Error> {
    let Ok(peer) = chat.parse::<Jid>() else { return Ok(()) };
    let of = chat.to_owned();
    let read = move |tx: &mut dyn StoreTx| match tx.peer(&of)?.held_since {
        Some(_) => Ok(Vec::new()),
        None => tx.held_retries(&of, MOST_HELD).map_err(Error::from),
    };
    for held in session.inner.vault.read(read).await? {
        let Ok(id) = MessageId::try_from(held.id.clone()) else { continue };
        let again = Again { count: held.count, t: held.t };
        match answer(session, Wish { peer: peer.clone(), id, again, installation: None }).await {
            Ok(Some(stanza)) => session.write(stanza).await?,
            Ok(None) => {}
            Err(error) if error.is_final() => {
                tracing::warn!(error = error.for_log(), "a message could not be encrypted anew");
            }
            Err(error @ (Error::Store { .. } | Error::Disconnected { .. } | Error::NotConnected)) => {
                return Err(error);
            }
            // Held again, or the server is in trouble: it stays for the next time.
            Err(_) => return Ok(()),
        }
        let (of, id) = (chat.to_owned(), held.id);
        let settle = move |tx: &mut dyn StoreTx| match tx.peer(&of)?.held_since {
            Some(_) => Ok(()),
            None => tx.settle_retry(&of, &id).map_err(Error::from),
        };
        session.inner.vault.write(settle).await?;
    }
    Ok(())
}

/// What a peer asks for.
#[derive(Clone)]
struct Wish {
    /// Who asks, without device.
    peer: Jid,
    id: MessageId,
    again: Again,
    /// Registration id and keys of who asks; not known any more once a request had to wait.
    installation: Option<(u32, Option<RetryKeys>)>,
}

enum Answer {
    /// Nothing to be done: unknown, forgotten, asked too often, or kept for later.
    Nothing,
    /// Write this.
    Stanza(Vec<u8>),
    /// Fetch the peer's keys first.
    NeedsKeys,
}

async fn answer(session: &Arc<Session>, wish: Wish) -> Result<Option<Vec<u8>>, Error> {
    let inner = &session.inner;
    // Each new session may be dropped again before it is used: the peer was set up anew meanwhile.
    for session_is in [Rebuilt::NotNow, Rebuilt::JustNow, Rebuilt::JustNow] {
        let mut judge = Judge {
            maker: Maker::new(inner, &wish.peer, &wish.id),
            most: inner.profile.receipts.retries_answered,
            rebuild_every: inner.profile.receipts.rebuild_every_s,
            notice: Notice::new(inner),
            rebuilt: session_is,
            limits: inner.wire_limits,
            rng: inner.rng.fork(),
            wish: wish.clone(),
            events: Vec::new(),
        };
        let step = move |tx: &mut dyn StoreTx| {
            let answer = judge.decide(tx)?;
            Ok::<_, Error>((answer, judge.events))
        };
        let (answer, events) = inner.vault.write(step).await?;
        for event in events {
            inner.events.push(event);
        }
        match answer {
            Answer::Nothing => return Ok(None),
            Answer::Stanza(stanza) => return Ok(Some(stanza)),
            Answer::NeedsKeys => {
                crate::keys::fetch(inner, &wish.peer).await?;
            }
        }
    }
    Ok(None)
}

/// Whether the session was begun a moment ago, for this answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rebuilt {
    NotNow,
    JustNow,
}

/// Decides on one request, in one transaction.
struct Judge {
    wish: Wish,
    maker: Maker,
    most: u8,
    rebuild_every: u64,
    notice: Notice,
    rebuilt: Rebuilt,
    limits: Limits,
    rng: rand::rngs::StdRng,
    events: Vec<Event>,
}

impl Judge {
    fn decide(&mut self, tx: &mut dyn StoreTx) -> Result<Answer, Error> {
        let (chat, count) = (chat_of(&self.wish.peer), self.wish.again.count);
        // Only who was sent the message may ask for it: nobody else has one of this id here.
        let Some(entry) = tx.outgoing(&chat, self.wish.id.as_str())? else { return Ok(Answer::Nothing) };
        if self.rebuilt == Rebuilt::NotNow {
            self.note(tx, &chat, &TrailStep::RetryAsked { count: u64::from(count) })?;
        }
        let last = last_answered(&entry, &self.limits);
        let ignored = match count {
            _ if entry.message.plaintext.is_empty() => Some("its content is forgotten"),
            0 => Some("the request has no number"),
            count if count < last => Some("a later request is answered"),
            // Answered before, and the server did not learn of it: the same bytes.
            count if count == last => return Ok(Answer::Stanza(entry.message.stanza)),
            count if count > self.most || entry.retries >= u32::from(self.most) => {
                Some("it was asked for too often")
            }
            _ => None,
        };
        if let Some(reason) = ignored {
            self.note(tx, &chat, &TrailStep::RetryIgnored { reason: reason.to_owned() })?;
            return Ok(Answer::Nothing);
        }
        if tx.peer(&chat)?.held_since.is_some() {
            return self.keep(tx, &chat);
        }
        if let Renewal::NeedsKeys = self.renew(tx, &chat, &entry)? {
            return Ok(Answer::NeedsKeys);
        }
        // The keys of the request may have shown another identity.
        if tx.peer(&chat)?.held_since.is_some() {
            return self.keep(tx, &chat);
        }
        let stanza = self.maker.encrypt(tx, &entry.message.plaintext, Some(self.wish.again))?;
        self.note(tx, &chat, &TrailStep::RetryAnswered { count: u64::from(count) })?;
        tx.replace_stanza(&chat, self.wish.id.as_str(), &stanza, Recrypt::Retry)?;
        Ok(Answer::Stanza(stanza))
    }

    fn note(&self, tx: &mut dyn StoreTx, chat: &str, step: &TrailStep) -> Result<(), Error> {
        Ok(tx.note(chat, self.wish.id.as_str(), self.notice.now, step)?)
    }

    /// Sending is held: the answer waits. So many requests at most; who sends more has asked for enough.
    fn keep(&self, tx: &mut dyn StoreTx, chat: &str) -> Result<Answer, Error> {
        let id = self.wish.id.as_str().to_owned();
        let kept = tx.held_retries(chat, MOST_HELD)?;
        if kept.len() < MOST_HELD || kept.iter().any(|held| held.id == id) {
            let Again { count, t } = self.wish.again;
            tx.hold_retry(chat, &HeldRetry { id, count, t })?;
            self.note(tx, chat, &TrailStep::Held)?;
        }
        Ok(Answer::Nothing)
    }

    /// Sees to it that the answer is encrypted in a session that the peer has.
    ///
    /// A new one is begun when there is none or the request comes from another installation; when it brings keys, unless
    /// the message was encrypted before the session was last begun anew; and without keys once an hour. So a peer that has
    /// lost many messages costs one new session, and a peer that never stops asking costs no more than its share of keys.
    ///
    /// The request may have lain in the mailbox while the peer was set up anew once more. So keys under another identity
    /// than the present one are not taken from it: the server knows which is the present one.
    fn renew(&mut self, tx: &mut dyn StoreTx, chat: &str, entry: &OutboxEntry) -> Result<Renewal, Error> {
        let whom = address(&self.wish.peer);
        let record = tx.peer(chat)?;
        if self.rebuilt == Rebuilt::JustNow && has_session(tx, &whom)? {
            return self.note_rebuilt(tx, chat);
        }
        let now = self.notice.now;
        let lately = record.rebuilt_at.is_some_and(|at| now < at.saturating_add(self.rebuild_every));
        let mut session = tx.load_session(&whom).map_err(store_failed)?.and_then(|record| record.info());
        let (registration, keys) = self.wish.installation.take().unzip();
        let keys = keys.flatten();
        let present = tx.remote_identity(&whom).map_err(store_failed)?.filter(|_| !record.awaits_identity);
        let other_identity =
            keys.as_ref().is_some_and(|keys| present != Some(PublicKey::from_bytes(keys.identity)));
        let another = |info: &SessionInfo| {
            registration.is_some_and(|registration| registration != info.remote_registration_id)
        };
        if !other_identity && !lately && session.as_ref().is_some_and(another) {
            tx.delete_session(&whom).map_err(store_failed)?;
            session = None;
        }
        let before_rebuilding =
            entry.retries == 0 && record.rebuilt_at.is_some_and(|at| entry.message.created_at < at);
        match keys {
            Some(_) if session.is_some() && before_rebuilding => Ok(Renewal::Done),
            Some(_) if other_identity => Ok(Renewal::NeedsKeys),
            Some(keys) => self.rebuild(tx, chat, registration, &keys),
            None if session.is_none() || (self.wish.again.count >= 2 && !lately) => Ok(Renewal::NeedsKeys),
            None => Ok(Renewal::Done),
        }
    }

    fn rebuild(
        &mut self,
        tx: &mut dyn StoreTx,
        chat: &str,
        registration: Option<u32>,
        keys: &RetryKeys,
    ) -> Result<Renewal, Error> {
        let peer = &self.wish.peer;
        let Some(bundle) = bundle_of(registration.unwrap_or_default(), keys) else {
            return Err(Error::BadAnswer { request: "keys of a retry request", source: None });
        };
        let (store, whom) = (tx.as_signal_store(), address(peer));
        let begun =
            landbridge_signal::process_bundle(store, &whom, &bundle, TrustPolicy::Accept, &mut self.rng);
        let change = begun.map_err(|source| match source {
            BundleError::Store(source) => store_failed(source),
            source => Error::BadKeys { jid: peer.clone(), source },
        })?;
        self.events.extend(self.notice.shown(tx, peer, change, &bundle.identity)?);
        self.note_rebuilt(tx, chat)
    }

    fn note_rebuilt(&self, tx: &mut dyn StoreTx, chat: &str) -> Result<Renewal, Error> {
        let record = tx.peer(chat)?;
        tx.set_peer(chat, &PeerRecord { rebuilt_at: Some(self.notice.now), ..record })?;
        self.note(tx, chat, &TrailStep::SessionBegun)?;
        Ok(Renewal::Done)
    }
}

enum Renewal {
    Done,
    NeedsKeys,
}

/// The `count` of the answer that is stored, 0 if it is the first sending.
fn last_answered(entry: &OutboxEntry, limits: &Limits) -> u8 {
    let node = decode_payload(&entry.message.stanza, limits).ok();
    let message = node.and_then(|node| MessageOut::from_node(node.view()).ok());
    message.and_then(|message| message.encs.first().and_then(|enc| enc.count)).unwrap_or(0)
}

fn bundle_of(registration: u32, keys: &RetryKeys) -> Option<PreKeyBundle> {
    let signed = &keys.signed_prekey;
    Some(PreKeyBundle {
        registration_id: registration,
        identity: PublicKey::from_bytes(keys.identity),
        signed_prekey: SignedPreKeyPublic {
            id: SignedPreKeyId::new(signed.id).ok()?,
            key: PublicKey::from_bytes(signed.value),
            signature: signed.signature,
        },
        prekey: match keys.prekey {
            Some(key) => {
                Some(PreKeyPublic { id: PreKeyId::new(key.id).ok()?, key: PublicKey::from_bytes(key.value) })
            }
            None => None,
        },
    })
}

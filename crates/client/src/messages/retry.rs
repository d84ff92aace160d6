//! Retry receipts, both ways: asking for a message that did not open, and encrypting one of ours anew.

use std::sync::Arc;

use landbridge_curve::PrivateKey;
use landbridge_curve::PublicKey;
use landbridge_signal::{
    BundleError, DecryptError, PreKeyBundle, PreKeyId, PreKeyPublic, SignedPreKeyId, SignedPreKeyPublic,
};
use landbridge_stanza::ack::AckOut;
use landbridge_stanza::codes::RetryReason;
use landbridge_stanza::keys::{PreKey, SignedPreKey};
use landbridge_stanza::message::MessageOut;
use landbridge_stanza::receipt::ReceiptOut;
use landbridge_stanza::retry::{Retry, RetryKeys};
use landbridge_store::{OutboxEntry, OwedClass, Recrypt, StoreTx, TrailStep};
use landbridge_wire::{Jid, Limits, decode_payload};
use tokio::sync::mpsc;

use super::cipher::{Again, Maker, address, chat_of, store_failed};
use super::has_session;
use super::receive::Receiver;
use crate::error::{Error, Reaction};
use crate::event::Event;
use crate::receipts::owe;
use crate::session::Session;

/// Whether a request is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// It is.
    First,
    /// It was sent before and is only repeated: no further one-time key is given away.
    Repeat,
}

/// Asks the sender to encrypt a message anew. Keys that go along are stored first, in the same transaction.
pub(super) fn request(
    receiver: &mut Receiver,
    tx: &mut dyn StoreTx,
    error: &DecryptError,
    asked: u32,
    form: Form,
) -> Result<ReceiptOut, Error> {
    let receipts = &receiver.profile.receipts;
    let no_session = matches!(
        error,
        DecryptError::NoSession { .. } | DecryptError::NoPreKey { .. } | DecryptError::NoSignedPreKey { .. }
    );
    let with_keys =
        asked >= u32::from(receipts.keys_from_count) || (no_session && receipts.keys_without_session);
    let keys = if with_keys { Some(own_keys(receiver, tx, form)?) } else { None };
    let retry = Retry {
        id: receiver.message.id.clone(),
        t: receiver.message.t,
        count: u8::try_from(asked).unwrap_or(u8::MAX),
        error: Some(reason(error)),
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
        Form::Repeat => None,
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

fn reason(error: &DecryptError) -> RetryReason {
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
        match answer(&session, &job).await {
            Ok(Some(stanza)) => session.write(stanza).await?,
            Ok(None) => {}
            Err(error) if matches!(error.reaction(), Reaction::GiveUp | Reaction::FixRequest) => {
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
        let RetryJob { ack, .. } = job;
        let node = ack.to_node(&session.inner.profile);
        let owed = owe(&session.inner, OwedClass::Ack, &ack.to, ack.participant.as_ref(), &ack.id, &node)?;
        session.inner.vault.write(move |tx| tx.owe(&owed).map(drop).map_err(Error::from)).await?;
        session.owed_news.notify_one();
    }
    Ok(())
}

enum Answer {
    /// Nothing to be done: unknown, forgotten, or asked too often.
    Nothing,
    /// Write this, and tell the application.
    Stanza(Vec<u8>, Option<Event>),
    /// Fetch the peer's keys first.
    NeedsKeys,
}

async fn answer(session: &Arc<Session>, job: &RetryJob) -> Result<Option<Vec<u8>>, Error> {
    for fresh in [false, true] {
        let (peer, retry, limits) = (job.from.clone(), job.retry.clone(), session.inner.wire_limits);
        let maker = Maker::new(&session.inner, &peer.clone().without_device(), &retry.id);
        let bounds = Bounds {
            most: session.inner.profile.receipts.retries_answered,
            policy: session.inner.trust_policy,
            fresh,
            now: session.inner.clock.now(),
        };
        let rng = session.inner.rng.fork();
        let step = move |tx: &mut dyn StoreTx| decide(tx, &peer, &retry, maker, &bounds, &limits, rng);
        match session.inner.vault.write(step).await? {
            Answer::Nothing => return Ok(None),
            Answer::Stanza(stanza, event) => {
                if let Some(event) = event {
                    session.inner.events.push(event);
                }
                return Ok(Some(stanza));
            }
            Answer::NeedsKeys => {
                crate::keys::fetch(&session.inner, &job.from).await?;
            }
        }
    }
    Ok(None)
}

struct Bounds {
    most: u8,
    policy: landbridge_signal::TrustPolicy,
    /// The session was begun a moment ago, for this answer.
    fresh: bool,
    now: u64,
}

fn decide(
    tx: &mut dyn StoreTx,
    peer: &Jid,
    retry: &Retry,
    maker: Maker,
    bounds: &Bounds,
    limits: &Limits,
    mut rng: rand::rngs::StdRng,
) -> Result<Answer, Error> {
    let (recipient, id) = (chat_of(peer), retry.id.as_str());
    let Some(entry) = tx.outgoing(&recipient, id)? else { return Ok(Answer::Nothing) };
    let count = u64::from(retry.count);
    if !bounds.fresh {
        tx.note(&recipient, id, bounds.now, &TrailStep::RetryAsked { count })?;
    }
    let ignored = match retry.count {
        _ if entry.message.plaintext.is_empty() => Some("its content is forgotten"),
        0 => Some("the request has no number"),
        count if count > bounds.most => Some("it was asked for too often"),
        _ => None,
    };
    if let Some(reason) = ignored {
        let step = TrailStep::RetryIgnored { reason: reason.to_owned() };
        tx.note(&recipient, id, bounds.now, &step)?;
        return Ok(Answer::Nothing);
    }
    match retry.count.cmp(&last_answered(&entry, limits)) {
        std::cmp::Ordering::Less => return Ok(Answer::Nothing),
        // Answered before, and the server did not learn of it: the same bytes.
        std::cmp::Ordering::Equal => return Ok(Answer::Stanza(entry.message.stanza, None)),
        std::cmp::Ordering::Greater => {}
    }
    let whom = address(peer);
    let mut event = None;
    if let Some(keys) = &retry.keys {
        let Some(bundle) = bundle_of(retry.registration, keys) else { return Ok(Answer::Nothing) };
        let begun =
            landbridge_signal::process_bundle(tx.as_signal_store(), &whom, &bundle, bounds.policy, &mut rng);
        let change = begun.map_err(|source| match source {
            BundleError::Store(source) => store_failed(source),
            source => Error::BadKeys { jid: peer.clone(), source },
        })?;
        event = crate::keys::note(tx, peer, change, &bundle.identity, bounds.now)?;
    } else if !bounds.fresh && (retry.count >= 2 || !has_session(tx, &whom)?) {
        return Ok(Answer::NeedsKeys);
    }
    let again = Again { count: retry.count, t: retry.t };
    let stanza = maker.encrypt(tx, &entry.message.plaintext, Some(again))?;
    if bounds.fresh {
        tx.note(&recipient, id, bounds.now, &TrailStep::SessionBegun)?;
    }
    tx.note(&recipient, id, bounds.now, &TrailStep::RetryAnswered { count })?;
    tx.replace_stanza(&recipient, id, &stanza, Recrypt::Retry)?;
    Ok(Answer::Stanza(stanza, event))
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

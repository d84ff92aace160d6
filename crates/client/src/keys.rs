//! Keys: our own at the server, and those of peers.

use std::sync::Arc;

use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_signal::{
    BundleError, IdentityChange, PreKeyBundle, PreKeyId, PreKeyPublic, SignedPreKey, SignedPreKeyId,
    SignedPreKeyPublic,
};
use landbridge_stanza::codes::IqErrorCode;
use landbridge_stanza::keys::{
    CountKeys, DigestKeys, FetchKeys, FetchReason, FetchUser, KeyBundle, KeyDigest, PreKey,
    RotateSignedPreKey, SignedPreKey as StanzaSignedPreKey, UploadKeys,
};
use landbridge_store::{Fact, Noted, StoreTx};
use landbridge_wire::Jid;

use crate::client::Inner;
use crate::error::Error;
use crate::event::Event;
use crate::messages::cipher::{address, chat_of, store_failed};
use crate::messages::{has_session, recipient};
use crate::session::Session;

/// When a rotation last failed, in unix seconds.
const ROTATION_FAILED: Fact = Fact::new("client.rotation_failed");
const DAY: u64 = 86_400;

/// What the server knows of a peer's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerKeys {
    /// The peer's identity key, 32 bytes.
    pub identity: PublicKey,
    /// The peer's registration id.
    pub registration_id: u32,
    /// Whether the server still had a one-time key of the peer.
    pub one_time: OneTimeKey,
}

/// Whether a bundle held a one-time key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneTimeKey {
    /// It did.
    Used,
    /// The peer has run out of them: the first message has less forward secrecy.
    Exhausted,
}

// ---- own keys --------------------------------------------------------------------------------------------------------

/// On the very first login the keys go first, for without them nobody can write to us.
pub(crate) async fn before_active(session: &Arc<Session>) -> Result<(), Error> {
    let counts =
        session.inner.vault.read(|tx| Ok::<_, Error>((tx.prekey_counts()?, tx.signed_prekeys()?))).await?;
    let (counts, signed) = counts;
    let at_server = counts.stored - counts.to_upload.min(counts.stored);
    if at_server == 0 && counts.used == 0 || signed.iter().all(|entry| !entry.uploaded) {
        match upload(session, session.inner.profile.keys.first_batch).await {
            // A user without one-time keys can still be written to; the server's refusal must not lock the user out.
            Err(error @ Error::Refused { .. }) => {
                tracing::error!(error = error.for_log(), "the first keys were refused")
            }
            other => return other,
        }
    }
    Ok(())
}

/// After every login: the books are compared with the server's where they may differ.
pub(crate) async fn look_after(session: &Arc<Session>) -> Result<(), Error> {
    let keys = &session.inner.profile.keys;
    let counts = session.inner.vault.read(|tx| tx.prekey_counts().map_err(Error::from)).await?;
    let at_server = counts.stored - counts.to_upload.min(counts.stored);
    // Keys that peers have fetched and not used yet make the books look fuller than the server is, so the server is
    // asked well before they run dry.
    if counts.to_upload > 0 || at_server < keys.refill_batch {
        let left = session.request("count of keys", &CountKeys).await?;
        if counts.to_upload > 0 || left < keys.low_mark {
            upload(session, keys.refill_batch).await?;
        }
    }
    rotate(session).await
}

/// The server says that it runs out.
pub(crate) async fn refill(session: &Arc<Session>) -> Result<(), Error> {
    upload(session, session.inner.profile.keys.refill_batch).await
}

/// Uploads a batch. Keys whose upload was never confirmed go first, the same ones; new ones are made only to fill the batch.
async fn upload(session: &Arc<Session>, batch: u32) -> Result<(), Error> {
    let inner = &session.inner;
    let _one_at_a_time = inner.own_keys.lock().await;
    let mut rng = inner.rng.fork();
    let want = usize::try_from(batch).unwrap_or(usize::MAX);
    let prepare = move |tx: &mut dyn StoreTx| {
        let waiting = tx.prekeys_to_upload(want)?.len();
        if waiting == 0 {
            let fresh: Vec<_> = (0..want).map(|_| PrivateKey::generate(&mut rng)).collect();
            tx.add_prekeys(&fresh)?;
        }
        let account = tx.account()?.ok_or(Error::NotEnlisted)?;
        let signed = tx.signed_prekeys()?;
        let newest = signed.first().ok_or(Error::NotEnlisted)?;
        let prekeys = tx.prekeys_to_upload(want)?;
        let ids: Vec<PreKeyId> = prekeys.iter().map(|key| key.id).collect();
        let signed_id = newest.key.id;
        let upload = UploadKeys {
            registration: account.registration_id,
            identity: *account.identity.public().as_bytes(),
            prekeys: prekeys.iter().map(|key| one_time(&key.public())).collect(),
            signed_prekey: signed_prekey(&newest.key.public()),
        };
        Ok::<_, Error>((upload, ids, signed_id))
    };
    let (upload, ids, signed_id) = inner.vault.write(prepare).await?;
    session.request("upload of keys", &upload).await?;
    let keep = usize::try_from(inner.profile.keys.signed_kept).unwrap_or(3) + 1;
    let confirm = move |tx: &mut dyn StoreTx| {
        tx.mark_uploaded(&ids)?;
        tx.mark_signed_uploaded(signed_id)?;
        tx.prune_signed_prekeys(keep)?;
        Ok::<_, Error>(())
    };
    inner.vault.write(confirm).await
}

fn one_time(key: &PreKeyPublic) -> PreKey {
    PreKey { id: key.id.get(), value: *key.key.as_bytes() }
}

fn signed_prekey(key: &SignedPreKeyPublic) -> StanzaSignedPreKey {
    StanzaSignedPreKey { id: key.id.get(), value: *key.key.as_bytes(), signature: key.signature }
}

/// Replaces the signed prekey when it is old. One that was made and whose answer was lost is offered again.
async fn rotate(session: &Arc<Session>) -> Result<(), Error> {
    let inner = &session.inner;
    let _one_at_a_time = inner.own_keys.lock().await;
    let keys = inner.profile.keys.clone();
    let now = inner.clock.now();
    let mut rng = inner.rng.fork();
    let prepare = move |tx: &mut dyn StoreTx| {
        let failed = tx.fact(ROTATION_FAILED)?.and_then(|text| String::from_utf8(text).ok());
        let failed: Option<u64> = failed.and_then(|text| text.parse().ok());
        if failed.is_some_and(|at| now < at.saturating_add(keys.rotation_retry_s)) {
            return Ok(None);
        }
        let signed = tx.signed_prekeys()?;
        let Some(newest) = signed.first() else { return Ok(None) };
        if !newest.uploaded {
            return Ok(Some(newest.key.public()));
        }
        let life = u64::from(keys.signed_rotation_days) * DAY;
        if now < newest.created_at.saturating_add(life) {
            return Ok(None);
        }
        let account = tx.account()?.ok_or(Error::NotEnlisted)?;
        let key = SignedPreKey::generate(tx.next_signed_prekey_id()?, &account.identity, &mut rng);
        tx.add_signed_prekey(&key, now)?;
        Ok::<_, Error>(Some(key.public()))
    };
    let Some(key) = inner.vault.write(prepare).await? else { return Ok(()) };
    let request = RotateSignedPreKey { signed_prekey: signed_prekey(&key) };
    let answer = session.request("rotation of the signed key", &request).await;
    let keep = usize::try_from(inner.profile.keys.signed_kept).unwrap_or(3) + 1;
    let refused = matches!(&answer, Err(Error::Refused { .. }));
    let note = move |tx: &mut dyn StoreTx| {
        if refused {
            tx.set_fact(ROTATION_FAILED, Some(now.to_string().as_bytes()))?;
        } else {
            tx.mark_signed_uploaded(key.id)?;
            tx.prune_signed_prekeys(keep)?;
            tx.set_fact(ROTATION_FAILED, None)?;
        }
        Ok::<_, Error>(())
    };
    if refused || answer.is_ok() {
        inner.vault.write(note).await?;
    }
    answer
}

/// Compares the server's view of our keys with ours, and offers all of them anew if they differ.
pub(crate) async fn check_digest(session: &Arc<Session>) -> Result<(), Error> {
    let same = match session.request("digest of keys", &DigestKeys).await {
        Ok(digest) => session.inner.vault.read(move |tx| is_ours(tx, &digest)).await?,
        Err(Error::Refused { source, .. }) if source.code == IqErrorCode::ItemNotFound => false,
        Err(error) => return Err(error),
    };
    if same {
        return Ok(());
    }
    session.inner.vault.write(|tx| tx.reoffer_all().map_err(Error::from)).await?;
    upload(session, session.inner.profile.keys.first_batch).await
}

fn is_ours(tx: &dyn StoreTx, digest: &KeyDigest) -> Result<bool, Error> {
    let account = tx.account()?.ok_or(Error::NotEnlisted)?;
    let signed = tx.signed_prekeys()?;
    let identity = account.identity.public().as_bytes();
    let known = signed.iter().any(|entry| signed_prekey(&entry.key.public()) == digest.signed_prekey);
    if !known || *identity != digest.identity || account.registration_id != digest.registration {
        return Ok(false);
    }
    let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(identity);
    hash.update(&digest.signed_prekey.value);
    hash.update(&digest.signed_prekey.signature);
    for id in &digest.prekey_ids {
        let Ok(id) = PreKeyId::new(*id) else { return Ok(false) };
        let Some(key) = tx.load_prekey(id).map_err(store_failed)? else { return Ok(false) };
        hash.update(key.public().as_bytes());
    }
    Ok(hash.finish().as_ref() == digest.hash)
}

// ---- keys of peers ---------------------------------------------------------------------------------------------------

/// Makes sure that there is a session with a peer.
pub(crate) async fn ensure_session(inner: &Arc<Inner>, peer: &Jid) -> Result<(), Error> {
    let _one_at_a_time = inner.peer_keys.lock().await;
    let whom = address(peer);
    // Whoever waited here may find that the one before has fetched them.
    if inner.vault.read(move |tx| has_session(tx, &whom)).await? {
        return Ok(());
    }
    fetch_locked(inner, peer).await.map(drop)
}

pub(crate) async fn fetch(inner: &Arc<Inner>, peer: &Jid) -> Result<PeerKeys, Error> {
    let peer = recipient(inner, peer)?;
    let _one_at_a_time = inner.peer_keys.lock().await;
    fetch_locked(inner, &peer).await
}

async fn fetch_locked(inner: &Arc<Inner>, peer: &Jid) -> Result<PeerKeys, Error> {
    const REQUEST: &str = "fetch of keys";
    let session = inner.session()?;
    let whom = address(peer);
    // A peer who is known and has no session is one whose session was dropped, for the identity changed.
    let changed = move |tx: &mut dyn StoreTx| {
        let known = tx.remote_identity(&whom).map_err(store_failed)?.is_some();
        Ok::<_, Error>(known && !has_session(tx, &whom)?)
    };
    let reason =
        if inner.vault.read(changed).await? { FetchReason::IdentityChanged } else { FetchReason::NoSession };
    let request = FetchKeys { users: vec![FetchUser { jid: peer.clone(), reason }] };
    let users = session.request(REQUEST, &request).await?;
    let user = users.into_iter().find(|user| user.jid.same_user(peer));
    let user = user.ok_or(Error::BadAnswer { request: REQUEST, source: None })?;
    let bundle = user.bundle.map_err(|source| Error::NoKeys { jid: peer.clone(), source })?;
    let bundle = to_signal(&bundle).ok_or(Error::BadAnswer { request: REQUEST, source: None })?;
    let keys = PeerKeys {
        identity: bundle.identity,
        registration_id: bundle.registration_id,
        one_time: if bundle.prekey.is_some() { OneTimeKey::Used } else { OneTimeKey::Exhausted },
    };
    begin(inner, peer, bundle).await?;
    Ok(keys)
}

async fn begin(inner: &Arc<Inner>, peer: &Jid, bundle: PreKeyBundle) -> Result<(), Error> {
    let (policy, mut rng, jid, now) = (inner.trust_policy, inner.rng.fork(), peer.clone(), inner.clock.now());
    let step = move |tx: &mut dyn StoreTx| {
        let begun = landbridge_signal::process_bundle(
            tx.as_signal_store(),
            &address(&jid),
            &bundle,
            policy,
            &mut rng,
        );
        let change = begun.map_err(|source| match source {
            BundleError::Store(source) => store_failed(source),
            source => Error::BadKeys { jid: jid.clone(), source },
        })?;
        note(tx, &jid, change, &bundle.identity, now)
    };
    if let Some(event) = inner.vault.write(step).await? {
        inner.events.push(event);
    }
    Ok(())
}

/// Stores the notice that a change of identity calls for, and gives the event if it is news.
pub(crate) fn note(
    tx: &mut dyn StoreTx,
    peer: &Jid,
    change: IdentityChange,
    new: &PublicKey,
    now: u64,
) -> Result<Option<Event>, Error> {
    let IdentityChange::Changed { old } = change else { return Ok(None) };
    let noted = tx.note_identity_change(&chat_of(peer), Some(&old), Some(new), now)?;
    let Noted::New { seq } = noted else { return Ok(None) };
    let peer = peer.clone().without_device();
    Ok(Some(Event::IdentityChanged { seq, peer, old: Some(old), new: Some(*new) }))
}

fn to_signal(bundle: &KeyBundle) -> Option<PreKeyBundle> {
    let signed = &bundle.signed_prekey;
    let prekey = match bundle.prekey {
        Some(key) => {
            Some(PreKeyPublic { id: PreKeyId::new(key.id).ok()?, key: PublicKey::from_bytes(key.value) })
        }
        None => None,
    };
    Some(PreKeyBundle {
        registration_id: bundle.registration,
        identity: PublicKey::from_bytes(bundle.identity),
        signed_prekey: SignedPreKeyPublic {
            id: SignedPreKeyId::new(signed.id).ok()?,
            key: PublicKey::from_bytes(signed.value),
            signature: signed.signature,
        },
        prekey,
    })
}

//! Our own keys at the server: uploaded before they run out, rotated when they are old, compared when there is doubt.
//!
//! A key that was made is offered until the server has confirmed it, the same one each time, and never again from then on: the
//! server may have given it to a peer. New ones are made when none waits: the server runs out of them, it has lost some, or what
//! it has is not known here, because the account was enlisted anew or a copy of the store was put back.
//! What the server asks for is noted in the store before it is acked, and for as long as it takes, so that an upload that was cut
//! short is made up for by the next login.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_signal::{PreKeyId, PreKeyPublic, SignedPreKey, SignedPreKeyId, SignedPreKeyPublic};
use landbridge_stanza::ack::AckOut;
use landbridge_stanza::codes::IqErrorCode;
use landbridge_stanza::keys::{
    CountKeys, DigestKeys, KeyDigest, PreKey, RotateSignedPreKey, SignedPreKey as StanzaSignedPreKey,
    UploadKeys,
};
use landbridge_store::{Fact, Lineage, OwedClass, StoreTx};
use rand::CryptoRng;

use crate::client::Client;
use crate::error::Error;
use crate::messages::cipher::store_failed;
use crate::receipts::owe;
use crate::session::Session;

/// When a rotation last failed, in unix seconds.
const ROTATION_FAILED: Fact = Fact::new("client.rotation_failed");
/// The server has said that it runs out of one-time keys, and nothing was uploaded since.
const LOW: Fact = Fact::new("client.keys_low");
/// The server wants the keys compared, and they were not yet.
const DIGEST_WANTED: Fact = Fact::new("client.digest_wanted");
const DAY: u64 = 86_400;
/// How often a long connection looks whether the signed prekey has become old (ASSUMED).
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// So many times the first batch may lie in the store before no more keys are made: a server that calls for keys without
/// end gets none (ASSUMED).
const MOST_BATCHES: u32 = 8;

/// The books of our own keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnKeys {
    /// Our identity key, 32 bytes.
    pub identity: PublicKey,
    /// Our registration id.
    pub registration_id: u32,
    /// Id of the newest signed prekey.
    pub signed_prekey: u32,
    /// When it was made, in unix seconds.
    pub signed_prekey_made_at: u64,
    /// Older signed prekeys whose private halves are kept for messages on their way.
    pub old_signed_prekeys: usize,
    /// One-time keys whose private halves are here: at the server, or with peers who have not used them yet.
    pub one_time: u32,
    /// Of those: not known to be at the server.
    pub to_upload: u32,
    /// One-time keys that a message has used up, ever.
    pub used: u64,
}

impl Client {
    /// The books of our own keys, as the store has them.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::NotEnlisted`], [`Error::Store`].
    pub async fn own_keys(&self) -> Result<OwnKeys, Error> {
        let step = |tx: &mut dyn StoreTx| {
            let account = tx.account()?.ok_or(Error::NotEnlisted)?;
            let (signed, counts) = (tx.signed_prekeys()?, tx.prekey_counts()?);
            let newest = signed.first().ok_or(Error::NotEnlisted)?;
            Ok::<_, Error>(OwnKeys {
                identity: *account.identity.public(),
                registration_id: account.registration_id,
                signed_prekey: newest.key.id.get(),
                signed_prekey_made_at: newest.created_at,
                old_signed_prekeys: signed.len() - 1,
                one_time: counts.stored,
                to_upload: counts.to_upload,
                used: counts.used,
            })
        };
        self.inner.vault.read(step).await
    }

    /// How many one-time keys the server has left to give away.
    ///
    /// # Cancel safety
    ///
    /// Safe: a late answer is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::NotConnected`], [`Error::Refused`], [`Error::TimedOut`], [`Error::Disconnected`].
    pub async fn one_time_keys_left(&self) -> Result<u32, Error> {
        self.inner.session()?.request("count of keys", &CountKeys).await
    }
}

/// On the very first login, also that after enlisting anew, the keys go first, for without them nobody can write to us.
pub(crate) async fn before_active(session: &Arc<Session>) -> Result<(), Error> {
    let books = |tx: &mut dyn StoreTx| {
        Ok::<_, Error>((tx.prekey_counts()?, tx.signed_prekeys()?, tx.lineage()?.keys_due))
    };
    let (counts, signed, due) = session.inner.vault.read(books).await?;
    let at_server = counts.stored - counts.to_upload.min(counts.stored);
    let none_there = at_server == 0 && (counts.to_upload > 0 || counts.used == 0);
    if due || none_there || signed.iter().all(|entry| !entry.uploaded) {
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
    let read = |tx: &mut dyn StoreTx| {
        let wanted = tx.fact(DIGEST_WANTED)?.is_some();
        Ok::<_, Error>((tx.prekey_counts()?, tx.fact(LOW)?.is_some(), wanted))
    };
    let (counts, low, digest_wanted) = session.inner.vault.read(read).await?;
    if digest_wanted {
        check_digest(session).await?;
    }
    let at_server = counts.stored - counts.to_upload.min(counts.stored);
    // Keys that peers have fetched and not used yet make the books look fuller than the server is, so the server is
    // asked well before they run dry.
    if counts.to_upload > 0 || low || at_server < keys.refill_batch {
        let left = session.request("count of keys", &CountKeys).await?;
        if counts.to_upload > 0 || low || left < keys.low_mark {
            upload(session, keys.refill_batch).await?;
        }
    }
    rotate(session).await
}

/// Looks from time to time, as long as the connection lives, whether the signed prekey has become old.
pub(crate) async fn grow_old(session: Arc<Session>) -> Result<(), Error> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match rotate(&session).await {
            Ok(()) => {}
            Err(error @ (Error::Store { .. } | Error::Disconnected { .. })) => return Err(error),
            Err(error) => tracing::warn!(error = error.for_log(), "the signed prekey could not be rotated"),
        }
    }
}

/// The server says that it runs out of one-time keys.
pub(crate) async fn running_low(session: &Arc<Session>, ack: &AckOut) -> Result<(), Error> {
    note(session, LOW, ack).await?;
    session.spawn(|session| async move {
        let asked = session.inner.vault.read(|tx| tx.fact(LOW).map_err(Error::from)).await?;
        // Asked twice, and the first upload has answered both.
        if asked.is_none() {
            return Ok(());
        }
        upload(&session, session.inner.profile.keys.refill_batch).await
    });
    Ok(())
}

/// The server wants the keys compared.
pub(crate) async fn digest_wanted(session: &Arc<Session>, ack: &AckOut) -> Result<(), Error> {
    note(session, DIGEST_WANTED, ack).await?;
    session.spawn(|session| async move { check_digest(&session).await });
    Ok(())
}

/// Notes what the server wants, and owes the ack for it.
async fn note(session: &Arc<Session>, wish: Fact, ack: &AckOut) -> Result<(), Error> {
    let inner = &session.inner;
    let node = ack.to_node(&inner.profile);
    let owed = owe(inner, OwedClass::Ack, &ack.to, ack.participant.as_ref(), &ack.id, &node)?;
    let step = move |tx: &mut dyn StoreTx| {
        tx.set_fact(wish, Some(b"1"))?;
        tx.owe(&owed)?;
        Ok::<_, Error>(())
    };
    inner.vault.write(step).await?;
    session.owed_news.notify_one();
    Ok(())
}

/// Uploads a batch. Keys whose upload was never confirmed go first, the same ones, unless the server shows that it had them; new
/// ones are made only when none waits.
async fn upload(session: &Arc<Session>, batch: u32) -> Result<(), Error> {
    let _one_at_a_time = session.inner.own_keys.lock().await;
    if arrived_before(session).await? {
        return Ok(());
    }
    offer(session, batch).await
}

/// The upload itself, by the one who holds the lock.
async fn offer(session: &Arc<Session>, batch: u32) -> Result<(), Error> {
    let inner = &session.inner;
    let mut rng = inner.rng.fork();
    let want = usize::try_from(batch).unwrap_or(usize::MAX);
    let most = inner.profile.keys.first_batch.max(batch).saturating_mul(MOST_BATCHES);
    let now = inner.clock.now();
    let prepare = move |tx: &mut dyn StoreTx| {
        if tx.lineage()?.keys_due {
            replace_signed(tx, now, &mut rng)?;
            tx.prune_prekeys(usize::try_from(most.saturating_sub(batch)).unwrap_or(usize::MAX))?;
        }
        let counts = tx.prekey_counts()?;
        if counts.to_upload == 0 && counts.stored < most {
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
    let keep = signed_kept(session);
    inner.vault.write(move |tx| confirm(tx, &ids, signed_id, keep)).await
}

/// The server has these keys.
fn confirm(tx: &mut dyn StoreTx, ids: &[PreKeyId], signed: SignedPreKeyId, keep: usize) -> Result<(), Error> {
    tx.mark_uploaded(ids)?;
    tx.mark_signed_uploaded(signed)?;
    tx.prune_signed_prekeys(keep)?;
    tx.set_fact(LOW, None)?;
    let lineage = tx.lineage()?;
    if lineage.keys_due {
        tx.set_lineage(&Lineage { keys_due: false, ..lineage })?;
    }
    Ok(())
}

/// How many signed prekeys stay in the store.
fn signed_kept(session: &Session) -> usize {
    usize::try_from(session.inner.profile.keys.signed_kept).unwrap_or(3) + 1
}

/// Whether all keys that wait for their upload were uploaded before and only the answer was lost. Offering them once more would
/// bring back those that the server has given away since, so it is asked first. One that does not say is offered them.
async fn arrived_before(session: &Arc<Session>) -> Result<bool, Error> {
    let vault = &session.inner.vault;
    if vault.read(|tx| Ok::<_, Error>(tx.prekey_counts()?.to_upload)).await? == 0 {
        return Ok(false);
    }
    match view(session).await {
        Ok(_) => Ok(vault.read(|tx| Ok::<_, Error>(tx.prekey_counts()?.to_upload)).await? == 0),
        Err(Error::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the server has for a signed prekey may be one that is not known here. It gets a new one, the same until it has it.
fn replace_signed(tx: &mut dyn StoreTx, now: u64, rng: &mut dyn CryptoRng) -> Result<(), Error> {
    let known = tx.signed_prekeys()?.first().is_some_and(|newest| !newest.uploaded);
    if !known {
        make_signed(tx, now, rng)?;
    }
    Ok(())
}

fn make_signed(tx: &mut dyn StoreTx, now: u64, rng: &mut dyn CryptoRng) -> Result<SignedPreKeyPublic, Error> {
    let account = tx.account()?.ok_or(Error::NotEnlisted)?;
    let key = SignedPreKey::generate(tx.next_signed_prekey_id()?, &account.identity, rng);
    tx.add_signed_prekey(&key, now)?;
    Ok(key.public())
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
        make_signed(tx, now, &mut rng).map(Some)
    };
    let Some(key) = inner.vault.write(prepare).await? else { return Ok(()) };
    let request = RotateSignedPreKey { signed_prekey: signed_prekey(&key) };
    let answer = session.request("rotation of the signed key", &request).await;
    let keep = signed_kept(session);
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

/// Compares the server's view of our keys with ours, and makes up for what it has not.
async fn check_digest(session: &Arc<Session>) -> Result<(), Error> {
    let _one_at_a_time = session.inner.own_keys.lock().await;
    let view = view(session).await?;
    let keys = &session.inner.profile.keys;
    let short = keys.first_batch.saturating_sub(view.one_time);
    if !view.agrees && (short > 0 || !view.signed) {
        offer(session, short.max(keys.refill_batch)).await?;
    }
    // Not before: an upload that is cut short is made up for after the next login.
    let done = |tx: &mut dyn StoreTx| tx.set_fact(DIGEST_WANTED, None).map_err(Error::from);
    session.inner.vault.write(done).await
}

/// What the server has of our keys.
struct View {
    /// All that it has is ours.
    agrees: bool,
    /// It has our identity and one of our signed prekeys.
    signed: bool,
    /// One-time keys that it holds and that are here.
    one_time: u32,
}

impl View {
    const NOTHING: Self = Self { agrees: false, signed: false, one_time: 0 };
}

/// Asks the server for its view. What it shows to have arrived is taken for confirmed.
async fn view(session: &Arc<Session>) -> Result<View, Error> {
    let keep = signed_kept(session);
    match session.request("digest of keys", &DigestKeys).await {
        Ok(digest) => session.inner.vault.write(move |tx| compare(tx, &digest, keep)).await,
        Err(Error::Refused { source, .. }) if source.code == IqErrorCode::ItemNotFound => Ok(View::NOTHING),
        Err(error) => Err(error),
    }
}

fn compare(tx: &mut dyn StoreTx, digest: &KeyDigest, keep: usize) -> Result<View, Error> {
    let account = tx.account()?.ok_or(Error::NotEnlisted)?;
    let identity = account.identity.public().as_bytes();
    if *identity != digest.identity || account.registration_id != digest.registration {
        return Ok(View::NOTHING);
    }
    let stored = tx.signed_prekeys()?;
    let signed = stored.iter().find(|entry| signed_prekey(&entry.key.public()) == digest.signed_prekey);
    let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(identity);
    hash.update(&digest.signed_prekey.value);
    hash.update(&digest.signed_prekey.signature);
    let mut held = HashSet::new();
    for id in digest.prekey_ids.iter().filter_map(|id| PreKeyId::new(*id).ok()) {
        if let Some(key) = tx.load_prekey(id).map_err(store_failed)? {
            hash.update(key.public().as_bytes());
            held.insert(id);
        }
    }
    let all_known = held.len() == digest.prekey_ids.len();
    let agrees = signed.is_some() && all_known && hash.finish().as_ref() == digest.hash;
    if signed.is_some() && all_known && !agrees {
        // Under our ids it has something else.
        return Ok(View::NOTHING);
    }
    if let Some(signed) = signed {
        arrived(tx, &held, signed.key.id, keep)?;
    }
    Ok(View { agrees, signed: signed.is_some(), one_time: u32::try_from(held.len()).unwrap_or(u32::MAX) })
}

/// An upload whose answer was lost has arrived if the server holds one of its keys. All before that one went with it, and those
/// that the server holds no more it has given away.
fn arrived(
    tx: &mut dyn StoreTx,
    held: &HashSet<PreKeyId>,
    signed: SignedPreKeyId,
    keep: usize,
) -> Result<(), Error> {
    let waiting: Vec<PreKeyId> = tx.prekeys_to_upload(usize::MAX)?.iter().map(|key| key.id).collect();
    match waiting.iter().rposition(|id| held.contains(id)) {
        Some(last) => confirm(tx, waiting.get(..=last).unwrap_or_default(), signed, keep),
        None => Ok(()),
    }
}

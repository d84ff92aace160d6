//! The three operations on a store.

use std::fmt;

use landbridge_curve::PublicKey;
use rand_core::CryptoRng;

use crate::{
    Address, BundleError, DecryptError, EncryptError, IdentityChange, Outcome, PreKeyBundle, PreKeyId,
    SessionRecord, Settings, SignalStore, StoreError, TrustPolicy,
    message::{PreKeySignalMessage, SignalMessage},
    ratchet::{Answer, RemoteIdentity, Session},
};

/// The two kinds of message, the `type` attribute of `enc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CiphertextKind {
    /// `pkmsg`: carries what the receiver needs to begin the session. Sent until the peer has answered.
    PreKey,
    /// `msg`: a message in a session that both sides have.
    Message,
}

impl CiphertextKind {
    /// The word on the wire: `pkmsg` or `msg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreKey => "pkmsg",
            Self::Message => "msg",
        }
    }
}

impl fmt::Display for CiphertextKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An encrypted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ciphertext {
    /// Which kind it is.
    pub kind: CiphertextKind,
    /// The bytes for the wire.
    pub bytes: Vec<u8>,
}

/// An opened message.
#[derive(Clone, PartialEq, Eq)]
pub struct Decrypted {
    /// The text, still with the padding of the layer above.
    pub plaintext: Vec<u8>,
    /// How the sender's identity compares to the stored one.
    pub identity: IdentityChange,
    /// The one-time prekey that this message used up; it has been removed from the store.
    pub used_prekey: Option<PreKeyId>,
}

impl fmt::Debug for Decrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plaintext: _, identity, used_prekey } = self;
        f.debug_struct("Decrypted")
            .field("plaintext", &"[redacted]")
            .field("identity", identity)
            .field("used_prekey", used_prekey)
            .finish()
    }
}

/// Begins a session with the owner of a bundle. The session that was current before, if any, is archived.
///
/// Draws the base key, then the first ratchet key.
///
/// # Errors
/// [`BundleError`]; then nothing is stored.
pub fn process_bundle<S, R>(
    store: &mut S,
    peer: &Address,
    bundle: &PreKeyBundle,
    settings: impl Into<Settings>,
    rng: &mut R,
) -> Result<IdentityChange, BundleError>
where
    S: SignalStore + ?Sized,
    R: CryptoRng + ?Sized,
{
    let settings = settings.into();
    let seen = Seen::look(store, peer, &bundle.identity).map_err(BundleError::Store)?;
    if !seen.may_send(store, peer, settings.trust).map_err(BundleError::Store)? {
        return Err(BundleError::UntrustedIdentity { peer: peer.clone() });
    }
    let signed = &bundle.signed_prekey;
    bundle
        .identity
        .verify(&[&signed.key.to_typed()], &signed.signature)
        .map_err(|_| BundleError::BadSignature)?;
    let identity = store.identity_key().map_err(BundleError::Store)?;
    let registration_id = store.registration_id().map_err(BundleError::Store)?;
    let session =
        Session::initiate(&identity, registration_id, bundle, rng).map_err(BundleError::LowOrderKey)?;
    change_record(store, peer, BundleError::Store, |_, record| {
        record.begin(session);
        Ok(())
    })?;
    seen.save(store, peer).map_err(BundleError::Store)?;
    Ok(seen.change)
}

/// Works on the record of a peer, a new one if there is none. What `work` changes must not be kept if it fails after
/// that, so it changes the record last.
fn change_record<S: SignalStore + ?Sized, T, E>(
    store: &mut S,
    peer: &Address,
    failed: impl Fn(StoreError) -> E,
    work: impl FnOnce(&mut S, &mut SessionRecord) -> Result<T, E>,
) -> Result<T, E> {
    let taken = store.take_session(peer).map_err(&failed)?;
    let known = taken.is_some();
    let mut record = taken.unwrap_or_default();
    match work(store, &mut record) {
        Ok(done) => {
            store.put_session(peer, record, Outcome::Changed).map_err(failed)?;
            Ok(done)
        }
        Err(error) => {
            if known {
                store.put_session(peer, record, Outcome::Unchanged).map_err(failed)?;
            }
            Err(error)
        }
    }
}

/// Encrypts a text in the current session. The caller must make the store's writes durable before the bytes leave,
/// or one counter could be used for two texts.
///
/// # Errors
/// [`EncryptError`]; then nothing is stored.
pub fn encrypt<S: SignalStore + ?Sized>(
    store: &mut S,
    peer: &Address,
    plaintext: &[u8],
    settings: impl Into<Settings>,
) -> Result<Ciphertext, EncryptError> {
    let settings = settings.into();
    let (message, seen) = change_record(store, peer, EncryptError::Store, |store, record| {
        let no_session = || EncryptError::NoSession { peer: peer.clone() };
        let identity = record.current().ok_or_else(no_session)?.remote_identity.0;
        let seen = Seen::look(store, peer, &identity).map_err(EncryptError::Store)?;
        if !seen.may_send(store, peer, settings.trust).map_err(EncryptError::Store)? {
            return Err(EncryptError::UntrustedIdentity { peer: peer.clone() });
        }
        Ok((record.encrypt(plaintext).ok_or_else(no_session)??, seen))
    })?;
    seen.save(store, peer).map_err(EncryptError::Store)?;
    Ok(message)
}

/// Opens a message.
///
/// # Errors
/// [`DecryptError`]; then nothing is stored, and [`DecryptError::advice`] says what to do.
pub fn decrypt<S, R>(
    store: &mut S,
    peer: &Address,
    kind: CiphertextKind,
    bytes: &[u8],
    settings: impl Into<Settings>,
    rng: &mut R,
) -> Result<Decrypted, DecryptError>
where
    S: SignalStore + ?Sized,
    R: CryptoRng + ?Sized,
{
    let settings = settings.into();
    match kind {
        CiphertextKind::PreKey => decrypt_first(store, peer, bytes, &settings, rng),
        CiphertextKind::Message => decrypt_later(store, peer, bytes, &settings, rng),
    }
}

/// Opens a `pkmsg`: in the session that it names if that is here, else in a new one.
fn decrypt_first<S, R>(
    store: &mut S,
    peer: &Address,
    bytes: &[u8],
    settings: &Settings,
    rng: &mut R,
) -> Result<Decrypted, DecryptError>
where
    S: SignalStore + ?Sized,
    R: CryptoRng + ?Sized,
{
    let message = PreKeySignalMessage::parse(bytes)?;
    let seen = Seen::look(store, peer, &message.identity).map_err(DecryptError::Store)?;
    if !seen.may_receive(settings.trust) {
        return Err(DecryptError::UntrustedIdentity { peer: peer.clone() });
    }
    let (plaintext, used_prekey) = change_record(store, peer, DecryptError::Store, |store, record| {
        let Some(place) = record.find(&message.base_key) else {
            return open_new(store, record, &message, settings, rng);
        };
        let opened = record.open_in(&place, &message.message, &settings.limits, rng)?;
        // The identity in the envelope is under no MAC; only the one of the session is proven.
        if opened.identity != message.identity {
            return Err(DecryptError::NoSessionFits { tried: 1 });
        }
        Ok((record.commit(opened), None))
    })?;
    if let Some(id) = used_prekey {
        store.remove_prekey(id).map_err(DecryptError::Store)?;
    }
    seen.save(store, peer).map_err(DecryptError::Store)?;
    Ok(Decrypted { plaintext, identity: seen.change, used_prekey })
}

/// Begins the session that a `pkmsg` calls for, if the message opens in it.
fn open_new<S, R>(
    store: &S,
    record: &mut SessionRecord,
    message: &PreKeySignalMessage<'_>,
    settings: &Settings,
    rng: &mut R,
) -> Result<(Vec<u8>, Option<PreKeyId>), DecryptError>
where
    S: SignalStore + ?Sized,
    R: CryptoRng + ?Sized,
{
    let id = message.signed_prekey_id;
    let no_signed_prekey = || DecryptError::NoSignedPreKey { id };
    let known = id.try_into().map_err(|_| no_signed_prekey())?;
    let signed_prekey =
        store.load_signed_prekey(known).map_err(DecryptError::Store)?.ok_or_else(no_signed_prekey)?;
    let prekey = match message.prekey_id {
        None => None,
        Some(id) => {
            let no_prekey = || DecryptError::NoPreKey { id };
            let known = PreKeyId::new(id).map_err(|_| no_prekey())?;
            let key = store.load_prekey(known).map_err(DecryptError::Store)?.ok_or_else(no_prekey)?;
            Some((known, key))
        }
    };
    let answer = Answer {
        identity: &store.identity_key().map_err(DecryptError::Store)?,
        registration_id: store.registration_id().map_err(DecryptError::Store)?,
        signed_prekey: &signed_prekey.key,
        prekey: prekey.as_ref().map(|(_, key)| key),
        their_identity: RemoteIdentity(message.identity),
        their_base: message.base_key,
        their_registration_id: message.registration_id,
    };
    let (session, plaintext) = Session::respond(&answer, &message.message, &settings.limits, rng)?;
    record.begin(session);
    Ok((plaintext, prekey.map(|(id, _)| id)))
}

/// Opens a `msg` in one of the sessions that are here.
fn decrypt_later<S, R>(
    store: &mut S,
    peer: &Address,
    bytes: &[u8],
    settings: &Settings,
    rng: &mut R,
) -> Result<Decrypted, DecryptError>
where
    S: SignalStore + ?Sized,
    R: CryptoRng + ?Sized,
{
    let message = SignalMessage::parse(bytes)?;
    let (plaintext, seen) = change_record(store, peer, DecryptError::Store, |store, record| {
        if !record.has_current() && record.archived() == 0 {
            return Err(DecryptError::NoSession { peer: peer.clone() });
        }
        let opened = record.open(&message, &settings.limits, rng)?;
        let seen = Seen::look(store, peer, &opened.identity).map_err(DecryptError::Store)?;
        if !seen.may_receive(settings.trust) {
            return Err(DecryptError::UntrustedIdentity { peer: peer.clone() });
        }
        Ok((record.commit(opened), seen))
    })?;
    seen.save(store, peer).map_err(DecryptError::Store)?;
    Ok(Decrypted { plaintext, identity: seen.change, used_prekey: None })
}

/// An identity beside the one that was stored.
struct Seen {
    identity: PublicKey,
    change: IdentityChange,
}

impl Seen {
    fn look<S: SignalStore + ?Sized>(
        store: &S,
        peer: &Address,
        identity: &PublicKey,
    ) -> Result<Self, StoreError> {
        let change = match store.remote_identity(peer)? {
            None => IdentityChange::New,
            Some(old) if old == *identity => IdentityChange::Unchanged,
            Some(old) => IdentityChange::Changed { old },
        };
        Ok(Self { identity: *identity, change })
    }

    fn may_receive(&self, policy: TrustPolicy) -> bool {
        match policy {
            TrustPolicy::Accept | TrustPolicy::ApproveToSend => true,
            TrustPolicy::Reject => !matches!(self.change, IdentityChange::Changed { .. }),
        }
    }

    fn may_send<S: SignalStore + ?Sized>(
        &self,
        store: &S,
        peer: &Address,
        policy: TrustPolicy,
    ) -> Result<bool, StoreError> {
        Ok(match (policy, self.change) {
            (TrustPolicy::Accept, _) | (_, IdentityChange::New) => true,
            (TrustPolicy::Reject, change) => change == IdentityChange::Unchanged,
            (TrustPolicy::ApproveToSend, _) => store.approved_identity(peer)? == Some(self.identity),
        })
    }

    fn save<S: SignalStore + ?Sized>(&self, store: &mut S, peer: &Address) -> Result<(), StoreError> {
        match self.change {
            IdentityChange::Unchanged => Ok(()),
            IdentityChange::Changed { .. } => store.save_remote_identity(peer, &self.identity),
            IdentityChange::New => {
                store.save_remote_identity(peer, &self.identity)?;
                store.approve_identity(peer, &self.identity)
            }
        }
    }
}

/// Records the user's word that `identity` is the one of `peer`: it becomes the stored and the approved identity.
///
/// # Errors
/// [`StoreError`] if writing fails.
pub fn approve_identity<S: SignalStore + ?Sized>(
    store: &mut S,
    peer: &Address,
    identity: &PublicKey,
) -> Result<(), StoreError> {
    store.save_remote_identity(peer, identity)?;
    store.approve_identity(peer, identity)
}

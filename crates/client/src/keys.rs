//! Keys of peers.

use std::sync::Arc;

use landbridge_curve::PublicKey;
use landbridge_signal::{
    BundleError, PreKeyBundle, PreKeyId, PreKeyPublic, SignedPreKeyId, SignedPreKeyPublic, TrustPolicy,
};
use landbridge_stanza::keys::{FetchKeys, FetchReason, FetchUser, KeyBundle};
use landbridge_store::StoreTx;
use landbridge_wire::Jid;

use crate::client::Inner;
use crate::error::Error;
use crate::messages::cipher::{address, store_failed};
use crate::messages::{has_session, recipient};
use crate::trust::Notice;

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

/// Times that keys are fetched for one session: the peer may be set up anew meanwhile, and then they are of no use.
const FETCHES: usize = 3;

/// Makes sure that there is a session with a peer.
pub(crate) async fn ensure_session(inner: &Arc<Inner>, peer: &Jid) -> Result<(), Error> {
    let _one_at_a_time = inner.peer_keys.lock().await;
    let whom = address(peer);
    for _ in 0..FETCHES {
        // Whoever waited here may find that the one before has fetched them.
        let whom = whom.clone();
        if inner.vault.read(move |tx| has_session(tx, &whom)).await? {
            break;
        }
        fetch_locked(inner, peer).await?;
    }
    Ok(())
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
    let known = move |tx: &mut dyn StoreTx| {
        let known = tx.remote_identity(&whom).map_err(store_failed)?;
        Ok::<_, Error>((known, has_session(tx, &whom)?))
    };
    let (known, session_is_there) = inner.vault.read(known).await?;
    let reason = match known {
        Some(_) if !session_is_there => FetchReason::IdentityChanged,
        _ => FetchReason::NoSession,
    };
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
    begin(inner, peer, bundle, known).await?;
    Ok(keys)
}

/// Begins a session, unless the peer has shown another identity than that of the bundle since it was asked for, when
/// `before` was known: then the bundle is older.
async fn begin(
    inner: &Arc<Inner>,
    peer: &Jid,
    bundle: PreKeyBundle,
    before: Option<PublicKey>,
) -> Result<(), Error> {
    let (notice, mut rng, jid) = (Notice::new(inner), inner.rng.fork(), peer.clone());
    let step = move |tx: &mut dyn StoreTx| {
        let present = tx.remote_identity(&address(&jid)).map_err(store_failed)?;
        if present != before && present != Some(bundle.identity) {
            return Ok(None);
        }
        let begun = landbridge_signal::process_bundle(
            tx.as_signal_store(),
            &address(&jid),
            &bundle,
            TrustPolicy::Accept,
            &mut rng,
        );
        let change = begun.map_err(|source| match source {
            BundleError::Store(source) => store_failed(source),
            source => Error::BadKeys { jid: jid.clone(), source },
        })?;
        notice.shown(tx, &jid, change, &bundle.identity)
    };
    if let Some(event) = inner.vault.write(step).await? {
        inner.events.push(event);
    }
    Ok(())
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

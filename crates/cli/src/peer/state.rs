//! Everything that a party keeps, as one opaque text: what a restart goes through.
//!
//! Records travel in their stored form, so that a party that was exported and imported has read all of it back.

use landbridge_curve::{PrivateKey, PublicKey, SIGNATURE_LEN};
use landbridge_signal::{
    Address, IdentityKeyPair, IdentityStore as _, MemorySignalStore, PreKey, PreKeyStore as _,
    SenderKeyRecord, SessionRecord, SessionStore as _, SignedPreKey, SignedPreKeyStore as _, TrustPolicy,
    group::SenderKeyStore as _,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    commands::{policy_of, store_refusal, word_of},
    party::{Created, fields},
    request::{Fields, Refusal, Request, prekey_id, signed_prekey_id},
};

/// The format; another one is refused.
const FORMAT: u32 = 1;

/// A party, in hexadecimal where it is bytes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: u32,
    name: String,
    policy: String,
    registration_id: u32,
    identity_private: String,
    one_time: Vec<(u32, String)>,
    /// Id, private half, signature.
    signed: Vec<(u32, String, String)>,
    peers: Vec<Peer>,
    sender_keys: Vec<Chains>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Peer {
    name: String,
    device: u32,
    identity: Option<String>,
    approved: Option<String>,
    session: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chains {
    group: String,
    name: String,
    device: u32,
    record: String,
}

pub(super) fn export(party: &mut Created, _: &Request<'_>) -> Result<Fields, Refusal> {
    let text = serde_json::to_string(&save(party)?).map_err(|error| Refusal::because("internal", &error))?;
    Ok(fields(json!({"state": hex::encode(text)})))
}

pub(super) fn import(request: &Request<'_>) -> Result<Created, Refusal> {
    let saved: Saved = serde_json::from_slice(&request.hex("state")?).map_err(|error| damaged(&error))?;
    if saved.format != FORMAT {
        return Err(Refusal::bad(format!("a state of format {} is not known", saved.format)));
    }
    load(saved)
}

fn save(party: &Created) -> Result<Saved, Refusal> {
    let Created { name, policy, store } = party;
    let key = |key: PublicKey| hex::encode(key.as_bytes());
    let mut saved = Saved {
        format: FORMAT,
        name: name.clone(),
        policy: word_of(*policy).to_owned(),
        registration_id: store.registration_id().map_err(store_refusal)?,
        identity_private: hex::encode(party.identity()?.private().as_bytes()),
        one_time: Vec::new(),
        signed: Vec::new(),
        peers: Vec::new(),
        sender_keys: Vec::new(),
    };
    for id in store.prekey_ids() {
        let private = store.load_prekey(id).map_err(store_refusal)?;
        saved.one_time.extend(private.map(|private| (id.get(), hex::encode(private.as_bytes()))));
    }
    for id in store.signed_prekey_ids() {
        let signed = store.load_signed_prekey(id).map_err(store_refusal)?;
        saved.signed.extend(signed.map(|SignedPreKey { key, signature, .. }| {
            (id.get(), hex::encode(key.as_bytes()), hex::encode(signature))
        }));
    }
    for peer in store.peers() {
        let session = store.load_session(&peer).map_err(store_refusal)?;
        saved.peers.push(Peer {
            identity: store.remote_identity(&peer).map_err(store_refusal)?.map(key),
            approved: store.approved_identity(&peer).map_err(store_refusal)?.map(key),
            session: session.map(|record| hex::encode(record.to_bytes())),
            name: peer.name,
            device: peer.device,
        });
    }
    for (group, Address { name, device }) in store.sender_keys() {
        let sender = Address::new(name.clone(), device);
        let record = store.load_sender_key(&group, &sender).map_err(store_refusal)?;
        saved.sender_keys.extend(record.map(|record| {
            let record = hex::encode(record.to_bytes());
            Chains { group, name, device, record }
        }));
    }
    Ok(saved)
}

fn load(saved: Saved) -> Result<Created, Refusal> {
    let identity = IdentityKeyPair::from_private(private(&saved.identity_private)?);
    let mut store = MemorySignalStore::new(identity, saved.registration_id);
    for (id, key) in &saved.one_time {
        store.add_prekeys([PreKey { id: prekey_id(*id)?, key: private(key)? }]);
    }
    for (id, key, signature) in &saved.signed {
        let signature = array::<SIGNATURE_LEN>(signature)?;
        store.add_signed_prekey(SignedPreKey { id: signed_prekey_id(*id)?, key: private(key)?, signature });
    }
    for Peer { name, device, identity, approved, session } in &saved.peers {
        let peer = Address::new(name.as_str(), *device);
        if let Some(identity) = identity {
            let key = PublicKey::from_bytes(array(identity)?);
            store.save_remote_identity(&peer, &key).map_err(store_refusal)?;
        }
        if let Some(approved) = approved {
            let key = PublicKey::from_bytes(array(approved)?);
            store.approve_identity(&peer, &key).map_err(store_refusal)?;
        }
        if let Some(session) = session {
            let record = SessionRecord::from_bytes(&bytes(session)?).map_err(|error| damaged(&error))?;
            store.save_session(&peer, &record).map_err(store_refusal)?;
        }
    }
    for Chains { group, name, device, record } in &saved.sender_keys {
        let record = SenderKeyRecord::from_bytes(&bytes(record)?).map_err(|error| damaged(&error))?;
        let sender = Address::new(name.as_str(), *device);
        store.save_sender_key(group, &sender, &record).map_err(store_refusal)?;
    }
    let policy: TrustPolicy = policy_of(&saved.policy)?;
    Ok(Created { name: saved.name, policy, store })
}

fn damaged(error: &dyn std::error::Error) -> Refusal {
    Refusal::because("bad_request", error)
}

fn bytes(text: &str) -> Result<Vec<u8>, Refusal> {
    hex::decode(text).map_err(|error| damaged(&error))
}

fn array<const N: usize>(text: &str) -> Result<[u8; N], Refusal> {
    bytes(text)?.try_into().map_err(|_| Refusal::bad("a key of the state has a wrong length"))
}

fn private(text: &str) -> Result<PrivateKey, Refusal> {
    Ok(PrivateKey::from_bytes(array(text)?))
}

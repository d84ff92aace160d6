//! Keys, bundles, sessions and identities.

use landbridge_curve::{PrivateKey, SIGNATURE_LEN};
use landbridge_signal::{
    BundleError, CiphertextKind, DecryptError, EncryptError, IdentityChange, IdentityKeyPair,
    IdentityStore as _, MemorySignalStore, PreKey, PreKeyBundle, PreKeyId, PreKeyPublic, PreKeyStore as _,
    SessionStore as _, SignedPreKey, SignedPreKeyId, SignedPreKeyPublic, SignedPreKeyStore as _, StoreError,
    TrustPolicy, approve_identity, prekeys,
};
use serde_json::{Value, json};

use super::{
    party::{Created, fields},
    request::{Fields, Refusal, Request, number, prekey_id, signed_prekey_id},
};

type Reply = Result<Fields, Refusal>;

/// More keys than this at once are a mistake.
const MAX_PREKEYS: u32 = 65_536;

pub(super) fn store_refusal(error: StoreError) -> Refusal {
    Refusal::because("internal", &error)
}

/// The policies and their words.
const POLICIES: [(&str, TrustPolicy); 3] = [
    ("reject", TrustPolicy::Reject),
    ("accept", TrustPolicy::Accept),
    ("approve_to_send", TrustPolicy::ApproveToSend),
];

pub(super) fn policy_of(word: &str) -> Result<TrustPolicy, Refusal> {
    let known = POLICIES.iter().find(|(known, _)| *known == word);
    known.map(|(_, policy)| *policy).ok_or_else(|| Refusal::bad(format!("policy {word} is not known")))
}

pub(super) fn word_of(policy: TrustPolicy) -> &'static str {
    POLICIES.iter().find(|(_, known)| *known == policy).map_or("accept", |(word, _)| word)
}

fn read_policy(request: &Request<'_>) -> Result<TrustPolicy, Refusal> {
    policy_of(request.text("policy")?)
}

fn read_identity(request: &Request<'_>) -> Result<(IdentityKeyPair, u32), Refusal> {
    let mut rng = rand::rng();
    let private = request.private("identity_private")?.unwrap_or_else(|| PrivateKey::generate(&mut rng));
    let registration_id = request.number("registration_id")?;
    let registration_id = registration_id.unwrap_or_else(|| prekeys::generate_registration_id(&mut rng));
    Ok((IdentityKeyPair::from_private(private), registration_id))
}

pub(super) fn create(request: &Request<'_>) -> Result<Created, Refusal> {
    let (identity, registration_id) = read_identity(request)?;
    let name = if request.get("name").is_some() { request.text("name")? } else { "self" };
    let policy = if request.get("policy").is_some() { read_policy(request)? } else { TrustPolicy::Reject };
    Ok(Created { name: name.into(), policy, store: MemorySignalStore::new(identity, registration_id) })
}

pub(super) fn policy(party: &mut Created, request: &Request<'_>) -> Reply {
    party.policy = read_policy(request)?;
    Ok(Fields::new())
}

pub(super) fn rotate_identity(party: &mut Created, request: &Request<'_>) -> Reply {
    let (identity, registration_id) = read_identity(request)?;
    party.store.set_identity(identity, registration_id);
    if !request.flag("keep_sessions") {
        party.store.clear_sessions();
        party.store.clear_sender_keys();
    }
    if !request.flag("keep_prekeys") {
        party.store.clear_prekeys();
    }
    party.introduce()
}

pub(super) fn add_prekeys(party: &mut Created, request: &Request<'_>) -> Reply {
    let mut rng = rand::rng();
    let mut keys = Vec::new();
    if request.get("keys").is_some() {
        for entry in request.list("keys")? {
            let entry = Request(entry);
            let key = entry.private("private")?.unwrap_or_else(|| PrivateKey::generate(&mut rng));
            keys.push(PreKey { id: prekey_id(entry.required_number("id")?)?, key });
        }
    } else {
        let (start, count) = (request.required_number("start")?, request.required_number("count")?);
        let last = start.saturating_add(count).saturating_sub(1);
        if count > MAX_PREKEYS {
            return Err(Refusal::bad(format!("count is above {MAX_PREKEYS}")));
        }
        prekey_id(last)?;
        keys = prekeys::generate(prekey_id(start)?, count as usize, &mut rng);
    }
    let list = keys.iter().map(|key| public_prekey(&key.public())).collect::<Vec<_>>();
    party.store.add_prekeys(keys);
    Ok(fields(json!({"prekeys": list})))
}

fn public_prekey(key: &PreKeyPublic) -> Value {
    json!({"id": key.id.get(), "public": hex::encode(key.key.to_typed())})
}

pub(super) fn add_signed_prekey(party: &mut Created, request: &Request<'_>) -> Reply {
    let mut rng = rand::rng();
    let id = signed_prekey_id(request.required_number("key_id")?)?;
    let key = request.private("private")?.unwrap_or_else(|| PrivateKey::generate(&mut rng));
    let signed = SignedPreKey::sign(id, key, &party.identity()?, &mut rng);
    let public = signed.public();
    party.store.add_signed_prekey(signed);
    Ok(fields(json!({
        "key_id": id.get(),
        "public": hex::encode(public.key.to_typed()),
        "signature": hex::encode(public.signature),
    })))
}

pub(super) fn remove_prekeys(party: &mut Created, request: &Request<'_>) -> Reply {
    let one_time = request.list("one_time")?.iter().map(|id| prekey_id(number(id, "one_time")?));
    let one_time = one_time.collect::<Result<Vec<_>, _>>()?;
    let signed = request.list("signed")?.iter().map(|id| signed_prekey_id(number(id, "signed")?));
    for id in signed.collect::<Result<Vec<_>, _>>()? {
        party.store.remove_signed_prekey(id);
    }
    for id in one_time {
        party.store.remove_prekey(id).map_err(store_refusal)?;
    }
    Ok(Fields::new())
}

pub(super) fn list_prekeys(party: &mut Created, _: &Request<'_>) -> Reply {
    let one_time: Vec<_> = party.store.prekey_ids().into_iter().map(PreKeyId::get).collect();
    let signed: Vec<_> = party.store.signed_prekey_ids().into_iter().map(SignedPreKeyId::get).collect();
    Ok(fields(json!({"one_time": one_time, "signed": signed})))
}

pub(super) fn bundle(party: &mut Created, request: &Request<'_>) -> Reply {
    let newest = party.store.signed_prekey_ids().last().copied();
    let id = match request.number("signed_prekey_id")? {
        Some(id) => Some(signed_prekey_id(id)?),
        None => newest,
    };
    let signed = match id {
        Some(id) => party.store.load_signed_prekey(id).map_err(store_refusal)?,
        None => None,
    };
    let signed = signed.ok_or_else(|| Refusal::new("no_signed_prekey", "there is none"))?.public();
    let prekey = match request.number("prekey_id")? {
        None => None,
        Some(id) => {
            let id = prekey_id(id)?;
            let key = party.store.load_prekey(id).map_err(store_refusal)?;
            let key = key.ok_or_else(|| Refusal::new("no_prekey", format!("{id} is not here")))?;
            Some(public_prekey(&PreKey { id, key }.public()))
        }
    };
    Ok(fields(json!({"bundle": {
        "registration_id": party.store.registration_id().map_err(store_refusal)?,
        "identity": hex::encode(party.identity()?.public().to_typed()),
        "signed_prekey": {
            "id": signed.id.get(),
            "public": hex::encode(signed.key.to_typed()),
            "signature": hex::encode(signed.signature),
        },
        "prekey": prekey,
    }})))
}

fn read_bundle(request: &Request<'_>) -> Result<PreKeyBundle, Refusal> {
    let bundle = request.part("bundle")?;
    let signed = bundle.part("signed_prekey")?;
    let signature: [u8; SIGNATURE_LEN] = signed
        .hex("signature")?
        .try_into()
        .map_err(|_| Refusal::new("bad_signature", "a signature has 64 bytes"))?;
    let prekey = match bundle.get("prekey") {
        None => None,
        Some(_) => {
            let prekey = bundle.part("prekey")?;
            let id = prekey_id(prekey.required_number("id")?)?;
            Some(PreKeyPublic { id, key: prekey.public("public")? })
        }
    };
    Ok(PreKeyBundle {
        registration_id: bundle.required_number("registration_id")?,
        identity: bundle.public("identity")?,
        signed_prekey: SignedPreKeyPublic {
            id: signed_prekey_id(signed.required_number("id")?)?,
            key: signed.public("public")?,
            signature,
        },
        prekey,
    })
}

fn word(change: IdentityChange) -> &'static str {
    match change {
        IdentityChange::New => "new",
        IdentityChange::Unchanged => "unchanged",
        IdentityChange::Changed { .. } => "changed",
    }
}

pub(super) fn process_bundle(party: &mut Created, request: &Request<'_>) -> Reply {
    let (peer, bundle, mut rng) = (request.address("peer")?, read_bundle(request)?, request.draws()?);
    let change = landbridge_signal::process_bundle(&mut party.store, &peer, &bundle, party.policy, &mut rng);
    let change = change.map_err(|error| {
        let kind = match &error {
            BundleError::UntrustedIdentity { .. } => "untrusted_identity",
            BundleError::BadSignature => "bad_signature",
            BundleError::LowOrderKey(_) => "invalid_key",
            _ => "internal",
        };
        Refusal::because(kind, &error)
    })?;
    Ok(fields(json!({"identity": word(change)})))
}

pub(super) fn encrypt(party: &mut Created, request: &Request<'_>) -> Reply {
    let (peer, plaintext) = (request.address("peer")?, request.hex("plaintext")?);
    let message = landbridge_signal::encrypt(&mut party.store, &peer, &plaintext, party.policy);
    let message = message.map_err(|error| {
        let kind = match &error {
            EncryptError::NoSession { .. } => "no_session",
            EncryptError::UntrustedIdentity { .. } => "untrusted_identity",
            _ => "internal",
        };
        Refusal::because(kind, &error)
    })?;
    Ok(fields(json!({"type": message.kind.as_str(), "message": hex::encode(message.bytes)})))
}

pub(super) fn decrypt(party: &mut Created, request: &Request<'_>) -> Reply {
    let (peer, message, mut rng) = (request.address("peer")?, request.hex("message")?, request.draws()?);
    let kind = match request.text("type")? {
        "pkmsg" => CiphertextKind::PreKey,
        "msg" => CiphertextKind::Message,
        _ => return Err(Refusal::bad("type is pkmsg or msg")),
    };
    let opened = landbridge_signal::decrypt(&mut party.store, &peer, kind, &message, party.policy, &mut rng);
    let opened = opened.map_err(|error| Refusal::because(decrypt_kind(&error), &error))?;
    Ok(fields(json!({
        "plaintext": hex::encode(opened.plaintext),
        "identity": word(opened.identity),
        "used_prekey_id": opened.used_prekey.map(PreKeyId::get),
    })))
}

fn decrypt_kind(error: &DecryptError) -> &'static str {
    match error {
        DecryptError::LegacyVersion { .. } => "legacy_version",
        DecryptError::UnknownVersion { .. } => "unknown_version",
        DecryptError::InvalidKey(_) | DecryptError::LowOrderKey(_) => "invalid_key",
        DecryptError::UntrustedIdentity { .. } => "untrusted_identity",
        DecryptError::NoSession { .. } => "no_session",
        DecryptError::NoPreKey { .. } => "no_prekey",
        DecryptError::NoSignedPreKey { .. } => "no_signed_prekey",
        DecryptError::Duplicate { .. } => "duplicate",
        DecryptError::TooFar { .. } => "too_far",
        DecryptError::Malformed(_) | DecryptError::NoSessionFits { .. } | DecryptError::BadPadding => {
            "invalid_message"
        }
        _ => "internal",
    }
}

pub(super) fn session_info(party: &mut Created, request: &Request<'_>) -> Reply {
    let record = party.store.load_session(&request.address("peer")?).map_err(store_refusal)?;
    let Some(record) = record else {
        return Ok(fields(json!({"exists": false, "open": false, "archived": 0})));
    };
    let archived = record.archived();
    let Some(info) = record.info() else {
        return Ok(fields(json!({"exists": true, "open": false, "archived": archived})));
    };
    let chains = info.receiving_chains.iter().map(|chain| {
        json!({
            "ratchet": hex::encode(chain.ratchet_key.to_typed()),
            "next_counter": chain.next_counter,
            "skipped": chain.skipped,
        })
    });
    Ok(fields(json!({
        "exists": true,
        "open": true,
        "archived": archived,
        "version": info.version,
        "local_registration_id": info.local_registration_id,
        "remote_registration_id": info.remote_registration_id,
        "remote_identity": hex::encode(info.remote_identity.to_typed()),
        "base_key": hex::encode(info.base_key.to_typed()),
        "unacknowledged": info.unacknowledged,
        "previous_counter": info.previous_counter,
        "next_counter": info.next_counter,
        "receiver_chains": chains.collect::<Vec<_>>(),
    })))
}

pub(super) fn archive_session(party: &mut Created, request: &Request<'_>) -> Reply {
    let peer = request.address("peer")?;
    let record = party.store.load_session(&peer).map_err(store_refusal)?;
    let mut record = record.ok_or_else(|| Refusal::new("no_session", peer.to_string()))?;
    record.archive_current();
    party.store.save_session(&peer, &record).map_err(store_refusal)?;
    Ok(Fields::new())
}

pub(super) fn delete_session(party: &mut Created, request: &Request<'_>) -> Reply {
    let peer = request.address("peer")?;
    let existed = party.store.load_session(&peer).map_err(store_refusal)?.is_some();
    party.store.delete_session(&peer).map_err(store_refusal)?;
    Ok(fields(json!({"existed": existed})))
}

pub(super) fn get_identity(party: &mut Created, request: &Request<'_>) -> Reply {
    let known = party.store.remote_identity(&request.address("peer")?).map_err(store_refusal)?;
    Ok(fields(json!({"identity": known.map(|key| hex::encode(key.to_typed()))})))
}

pub(super) fn forget_identity(party: &mut Created, request: &Request<'_>) -> Reply {
    party.store.forget_identity(&request.address("peer")?);
    Ok(Fields::new())
}

pub(super) fn set_identity(party: &mut Created, request: &Request<'_>) -> Reply {
    let (peer, identity) = (request.address("peer")?, request.public("identity")?);
    approve_identity(&mut party.store, &peer, &identity).map_err(store_refusal)?;
    Ok(Fields::new())
}

//! Whole conversations recorded with Signal's library and an independent implementation, replayed byte by byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{
    Replay, bundle_error, bytes, decrypt_error, encrypt_error, prekey_id, private, signed_id, vectors,
};
use landbridge_curve::PublicKey;
use landbridge_signal::{
    Address, CiphertextKind, IdentityChange, IdentityKeyPair, IdentityStore as _, MemorySignalStore, PreKey,
    PreKeyBundle, PreKeyPublic, SessionStore as _, SignedPreKey, SignedPreKeyPublic, TrustPolicy,
    approve_identity, decrypt, encrypt, process_bundle,
};
use serde_json::{Value, json};

struct Player {
    store: MemorySignalStore,
    policy: TrustPolicy,
}

fn id(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

impl Player {
    fn new(party: &Value) -> Self {
        let identity = IdentityKeyPair::from_private(private(&party["identity_private"]));
        assert_eq!(identity.public().to_typed(), bytes(&party["identity_public"]));
        let mut store = MemorySignalStore::new(identity, id(&party["registration_id"]));
        let prekeys = party["prekeys"].as_array().unwrap();
        store.add_prekeys(
            prekeys.iter().map(|key| PreKey { id: prekey_id(id(&key["id"])), key: private(&key["private"]) }),
        );
        for key in party["signed_prekeys"].as_array().unwrap() {
            store.add_signed_prekey(SignedPreKey {
                id: signed_id(id(&key["id"])),
                key: private(&key["private"]),
                signature: bytes(&key["signature"]),
            });
        }
        let policy = match party["policy"].as_str().unwrap() {
            "reject" => TrustPolicy::Reject,
            "accept" => TrustPolicy::Accept,
            "approve_to_send" => TrustPolicy::ApproveToSend,
            other => panic!("{other}"),
        };
        Self { store, policy }
    }

    fn play(&mut self, step: &Value) -> Result<Value, &'static str> {
        let peer = Address::new(step["peer"].as_str().unwrap(), 0);
        let drawn = [&step["base_private"], &step["new_ratchet"]];
        let mut rng = Replay(drawn.into_iter().filter(|key| !key.is_null()).map(bytes).collect());
        let reply = match step["do"].as_str().unwrap() {
            "process_bundle" => {
                let bundle = bundle(&step["bundle"]);
                let change = process_bundle(&mut self.store, &peer, &bundle, self.policy, &mut rng)
                    .map_err(|error| bundle_error(&error))?;
                json!({"identity": word(change)})
            }
            "encrypt" => {
                let text = hex::decode(step["plaintext"].as_str().unwrap()).unwrap();
                let made = encrypt(&mut self.store, &peer, &text, self.policy)
                    .map_err(|error| encrypt_error(&error))?;
                json!({"type": made.kind.as_str(), "message": hex::encode(made.bytes)})
            }
            "decrypt" => {
                let kind = match step["type"].as_str().unwrap() {
                    "pkmsg" => CiphertextKind::PreKey,
                    _ => CiphertextKind::Message,
                };
                let message = hex::decode(step["message"].as_str().unwrap()).unwrap();
                let got = decrypt(&mut self.store, &peer, kind, &message, self.policy, &mut rng)
                    .map_err(|error| decrypt_error(&error))?;
                json!({
                    "plaintext": hex::encode(got.plaintext),
                    "identity": word(got.identity),
                    "used_prekey_id": got.used_prekey.map(|id| id.get()),
                })
            }
            "archive_session" => {
                let mut record = self.store.load_session(&peer).unwrap().unwrap();
                record.archive_current();
                self.store.save_session(&peer, &record).unwrap();
                json!({})
            }
            "set_identity" => {
                let key = PublicKey::from_typed(&bytes::<33>(&step["identity"])).unwrap();
                approve_identity(&mut self.store, &peer, &key).unwrap();
                json!({})
            }
            other => panic!("{other}"),
        };
        Ok(reply)
    }
}

fn word(change: IdentityChange) -> &'static str {
    match change {
        IdentityChange::New => "new",
        IdentityChange::Unchanged => "unchanged",
        IdentityChange::Changed { .. } => "changed",
    }
}

fn bundle(value: &Value) -> PreKeyBundle {
    let key = |value: &Value| PublicKey::from_typed(&bytes::<33>(value)).unwrap();
    let signed = &value["signed_prekey"];
    PreKeyBundle {
        registration_id: id(&value["registration_id"]),
        identity: key(&value["identity"]),
        signed_prekey: SignedPreKeyPublic {
            id: signed_id(id(&signed["id"])),
            key: key(&signed["public"]),
            signature: bytes(&signed["signature"]),
        },
        prekey: value["prekey"]
            .as_object()
            .map(|prekey| PreKeyPublic { id: prekey_id(id(&prekey["id"])), key: key(&prekey["public"]) }),
    }
}

/// Everything a party keeps about a peer that a failing step must not touch.
fn trace(player: &Player, peer: &Address) -> (Option<Vec<u8>>, Option<PublicKey>, usize) {
    let record = player.store.load_session(peer).unwrap();
    (
        record.map(|record| record.to_bytes().to_vec()),
        player.store.remote_identity(peer).unwrap(),
        player.store.prekey_ids().len(),
    )
}

fn replay(text: &str, conversations: usize) {
    let file = vectors(text);
    let all = file["conversations"].as_array().unwrap();
    assert_eq!(all.len(), conversations);
    for conversation in all {
        let mut player = Player::new(&conversation["party"]);
        for (number, step) in conversation["steps"].as_array().unwrap().iter().enumerate() {
            let at = format!("{} step {number}: {}", conversation["name"], step["note"]);
            let peer = Address::new(step["peer"].as_str().unwrap(), 0);
            let before = trace(&player, &peer);
            let expect = &step["expect"];
            match player.play(step) {
                Ok(reply) => {
                    assert!(expect["error"].is_null(), "{at}: {reply} instead of {expect}");
                    for (field, value) in expect.as_object().unwrap() {
                        assert_eq!(&reply[field], value, "{at}: {field}");
                    }
                }
                Err(kind) => {
                    assert_eq!(trace(&player, &peer), before, "{at}: a failing step left a trace");
                    if step["optional"] == json!(true) {
                        assert!(["too_far", "invalid_message"].contains(&kind), "{at}: {kind}");
                        continue;
                    }
                    let also = expect["also"].as_array().into_iter().flatten();
                    let right = also.chain([&expect["error"]]).any(|right| right == kind);
                    let instead = expect["error"] == "invalid_message" && kind == "invalid_key";
                    assert!(right || instead, "{at}: {kind} instead of {expect}");
                }
            }
        }
    }
}

#[test]
fn begin() {
    replay(include_str!("vectors/begin.json"), 8);
}

#[test]
fn order() {
    replay(include_str!("vectors/order.json"), 7);
}

#[test]
fn trouble() {
    replay(include_str!("vectors/trouble.json"), 8);
}

#[test]
fn soup() {
    replay(include_str!("vectors/soup.json"), 3);
}

#[test]
fn first_messages_from_fixed_keys() {
    let file = vectors(include_str!("vectors/x3dh.json"));
    for vector in file["vectors"].as_array().unwrap() {
        let (a, b) = (&vector["initiator"], &vector["responder"]);
        let one_time = !b["prekey_id"].is_null();
        let prekey = json!({"id": b["prekey_id"], "public": b["prekey_public"]});
        let steps = [
            json!({
                "do": "process_bundle", "peer": "b",
                "base_private": a["base_private"], "new_ratchet": a["ratchet_private"],
                "bundle": {
                    "registration_id": b["registration_id"],
                    "identity": b["identity_public"],
                    "signed_prekey": {
                        "id": b["signed_prekey_id"],
                        "public": b["signed_prekey_public"],
                        "signature": b["signed_prekey_signature"],
                    },
                    "prekey": if one_time { prekey } else { Value::Null },
                },
            }),
            json!({"do": "encrypt", "peer": "b", "plaintext": vector["plaintext"]}),
            json!({"do": "encrypt", "peer": "b", "plaintext": vector["second_plaintext"]}),
        ];
        let mut party = a.clone();
        party["prekeys"] = json!([]);
        party["signed_prekeys"] = json!([]);
        party["policy"] = "reject".into();
        let mut player = Player::new(&party);
        let replies = steps.map(|step| player.play(&step).unwrap());
        assert_eq!(replies[1]["message"], vector["pkmsg"]);
        assert_eq!(replies[2]["message"], vector["second_pkmsg"]);
    }
}

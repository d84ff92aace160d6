//! What needs no session: looking at messages, signatures, safety numbers.

use landbridge_curve::PublicKey;
use landbridge_signal::{
    fingerprint::{Fingerprint, ITERATIONS, ScanError, compare_scannable},
    group::SenderKeyMessage,
    message::{ParseError, PreKeySignalMessage, SignalMessage, VERSION},
};
use serde_json::json;

use super::{
    party::{Created, fields, no_identity},
    request::{Fields, Refusal, Request},
};

type Reply = Result<Fields, Refusal>;

/// More hashes than this are a mistake: the published number is 5200.
const MAX_ITERATIONS: u32 = 1_000_000;

fn unreadable(error: ParseError) -> Refusal {
    let kind = match error {
        ParseError::Version { got } if got < VERSION => "legacy_version",
        ParseError::Version { .. } => "unknown_version",
        ParseError::Key(_) => "invalid_key",
        _ => "invalid_message",
    };
    Refusal::because(kind, &error)
}

pub(super) fn inspect(request: &Request<'_>) -> Reply {
    let bytes = request.hex("message")?;
    let (version_byte, mut reply) = match request.text("type")? {
        "pkmsg" => {
            let message = PreKeySignalMessage::parse(&bytes).map_err(unreadable)?;
            let reply = json!({
                "prekey_id": message.prekey_id,
                "base_key": hex::encode(message.base_key.to_typed()),
                "identity": hex::encode(message.identity.to_typed()),
                "registration_id": message.registration_id,
                "signed_prekey_id": message.signed_prekey_id,
                "inner": hex::encode(message.message_bytes),
            });
            (message.version_byte, fields(reply))
        }
        "msg" => {
            let message = SignalMessage::parse(&bytes).map_err(unreadable)?;
            let reply = json!({
                "ratchet": hex::encode(message.ratchet_key().to_typed()),
                "counter": message.counter,
                "previous_counter": message.previous_counter,
                "ciphertext_length": message.ciphertext.len(),
                "mac": hex::encode(message.mac),
            });
            (message.version_byte(), fields(reply))
        }
        "skmsg" => {
            let message = SenderKeyMessage::parse(&bytes).map_err(unreadable)?;
            let reply = json!({
                "chain_id": message.chain_id,
                "iteration": message.iteration,
                "ciphertext_length": message.ciphertext.len(),
                "signature": hex::encode(message.signature),
            });
            (message.version_byte, fields(reply))
        }
        _ => return Err(Refusal::bad("type is pkmsg, msg or skmsg")),
    };
    reply.insert("version".into(), (version_byte >> 4).into());
    reply.insert("version_low".into(), (version_byte & 15).into());
    Ok(reply)
}

pub(super) fn sign(party: Option<&Created>, request: &Request<'_>) -> Reply {
    let message = request.hex("message")?;
    let private = match request.private("private")? {
        Some(private) => private,
        None => party.ok_or_else(no_identity)?.identity()?.private().clone(),
    };
    let signature = private.sign(&[&message], &mut rand::rng());
    Ok(fields(json!({"signature": hex::encode(signature)})))
}

pub(super) fn verify(request: &Request<'_>) -> Reply {
    let (message, signature) = (request.hex("message")?, request.hex("signature")?);
    let valid = request.public("public")?.verify(&[&message], &signature).is_ok();
    Ok(fields(json!({"valid": valid})))
}

pub(super) fn public_key(request: &Request<'_>) -> Reply {
    let public = request.required_private("private")?.public();
    Ok(fields(json!({"public": hex::encode(public.to_typed())})))
}

pub(super) fn agree(request: &Request<'_>) -> Reply {
    let shared = request.required_private("private")?.agree(&request.public("public")?);
    let shared = shared.map_err(|error| Refusal::because("invalid_key", &error))?;
    Ok(fields(json!({"shared": hex::encode(shared.as_bytes())})))
}

pub(super) fn fingerprint(party: Option<&Created>, request: &Request<'_>) -> Reply {
    let version = request.number("version")?.unwrap_or(2);
    let iterations = request.number("iterations")?.unwrap_or(ITERATIONS);
    if !(1..=2).contains(&version) || !(1..=MAX_ITERATIONS).contains(&iterations) {
        return Err(Refusal::bad("version is 1 or 2, iterations are 1 to 1000000"));
    }
    let ours: PublicKey = if request.get("local_identity").is_some() {
        request.public("local_identity")?
    } else {
        *party.ok_or_else(no_identity)?.identity()?.public()
    };
    let theirs = request.public("remote_identity")?;
    let (local, remote) = (request.hex("local_id")?, request.hex("remote_id")?);
    let made = Fingerprint::with_iterations(iterations, (&local, &ours), (&remote, &theirs));
    Ok(fields(json!({"numeric": made.numeric(), "scannable": hex::encode(made.scannable(version))})))
}

pub(super) fn fingerprint_compare(request: &Request<'_>) -> Reply {
    let matches = compare_scannable(&request.hex("ours")?, &request.hex("theirs")?);
    let matches = matches.map_err(|error| {
        let kind = match error {
            ScanError::VersionMismatch { .. } => "version_mismatch",
            _ => "invalid_message",
        };
        Refusal::because(kind, &error)
    })?;
    Ok(fields(json!({"match": matches})))
}

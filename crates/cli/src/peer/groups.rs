//! Sender keys.

use landbridge_signal::{
    Limits,
    group::{self, GroupError, SenderKeyStore as _},
};
use serde_json::json;

use super::{
    commands::store_refusal,
    party::{Created, fields},
    request::{Fields, Refusal, Request},
};

type Reply = Result<Fields, Refusal>;

/// The group's name. The frame with a distribution UUID is not what WhatsApp speaks, and is not spoken here.
fn group<'a>(request: &Request<'a>) -> Result<&'a str, Refusal> {
    if request.get("frame").is_some() && request.text("frame")? != "group" {
        return Err(Refusal::new("unsupported", "only the frame \"group\" is spoken here"));
    }
    request.text("group")
}

fn refusal(error: GroupError) -> Refusal {
    let kind = match &error {
        GroupError::Version { got } if *got < landbridge_signal::message::VERSION => "legacy_version",
        GroupError::Version { .. } => "unknown_version",
        GroupError::InvalidKey(_) => "invalid_key",
        GroupError::NoSenderKey { .. } => "no_sender_key",
        GroupError::Duplicate { .. } => "duplicate",
        GroupError::TooFar { .. } => "too_far",
        GroupError::Malformed(_) | GroupError::BadSignature | GroupError::BadPadding => "invalid_message",
        _ => "internal",
    };
    Refusal::because(kind, &error)
}

pub(super) fn create(party: &mut Created, request: &Request<'_>) -> Reply {
    let (group, own) = (group(request)?, party.own_address());
    let told = group::distribution(&mut party.store, group, &own, &mut rand::rng()).map_err(refusal)?;
    Ok(fields(json!({"distribution": hex::encode(told)})))
}

pub(super) fn process(party: &mut Created, request: &Request<'_>) -> Reply {
    let (group, from, told) = (group(request)?, request.address("from")?, request.hex("distribution")?);
    let announced = group::process_distribution(&mut party.store, group, &from, &told).map_err(refusal)?;
    Ok(fields(json!({"chain_id": announced.chain_id, "iteration": announced.iteration})))
}

pub(super) fn encrypt(party: &mut Created, request: &Request<'_>) -> Reply {
    let (group, own, text) = (group(request)?, party.own_address(), request.hex("plaintext")?);
    let message = group::encrypt(&mut party.store, group, &own, &text, &mut rand::rng()).map_err(refusal)?;
    Ok(fields(json!({"message": hex::encode(message)})))
}

pub(super) fn decrypt(party: &mut Created, request: &Request<'_>) -> Reply {
    let (group, from, message) = (group(request)?, request.address("from")?, request.hex("message")?);
    let text =
        group::decrypt(&mut party.store, group, &from, &message, &Limits::default()).map_err(refusal)?;
    Ok(fields(json!({"plaintext": hex::encode(text)})))
}

pub(super) fn info(party: &mut Created, request: &Request<'_>) -> Reply {
    let (group, from) = sender(party, request)?;
    let record = party.store.load_sender_key(group, &from).map_err(store_refusal)?.unwrap_or_default();
    let states = record.info();
    let states = states.iter().map(|state| {
        json!({
            "chain_id": state.chain_id,
            "next_iteration": state.next_iteration,
            "skipped": state.skipped,
        })
    });
    Ok(fields(json!({"states": states.collect::<Vec<_>>()})))
}

pub(super) fn delete(party: &mut Created, request: &Request<'_>) -> Reply {
    let (group, from) = sender(party, request)?;
    let existed = party.store.load_sender_key(group, &from).map_err(store_refusal)?.is_some();
    party.store.delete_sender_key(group, &from).map_err(store_refusal)?;
    Ok(fields(json!({"existed": existed})))
}

fn sender<'a>(
    party: &Created,
    request: &Request<'a>,
) -> Result<(&'a str, landbridge_signal::Address), Refusal> {
    let from = if request.get("from").is_some() { request.address("from")? } else { party.own_address() };
    Ok((group(request)?, from))
}

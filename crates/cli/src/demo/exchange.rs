//! Milestone 3: messages both ways, end to end encrypted.

use std::collections::BTreeSet;

use landbridge::store::OutState;
use landbridge::{Direction, Event, ReceivedMessage};
use landbridge_sandbox::events::EventKind;
use landbridge_sandbox::{Direction as ScreenSide, PhoneMessage, SandboxError};

use super::report::{Millis, Report, Stop};
use super::watch::{patiently, stanza};
use super::world::{PHONE, World};
use crate::failure::with_causes;

/// Messages each way in the last check.
const MANY: u32 = 20;

pub(super) async fn run(report: &mut Report, world: &mut World, text: &str, seed: u64) -> Result<(), Stop> {
    report.milestone("milestone 3", "messages, encrypted end to end");
    report.check("text sent, shown by the phone", outgoing(world, text)).await?;
    report.check("answer received, stored, receipted", incoming(world)).await?;
    report.check("the ratchet has turned", turned(world)).await?;
    report.check(format!("{MANY} messages out, in shuffled order"), many_out(world, seed)).await?;
    report.check(format!("{MANY} messages in, in shuffled order"), many_in(world, seed)).await
}

async fn outgoing(world: &mut World, text: &str) -> Result<((), String), String> {
    let since = world.handle().last_event();
    let position = world.watch.position();
    let phone = world.phone();
    let id = world.client.send_text(&phone, text).await.map_err(|error| error.chain())?;
    let sent = world.watch.wait(position, "message", stanza(Direction::Out, "message", id.as_str())).await?;
    let ack = world.watch.wait(position, "ack", stanza(Direction::In, "ack", id.as_str())).await?;
    let stored = patiently(
        "message at the server",
        world.handle().wait_for(since, |event| stored_as(&event.kind, id.as_str()).is_some()),
    )
    .await?;
    let (kind, bytes) = stored_as(&stored.kind, id.as_str()).unwrap_or_default();
    if kind != "pkmsg" {
        return Err(format!("the first message of a session is a pkmsg, not {kind}"));
    }
    let receipt =
        world.watch.wait(position, "delivery receipt", stanza(Direction::In, "receipt", id.as_str())).await?;
    delivered(world, id.as_str()).await?;
    let shown = phone_message(world, id.as_str()).map_err(|error| with_causes(&error))?;
    match shown.and_then(|message| message.text) {
        Some(shown) if shown == text => Ok((
            (),
            format!(
                "message {id}: text of {} B, padded and encrypted to a {kind} of {bytes} B, {} B on the wire;\n\
             ack of {} B after {}, the phone shows {shown:?}, its receipt of {} B after {}",
                text.len(),
                sent.stanza.wire_bytes,
                ack.stanza.wire_bytes,
                Millis(ack.at - sent.at),
                receipt.stanza.wire_bytes,
                Millis(receipt.at - sent.at)
            ),
        )),
        Some(other) => Err(format!("the phone shows {other:?}")),
        None => Err("the phone does not show the message".to_owned()),
    }
}

async fn incoming(world: &mut World) -> Result<((), String), String> {
    const ANSWER: &str = "Hi Alice! Greetings from the green side.";
    let since = world.handle().last_event();
    let position = world.watch.position();
    let id = world
        .handle()
        .phone_send_text(PHONE, &world.address_text(), ANSWER)
        .map_err(|error| with_causes(&error))?;
    let message = next_message(world).await?;
    if message.id != id || message.text() != Some(ANSWER) {
        return Err(format!("another message came: {} with {:?}", message.id, message.text()));
    }
    let came = world.watch.wait(position, "message", stanza(Direction::In, "message", id.as_str())).await?;
    let receipt =
        world.watch.wait(position, "receipt", stanza(Direction::Out, "receipt", id.as_str())).await?;
    let taken = |kind: &EventKind| matches!(kind, EventKind::Taken { id: taken, .. } if taken == id.as_str());
    patiently("receipt at the server", world.handle().wait_for(since, |event| taken(&event.kind))).await?;
    Ok((
        (),
        format!(
            "message {id} of {} B on the wire: {ANSWER:?}; stored, and only then a receipt of {} B, after {}",
            came.stanza.wire_bytes,
            receipt.stanza.wire_bytes,
            Millis(receipt.at - came.at)
        ),
    ))
}

/// Once the phone has answered, messages are plain `msg`, under a new ratchet key.
async fn turned(world: &mut World) -> Result<((), String), String> {
    let since = world.handle().last_event();
    let phone = world.phone();
    let id = world.client.send_text(&phone, "So it does.").await.map_err(|error| error.chain())?;
    let event = world.handle().wait_for(since, |event| stored_as(&event.kind, id.as_str()).is_some());
    let event = patiently("message at the server", event).await?;
    let (kind, bytes) = stored_as(&event.kind, id.as_str()).unwrap_or_default();
    delivered(world, id.as_str()).await?;
    if kind == "msg" {
        Ok(((), format!("message {id} went as a msg of {bytes} B: no prekeys in it any more")))
    } else {
        Err(format!("message {id} went as a {kind} after an answer"))
    }
}

async fn many_out(world: &mut World, seed: u64) -> Result<((), String), String> {
    let phone = world.phone();
    let before = shown_texts(world).map_err(|error| with_causes(&error))?.len();
    world.handle().hold_messages(&phone.to_string(), MANY, seed).map_err(|error| with_causes(&error))?;
    let mut ids = BTreeSet::new();
    for n in 1..=MANY {
        let id = world.client.send_text(&phone, &format!("out {n}")).await.map_err(|error| error.chain())?;
        ids.insert(id.into_string());
    }
    all_delivered(world, ids).await?;
    let shown = shown_texts(world).map_err(|error| with_causes(&error))?;
    compare("out", shown.get(before..).unwrap_or_default())
}

async fn many_in(world: &mut World, seed: u64) -> Result<((), String), String> {
    let alice = world.address_text();
    world.handle().hold_messages(&alice, MANY, seed).map_err(|error| with_causes(&error))?;
    for n in 1..=MANY {
        let text = format!("in {n}");
        world.handle().phone_send_text(PHONE, &alice, &text).map_err(|error| with_causes(&error))?;
    }
    let mut texts = Vec::new();
    for _ in 0..MANY {
        texts.push(next_message(world).await?.text().unwrap_or_default().to_owned());
    }
    compare("in", &texts)
}

/// Each text exactly once, and not in the order in which they were sent.
fn compare(word: &str, came: &[String]) -> Result<((), String), String> {
    let expected: Vec<String> = (1..=MANY).map(|n| format!("{word} {n}")).collect();
    let (sent, arrived) = (expected.iter().collect::<BTreeSet<_>>(), came.iter().collect::<BTreeSet<_>>());
    if came.len() != expected.len() || sent != arrived {
        return Err(format!("{} of {} texts came: {came:?}", came.len(), expected.len()));
    }
    if came == expected.as_slice() {
        return Err("the texts came in the order in which they were sent".to_owned());
    }
    let order = came.iter().filter_map(|text| text.split(' ').nth(1)).collect::<Vec<_>>().join(" ");
    Ok(((), format!("each once, decrypted in the order {order}")))
}

/// Waits until the client knows that the phone has a message.
pub(super) async fn delivered(world: &mut World, id: &str) -> Result<(), String> {
    all_delivered(world, BTreeSet::from([id.to_owned()])).await
}

/// Waits until the client knows that the phone has all of them, in whatever order their receipts come.
async fn all_delivered(world: &mut World, mut ids: BTreeSet<String>) -> Result<(), String> {
    world
        .event("delivery", |event| {
            if let Event::MessageState { id, state, .. } = event
                && state >= OutState::Delivered
            {
                ids.remove(id.as_str());
            }
            ids.is_empty().then_some(())
        })
        .await
}

/// The next message that the client gets.
pub(super) async fn next_message(world: &mut World) -> Result<Box<ReceivedMessage>, String> {
    world
        .event("message", |event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        })
        .await
}

fn stored_as(kind: &EventKind, id: &str) -> Option<(String, usize)> {
    match kind {
        EventKind::MessageStored { id: stored, enc, bytes, .. } if stored == id => {
            Some((enc.clone(), *bytes))
        }
        _ => None,
    }
}

fn phone_message(world: &World, id: &str) -> Result<Option<PhoneMessage>, SandboxError> {
    Ok(world.handle().phone_messages(PHONE)?.into_iter().find(|message| message.id == id))
}

/// What the phone has received, in the order in which it was shown.
fn shown_texts(world: &World) -> Result<Vec<String>, SandboxError> {
    let mut messages = world.handle().phone_messages(PHONE)?;
    messages.retain(|message| message.direction == ScreenSide::Received);
    messages.sort_by_key(|message| message.seq);
    Ok(messages.into_iter().filter_map(|message| message.text).collect())
}

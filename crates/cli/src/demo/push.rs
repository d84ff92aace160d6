//! Pushes: a user who is away learns that something waits, and comes for it.

use std::time::Duration;

use landbridge::media::MediaKind;
use landbridge::transport::HttpClient;
use landbridge::transport::http_client::Streaming;
use landbridge::{Fetched, ReceivedMessage};
use landbridge_sandbox::events::{EventKind, PushExchange};
use landbridge_sandbox::{PhoneFile, PushReason, PushState};
use landbridge_stanza::MessageId;
use sha2::{Digest as _, Sha256};

use super::channel;
use super::files::{random, short};
use super::report::{Millis, Report, Stop};
use super::watch::{PATIENCE, patiently};
use super::world::{PHONE, USER, World, session_of};
use crate::failure::with_causes;

const TEXT: &str = "Are you asleep?";
/// Bytes of the phone's picture.
const PICTURE: usize = 300_000;
/// The user's device, as the partner's server knows it.
const DEVICE: &str = "demo";

pub(super) async fn run(report: &mut Report, world: &mut World) -> Result<(), Stop> {
    report.milestone("push", "waking a user who is away");
    let mut wakes = report.check("device waits for wake-ups", listen(world)).await?;
    report.check("user goes offline", leave(world)).await?;
    let sent = report.check("phone writes, partner is pushed", write(world)).await?;
    report.check("the wake-up reaches the device", wake(&mut wakes)).await?;
    let fetched = report.check("mailbox fetched, connection closed", fetch(world, &sent)).await?;
    report.check("picture fetched, same hash", picture(world, &fetched, &sent)).await?;
    report.check("nothing more to push", silence(world)).await?;
    report.check("back for the rest", channel::connect(world)).await
}

/// What the phone sent while nobody was there.
struct Sent {
    text: MessageId,
    picture: MessageId,
    hash: [u8; 32],
}

/// The wake-ups of the partner's server, as server-sent events.
struct Wakes {
    stream: Streaming,
    /// What has come and was not read.
    text: String,
}

async fn listen(world: &World) -> Result<(Wakes, String), String> {
    let http = HttpClient::builder().build().map_err(|error| with_causes(&error))?;
    let url = format!("{}/v1/wake?device={DEVICE}", world.partner.base_url());
    let session = format!("Bearer {}", session_of(USER));
    let stream = http.open(&url, &[("authorization", &session)], PATIENCE).await;
    let stream = stream.map_err(|error| with_causes(&error))?;
    if stream.status != 200 {
        return Err(format!("{url} answered {}", stream.status));
    }
    Ok((Wakes { stream, text: String::new() }, format!("GET {url}: 200, text/event-stream")))
}

async fn leave(world: &World) -> Result<((), String), String> {
    let since = world.handle().last_event();
    world.client.disconnect().await;
    let gone = |kind: &EventKind| matches!(kind, EventKind::Disconnected { .. });
    patiently("end of the connection", world.handle().wait_for(since, |event| gone(&event.kind))).await?;
    Ok(((), "the connection is closed; the mailbox waits at the server".to_owned()))
}

async fn write(world: &World) -> Result<(Sent, String), String> {
    let since = world.handle().last_event();
    let alice = world.address_text();
    let text = world.handle().phone_send_text(PHONE, &alice, TEXT).map_err(|error| with_causes(&error))?;
    let bytes = random(PICTURE);
    let hash = Sha256::digest(&bytes).into();
    let file = PhoneFile {
        kind: MediaKind::Image,
        mimetype: "image/jpeg".to_owned(),
        bytes,
        caption: None,
        file_name: None,
    };
    let picture = world.handle().phone_send_file(PHONE, &alice, &file);
    let picture = picture.map_err(|error| with_causes(&error))?;
    let exchange = pushed(world, since).await?;
    if exchange.status != Some(200) {
        let why = exchange.failure.unwrap_or_default();
        return Err(format!("the push was answered with {:?} {why}", exchange.status));
    }
    let seen = format!(
        "a text and a picture wait; POST {}/push\n{{\"to\":\"{USER}\"}} gave 200 after {}; its bearer, SHA-256 {}…, is good\nby the keys at {}",
        world.partner.base_url(),
        Millis(Duration::from_millis(exchange.millis)),
        exchange.token_sha256.get(..8).unwrap_or_default(),
        world.sandbox.jwks_url()
    );
    Ok((Sent { text, picture, hash }, seen))
}

/// The first push for new activity since a position of the journal.
async fn pushed(world: &World, since: u64) -> Result<PushExchange, String> {
    let is_push = |kind: &EventKind| match kind {
        EventKind::Push(exchange) if exchange.why == PushReason::Activity => Some(exchange.clone()),
        _ => None,
    };
    let event = world.handle().wait_for(since, |event| is_push(&event.kind).is_some());
    let event = patiently("push", event).await?;
    is_push(&event.kind).map(|exchange| *exchange).ok_or_else(|| "no push came".to_owned())
}

async fn wake(wakes: &mut Wakes) -> Result<((), String), String> {
    let data = patiently("wake-up", wakes.next()).await??;
    let wake: serde_json::Value = serde_json::from_str(&data).map_err(|error| error.to_string())?;
    match wake.get("type").and_then(serde_json::Value::as_str) {
        Some("wake") => Ok(((), format!("event wake, {data}: no sender, no text"))),
        _ => Err(format!("another event came: {data}")),
    }
}

impl Wakes {
    /// The data of the next event; comments are passed over.
    async fn next(&mut self) -> Result<String, String> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                let data = data.map(|data| data.trim_start().to_owned());
                self.text = rest.to_owned();
                if let Some(data) = data {
                    return Ok(data);
                }
            }
            let piece = self.stream.next().await.map_err(|error| with_causes(&error))?;
            let piece = piece.ok_or("the stream of wake-ups has ended")?;
            self.text += &String::from_utf8_lossy(&piece);
        }
    }
}

async fn fetch(world: &World, sent: &Sent) -> Result<(Fetched, String), String> {
    let fetched = world.client.fetch_once(PATIENCE).await.map_err(|error| error.chain())?;
    let ids: Vec<_> = fetched.messages.iter().map(|message| message.id.clone()).collect();
    if !fetched.caught_up || ids != [sent.text.clone(), sent.picture.clone()] {
        return Err(format!("caught up: {}; messages {ids:?}", fetched.caught_up));
    }
    let text = fetched.messages.first().and_then(ReceivedMessage::text);
    if text != Some(TEXT) {
        return Err(format!("the text is {text:?}"));
    }
    let seen = format!("login with reason push; {TEXT:?} and a picture, in order, stored and receipted");
    Ok((fetched, seen))
}

async fn picture(world: &mut World, fetched: &Fetched, sent: &Sent) -> Result<((), String), String> {
    let message = fetched.messages.iter().find(|message| message.id == sent.picture);
    let attachment = world.files.attachment(message.ok_or("the picture is not among the messages")?);
    let attachment = attachment.map_err(|error| with_causes(&error))?.ok_or("the message has no file")?;
    let path = world.path("woken.jpg");
    let saved = attachment.save(&path, |_| {}).await.map_err(|error| with_causes(&error))?;
    // The events were handed out beside; they are this check's, too.
    for _ in &fetched.messages {
        super::exchange::next_message(world).await?;
    }
    let there = std::fs::read(&path).map_err(|error| error.to_string())?;
    if saved.file_sha256 != sent.hash || <[u8; 32]>::from(Sha256::digest(&there)) != sent.hash {
        return Err("the saved picture is not the one that the phone sent".to_owned());
    }
    Ok(((), format!("{} B, SHA-256 {}…", saved.file_length, short(&saved.file_sha256))))
}

async fn silence(world: &World) -> Result<((), String), String> {
    let report = world.handle().pushes();
    let alice = report.pushes.into_iter().find(|push| push.to == USER).ok_or("the sandbox knows no push")?;
    if alice.state != PushState::Idle {
        return Err(format!("{alice:?}"));
    }
    let last = alice.last.map(|last| last.outcome).unwrap_or_default();
    Ok(((), format!("{}/pushes: idle, the last one was {last}", world.sandbox.control_url())))
}

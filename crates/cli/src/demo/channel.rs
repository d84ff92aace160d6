//! Milestone 2: the channel. Noise, login, ping, keys.

use landbridge::{Direction, OneTimeKey};
use landbridge_sandbox::events::EventKind;

use super::report::{Millis, Report, Stop};
use super::watch::patiently;
use super::world::{PHONE, World};
use crate::failure::with_causes;

pub(super) async fn run(report: &mut Report, world: &mut World) -> Result<(), Stop> {
    report.milestone("milestone 2", "chat protocol and Noise handshake");
    report.check("test phone made", phone(world)).await?;
    report.check("connected and logged in", connect(world)).await?;
    report.check("own prekeys uploaded", uploaded(world)).await?;
    report.check("ping answered", ping(world)).await?;
    report.check("a phone's keys fetched and checked", fetch(world)).await
}

async fn phone(world: &World) -> Result<((), String), String> {
    let phone = world.handle().create_phone(PHONE, "Joe").map_err(|error| with_causes(&error))?;
    Ok(((), format!("{} with keys and a store of its own", phone.jid)))
}

pub(super) async fn connect(world: &World) -> Result<((), String), String> {
    let since = world.handle().last_event();
    let position = world.watch.position();
    world.client.connect().await.map_err(|error| error.chain())?;
    let logged_in = |kind: &EventKind| match kind {
        EventKind::LoggedIn { pattern, version } => Some((*pattern, *version)),
        _ => None,
    };
    let event = world.handle().wait_for(since, |event| logged_in(&event.kind).is_some());
    let event = patiently("login", event).await?;
    let (pattern, version) = logged_in(&event.kind).unwrap_or(("?", 0));
    let success = world.watch.wait(position, "success", |stanza| stanza.tag == "success").await?;
    let seen = format!(
        "TCP {}, Noise {pattern}, certificate chain under root {}…,\nlogin with token and protocol version {version}, then {} ({} B)",
        world.sandbox.chat_addr(),
        hex::encode(&world.sandbox.root_key().as_bytes()[..4]),
        success.stanza.xml,
        success.stanza.wire_bytes
    );
    Ok(((), seen))
}

async fn uploaded(world: &World) -> Result<((), String), String> {
    let stored = |kind: &EventKind| match kind {
        EventKind::KeysStored { added, held } if *added > 0 => Some((*added, *held)),
        _ => None,
    };
    let user = world.address_text();
    let event = world
        .handle()
        .wait_for(0, |event| event.user.as_deref() == Some(&user) && stored(&event.kind).is_some());
    let event = patiently("upload of keys", event).await?;
    let (added, held) = stored(&event.kind).unwrap_or((0, 0));
    let upload = world
        .watch
        .wait(0, "upload", |stanza| {
            stanza.direction == Direction::Out
                && stanza.xml.contains("xmlns=\"encrypt\"")
                && stanza.xml.contains("<identity>")
        })
        .await?;
    Ok((
        (),
        format!(
            "iq {} of {} B: {added} one-time prekeys, the server holds {held}",
            id_of(&upload.stanza.id),
            upload.stanza.wire_bytes
        ),
    ))
}

pub(super) async fn ping(world: &World) -> Result<((), String), String> {
    let position = world.watch.position();
    let trip = world.client.ping().await.map_err(|error| error.chain())?;
    let sent = world.watch.wait(position, "ping", |stanza| stanza.xml.contains("\"w:p\"")).await?;
    let id = sent.stanza.id.clone();
    let answer = world
        .watch
        .wait(position, "answer", |stanza| stanza.direction == Direction::In && stanza.id == id)
        .await?;
    Ok((
        (),
        format!(
            "iq {} of {} B, result of {} B after {}",
            id_of(&id),
            sent.stanza.wire_bytes,
            answer.stanza.wire_bytes,
            Millis(trip.time)
        ),
    ))
}

async fn fetch(world: &World) -> Result<((), String), String> {
    let since = world.handle().last_event();
    let keys = world.client.fetch_keys(&world.phone()).await.map_err(|error| error.chain())?;
    let given = |kind: &EventKind| matches!(kind, EventKind::BundleFetched { prekey: Some(_), .. });
    let one_time = match keys.one_time {
        OneTimeKey::Exhausted => "none left".to_owned(),
        OneTimeKey::Used => {
            let event =
                patiently("bundle", world.handle().wait_for(since, |event| given(&event.kind))).await?;
            match event.kind {
                EventKind::BundleFetched { prekey: Some(id), .. } => format!("id {id}, given to nobody else"),
                _ => "used".to_owned(),
            }
        }
    };
    Ok((
        (),
        format!(
            "identity {}…, registration id {}, signed prekey's signature good; one-time prekey: {one_time}",
            hex::encode(&keys.identity.as_bytes()[..4]),
            keys.registration_id
        ),
    ))
}

fn id_of(id: &Option<String>) -> &str {
    id.as_deref().unwrap_or("without id")
}

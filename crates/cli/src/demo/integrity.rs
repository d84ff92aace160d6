//! Milestones 4.2 and 5: blocking and deletion.

use landbridge::{Error, Event, Reaction};
use landbridge_sandbox::events::EventKind;

use super::channel;
use super::exchange::next_message;
use super::report::{Report, Stop};
use super::watch::patiently;
use super::world::{INTEGRATOR, PHONE, USER, World};
use crate::failure::with_causes;

pub(super) async fn blocking(report: &mut Report, world: &mut World) -> Result<(), Stop> {
    report.milestone("milestone 4.2", "blocking");
    report.check("block list read", read_list(world, 0)).await?;
    report.check("phone blocked", block(world)).await?;
    report.check("its message does not arrive", silence(world)).await?;
    report.check("unblocked, messages arrive again", unblock(world)).await
}

async fn read_list(world: &World, expected: usize) -> Result<((), String), String> {
    let list = world.client.blocklist().await.map_err(|error| error.chain())?;
    if list.len() == expected {
        Ok(((), format!("{} users", list.len())))
    } else {
        Err(format!("expected {expected} users, the list has {list:?}"))
    }
}

async fn block(world: &World) -> Result<((), String), String> {
    world.client.block(&world.phone()).await.map_err(|error| error.chain())?;
    let list = world.client.blocklist().await.map_err(|error| error.chain())?;
    if list == [world.phone()] {
        Ok(((), format!("the list has {}", world.phone())))
    } else {
        Err(format!("the list has {list:?}"))
    }
}

/// The server discards what the blocked phone sends. A ping behind it shows that nothing is still under way.
async fn silence(world: &mut World) -> Result<((), String), String> {
    let since = world.handle().last_event();
    let id = world
        .handle()
        .phone_send_text(PHONE, &world.address_text(), "Can you hear me?")
        .map_err(|error| with_causes(&error))?;
    let discarded = |kind: &EventKind| matches!(kind, EventKind::MessageDiscarded { id: gone, .. } if gone == id.as_str());
    patiently("discarded message", world.handle().wait_for(since, |event| discarded(&event.kind))).await?;
    let position = world.watch.position();
    channel::ping(world).await?;
    let came = world.watch.passed(position, |stanza| stanza.id.as_deref() == Some(id.as_str()));
    if came {
        return Err(format!("message {id} of a blocked phone came"));
    }
    Ok(((), format!("message {id} was acked to the phone and discarded; nothing came")))
}

async fn unblock(world: &mut World) -> Result<((), String), String> {
    const TEXT: &str = "And now?";
    world.client.unblock(&world.phone()).await.map_err(|error| error.chain())?;
    read_list(world, 0).await?;
    world
        .handle()
        .phone_send_text(PHONE, &world.address_text(), TEXT)
        .map_err(|error| with_causes(&error))?;
    let message = next_message(world).await?;
    match message.text() {
        Some(TEXT) => {
            Ok(((), format!("message {} came: {TEXT:?}; the one sent while blocked did not", message.id)))
        }
        other => Err(format!("another message came: {other:?}")),
    }
}

pub(super) async fn deletion(report: &mut Report, world: &mut World) -> Result<(), Stop> {
    report.milestone("milestone 5", "deletion");
    let old = world.address_text();
    report.check("account deleted", delete(world)).await?;
    report.check("login with the old keys refused", old_login(world, &old)).await?;
    report.check("enlisted again", enlist_again(world, &old)).await?;
    report.check("connected under the new address", channel::connect(world)).await
}

async fn delete(world: &mut World) -> Result<((), String), String> {
    let since = world.handle().last_event();
    world.client.delete_account().await.map_err(|error| error.chain())?;
    let removed = |kind: &EventKind| matches!(kind, EventKind::Removed { .. });
    patiently("removal at the server", world.handle().wait_for(since, |event| removed(&event.kind))).await?;
    world
        .event("end of the connection", |event| matches!(event, Event::Disconnected { .. }).then_some(()))
        .await?;
    Ok(((), format!("{} is gone at the server, its keys are wiped here", world.address_text())))
}

async fn old_login(world: &World, login: &str) -> Result<((), String), String> {
    let thief = world.client_with_old_keys(login).map_err(|failure| failure.sentence().to_owned())?;
    match thief.connect().await {
        Err(Error::LoginRefused { failure, reaction: Reaction::Reenlist }) => Ok((
            (),
            format!(
                "failure {}, which means: enlist again",
                failure.reason.map_or(0, |reason| reason.number())
            ),
        )),
        Err(error) => Err(format!("refused, but otherwise: {}", error.chain())),
        Ok(()) => Err("the old keys still log in".to_owned()),
    }
}

async fn enlist_again(world: &mut World, old: &str) -> Result<((), String), String> {
    let address = world.client.enlist(USER, INTEGRATOR).await.map_err(|error| error.chain())?;
    if address.to_string() == old {
        return Err(format!("the new account has the old address {old}"));
    }
    let seen = format!(r#"{{"login":"{address}","status":"ok"}}: a new address, new keys"#);
    world.address = Some(address);
    Ok(((), seen))
}

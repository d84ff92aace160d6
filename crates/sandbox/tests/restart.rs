//! What a restart keeps, and how a sandbox stops.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use landbridge_sandbox::events::EventKind;
use landbridge_sandbox::faults::{Fault, Probability};
use landbridge_sandbox::{Sandbox, SandboxError};
use landbridge_stanza::Inbound;
use landbridge_stanza::liveness::SetActive;
use support::*;

const NUMBER: &str = "14155551001";

#[tokio::test]
async fn state_survives() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with(config().data_dir(dir.path())).await;
    let root = world.sandbox.root_key();
    world.sandbox.handle().create_phone(NUMBER, "Joe").unwrap();
    let mut alice = world.enlist("alice");
    drop(world.log_in(&mut alice).await);
    world.wait(|e| matches!(e.kind, EventKind::Disconnected { .. })).await;
    let id = world.sandbox.handle().phone_send_text(NUMBER, "alice", "before").unwrap();
    world.sandbox.shutdown().await;

    let world = World::with(config().data_dir(dir.path())).await;
    assert_eq!(world.sandbox.root_key(), root);
    assert_eq!(world.sandbox.handle().phones().unwrap()[0].name, "Joe");
    let second = world.sandbox.handle().phone_send_text(NUMBER, "alice", "after").unwrap();
    let mut client = world.log_in_passive(&alice).await;
    client.ask(&SetActive::Active).await.unwrap();
    for expected in [id, second] {
        let message = client.next("message").await;
        assert_eq!(message.view().attr_str("id").as_deref(), Some(expected.as_str()));
    }
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn the_servers_key_is_another_one_after_a_restart_if_a_fault_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with(config().data_dir(dir.path())).await;
    let (root, account) = (world.sandbox.root_key(), world.enlist("alice"));
    let known = learn(&world, &account).await;
    world.sandbox.shutdown().await;
    for (probability, changes) in [(Probability::NEVER, false), (Probability::ALWAYS, true)] {
        let mut config = config().data_dir(dir.path());
        config.faults = vec![(Fault::ServerKeyRotated, probability)];
        let world = World::with(config).await;
        assert_eq!(world.sandbox.root_key(), root);
        let now = learn(&world, &account).await;
        assert_eq!(now.key != known.key, changes, "under the same root");
        let noted = world
            .events()
            .iter()
            .any(|event| matches!(&event.kind, EventKind::FaultInjected { fault: "server-key-rotated", .. }));
        assert_eq!(noted, changes);
        world.sandbox.shutdown().await;
    }
    // Where nothing was, nothing is replaced.
    let mut fresh = config();
    fresh.faults = vec![(Fault::ServerKeyRotated, Probability::ALWAYS)];
    let world = World::with(fresh).await;
    assert_eq!(world.events().len(), 0);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn shutdown_ends_every_stream() {
    let world = World::new().await;
    let mut alice = world.enlist("alice");
    let mut client = world.log_in(&mut alice).await;
    let silent = raw(world.sandbox.chat_addr()).await;
    world.sandbox.shutdown().await;
    assert_eq!(client.inbound().await, Inbound::End);
    assert!(client.rest().await.is_empty());
    drop(silent);
}

#[tokio::test]
async fn wrong_configurations() {
    for partners in
        [vec![(0, "http://a".to_owned())], vec![(1, "http://a".to_owned()), (1, "http://b".to_owned())]]
    {
        let mut config = config();
        config.partners = partners;
        assert!(matches!(Sandbox::start(config).await, Err(SandboxError::Integrator { .. })));
    }
    let taken = World::new().await;
    let mut config = config();
    config.chat_addr = taken.sandbox.chat_addr();
    let error = Sandbox::start(config).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
    taken.sandbox.shutdown().await;
}

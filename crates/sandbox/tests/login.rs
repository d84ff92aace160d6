//! Who is let in, and with which words others are not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use landbridge_curve::PrivateKey;
use landbridge_enlist::jwt::{self, Claims, RsaSigner};
use landbridge_noise::{
    ClientFinish, ClientHandshake, FrameDecoder, Intro, KnownServer, PinnedRoot, Resumption, StaticKeyPair,
};
use landbridge_proto::login::InteropLogin;
use landbridge_sandbox::events::EventKind;
use landbridge_stanza::liveness::Ping;
use landbridge_stanza::stream::{FailureReason, StreamError};
use landbridge_stanza::{Inbound, Profile, Request};
use support::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn xx_then_success_then_ping() {
    let world = World::new().await;
    let account = world.enlist("alice");
    let (mut client, first) = world.connect(&account.noise, &world.payload(&account).encode()).await;
    let Ok(Inbound::Success(success)) = Inbound::from_node(first.unwrap().view(), &world.profile) else {
        panic!()
    };
    assert_eq!(success.t, Some(NOW));
    assert_eq!(client.ask(&Ping).await.unwrap().t, Some(NOW));
    let mut other_form = Profile::default();
    other_form.liveness.ping_form = landbridge_stanza::profile::PingForm::Child;
    client.send(&Ping.to_node("x-1", &other_form)).await;
    assert!(matches!(client.inbound().await, Inbound::Reply(reply) if reply.id == "x-1"));
    assert!(world.sandbox.handle().users().unwrap()[0].connected);
    assert_eq!(world.broken(), Vec::<String>::new());
    world.sandbox.shutdown().await;
}

/// Logs in with a payload and gives the reason of the failure.
async fn refused(world: &World, keys: &StaticKeyPair, payload: &[u8]) -> u16 {
    let (mut client, first) = world.connect(keys, payload).await;
    let Ok(Inbound::Failure(failure)) = Inbound::from_node(first.unwrap().view(), &world.profile) else {
        panic!()
    };
    assert!(client.rest().await.is_empty(), "the server closes after a failure");
    failure.reason.unwrap().number()
}

#[tokio::test]
async fn refusals() {
    let world = World::new().await;
    let account = world.enlist("alice");
    let bob = world.enlist("bob");
    let (keys, number) = (&account.noise, account.number());
    let rng = &mut rand::rng();

    let other = StaticKeyPair::new(PrivateKey::generate(rng));
    assert_eq!(refused(&world, &other, &world.payload(&account).encode()).await, 401);
    assert!(world.broken().pop().unwrap().contains("the static key is not the authkey"));

    let unknown = InteropLogin::new(number + 1, world.token("alice"));
    assert_eq!(refused(&world, keys, &unknown.encode()).await, 401);

    let of_bob = InteropLogin::new(number, world.token("bob"));
    assert_eq!(refused(&world, keys, &of_bob.encode()).await, 414);
    assert!(world.broken().pop().unwrap().contains("the token names another user"));
    assert_eq!(
        refused(&world, keys, &InteropLogin::new(bob.number(), world.token("alice")).encode()).await,
        414
    );

    let forged = RsaSigner::from_pkcs8_pem(&landbridge_enlist::generate_rsa_pem(rng).unwrap())
        .unwrap()
        .with_kid(signer().public_key().kid())
        .unwrap();
    let claims = Claims::user(ISSUER, &"alice".parse().unwrap(), NOW, rng);
    let token = jwt::issue(&forged, &claims).unwrap().as_str().to_owned();
    assert_eq!(refused(&world, keys, &InteropLogin::new(number, token).encode()).await, 414);
    assert!(world.broken().pop().unwrap().contains("bad_signature"));

    let expired = Claims { issued_at: NOW - 7_200, expires_at: NOW - 3_600, ..claims.clone() };
    let token = jwt::issue(signer(), &expired).unwrap().as_str().to_owned();
    assert_eq!(refused(&world, keys, &InteropLogin::new(number, token).encode()).await, 413);

    let stranger = Claims { issuer: "http://stranger.example".to_owned(), ..claims };
    let token = jwt::issue(signer(), &stranger).unwrap().as_str().to_owned();
    assert_eq!(refused(&world, keys, &InteropLogin::new(number, token).encode()).await, 414);
    assert_eq!(refused(&world, keys, &InteropLogin::new(number, "no token").encode()).await, 414);

    for payload in [&b"\xff\xff\xff"[..], b"", b"\xa0\x01\x02"] {
        assert_eq!(refused(&world, keys, payload).await, 400);
    }
    assert!(world.broken().pop().unwrap().starts_with("[messages 5, H4]"));
    let mut old = world.payload(&account);
    old.version = 0;
    assert_eq!(refused(&world, keys, &old.encode()).await, 405);

    // None of it has done any harm.
    world.log_in_passive(&account).await;
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn another_product_is_refused() {
    let world = World::new().await;
    let account = world.enlist("alice");
    // product MESSENGER, a phone's login.
    for payload in [&b"\xa0\x01\x01"[..], b"\x08\x95\x9a\xef\x3a\xa0\x01\x00"] {
        assert_eq!(refused(&world, &account.noise, payload).await, 400);
    }
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn ik_and_its_fallback() {
    let world = World::new().await;
    let account = world.enlist("alice");
    let rng = &mut rand::rng();
    let known = learn(&world, &account).await;

    let mut resumed = resume(&world, &account, &known).await;
    assert!(resumed.receive().await.unwrap().view().is("success"));
    // A resumption may be a replay: before it has said something under its keys, it counts for nothing.
    assert!(!world.sandbox.handle().users().unwrap()[0].connected);
    resumed.ask(&Ping).await.unwrap();
    assert!(world.sandbox.handle().users().unwrap()[0].connected);

    // The server's key is not the one that the client knows.
    let stale = KnownServer { key: PrivateKey::generate(rng).public(), ..known };
    let mut fallen_back = resume(&world, &account, &stale).await;
    assert!(fallen_back.receive().await.unwrap().view().is("success"));
    let patterns: Vec<_> = world
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::LoggedIn { pattern, .. } => Some(pattern),
            _ => None,
        })
        .collect();
    assert_eq!(patterns, ["IK", "XXfallback"]);
    world.sandbox.shutdown().await;
}

async fn resume(world: &World, account: &Account, known: &KnownServer) -> Client {
    let mut socket = TcpStream::connect(world.sandbox.chat_addr()).await.unwrap();
    let handshake = ClientHandshake::new(account.noise.clone(), Intro::default(), &mut rand::rng());
    let (state, write) = handshake.ik(known, NOW, &world.payload(account).encode()).unwrap();
    socket.write_all(&write).await.unwrap();
    let mut decoder = FrameDecoder::new();
    let hello = read_frame(&mut socket, &mut decoder).await.unwrap();
    let transport = match state.read(&hello, &PinnedRoot::new(world.sandbox.root_key()), NOW).unwrap() {
        Resumption::Accepted { transport, .. } => transport,
        Resumption::FellBack(ClientFinish { write, transport, .. }) => {
            socket.write_all(&write).await.unwrap();
            transport
        }
    };
    decoder.switch_to_transport();
    Client::new(socket, decoder, transport.sealer, transport.opener, world.profile.clone())
}

#[tokio::test]
async fn a_second_connection_replaces_the_first() {
    let world = World::new().await;
    let mut account = world.enlist("alice");
    let mut first = world.log_in(&mut account).await;
    let mut second = world.log_in(&mut account).await;
    assert_eq!(first.inbound().await, Inbound::StreamError(StreamError::Replaced));
    assert!(first.rest().await.is_empty());
    second.ask(&Ping).await.unwrap();
    assert!(world.sandbox.handle().users().unwrap()[0].connected);
    world.sandbox.shutdown().await;
}

/// A resumption counts once its client has said something. By then another connection may have come.
#[tokio::test]
async fn a_late_login_does_not_push_out_a_newer_one() {
    let world = World::new().await;
    let mut account = world.enlist("alice");
    let known = learn(&world, &account).await;
    let mut late = resume(&world, &account, &known).await;
    assert!(late.receive().await.unwrap().view().is("success"));
    let mut newer = world.log_in(&mut account).await;
    late.send(&Ping.to_node("1", &world.profile)).await;
    assert_eq!(late.inbound().await, Inbound::StreamError(StreamError::Replaced));
    assert!(late.rest().await.is_empty());
    newer.ask(&Ping).await.unwrap();
    assert!(world.sandbox.handle().users().unwrap()[0].connected);
    assert!(!world.events().iter().any(|event| matches!(event.kind, EventKind::Replaced)));
    // And its end does not take the newer one's place away.
    world.wait(|event| matches!(event.kind, EventKind::Disconnected { .. })).await;
    assert!(world.sandbox.handle().users().unwrap()[0].connected);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn another_authkey_ends_the_connection_under_the_old_one() {
    let world = World::new().await;
    let mut account = world.enlist("alice");
    let old = account.noise.clone();
    let mut client = world.log_in(&mut account).await;
    account.noise = StaticKeyPair::new(PrivateKey::generate(&mut rand::rng()));
    let mut account = world.enlist_again(account);
    assert_eq!(client.inbound().await, Inbound::StreamError(StreamError::Replaced));
    assert_eq!(refused(&world, &old, &world.payload(&account).encode()).await, 401);
    world.log_in(&mut account).await;
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn thirty_days_away() {
    let world = World::new().await;
    let mut account = world.enlist("alice");
    drop(world.log_in(&mut account).await);
    world.wait(|event| matches!(event.kind, EventKind::Disconnected { .. })).await;
    world.sandbox.handle().advance_clock(31 * 86_400).unwrap();
    assert_eq!(world.sandbox.handle().users().unwrap(), []);
    world.publish_keys();
    let payload = InteropLogin::new(account.number(), world.token("alice"));
    let code = refused(&world, &account.noise, &payload.encode()).await;
    assert_eq!(FailureReason::from(code), FailureReason::LoggedOut);
    // The same keys, a new address.
    let old = account.jid.clone();
    let mut account = world.enlist_again(account);
    assert_ne!(account.jid, old);
    account.uploaded = false;
    world.log_in(&mut account).await;
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_connected_account_does_not_expire() {
    let world = World::new().await;
    let mut account = world.enlist("alice");
    let mut client = world.log_in(&mut account).await;
    world.sandbox.handle().advance_clock(31 * 86_400).unwrap();
    client.ask(&Ping).await.unwrap();
    world.sandbox.shutdown().await;
}

/// The thirty days count from the end of the last connection, not from its beginning.
#[tokio::test]
async fn a_long_connection_counts_until_its_end() {
    let world = World::new().await;
    let mut account = world.enlist("alice");
    let client = world.log_in(&mut account).await;
    world.sandbox.handle().advance_clock(40 * 86_400).unwrap();
    drop(client);
    world.wait(|event| matches!(event.kind, EventKind::Disconnected { .. })).await;
    world.sandbox.handle().advance_clock(20 * 86_400).unwrap();
    world.publish_keys();
    world.log_in_passive(&account).await;
    world.sandbox.shutdown().await;
}

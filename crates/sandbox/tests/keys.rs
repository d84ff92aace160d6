//! Keys: each one-time prekey once, bad ones never, and a word when they run low.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use landbridge_stanza::codes::IqErrorCode;
use landbridge_stanza::keys::*;
use landbridge_stanza::notification::NotificationEvent;
use landbridge_stanza::{Inbound, ReplyError};
use landbridge_wire::{Jid, Node};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use support::*;

fn code<T: std::fmt::Debug>(answer: Result<T, ReplyError>) -> IqErrorCode {
    match answer.unwrap_err() {
        ReplyError::Refused(error) => error.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn upload_count_digest_fetch_rotate() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.enlist("alice"), world.enlist("bob"));
    let (mut a, mut b) = (world.log_in_passive(&alice).await, world.log_in(&mut bob).await);
    assert_eq!(a.ask(&CountKeys).await.unwrap(), 0);
    let upload = alice.upload(30);
    a.ask(&upload).await.unwrap();
    // The answer may have been lost: the same again changes nothing.
    a.ask(&upload).await.unwrap();
    assert_eq!(a.ask(&CountKeys).await.unwrap(), 30);

    let seen = a.ask(&DigestKeys).await.unwrap();
    assert_eq!((seen.registration, seen.identity), (alice.registration, *alice.identity.public().as_bytes()));
    assert_eq!(seen.prekey_ids, (1..=30).collect::<Vec<_>>());
    let mut hashed = seen.identity.to_vec();
    hashed.extend(seen.signed_prekey.value);
    hashed.extend(seen.signed_prekey.signature);
    upload.prekeys.iter().for_each(|key| hashed.extend(key.value));
    assert_eq!(digest(&SHA1_FOR_LEGACY_USE_ONLY, &hashed).as_ref(), seen.hash);

    // Each fetch another key, the oldest first; one key for a user who is named twice.
    for id in 1..=3 {
        let twice = FetchKeys { users: vec![FetchKeys::of(alice.jid.clone()).users[0].clone(); 2] };
        let users = b.ask(&twice).await.unwrap();
        assert_eq!(users.len(), 1);
        let bundle = users[0].bundle.clone().unwrap();
        assert_eq!(bundle.prekey.unwrap().id, id);
        assert_eq!(bundle.identity, *alice.identity.public().as_bytes());
        let signed = bundle.signed_prekey;
        let typed = public(signed.value).to_typed();
        alice.identity.public().verify(&[&typed], &signed.signature).unwrap();
    }
    assert_eq!(a.ask(&CountKeys).await.unwrap(), 27);

    let nobody = b.ask(&FetchKeys::of(Jid::user("14150000000"))).await.unwrap();
    assert_eq!(nobody[0].bundle.clone().unwrap_err().code, IqErrorCode::ItemNotFound);

    let rng = &mut rand::rng();
    let id = landbridge_signal::SignedPreKeyId::new(2).unwrap();
    alice.signed = landbridge_signal::SignedPreKey::generate(id, &alice.identity, rng);
    a.ask(&RotateSignedPreKey { signed_prekey: alice.wire_signed() }).await.unwrap();
    let users = b.ask(&FetchKeys::of(alice.jid.clone())).await.unwrap();
    assert_eq!(users[0].bundle.clone().unwrap().signed_prekey.id, 2);
    assert_eq!(world.broken(), Vec::<String>::new());
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn one_time_keys_run_low_and_out() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.enlist("alice"), world.enlist("bob"));
    let (mut a, mut b) = (world.log_in_passive(&alice).await, world.log_in(&mut bob).await);
    a.ask(&alice.upload(12)).await.unwrap();
    a.activate().await;
    let mut got = Vec::new();
    for _ in 0..14 {
        let users = b.ask(&FetchKeys::of(alice.jid.clone())).await.unwrap();
        got.push(users[0].bundle.clone().unwrap().prekey.map(|key| key.id));
    }
    let mut expected: Vec<_> = (1..=12).map(Some).collect();
    expected.extend([None, None]);
    assert_eq!(got, expected);

    // Told once, at nine.
    let Inbound::Notification(notification) = a.inbound().await else { panic!() };
    assert_eq!(notification.event, NotificationEvent::PreKeysLow { count: 9 });
    a.send(&notification.ack().to_node(&world.profile)).await;
    a.ask(&alice.upload(1)).await.unwrap();
    assert!(a.waiting.is_empty());

    // After an upload, told again.
    b.ask(&FetchKeys::of(alice.jid.clone())).await.unwrap();
    let Inbound::Notification(notification) = a.inbound().await else { panic!() };
    assert_eq!(notification.event, NotificationEvent::PreKeysLow { count: 0 });
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn who_does_not_upload_is_told_again_after_a_day() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.enlist("alice"), world.enlist("bob"));
    let (mut a, mut b) = (world.log_in_passive(&alice).await, world.log_in(&mut bob).await);
    a.ask(&alice.upload(5)).await.unwrap();
    a.activate().await;
    for (later, told) in [(0, Some(4)), (86_399, None), (1, Some(2))] {
        world.sandbox.handle().advance_clock(later).unwrap();
        b.ask(&FetchKeys::of(alice.jid.clone())).await.unwrap();
        a.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
        let notice = a.waiting.pop_front();
        assert_eq!((notice.is_some(), a.waiting.len()), (told.is_some(), 0), "{later} s later");
        if let (Some(notice), Some(count)) = (notice, told) {
            let Inbound::Notification(notice) = Inbound::from_node(notice.view(), &world.profile).unwrap()
            else {
                panic!()
            };
            assert_eq!(notice.event, NotificationEvent::PreKeysLow { count });
            a.send(&notice.ack().to_node(&world.profile)).await;
        }
    }
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn bad_uploads() {
    let world = World::new().await;
    let mut alice = world.enlist("alice");
    let mut a = world.log_in_passive(&alice).await;
    let good = alice.upload(2);
    let mut signature = good.signed_prekey.signature;
    signature[0] ^= 1;
    let bad_signature = SignedPreKey { signature, ..good.signed_prekey };
    let low = PreKey { id: 9, value: [0; 32] };
    let zero = PreKey { id: 0, ..good.prekeys[0] };
    let many = vec![good.prekeys[0]; 4_097];
    for (upload, expected, word) in [
        (UploadKeys { identity: [7; 32], ..good.clone() }, IqErrorCode::NotAcceptable, "identity"),
        (
            UploadKeys { registration: good.registration + 1, ..good.clone() },
            IqErrorCode::NotAcceptable,
            "registration id",
        ),
        (
            UploadKeys { signed_prekey: bad_signature, ..good.clone() },
            IqErrorCode::NotAcceptable,
            "signature",
        ),
        (UploadKeys { prekeys: vec![low], ..good.clone() }, IqErrorCode::NotAcceptable, "low-order"),
        (UploadKeys { prekeys: vec![zero], ..good.clone() }, IqErrorCode::NotAcceptable, "out of range"),
        (UploadKeys { prekeys: many, ..good.clone() }, IqErrorCode::BadRequest, "at most"),
    ] {
        assert_eq!(code(a.ask(&upload).await), expected);
        let said = world.broken().pop().unwrap();
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(
        code(a.ask(&RotateSignedPreKey { signed_prekey: bad_signature }).await),
        IqErrorCode::NotAcceptable
    );
    assert_eq!(a.ask(&CountKeys).await.unwrap(), 0);

    // Of the wrong size: refused as the schema is broken.
    let short = Node::new("iq")
        .attr("id", "s-1")
        .attr("xmlns", "encrypt")
        .attr("type", "set")
        .attr("to", landbridge_stanza::server_jid())
        .child(Node::new("registration").bytes(&[0; 4]))
        .child(Node::new("type").bytes(&[5]))
        .child(Node::new("identity").bytes(&[0; 31]))
        .child(Node::new("list"));
    a.send(&short).await;
    let Inbound::Reply(reply) = a.inbound().await else { panic!() };
    assert_eq!(reply.error.unwrap().code, IqErrorCode::NotAcceptable);
    assert!(world.broken().pop().unwrap().contains("<iq/identity> holds 31 bytes: expected 32 bytes"));
    a.ask(&good).await.unwrap();
    world.sandbox.shutdown().await;
}

/// Many at once get different keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_given_away_once() {
    let world = std::sync::Arc::new(World::new().await);
    let mut alice = world.enlist("alice");
    let mut a = world.log_in_passive(&alice).await;
    a.ask(&alice.upload(100)).await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..5 {
        let (world, alice) = (world.clone(), alice.jid.clone());
        tasks.push(tokio::spawn(async move {
            let mut bob = world.enlist(&format!("bob {n}"));
            let mut b = world.log_in(&mut bob).await;
            let mut got = Vec::new();
            for _ in 0..20 {
                let users = b.ask(&FetchKeys::of(alice.clone())).await.unwrap();
                got.push(users[0].bundle.clone().unwrap().prekey.unwrap().id);
            }
            got
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (1..=100).collect::<Vec<_>>());
}

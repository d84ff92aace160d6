//! The poller against partners that are slow, huge, wandering or confused, and against honest ones.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::http::Version;
use landbridge_enlist::{FormKind, Reason};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::world::{Keys, SIGNERS, World, form_with, keys, request};
use crate::events::{EventKind, Rule};
use crate::faults::{Fault, Probability};
use crate::state::lock;

fn with_second_key(world: &World) -> String {
    let mut request = request(&world.partner, &keys());
    request.token = world.partner.token(1, "alice");
    request.to_form(FormKind::Full)
}

#[tokio::test]
async fn a_new_key_is_fetched_once_for_all_who_wait() {
    let world = Arc::new(World::start().await);
    world.key_set_event(|outcome| outcome.contains("accepted")).await;
    assert_eq!(world.partner.fetches(), 1);
    world.partner.publish(Keys::Of(&[0, 1]));
    world.partner.gate.send_replace(false);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let world = Arc::clone(&world);
        waiting.spawn(async move { world.post(with_second_key(&world)).await });
    }
    // With the fetch under way, whoever has a known key does not wait.
    while world.partner.fetches() == 1 {
        tokio::task::yield_now().await;
    }
    world.post(form_with(&world.partner, "x", None)).await.unwrap();
    world.partner.gate.send_replace(true);
    assert!(waiting.join_all().await.iter().all(Result::is_ok));
    assert_eq!(world.partner.fetches(), 2);
}

#[tokio::test]
async fn unknown_keys_make_one_fetch_and_are_remembered() {
    let world = World::start().await;
    world.key_set_event(|outcome| outcome.contains("accepted")).await;
    for _ in 0..5 {
        let refusal = world.refused(with_second_key(&world)).await;
        assert!(refusal.detail.unwrap().contains("kid_unknown"));
    }
    assert_eq!((world.partner.fetches(), world.partner.conditional()), (2, 1), "the refetch was conditional");
    world
        .key_set_event(|outcome| {
            outcome.starts_with("conditional GET, 304") && outcome.ends_with("unchanged")
        })
        .await;
}

#[tokio::test]
async fn a_removed_key_stops_at_once() {
    let world = World::with(Keys::Of(&[0, 1]), |_| {}).await;
    world.post(form_with(&world.partner, "x", None)).await.unwrap();
    world.partner.publish(Keys::Of(&[1]));
    world.refetch().await;
    let refusal = world.refused(form_with(&world.partner, "x", None)).await;
    assert!(refusal.detail.unwrap().contains("kid_unknown"));
    world.post(with_second_key(&world)).await.unwrap();
}

#[tokio::test]
async fn a_bad_answer_leaves_the_old_set() {
    let world = World::start().await;
    world.key_set_event(|outcome| outcome.contains("accepted")).await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let redirect = format!("http://{}/jwks", elsewhere.local_addr().unwrap());
    for (answer, words) in [
        (Keys::Raw(200, "<html>login</html>".to_owned()), "refused"),
        (Keys::Raw(200, r#"{"keys":[]}"#.to_owned()), "no usable key"),
        (Keys::Raw(500, r#"{"keys":[]}"#.to_owned()), "HTTP status 500"),
        (Keys::Raw(200, "x".repeat(70_000)), "larger than 65536 bytes"),
        (Keys::Redirect(redirect), "HTTP status 302"),
    ] {
        world.partner.publish(answer);
        world.refetch().await;
        world.key_set_event(|outcome| outcome.contains(words)).await;
        world.post(form_with(&world.partner, "x", None)).await.unwrap();
    }
    // A connection would be waiting by now.
    assert!(elsewhere.accept().is_err(), "a redirect is not followed");
}

#[tokio::test]
async fn a_silent_partner_holds_nobody_for_long() {
    let world = World::with(Keys::Silent, |_| {}).await;
    let begun = Instant::now();
    let refusal = world.refused(form_with(&world.partner, "x", None)).await;
    assert_eq!(refusal.reason, Reason::BadToken);
    assert!(refusal.detail.unwrap().contains("keys_unavailable"));
    assert!((2..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    world.key_set_event(|outcome| outcome.contains("did not answer")).await;
    // It comes back, and nothing has to be restarted.
    world.partner.publish(Keys::Of(&[0]));
    world.refetch().await;
    world.post(form_with(&world.partner, "x", None)).await.unwrap();
}

#[tokio::test]
async fn a_partner_that_is_not_there_yet() {
    let world = World::with(Keys::Raw(503, String::new()), |_| {}).await;
    world.key_set_event(|outcome| outcome.contains("HTTP status 503")).await;
    world.partner.publish(Keys::Of(&[0]));
    // The token's own fetch does not wait for the back-off.
    world.post(form_with(&world.partner, "x", None)).await.unwrap();
}

/// A partner by hand: what it was asked, line by line, and an answer for those who speak HTTP/1.1.
async fn by_hand() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = socket.read_u8().await else { break };
                head.push(byte);
            }
            let head = String::from_utf8(head).unwrap();
            let speaks = head.starts_with("GET ");
            lock(&seen).push(head);
            if speaks {
                let body = landbridge_enlist::jwks::to_json([SIGNERS[0].public_key()]);
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (url, asked)
}

#[tokio::test]
async fn fetches_come_in_either_version_and_with_other_headers() {
    let faults = [Fault::HttpVersion, Fault::HttpHeaders];
    let always = |faults: &[Fault]| faults.iter().map(|fault| (*fault, Probability::ALWAYS)).collect();
    // A partner that speaks both is asked in the other version.
    let world = World::with(Keys::Of(&[0]), |config| config.faults = always(&faults)).await;
    world.key_set_event(|outcome| outcome.contains("accepted")).await;
    world.refetch().await;
    let spoken = lock(&world.partner.versions).clone();
    assert!(spoken.iter().all(|version| *version == Version::HTTP_2) && spoken.len() == 2, "{spoken:?}");
    assert_eq!(world.partner.conditional(), 1, "the condition goes along");
    // One that speaks HTTP/1.1 alone is asked once more, and the journal says so.
    let (url, asked) = by_hand().await;
    let world = World::with(Keys::Silent, |config| {
        config.partners = vec![(1, url)];
        config.faults = always(&faults);
    })
    .await;
    world.key_set_event(|outcome| outcome.contains("accepted")).await;
    assert!(world.events().iter().any(|event| {
        matches!(&event.kind, EventKind::Unusual { rule, .. } if rule.text == Rule::HTTP_VERSIONS.text)
    }));
    let heads = lock(&asked).clone();
    assert!(heads[0].starts_with("PRI * HTTP/2.0") && heads[1].starts_with("GET "), "{heads:?}");
    // Header names in another case.
    let (url, asked) = by_hand().await;
    let world = World::with(Keys::Silent, |config| {
        config.partners = vec![(1, url)];
        config.faults = always(&faults[1..]);
    })
    .await;
    world.key_set_event(|outcome| outcome.contains("accepted")).await;
    let head = lock(&asked)[0].clone();
    assert!(head.contains("\r\nUser-Agent: landbridge/") && head.contains("\r\nAccept: "), "{head}");
    let injected = world
        .events()
        .into_iter()
        .filter(|event| matches!(&event.kind, EventKind::FaultInjected { fault: "http-headers", .. }));
    assert_eq!(injected.count(), 1);
}

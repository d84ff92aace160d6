//! The poller against partners that are slow, huge, wandering or confused, and against honest ones.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use landbridge_enlist::{FormKind, Reason};

use super::world::{Keys, World, form_with, keys, request};

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

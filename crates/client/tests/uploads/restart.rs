//! A process ends in the middle of an upload; the next one goes on.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use landbridge::Event;
use landbridge::media::encrypted_length;
use landbridge::store::OutState;
use landbridge::transport::HttpClient;
use landbridge::transport::http_client::Method;

use super::world::{SESSION, World, bob, bytes};

/// What a request has beside its piece, and far more.
const HEADERS: u64 = 4_096;
const PIECE: u64 = 1024 * 1024;

/// A life that ends when so many bytes have left; the file is on its way.
async fn cut(world: &World, plain: &[u8], after: u64) -> landbridge::stanza::MessageId {
    world.gate.hold_after(after);
    let life = world.open().await;
    life.client.connect().await.unwrap();
    let id = life.send(plain).await;
    world.gate.held().await;
    assert_eq!(life.client.message_state(&bob(), &id).await.unwrap(), Some(OutState::Pending));
    assert_eq!(world.spooled().len(), 1);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_where_it_was() {
    let (world, plain) = (World::new().await, bytes(5_000_000, 1));
    let id = cut(&world, &plain, 3 * PIECE).await;
    let before = world.upload().await;
    assert!(before.place.is_some(), "where it lies is kept");
    let ciphertext = std::fs::read(&world.spooled()[0]).unwrap();
    assert!(
        !ciphertext.windows(64).any(|window| window == &plain[..64]),
        "nothing of the plain file is there"
    );
    world.gate.open();
    let mut life = world.open().await;
    let pending = life.files.pending().await.unwrap();
    assert_eq!((&pending[0].to, &pending[0].id, pending[0].file_length), (&bob(), &id, 5_000_000));
    life.client.connect().await.unwrap();
    let all = encrypted_length(5_000_000).unwrap();
    let mut first = None;
    loop {
        if let Event::FileProgress { id: of_id, bytes, of, .. } = life.events.next().await.unwrap() {
            assert_eq!((&of_id, of), (&id, all));
            first.get_or_insert(bytes);
            if bytes == of {
                break;
            }
        }
    }
    assert!(first.unwrap() >= 2 * PIECE, "it began at {first:?}");
    life.delivered(&id).await;
    world.arrived(&id, &plain).await;
    let most = all + PIECE + 12 * HEADERS;
    assert!(world.gate.passed() <= most, "{} of at most {most}", world.gate.passed());
    assert!(world.spooled().is_empty() && life.files.pending().await.unwrap().is_empty());
    assert_eq!(life.client.why_failed(&bob(), &id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_offline_goes_out_with_the_first_login() {
    let (world, plain) = (World::new().await, bytes(30_000, 2));
    let life = world.open().await;
    let id = life.send(&plain).await;
    drop(life);
    assert_eq!(world.gate.passed(), 0);
    let life = world.open().await;
    life.client.connect().await.unwrap();
    life.delivered(&id).await;
    world.arrived(&id, &plain).await;
    assert!(world.spooled().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cancelled_stays_cancelled() {
    let (world, plain) = (World::new().await, bytes(3_000_000, 3));
    let cancelled = cut(&world, &plain, 2 * PIECE).await;
    world.gate.hold_after(0);
    let life = world.open().await;
    life.client.connect().await.unwrap();
    assert!(life.files.cancel(&bob(), &cancelled).await.unwrap());
    assert!(!life.files.cancel(&bob(), &cancelled).await.unwrap(), "once");
    assert!(world.spooled().is_empty() && life.files.pending().await.unwrap().is_empty());
    assert_eq!(life.client.message_state(&bob(), &cancelled).await.unwrap(), Some(OutState::Failed));
    drop(life);
    world.gate.open();
    let life = world.open().await;
    life.client.connect().await.unwrap();
    // What is sent behind it arrives, and it does not.
    let id = life.send(&plain[..100]).await;
    life.delivered(&id).await;
    assert!(!life.files.cancel(&bob(), &id).await.unwrap(), "it is sent");
    let screen = world.sandbox.handle().phone_messages(super::world::BOB).unwrap();
    assert!(screen.iter().all(|line| line.id != cancelled.as_str()), "{screen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_server_has_dropped_begins_anew_with_the_same_bytes() {
    let (world, plain) = (World::new().await, bytes(3_000_000, 4));
    let id = cut(&world, &plain, 2 * PIECE).await;
    let upload = world.upload().await;
    world.gate.cut();
    delete(&upload.place.unwrap()).await;
    let before = world.gate.passed();
    let life = world.open().await;
    life.client.connect().await.unwrap();
    life.delivered(&id).await;
    world.arrived(&id, &plain).await;
    assert!(world.gate.passed() - before >= upload.length, "all of it went again");
    let content = life.client.message(&bob(), &id).await.unwrap().unwrap().body;
    let landbridge::Body::Content(content) = content else { panic!("{content:?}") };
    assert_eq!(content.media().unwrap().file_enc_sha256, Some(&upload.sha256[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_has_already_is_not_sent_again() {
    let (world, plain) = (World::new().await, bytes(3_000_000, 5));
    let id = cut(&world, &plain, 2 * PIECE).await;
    let upload = world.upload().await;
    // As if its last answer had been lost, and the upload forgotten since.
    let file = std::fs::read(&world.spooled()[0]).unwrap();
    world.gate.cut();
    delete(&upload.place.unwrap()).await;
    let hash = BASE64_URL_SAFE_NO_PAD.encode(upload.sha256);
    let url = format!("{}/v1/media/by-hash/{hash}", world.partner.base_url());
    let headers =
        [("authorization", authorization()), ("content-type", "application/octet-stream".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let http = HttpClient::builder().build().unwrap();
    let stored = http.request(Method::PUT, &url, &headers, bytes::Bytes::from(file)).await.unwrap();
    assert_eq!(stored.status.as_u16(), 201);
    let before = world.gate.passed();
    let life = world.open().await;
    life.client.connect().await.unwrap();
    life.delivered(&id).await;
    world.arrived(&id, &plain).await;
    assert!(world.gate.passed() - before < 4 * HEADERS, "{} bytes", world.gate.passed() - before);
}

fn authorization() -> String {
    format!("Bearer {SESSION}")
}

/// Ends an upload, as time does.
async fn delete(place: &str) {
    let authorization = authorization();
    let headers = [("authorization", authorization.as_str()), ("tus-resumable", "1.0.0")];
    let http = HttpClient::builder().build().unwrap();
    loop {
        let answer = http.request(Method::DELETE, place, &headers, bytes::Bytes::new()).await.unwrap();
        match answer.status.as_u16() {
            204 => return,
            // The server may not have noticed yet that nobody writes to it any more.
            409 | 423 => tokio::task::yield_now().await,
            other => panic!("{other}"),
        }
    }
}

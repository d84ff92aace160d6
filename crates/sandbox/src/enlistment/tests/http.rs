//! What HTTP answers before anything is an enlistment, and the sandbox's own key set.

use std::time::{Duration, Instant};

use landbridge_enlist::FormKind;
use landbridge_enlist::jwks::KeySet;
use landbridge_transport::HttpClient;

use super::super::{JWKS_PATH, PATH};
use super::world::{Keys, World, keys, raw, request};

fn post(headers: &str, body: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n{body}")
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[tokio::test]
async fn methods() {
    let world = World::start().await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let bytes = format!("{method} {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = raw(world.addr, bytes.as_bytes()).await.to_lowercase();
        assert!(answer.starts_with("http/1.1 405 ") && answer.contains("\r\nallow: post\r\n"), "{answer}");
        assert_eq!(world.last_refusal().0, "405");
    }
    // Method before size and media type.
    let both = raw(
        world.addr,
        format!("PUT {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n").as_bytes(),
    )
    .await;
    assert!(both.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn sizes() {
    let world = World::start().await;
    let announced = raw(world.addr, post("Content-Length: 16385\r\n", "").as_bytes()).await;
    assert!(announced.starts_with("HTTP/1.1 413 "), "size before media type: {announced}");
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
    let endless = post(&format!("{FORM}Transfer-Encoding: chunked\r\n"), &chunk.repeat(5));
    assert!(raw(world.addr, endless.as_bytes()).await.starts_with("HTTP/1.1 413 "));
    assert_eq!(world.last_refusal().0, "413");
    let exact = "x".repeat(16 * 1024);
    let exact = raw(world.addr, post(&format!("{FORM}Content-Length: 16384\r\n"), &exact).as_bytes()).await;
    assert!(exact.starts_with("HTTP/1.1 200 ") && exact.contains("missing_param"), "{exact}");
}

#[tokio::test]
async fn media_types() {
    let world = World::start().await;
    let body = request(&world.partner, &keys()).to_form(FormKind::Full);
    let length = format!("Content-Length: {}\r\n", body.len());
    for bad in [
        "",
        "Content-Type: application/json\r\n",
        "Content-Type: application/x-www-form-urlencodedx\r\n",
        "Content-Type:\r\n",
        &FORM.repeat(2),
    ] {
        let answer = raw(world.addr, post(&format!("{bad}{length}"), &body).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 415 "), "{bad}: {answer}");
        assert_eq!(world.last_refusal().0, "415");
    }
    let good = "Content-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8\r\n";
    let answer = raw(world.addr, post(&format!("{good}{length}"), &body).as_bytes()).await;
    assert!(answer.contains(r#""status":"ok""#), "{answer}");
}

#[tokio::test]
async fn the_query_is_not_read() {
    let world = World::start().await;
    let body = request(&world.partner, &keys()).to_form(FormKind::Full);
    let head = format!(
        "POST {PATH}?{body} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{FORM}Content-Length: 3\r\n\r\nx=1"
    );
    assert!(raw(world.addr, head.as_bytes()).await.contains("missing_param"));
}

#[tokio::test]
async fn slow_clients() {
    let world = World::start().await;
    let begun = Instant::now();
    raw(world.addr, format!("POST {PATH} HTTP/1.1\r\nHost: ").as_bytes()).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "the header has its own limit");
    let begun = Instant::now();
    let answer = raw(world.addr, post(&format!("{FORM}Content-Length: 9\r\n"), "authkey=").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!((4..8).contains(&begun.elapsed().as_secs()));
    assert_eq!(world.last_refusal().0, "408");
}

#[tokio::test]
async fn the_sandboxes_own_keys_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut documents = Vec::new();
    for _ in 0..2 {
        let world =
            World::with(Keys::Of(&[0]), |config| config.data_dir = Some(directory.path().to_owned())).await;
        let url = format!("http://{}{JWKS_PATH}", world.addr);
        let client = HttpClient::builder().build().unwrap();
        let answer = client.get(&url, &[]).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/json")));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        let set = KeySet::parse(&answer.body).unwrap().set;
        assert_eq!(set.kids().count(), 2, "a standby is published");
        let again = client.get(&url, &[("if-none-match", answer.etag().unwrap())]).await.unwrap();
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
        documents.push(answer.body);
    }
    assert_eq!(documents[0], documents[1]);
}

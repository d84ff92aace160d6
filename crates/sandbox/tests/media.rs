//! The media server: partners' files and those of phones, asked for over its socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use landbridge_media::{Claim, DownloadPath, Expected, MediaKind, decrypt};
use landbridge_proto::content::Media;
use landbridge_sandbox::events::{Event, EventKind};
use landbridge_sandbox::faults::{Fault, Probability};
use landbridge_sandbox::{Direction, FileError, PhoneFile, Sandbox, SandboxConfig};
use landbridge_transport::http_client::{Method, Response as Answer};
use landbridge_transport::{HttpClient, HttpLimits, serve};

const REFERENCE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// What a partner's server was asked.
type Asked = Arc<Mutex<Vec<(String, HeaderMap)>>>;

async fn partner(asked: Asked) -> String {
    async fn file(State(asked): State<Asked>, Path(name): Path<String>, headers: HeaderMap) -> Response {
        asked.lock().unwrap().push((name.clone(), headers.clone()));
        let etag = [(header::ETAG, "\"e\"")];
        match name.as_str() {
            REFERENCE if headers.contains_key("if-none-match") => {
                (StatusCode::NOT_MODIFIED, etag).into_response()
            }
            REFERENCE if headers.contains_key("range") => {
                let place = [(header::CONTENT_RANGE, "bytes 4-9/10")];
                (StatusCode::PARTIAL_CONTENT, etag, place, "456789").into_response()
            }
            REFERENCE => (etag, [("set-cookie", "a=b")], "0123456789").into_response(),
            name if name.starts_with("redirect") => {
                (StatusCode::FOUND, [(header::LOCATION, "http://127.0.0.1:1/secret")]).into_response()
            }
            name if name.starts_with("squeezed") => {
                ([(header::CONTENT_ENCODING, "gzip")], "\u{1f}").into_response()
            }
            name if name.starts_with("trouble") => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let routes = Router::new().route("/whatsapp/{name}", get(file)).with_state(asked);
    let server = serve(listener, routes, HttpLimits::default(), std::future::pending()).unwrap();
    format!("http://{}/whatsapp", server.local_addr())
}

struct World {
    sandbox: Sandbox,
    asked: Asked,
    http: HttpClient,
}

impl World {
    async fn new() -> Self {
        let asked = Asked::default();
        let config = SandboxConfig::default().partner(7, partner(Arc::clone(&asked)).await);
        let sandbox = Sandbox::start(config).await.unwrap();
        let http = HttpClient::builder().max_body(10_000_000).build().unwrap();
        Self { sandbox, asked, http }
    }

    async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let url = format!("{}{path}", self.sandbox.media_url());
        self.http.request(method, &url, headers, "").await.unwrap()
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.call(Method::GET, path, headers).await
    }

    /// A picture from one phone to another, and the path in its message.
    async fn picture(&self, length: usize) -> (PhoneFile, landbridge_stanza::MessageId) {
        let handle = self.sandbox.handle();
        for number in ["14155551001", "14155551002"] {
            handle.create_phone(number, number).unwrap();
        }
        let bytes = (0..length).map(|n| (n / 3) as u8).collect();
        let file = PhoneFile { bytes, caption: Some("the harbour".to_owned()), ..PhoneFile::default() };
        let id = handle.phone_send_file("14155551001", "14155551002", &file).unwrap();
        self.received(&id).await;
        (file, id)
    }

    /// Waits until the second phone shows a message.
    async fn received(&self, id: &landbridge_stanza::MessageId) {
        let handle = self.sandbox.handle();
        let mut changes = handle.watch_phone("14155551002").unwrap();
        loop {
            changes.mark_unchanged();
            let shown = handle.phone_messages("14155551002").unwrap();
            if shown.iter().any(|line| line.id == id.as_str()) {
                return;
            }
            changes.changed().await.unwrap();
        }
    }
}

fn interop(integrator: &str, reference: &str) -> String {
    format!("/interop/whatsapp/download/{integrator}/{reference}/")
}

#[tokio::test]
async fn partners_files_are_fetched_by_reference_and_nothing_else_goes_on() {
    let world = World::new().await;
    let secrets = [("cookie", "session=1"), ("authorization", "Bearer x"), ("x-forwarded-for", "10.0.0.1")];
    let whole = world.get(&interop("7", REFERENCE), &secrets).await;
    assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &b"0123456789"[..]));
    assert_eq!((whole.header("etag"), whole.header("content-length")), (Some("\"e\""), Some("10")));
    assert_eq!(whole.header("set-cookie"), None);
    // What clients made of other programs append is cut off.
    let appended = world.get(&format!("{}&hash=abc&mms-type=image", interop("7", REFERENCE)), &[]).await;
    assert_eq!(appended.status.as_u16(), 200);
    let part = world.get(&interop("7", REFERENCE), &[("range", "bytes=4-"), ("if-range", "\"e\"")]).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"456789"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 4-9/10"));
    let known = world.get(&interop("7", REFERENCE), &[("if-none-match", "\"e\"")]).await;
    assert_eq!(known.status.as_u16(), 304);
    let head = world.call(Method::HEAD, &interop("7", REFERENCE), &[]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, Some("10")));

    for (name, headers) in world.asked.lock().unwrap().iter() {
        assert_eq!(name, REFERENCE);
        for (secret, _) in secrets {
            assert!(!headers.contains_key(secret), "{secret} is the phone's own");
        }
    }
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn no_request_leads_elsewhere() {
    let world = World::new().await;
    let pad = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (path, status) in [
        (interop("8", REFERENCE), 404),
        (interop("07", REFERENCE), 404),
        (interop("65543", REFERENCE), 404),
        (interop("7", "short"), 404),
        (interop("7", pad), 404),
        (interop("7", &format!("redirect{pad}")), 502),
        (interop("7", &format!("trouble{pad}")), 502),
        (interop("7", &format!("squeezed{pad}")), 502),
        (interop("7", "%2e%2e%2fadmin%2fkeys%2frotate00000"), 404),
        ("/interop/whatsapp/download/7/../../admin/".to_owned(), 404),
        ("//127.0.0.1:1/interop/whatsapp/download/7/x".to_owned(), 404),
        ("/interop/whatsapp/download/7@127.0.0.1:1/aaaaaaaaaaaaaaaaaaaaaaaa/".to_owned(), 404),
        ("/v/t62.7118-24/1_n.enc?oh=1".to_owned(), 404),
        ("/".to_owned(), 404),
    ] {
        assert_eq!(world.get(&path, &[]).await.status.as_u16(), status, "{path}");
    }
    let names: Vec<String> = world.asked.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
    let expected = ["", "redirect", "trouble", "squeezed"].map(|name| format!("{name}{pad}"));
    assert_eq!(names, expected);
    let posted = world.call(Method::POST, &interop("7", REFERENCE), &[]).await;
    assert_eq!((posted.status.as_u16(), posted.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn the_journal_has_each_exchange_with_its_hash_and_without_what_opens_the_file() {
    let world = World::new().await;
    let path = interop("7", REFERENCE);
    let mut seen = 0;
    for (method, headers, status, body, part) in [
        (Method::GET, &[][..], 200, "0123456789", false),
        (Method::GET, &[("range", "bytes=4-")][..], 206, "456789", true),
        (Method::HEAD, &[][..], 200, "", false),
        (Method::GET, &[("if-none-match", "\"e\"")][..], 304, "", false),
    ] {
        world.call(method.clone(), &path, headers).await;
        let is_media = |event: &Event| matches!(event.kind, EventKind::Media(_));
        let event = world.sandbox.handle().wait_for(seen, is_media).await;
        seen = event.seq;
        let EventKind::Media(found) = event.kind else { panic!("{event:?}") };
        assert_eq!((found.method.as_str(), found.status, found.part), (method.as_str(), status, part));
        assert_eq!((found.integrator, found.bytes, found.whole), (Some(7), body.len() as u64, true));
        let hash = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found.body_sha256, hash);
        assert!(!found.path.contains(REFERENCE), "{}", found.path);
    }
}

#[tokio::test]
async fn a_partner_who_is_not_there_is_502() {
    let sandbox = Sandbox::start(SandboxConfig::default().partner(7, "http://127.0.0.1:9")).await.unwrap();
    let http = HttpClient::builder().build().unwrap();
    let answer = http.get(&format!("{}{}", sandbox.media_url(), interop("7", REFERENCE)), &[]).await.unwrap();
    assert_eq!(answer.status.as_u16(), 502);
}

#[tokio::test]
async fn phones_send_files_and_fetch_them() {
    let world = World::new().await;
    let (file, id) = world.picture(100_000).await;
    let handle = world.sandbox.handle();
    let shown = handle.phone_messages("14155551002").unwrap();
    let line = shown.iter().find(|line| line.direction == Direction::Received).unwrap();
    assert_eq!((line.kind.as_str(), line.text.as_deref()), ("image", Some("the harbour")));
    let fetched = handle.phone_fetch_file("14155551002", "14155551001", &id).await.unwrap();
    assert_eq!((fetched.bytes, fetched.kind), (file.bytes, MediaKind::Image));
    assert_eq!((fetched.mimetype.as_str(), fetched.caption.as_deref()), ("image/jpeg", Some("the harbour")));

    // Links expire.
    handle.advance_clock(31 * 86_400).unwrap();
    let late = handle.phone_fetch_file("14155551002", "14155551001", &id).await.unwrap_err();
    assert!(matches!(late, FileError::Status { status: 403 }), "{late:?}");

    let limit = MediaKind::Sticker.default_limit();
    let large =
        PhoneFile { kind: MediaKind::Sticker, bytes: vec![0; limit as usize + 1], ..PhoneFile::default() };
    let refused = handle.phone_send_file("14155551001", "14155551002", &large).unwrap_err();
    assert!(matches!(refused, FileError::TooLarge { limit: got } if got == limit));
    let bare = PhoneFile { kind: MediaKind::ImageThumbnail, ..PhoneFile::default() };
    assert!(matches!(
        handle.phone_send_file("14155551001", "14155551002", &bare),
        Err(FileError::Kind { kind: MediaKind::ImageThumbnail })
    ));
    let text = handle.phone_send_text("14155551001", "14155551002", "no file").unwrap();
    world.received(&text).await;
    let none = handle.phone_fetch_file("14155551002", "14155551001", &text).await.unwrap_err();
    assert!(matches!(none, FileError::NoFile), "{none:?}");
}

/// The encrypted file of a message that one phone sent another, asked for as any client would.
#[tokio::test]
async fn what_phones_upload_is_given_whole_and_in_parts() {
    let world = World::new().await;
    let (file, id) = world.picture(100_000).await;
    let message = world.sandbox.handle().phone_message("14155551002", "14155551001", &id).unwrap().unwrap();
    let media = Media::of(&message).unwrap();
    let path: DownloadPath = media.direct_path.unwrap().parse().unwrap();
    assert!(path.as_str().starts_with("/v/t62.7118-24/"));
    let whole = world.get(path.as_str(), &[]).await;
    assert_eq!((whole.status.as_u16(), whole.body.len()), (200, 100_026));
    let mut claim = Claim::default();
    claim.media_key = media.media_key;
    claim.file_sha256 = media.file_sha256;
    claim.file_enc_sha256 = media.file_enc_sha256;
    claim.file_length = media.file_length;
    let expected = Expected::of_message(MediaKind::Image, claim, 1_000_000).unwrap();
    assert_eq!(decrypt(&expected, &whole.body).unwrap(), file.bytes);

    let etag = whole.etag().unwrap().to_owned();
    let part = world.get(path.as_str(), &[("range", "bytes=100000-"), ("if-range", &etag)]).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &whole.body[100_000..]));
    assert_eq!(part.header("content-range"), Some("bytes 100000-100025/100026"));
    let other = world.get(path.as_str(), &[("range", "bytes=5-"), ("if-range", "\"other\"")]).await;
    assert_eq!((other.status.as_u16(), other.body.len()), (200, 100_026));
    let behind = world.get(path.as_str(), &[("range", "bytes=100026-")]).await;
    assert_eq!((behind.status.as_u16(), behind.header("content-range")), (416, Some("bytes */100026")));
    for known in [etag.clone(), format!("\"a\", W/{etag}"), "*".to_owned()] {
        assert_eq!(
            world.get(path.as_str(), &[("if-none-match", &known)]).await.status.as_u16(),
            304,
            "{known}"
        );
    }
    let guessed = path.as_str().replace("oh=", "oh=A");
    assert_eq!(world.get(&guessed, &[]).await.status.as_u16(), 404, "the number alone opens nothing");
}

#[tokio::test]
async fn each_fault_does_what_it_says_and_is_in_the_journal() {
    let world = World::new().await;
    let (_, id) = world.picture(5_000).await;
    let handle = world.sandbox.handle();
    let message = handle.phone_message("14155551002", "14155551001", &id).unwrap().unwrap();
    let path = Media::of(&message).unwrap().direct_path.unwrap().to_owned();
    let good = world.get(&path, &[]).await.body;
    let url = format!("{}{path}", world.sandbox.media_url());
    let once = |fault| handle.set_fault(fault, Probability::new(1.0).unwrap(), Some(1));

    once(Fault::MediaShort);
    assert!(world.http.get(&url, &[]).await.is_err(), "the answer breaks off");
    once(Fault::MediaLength);
    let short = world.get(&path, &[]).await;
    assert_eq!((short.status.as_u16(), &short.body[..]), (200, &good[..good.len() - 16]));
    once(Fault::MediaWhole);
    let whole = world.get(&path, &[("range", "bytes=9-")]).await;
    assert_eq!((whole.status.as_u16(), &whole.body), (200, &good));
    once(Fault::MediaDamaged);
    let damaged = world.get(&path, &[]).await.body;
    let differing: u32 = good.iter().zip(&damaged).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((damaged.len(), differing), (good.len(), 1));
    once(Fault::MediaGone);
    assert_eq!(world.get(&path, &[]).await.status.as_u16(), 404);
    assert_eq!(world.get(&path, &[]).await.body, good, "each came once");

    let injected: Vec<String> = handle.events(0).iter().map(|event| format!("{event:?}")).collect();
    for name in ["media-short", "media-length", "media-whole", "media-damaged", "media-gone"] {
        assert!(injected.iter().any(|event| event.contains(name)), "{name} is in the journal");
    }
    assert!(!injected.iter().any(|event| event.contains("oh=")), "the secret half of a link is not");
}

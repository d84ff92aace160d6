//! Nothing that is secret or says who somebody is gets into a log, an error or a metric, and nothing gets into an engine that it
//! has no use for. A process of its own, since the log is the process's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::place::Place;
use common::whatsapp::WhatsApp;
use common::{Events, put_target, send, token, until};
use landbridge_partner::PartnerConfig;
use landbridge_partner::wake::FcmConfig;

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the account of a provider. A line of its key.
fn provider_account(path: &Path) -> String {
    let keys: serde_json::Value =
        serde_json::from_str(include_str!("../../enlist/tests/vectors/private-keys.json")).unwrap();
    let key = keys["keys"]["partner-1/p1-2026-10"].as_str().unwrap();
    let account = serde_json::json!({
        "type": "service_account", "project_id": "demo-project", "private_key_id": "k1", "private_key": key,
        "client_email": "push@demo-project.example", "token_uri": "http://127.0.0.1:9/token",
    });
    std::fs::write(path, account.to_string()).unwrap();
    key.lines().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn canaries_stay_where_they_are() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let (session, user) = ("canary-session-7f3a", "canary-user-91c2");
    let whatsapp = WhatsApp::start().await;
    let place = Place::new().await;
    let account = tempfile::NamedTempFile::new().unwrap();
    let provider_secret = provider_account(account.path());
    let config = PartnerConfig {
        dev_users: [(session.to_owned(), user.to_owned())].into(),
        fcm: Some(FcmConfig {
            service_account: account.path().to_owned(),
            url: "http://127.0.0.1:9".to_owned(),
        }),
        ..whatsapp.config()
    };
    let partner = whatsapp.partner_at(&place, config).await;
    let addr = partner.addr();
    // What a database has to know, and what nobody has.
    let (mut known, mut canaries) = (vec![user.to_owned()], vec![session.to_owned(), provider_secret]);
    let issued = token(addr, session).await.json()["token"].as_str().unwrap().to_owned();
    canaries.push(issued);
    let fcm = r#"{"kind":"fcm","token":"canary-push-token"}"#;
    assert_eq!(put_target(addr, session, "canary-tablet", fcm).await.status, 204);
    put_target(addr, session, "canary-device", r#"{"kind":"socket"}"#).await;
    known.extend(["canary-device", "canary-tablet", "canary-push-token"].map(str::to_owned));
    let mut events = Events::open(addr, session, "device=canary-device").await;
    canaries.push(whatsapp.bearer(&partner));
    assert_eq!(whatsapp.push(&partner, user).await.status, 200);
    events.next().await;
    common::whatsapp::push(&partner, "canary.bearer.bad", r#"{"to":"canary-text"}"#).await;
    canaries.extend(["canary.bearer.bad", "canary-text"].map(str::to_owned));
    let body = "c".repeat(26);
    let digest = "canary-digest";
    let authorization = format!("Bearer {session}");
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/octet-stream")];
    send(addr, &format!("PUT /v1/media/by-hash/{digest}"), &headers, &body).await;
    let hash = {
        use base64::Engine as _;
        let digest = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest.as_ref())
    };
    let stored = send(addr, &format!("PUT /v1/media/by-hash/{hash}"), &headers, &body).await;
    let reference = stored.json()["storage_reference"].as_str().unwrap().to_owned();
    send(addr, &format!("GET /{reference}"), &[], "").await;
    send(addr, "GET /canary-path?canary-query", &[("Cookie", "canary-cookie")], "").await;
    known.extend([hash, common::hosting::sha256_hex(body.as_bytes())]);
    canaries.extend([
        reference,
        "canary-cookie".to_owned(),
        "canary-path".to_owned(),
        "canary-query".to_owned(),
    ]);
    let metrics = send(partner.admin_addr(), "GET /metrics", &[], "").await.body;
    let ready = send(partner.admin_addr(), "GET /health/ready", &[], "").await.body;
    if place.is_grown() {
        // Where streams are is in NATS, too, a moment later.
        until("the route is kept", async || !place.messages().await.is_empty()).await;
    }
    let engines = place.engines_say().await;
    partner.shutdown().await;
    let keys = place.private_keys().await;
    assert!(keys.len() >= 2);
    canaries.extend(keys.iter().map(|pem| pem.lines().nth(1).unwrap().to_owned()));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // What other crates trace of the wire is theirs, and off unless asked for.
    let ours: String =
        log.lines().filter(|line| line.contains(" landbridge_")).collect::<Vec<_>>().join("\n");
    assert!(ours.contains("partner server started") && ours.contains("partner server stopped"), "{ours}");
    for canary in canaries.iter().chain(&known) {
        for (place, text) in [("log", &ours), ("metrics", &metrics), ("health", &ready)] {
            assert!(!text.contains(canary), "{canary} is in the {place}");
        }
    }
    for (place, text) in &engines {
        assert!(!text.is_empty());
        let may_know = *place == "database";
        assert!(!may_know || text.contains(user), "the dump is of another database");
        for canary in canaries.iter().chain(known.iter().filter(|_| !may_know)) {
            assert!(!text.contains(canary), "{canary} is in the {place}");
            // A dump has bytes in hexadecimal.
            let hexadecimal: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(!text.contains(&hexadecimal), "{canary} is in the {place}");
        }
    }
}

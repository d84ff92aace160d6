//! Nothing that is secret or says who somebody is gets into a log, an error or a metric. A process of its own, since the
//! log is the process's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use common::whatsapp::WhatsApp;
use common::{Events, put_target, send, token};
use landbridge_partner::PartnerConfig;

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
    let directory = tempfile::tempdir().unwrap();
    let config = PartnerConfig {
        dev_users: [(session.to_owned(), user.to_owned())].into(),
        data_dir: Some(directory.path().to_owned()),
        ..whatsapp.config()
    };
    let partner = whatsapp.partner(config).await;
    let addr = partner.addr();
    let mut canaries = vec![session.to_owned(), user.to_owned()];
    let issued = token(addr, session).await.json()["token"].as_str().unwrap().to_owned();
    canaries.push(issued);
    put_target(addr, session, "canary-device", r#"{"kind":"socket"}"#).await;
    put_target(addr, session, "canary-device", r#"{"kind":"fcm","token":"canary-push-token"}"#).await;
    canaries.extend(["canary-device", "canary-push-token"].map(str::to_owned));
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
    canaries.extend([
        reference,
        hash,
        "canary-cookie".to_owned(),
        "canary-path".to_owned(),
        "canary-query".to_owned(),
    ]);
    let metrics = send(partner.admin_addr(), "GET /metrics", &[], "").await.body;
    let ready = send(partner.admin_addr(), "GET /health/ready", &[], "").await.body;
    partner.shutdown().await;
    for name in ["active.pem", "standby.pem"] {
        let pem = std::fs::read_to_string(directory.path().join("keys").join(name)).unwrap();
        canaries.push(pem.lines().nth(3).unwrap().to_owned());
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // What other crates trace of the wire is theirs, and off unless asked for.
    let ours: String =
        log.lines().filter(|line| line.contains(" landbridge_")).collect::<Vec<_>>().join("\n");
    assert!(ours.contains("partner server started") && ours.contains("partner server stopped"), "{ours}");
    for canary in canaries {
        for (place, text) in [("log", &ours), ("metrics", &metrics), ("health", &ready)] {
            assert!(!text.contains(&canary), "{canary} is in the {place}");
        }
    }
}

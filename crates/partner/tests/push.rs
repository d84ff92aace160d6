//! WhatsApp's pushes over a socket: what is believed, what is kept, and what a device gets to know.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use axum::http::header::{ETAG, LOCATION};
use axum::response::IntoResponse as _;
use common::place::Place;
use common::whatsapp::{Hand, KeyServer, WhatsApp, push};
use common::{ALICE, Events, config, put_target, send, token, until};
use landbridge_enlist::jwks;
use landbridge_enlist::jwt::{self, Claims};
use landbridge_partner::store::{SqliteStore, WakeQueue as _};
use landbridge_partner::{Partner, PartnerConfig, PushConfig, UnknownUser};
use serde_json::Value;

const SOCKET: &str = r#"{"kind":"socket"}"#;

/// A partner server to which alice is known, with one device.
async fn with_alice(whatsapp: &WhatsApp) -> Partner {
    let partner = whatsapp.partner(whatsapp.config()).await;
    assert_eq!(put_target(partner.addr(), ALICE, "phone", SOCKET).await.status, 204);
    partner
}

async fn metric(partner: &Partner, line: &str) -> Option<u64> {
    let text = send(partner.admin_addr(), "GET /metrics", &[], "").await.body;
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[tokio::test]
async fn a_push_reaches_the_open_stream() {
    let whatsapp = WhatsApp::start().await;
    let partner = whatsapp.partner(whatsapp.config()).await;
    let mut events = Events::open(partner.addr(), ALICE, "device=phone").await;
    let answer = whatsapp.push(&partner, "alice").await;
    assert_eq!((answer.status, answer.header("content-length"), answer.body.as_str()), (200, Some("0"), ""));
    let id = events.next().await;
    assert_eq!(id.len(), 22, "128 random bits");
    let queued = "landbridge_push_received_total{result=\"queued\"}";
    assert_eq!(metric(&partner, queued).await, Some(1));
    let sent = "landbridge_wake_sent_total{kind=\"socket\",result=\"ok\"}";
    until("the wake-up is settled", async || metric(&partner, sent).await == Some(1)).await;
    partner.shutdown().await;
    assert!(events.ended().await, "streams end with the server");
}

#[tokio::test]
async fn a_device_that_was_away_gets_it_when_it_comes() {
    let whatsapp = WhatsApp::start().await;
    let partner = with_alice(&whatsapp).await;
    assert_eq!(whatsapp.push(&partner, "alice").await.status, 200);
    let tried = "landbridge_wake_sent_total{kind=\"socket\",result=\"retry\"}";
    until("an attempt in vain", async || metric(&partner, tried).await.is_some()).await;
    Events::open(partner.addr(), ALICE, "device=phone").await.next().await;
}

#[tokio::test]
async fn pushes_in_a_window_are_one() {
    let whatsapp = WhatsApp::with(Hand::at(1_800_000_000)).await;
    let partner = whatsapp.partner(whatsapp.config()).await;
    assert_eq!(token(partner.addr(), "b").await.status, 200, "known by a token");
    let mut events = Events::open(partner.addr(), ALICE, "device=phone").await;
    assert_eq!(whatsapp.push(&partner, "alice").await.status, 200);
    let first = events.next().await;
    for _ in 0..10 {
        assert_eq!(whatsapp.push(&partner, "alice").await.status, 200);
    }
    whatsapp.hand.advance(5);
    // Somebody else's push makes the server look at the clock.
    assert_eq!(whatsapp.push(&partner, &"😀".repeat(40)).await.status, 200);
    assert_ne!(events.next().await, first);
    assert_eq!(metric(&partner, "landbridge_push_received_total{result=\"coalesced\"}").await, Some(10));
    // Two wake-ups in all: the next one that arrives belongs to the next push.
    whatsapp.hand.advance(60);
    assert_eq!(whatsapp.push(&partner, "alice").await.status, 200);
    events.next().await;
    let sent = "landbridge_wake_sent_total{kind=\"socket\",result=\"ok\"}";
    until("three wake-ups", async || metric(&partner, sent).await == Some(3)).await;
}

#[tokio::test]
async fn who_is_connected_is_left_alone() {
    let whatsapp = WhatsApp::start().await;
    let partner = with_alice(&whatsapp).await;
    let connected = "landbridge_push_received_total{result=\"connected\"}";
    let events = Events::open(partner.addr(), ALICE, "device=phone&chat=connected").await;
    assert_eq!(whatsapp.push(&partner, "alice").await.status, 200);
    assert_eq!(metric(&partner, connected).await, Some(1));
    drop(events);
    until("the server sees that the stream is gone", async || {
        whatsapp.push(&partner, "alice").await;
        metric(&partner, "landbridge_push_received_total{result=\"queued\"}").await.is_some()
    })
    .await;
}

#[tokio::test]
async fn every_row_of_the_table() {
    let whatsapp = WhatsApp::start().await;
    let partner = with_alice(&whatsapp).await;
    let addr = partner.addr();
    let good = format!("Bearer {}", whatsapp.bearer(&partner));
    let json = ("Content-Type", "application/json");
    let body = r#"{"to":"alice"}"#;
    // 1: one Authorization, scheme Bearer in any case.
    for refused in ["", "Bearer", "Basic YTpi", good.trim_start_matches("Bearer ")] {
        let answer = send(addr, "POST /push", &[("Authorization", refused), json], body).await;
        answer.assert_problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    send(addr, "POST /push", &[json], body).await.assert_problem(401, "unauthorized");
    let twice = [("Authorization", good.as_str()), ("Authorization", good.as_str()), json];
    send(addr, "POST /push", &twice, body).await.assert_problem(401, "unauthorized");
    let lower = good.replacen("Bearer", "bEARER", 1);
    assert_eq!(send(addr, "POST /push", &[("Authorization", &lower), json], body).await.status, 200);
    // 3: before anything is said about the body.
    let answer = send(addr, "POST /push", &[("Authorization", "Bearer e30.e30.e30")], "x").await;
    answer.assert_problem(401, "invalid-token");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    // 4
    for other in ["text/plain", "application/jsonp", ""] {
        let headers = [("Authorization", good.as_str()), ("Content-Type", other)];
        send(addr, "POST /push", &headers, body).await.assert_problem(415, "unsupported-media-type");
    }
    let headers = [("Authorization", good.as_str()), ("Content-Type", "Application/JSON ; charset=UTF-8")];
    assert_eq!(send(addr, "POST /push", &headers, body).await.status, 200);
    // 5
    let exact = format!("{body}{}", " ".repeat(4096 - body.len()));
    let bearer = whatsapp.bearer(&partner);
    assert_eq!(push(&partner, &bearer, &exact).await.status, 200);
    push(&partner, &bearer, &format!("{exact} ")).await.assert_problem(413, "too-large");
    // 6
    assert_eq!(push(&partner, &bearer, r#"{"more":[{}],"to":"alice"}"#).await.status, 200);
    for bad in [
        "",
        "x",
        "[]",
        r#"["alice"]"#,
        "{}",
        r#"{"to":null}"#,
        r#"{"to":1}"#,
        r#"{"to":["alice"]}"#,
        r#"{"to":""}"#,
        r#"{"to":"alice","to":"alice"}"#,
        r#"{"to":"alice","\u0074o":"bob"}"#,
        r#"{"to":"alice"}{"#,
        r#"{"to":"\ud800"}"#,
        &format!(r#"{{"to":"{}"}}"#, "x".repeat(41)),
    ] {
        let answer = push(&partner, &bearer, bad).await;
        answer.assert_problem(400, "bad-request");
        assert!(!answer.body.contains("alice"), "input is not echoed");
    }
    // 7
    assert_eq!(whatsapp.push(&partner, "nobody").await.status, 200);
    assert_eq!(whatsapp.push(&partner, &"😀".repeat(40)).await.status, 200, "40 characters");
    assert_eq!(metric(&partner, "landbridge_push_received_total{result=\"unknown_user\"}").await, Some(2));
    assert_eq!(send(addr, "GET /push", &[], "").await.header("allow"), Some("POST"));
}

/// A bearer that was believed once is looked at again when its key or its time may be over.
#[tokio::test]
async fn a_bearer_counts_no_longer_than_its_key_and_its_time() {
    let whatsapp = WhatsApp::with(Hand::at(1_800_000_000)).await;
    let partner = with_alice(&whatsapp).await;
    let body = r#"{"to":"alice"}"#;
    let bearer = whatsapp.bearer(&partner);
    for _ in 0..3 {
        assert_eq!(push(&partner, &bearer, body).await.status, 200);
    }
    push(&partner, &bearer[..bearer.len() - 1], body).await.assert_problem(401, "invalid-token");
    push(&partner, &format!("{bearer}A"), body).await.assert_problem(401, "invalid-token");
    for (seconds, status) in [(3_599, 200), (3_600 + 61, 401), (1, 200)] {
        whatsapp.hand.set(1_800_000_000 + seconds);
        assert_eq!(push(&partner, &bearer, body).await.status, status, "after {seconds} s");
    }
    // Set back before it was issued.
    whatsapp.hand.set(1_800_000_000 - 3_600);
    assert_eq!(push(&partner, &bearer, body).await.status, 401);

    whatsapp.hand.set(1_800_000_000 + 120);
    assert_eq!(push(&partner, &bearer, body).await.status, 200);
    let successor = common::whatsapp::signer("whatsapp/1aXf9").with_kid("1aXf9").unwrap();
    let document = jwks::to_json([successor.public_key()]);
    whatsapp.keys.answer(move || document.clone().into_response());
    let claims = Claims::push(partner.base_url(), whatsapp.hand.seconds());
    let next = jwt::issue(&successor, &claims).unwrap();
    assert_eq!(push(&partner, next.as_str(), body).await.status, 200, "the set is fetched anew");
    push(&partner, &bearer, body).await.assert_problem(401, "invalid-token");
}

#[tokio::test]
async fn an_unknown_user_may_be_404_by_setting() {
    let whatsapp = WhatsApp::start().await;
    let config = whatsapp.config();
    let push = PushConfig { unknown_user: UnknownUser::NotFound, ..config.push };
    let partner = whatsapp.partner(PartnerConfig { push, ..config }).await;
    whatsapp.push(&partner, "nobody").await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn bounds() {
    let whatsapp = WhatsApp::start().await;
    let config = whatsapp.config();
    let full = PushConfig { queue_bound: 0, ..config.push.clone() };
    let partner = whatsapp.partner(PartnerConfig { push: full, ..config.clone() }).await;
    put_target(partner.addr(), ALICE, "phone", SOCKET).await;
    let answer = whatsapp.push(&partner, "alice").await;
    answer.assert_problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
    let one = PushConfig { per_second: 1, ..config.push.clone() };
    let partner = whatsapp.partner(PartnerConfig { push: one, ..config }).await;
    until("more than one in a second", async || {
        let answer = whatsapp.push(&partner, "nobody").await;
        answer.status == 429 && answer.header("retry-after") == Some("1")
    })
    .await;
}

#[tokio::test]
async fn without_keys_the_caller_is_not_at_fault() {
    let partner = common::start_with(config()).await.unwrap();
    let answer = push(&partner, "e30.e30.e30", r#"{"to":"alice"}"#).await;
    answer.assert_problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), Some("30"));
    let whatsapp = WhatsApp::start().await;
    whatsapp.keys.down();
    let partner = whatsapp.partner(whatsapp.config()).await;
    whatsapp.push(&partner, "alice").await.assert_problem(503, "unavailable");
    let health = send(partner.admin_addr(), "GET /health/ready", &[], "").await;
    assert_eq!((health.status, &health.json()["checks"]["whatsapp_keys"]), (200, &"degraded".into()));
}

/// Whoever holds the key set's address may take its time, or never come to an end.
#[tokio::test]
async fn a_key_set_that_never_comes_holds_up_nobody() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", silent.local_addr().unwrap());
    // It takes connections and says nothing.
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            connections.push(connection);
        }
    });
    let whatsapp = WhatsApp::start().await;
    let config = whatsapp.config();
    let push = PushConfig { keys_url: Some(url), ..config.push };
    let partner = whatsapp.partner(PartnerConfig { push, ..config }).await;
    let pushes = (0..50).map(|_| whatsapp.push(&partner, "alice"));
    let (answers, tokens) =
        tokio::join!(futures_util::future::join_all(pushes), token(partner.addr(), ALICE));
    assert_eq!(tokens.status, 200, "the other calls do not wait");
    for answer in answers {
        answer.assert_problem(503, "unavailable");
    }
    held.abort();
}

/// All tokens of the vectors: those for pushes have the verdict that is written there, those for users are none.
#[tokio::test]
async fn tokens_of_the_vectors() {
    let tokens: Value = serde_json::from_str(include_str!("../../enlist/tests/vectors/tokens.json")).unwrap();
    let document = include_str!("../../enlist/tests/vectors/jwks-whatsapp.json").to_owned();
    let (keys, hand) = (KeyServer::start(document).await, Hand::at(1_800_000_000));
    let push_config = PushConfig {
        keys_url: Some(keys.url.clone()),
        audience: Some("https://partner-one.example".to_owned()),
        ..PushConfig::default()
    };
    let partner = common::builder(PartnerConfig { push: push_config, ..config() }).await;
    let partner = partner.clock(hand.clock()).start().await.unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for case in tokens["cases"].as_array().unwrap() {
        hand.set(case["now"].as_u64().unwrap());
        // A good bearer that was no good as a user's token is one of these cases.
        let is_good = case["id"] == "user-push-token"
            || case["profile"] == "push-bearer" && case["verdict"] == "accept";
        let token = case["token"].as_str().unwrap();
        if token.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            continue;
        }
        let answer = push(&partner, token, r#"{"to":"nobody"}"#).await;
        if is_good {
            assert_eq!(answer.status, 200, "{}", case["id"]);
            accepted += 1;
        } else {
            // What is too long for a header block does not get as far as a token.
            assert!(matches!(answer.status, 401 | 431), "{}: {answer:?}", case["id"]);
            refused += 1;
        }
    }
    assert!(accepted == 5 && refused >= 160, "{accepted} {refused}");
}

#[tokio::test]
async fn an_outage_of_the_key_set_is_survived_for_a_day() {
    let whatsapp = WhatsApp::with(Hand::at(1_800_000_000)).await;
    let partner = whatsapp.partner(whatsapp.config()).await;
    assert_eq!(whatsapp.push(&partner, "nobody").await.status, 200);
    whatsapp.keys.down();
    whatsapp.hand.advance(24 * 3600 - 1);
    assert_eq!(whatsapp.push(&partner, "nobody").await.status, 200);
    whatsapp.hand.advance(1);
    whatsapp.push(&partner, "nobody").await.assert_problem(503, "unavailable");
}

/// Whatever the key set's address answers, a good set stays in force, and every unknown key asks once at most.
#[tokio::test]
async fn answers_that_are_no_key_set() {
    let whatsapp = WhatsApp::with(Hand::at(1_800_000_000)).await;
    let partner = whatsapp.partner(whatsapp.config()).await;
    assert_eq!(whatsapp.push(&partner, "nobody").await.status, 200);
    let hostile: [fn() -> axum::response::Response; 6] = [
        || "junk".into_response(),
        || "{\"keys\":[]}".into_response(),
        || format!("{{\"keys\":[{}]}}", " ".repeat(70_000)).into_response(),
        || (StatusCode::FOUND, [(LOCATION, "http://127.0.0.1:9/")]).into_response(),
        || (StatusCode::NOT_MODIFIED, [(ETAG, "\"x\"")]).into_response(),
        || StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    ];
    let stranger = Claims::push(partner.base_url(), whatsapp.hand.seconds());
    let signer = common::whatsapp::signer("attacker");
    let stranger = jwt::issue(&signer, &stranger).unwrap();
    for answer in hostile {
        whatsapp.keys.answer(answer);
        whatsapp.hand.advance(31);
        let before = whatsapp.keys.fetches.load(Ordering::SeqCst);
        for _ in 0..20 {
            let body = r#"{"to":"nobody"}"#;
            push(&partner, stranger.as_str(), body).await.assert_problem(401, "invalid-token");
        }
        let asked = whatsapp.keys.fetches.load(Ordering::SeqCst) - before;
        assert!(asked <= 1, "{asked} fetches for one unknown key");
        assert_eq!(whatsapp.push(&partner, "nobody").await.status, 200);
    }
}

#[tokio::test]
async fn what_was_answered_200_survives_the_server() {
    let (place, whatsapp) = (Place::new().await, WhatsApp::start().await);
    let partner = whatsapp.partner_at(&place, whatsapp.config()).await;
    put_target(partner.addr(), ALICE, "phone", SOCKET).await;
    assert_eq!(whatsapp.push(&partner, "alice").await.status, 200);
    partner.shutdown().await;
    let partner = whatsapp.partner_at(&place, whatsapp.config()).await;
    Events::open(partner.addr(), ALICE, "device=phone").await.next().await;
}

#[tokio::test]
async fn targets_over_the_socket() {
    let partner = common::start_with(config()).await.unwrap();
    let addr = partner.addr();
    let put = async |device: &str, body: &str| put_target(addr, ALICE, device, body).await;
    assert_eq!(put("phone", r#"{"kind":"socket","more":1}"#).await.status, 204);
    for bad in [
        "",
        "[]",
        r#"{"kind":"pigeon"}"#,
        r#"{"kind":"fcm"}"#,
        r#"{"kind":"apns","token":"xyz"}"#,
        r#"{"kind":"fcm","token":"not configured here"}"#,
        r#"{"kind":"fcm","token":"abc"}"#,
        r#"{"kind":"socket","kind":"socket"}"#,
    ] {
        put("phone", bad).await.assert_problem(400, "bad-request");
    }
    for device in ["a b", "%2e%2e%2f", "%00", "ä", &"x".repeat(65)] {
        let device = device.replace(' ', "%20").replace('ä', "%C3%A4");
        put(&device, SOCKET).await.assert_problem(400, "bad-request");
    }
    put("a/b", SOCKET).await.assert_problem(404, "not-found");
    for n in 0..9 {
        assert_eq!(put(&format!("d{n}"), SOCKET).await.status, 204);
    }
    put("d9", SOCKET).await.assert_problem(507, "quota-exceeded");
    let bearer = [("Authorization", "Bearer session-of-alice")];
    assert_eq!(send(addr, "DELETE /v1/wake-targets/d0", &bearer, "").await.status, 204);
    assert_eq!(send(addr, "DELETE /v1/wake-targets/d0", &bearer, "").await.status, 204);
    assert_eq!(put("d9", SOCKET).await.status, 204);
    for line in ["PUT /v1/wake-targets/x", "DELETE /v1/wake-targets/x", "GET /v1/wake?device=x"] {
        send(addr, line, &[], SOCKET).await.assert_problem(401, "unauthorized");
    }
    for query in ["", "device=", "device=a%20b", "device=x&chat=maybe", "device=x&device=y"] {
        send(addr, &format!("GET /v1/wake?{query}"), &bearer, "").await.assert_problem(400, "bad-request");
    }
}

#[tokio::test]
async fn a_user_who_leaves_is_forgotten() {
    let whatsapp = WhatsApp::start().await;
    let partner = with_alice(&whatsapp).await;
    let events = Events::open(partner.addr(), ALICE, "device=phone").await;
    let bearer = [("Authorization", "Bearer session-of-alice")];
    assert_eq!(send(partner.addr(), "DELETE /v1/me", &bearer, "").await.status, 202);
    assert!(events.ended().await);
    whatsapp.push(&partner, "alice").await;
    assert_eq!(metric(&partner, "landbridge_push_received_total{result=\"unknown_user\"}").await, Some(1));
    send(partner.addr(), "DELETE /v1/me", &[], "").await.assert_problem(401, "unauthorized");
}

/// Many at once are in few transactions, and each is kept before it is answered.
#[tokio::test]
async fn a_store_under_load_keeps_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("partner.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let pushes = (0..500).map(|n: u32| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.push(&n.to_string(), 1000, 100_000).await.unwrap() })
    });
    for push in pushes.collect::<Vec<_>>() {
        push.await.unwrap();
    }
    assert!(SqliteStore::open(&path).is_err(), "one server per file");
    drop(store);
    until("the file is free", async || SqliteStore::open(&path).is_ok()).await;
    assert_eq!(SqliteStore::open(&path).unwrap().depth().await.unwrap(), 500);
}

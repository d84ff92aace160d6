//! Push providers that speak their real protocols, on this machine: what they are sent, and what becomes of their answers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Version};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::place::Place;
use common::whatsapp::{WhatsApp, signer};
use common::{ALICE, put_target, until};
use landbridge_enlist::jwks::{self, KeySet};
use landbridge_enlist::jwt::RsaSigner;
use landbridge_partner::wake::{ApnsConfig, Es256Key, FcmConfig, WebPushConfig};
use landbridge_partner::{Partner, PartnerConfig};
use landbridge_transport::http_server::{HttpLimits, serve};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey as Verifier};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// One request as a provider got it.
#[derive(Clone)]
struct Got {
    version: Version,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    at: Instant,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }
}

type Answer = (u16, Vec<(&'static str, String)>, String);

/// A server that gives prepared answers, then 200, and keeps what it was sent.
#[derive(Clone)]
struct Provider {
    origin: String,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Provider {
    async fn start(default: impl Fn(&Got) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let (answers, got) = (Arc::<Mutex<VecDeque<Answer>>>::default(), Arc::<Mutex<Vec<Got>>>::default());
        let (prepared, kept) = (Arc::clone(&answers), Arc::clone(&got));
        let handler = move |request: Request| async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 100_000).await.unwrap();
            let (version, method, headers) = (head.version, head.method, head.headers);
            let got =
                Got { version, method, path: head.uri.path().to_owned(), headers, body, at: Instant::now() };
            kept.lock().unwrap().push(got.clone());
            let is_token = got.path == "/token";
            let prepared = if is_token { None } else { prepared.lock().unwrap().pop_front() };
            let (status, headers, body) = prepared.unwrap_or_else(|| default(&got));
            let mut response: Response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let router = Router::new().fallback(handler);
        let server = serve(listener, router, HttpLimits::default(), std::future::pending()).unwrap();
        Self { origin: format!("http://{}", server.local_addr()), answers, got }
    }

    fn prepare(&self, status: u16, headers: &[(&'static str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.answers.lock().unwrap().push_back((status, headers, body.to_owned()));
    }

    /// The requests for a path that begins like this, once there are `n`.
    async fn wait(&self, path: &str, n: usize) -> Vec<Got> {
        let matching = || {
            let got = self.got.lock().unwrap();
            got.iter().filter(|got| got.path.starts_with(path)).cloned().collect::<Vec<_>>()
        };
        until(&format!("{n} requests for {path}"), async || matching().len() >= n).await;
        matching()
    }
}

const FCM_SEND: &str = "/v1/projects/demo-project/messages:send";
const FCM: &str = r#"{"kind":"fcm","token":"fcm-token-of-alice"}"#;
const APNS: &str = r#"{"kind":"apns","token":"00ff00ff"}"#;

/// All three providers, a partner server that uses them, and WhatsApp.
struct World {
    fcm: Provider,
    apns: Provider,
    browser: Provider,
    whatsapp: WhatsApp,
    partner: Partner,
    google: RsaSigner,
    apple: Es256Key,
    _files: TempDir,
    _place: Place,
}

fn private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

fn pem_of(name: &str) -> String {
    let keys: Value =
        serde_json::from_str(include_str!("../../enlist/tests/vectors/private-keys.json")).unwrap();
    keys["keys"][name].as_str().unwrap().to_owned()
}

impl World {
    async fn start() -> Self {
        let ok = |_: &Got| (200, Vec::new(), "{}".to_owned());
        let fcm = Provider::start(|got| {
            let token = json!({"access_token": "ya29.access", "expires_in": 3600, "token_type": "Bearer"});
            (200, Vec::new(), if got.path == "/token" { token.to_string() } else { "{}".to_owned() })
        })
        .await;
        let (apns, browser) =
            (Provider::start(ok).await, Provider::start(|_| (201, Vec::new(), String::new())).await);
        let files = tempfile::tempdir().unwrap();
        let account = json!({
            "type": "service_account", "project_id": "demo-project", "private_key_id": "k1",
            "private_key": pem_of("partner-1/p1-2026-10"), "client_email": "push@demo-project.example",
            "token_uri": format!("{}/token", fcm.origin),
        });
        private(&files.path().join("account.json"), &account.to_string());
        let apple = Es256Key::generate_pem().unwrap();
        private(&files.path().join("apple.p8"), &apple);
        let whatsapp = WhatsApp::start().await;
        let config = PartnerConfig {
            fcm: Some(FcmConfig {
                service_account: files.path().join("account.json"),
                url: fcm.origin.clone(),
            }),
            apns: Some(ApnsConfig {
                key: files.path().join("apple.p8"),
                key_id: "KEY1234567".to_owned(),
                team_id: "TEAM123456".to_owned(),
                topic: "example.chat".to_owned(),
                alert: None,
                url: apns.origin.clone(),
            }),
            web_push: Some(WebPushConfig {
                subject: "mailto:ops@partner.example".to_owned(),
                hosts: vec![browser.origin.clone()],
            }),
            ..whatsapp.config()
        };
        let place = Place::new().await;
        let partner = whatsapp.partner_at(&place, config).await;
        let apple = Es256Key::from_pem(&apple).unwrap();
        Self {
            fcm,
            apns,
            browser,
            whatsapp,
            partner,
            google: signer("partner-1/p1-2026-10"),
            apple,
            _files: files,
            _place: place,
        }
    }

    async fn target(&self, device: &str, body: &str) {
        let answer = put_target(self.partner.addr(), ALICE, device, body).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// A push that is not merged with the last one.
    async fn push(&self) {
        self.whatsapp.hand.advance(60);
        let answer = self.whatsapp.push(&self.partner, "alice").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    async fn metric(&self, line: &str) -> Option<u64> {
        let text = common::send(self.partner.admin_addr(), "GET /metrics", &[], "").await.body;
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }

    async fn gone(&self, kind: &str) {
        let line = format!("landbridge_wake_sent_total{{kind=\"{kind}\",result=\"gone\"}}");
        until("the provider's word is counted", async || self.metric(&line).await == Some(1)).await;
    }
}

fn part(text: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

/// Header and claims of a token whose signature `public` verifies.
fn es256(token: &str, public: &str) -> (Value, Value) {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{token}") };
    let public = URL_SAFE_NO_PAD.decode(public).unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    Verifier::new(&ECDSA_P256_SHA256_FIXED, public)
        .verify(format!("{header}.{claims}").as_bytes(), &signature)
        .unwrap();
    (part(header), part(claims))
}

#[tokio::test]
async fn fcm_http_v1() {
    let world = World::start().await;
    world.target("phone", FCM).await;
    world.push().await;
    let sent = world.fcm.wait(FCM_SEND, 1).await.remove(0);
    assert_eq!((sent.method.as_str(), sent.header("content-type")), ("POST", "application/json"));
    assert_eq!(sent.header("authorization"), "Bearer ya29.access");
    let message: Value = serde_json::from_slice(&sent.body).unwrap();
    let message = &message["message"];
    assert_eq!(
        (&message["token"], &message["android"]["priority"]),
        (&"fcm-token-of-alice".into(), &"HIGH".into())
    );
    assert_eq!(message["android"]["ttl"], "3600s");
    assert_eq!(message["data"]["type"], "wake");
    assert_eq!(message["data"].as_object().unwrap().len(), 2, "a type and an id");
    let text = String::from_utf8(sent.body.to_vec()).unwrap();
    assert!(!text.replace("fcm-token-of-alice", "").contains("alice"), "{text}");

    // The token server got an assertion that the account's key verifies.
    let asked = world.fcm.wait("/token", 1).await.remove(0);
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
    let form = String::from_utf8(asked.body.to_vec()).unwrap();
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let assertion = form.strip_prefix(grant).unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let key = KeySet::parse(jwks::to_json([world.google.public_key()]).as_bytes()).unwrap().set;
    let key = key.get(world.google.public_key().kid()).unwrap().clone();
    assert!(key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()));
    let (header, claims) = signed.split_once('.').unwrap();
    assert_eq!(part(header)["kid"], "k1");
    let claims = part(claims);
    assert_eq!(claims["iss"], "push@demo-project.example");
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/firebase.messaging");
    assert_eq!(claims["aud"], format!("{}/token", world.fcm.origin));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);

    // The access token is used again, and renewed when it is refused.
    world.fcm.prepare(401, &[], "{}");
    world.push().await;
    world.fcm.wait(FCM_SEND, 3).await;
    assert_eq!(world.fcm.wait("/token", 2).await.len(), 2);

    // A registration that is no longer one is forgotten.
    let unregistered = r#"{"error":{"code":404,"status":"NOT_FOUND","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}"#;
    world.fcm.prepare(404, &[], unregistered);
    world.push().await;
    world.gone("fcm").await;
    world.target("other", APNS).await;
    world.push().await;
    world.apns.wait("/3/device/", 1).await;
    assert_eq!(world.fcm.wait(FCM_SEND, 4).await.len(), 4);
}

#[tokio::test]
async fn apns_over_http_2() {
    let world = World::start().await;
    world.target("phone", APNS).await;
    world.push().await;
    let sent = world.apns.wait("/3/device/00ff00ff", 1).await.remove(0);
    assert_eq!(sent.version, Version::HTTP_2);
    let (header, claims) =
        es256(sent.header("authorization").strip_prefix("bearer ").unwrap(), &world.apple.public());
    assert_eq!(header, json!({"alg": "ES256", "kid": "KEY1234567"}));
    assert_eq!(claims["iss"], "TEAM123456");
    assert_eq!(sent.header("apns-topic"), "example.chat");
    assert_eq!((sent.header("apns-push-type"), sent.header("apns-priority")), ("background", "5"));
    let expiration: u64 = sent.header("apns-expiration").parse().unwrap();
    assert_eq!(expiration - claims["iat"].as_u64().unwrap(), 3600);
    assert!(sent.header("apns-collapse-id").len() <= 64);
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(body["aps"], json!({"content-available": 1}));

    // The same token serves until it is old, or refused.
    world.push().await;
    let again = world.apns.wait("/3/device/", 2).await.remove(1);
    assert_eq!(again.header("authorization"), sent.header("authorization"));
    assert_eq!(again.header("apns-collapse-id"), sent.header("apns-collapse-id"));
    world.apns.prepare(403, &[], r#"{"reason":"ExpiredProviderToken"}"#);
    world.push().await;
    let renewed = world.apns.wait("/3/device/", 4).await.remove(3);
    assert_ne!(renewed.header("authorization"), sent.header("authorization"));

    // A token that is refused for another reason is not signed anew at once: Apple refuses that as well.
    world.apns.prepare(403, &[], r#"{"reason":"InvalidProviderToken"}"#);
    world.push().await;
    let again = world.apns.wait("/3/device/", 6).await.remove(5);
    assert_eq!(again.header("authorization"), renewed.header("authorization"));
    world.whatsapp.hand.advance(20 * 60);
    world.apns.prepare(403, &[], r#"{"reason":"InvalidProviderToken"}"#);
    world.push().await;
    let later = world.apns.wait("/3/device/", 8).await.remove(7);
    assert_ne!(later.header("authorization"), renewed.header("authorization"));
    let ok = "landbridge_wake_duration_seconds_count{kind=\"apns\",result=\"ok\"}";
    until("the attempts are counted", async || world.metric(ok).await == Some(5)).await;

    world.apns.prepare(410, &[], r#"{"reason":"Unregistered","timestamp":1700000000000}"#);
    world.push().await;
    world.gone("apns").await;
    world.target("other", FCM).await;
    world.push().await;
    world.fcm.wait(FCM_SEND, 1).await;
    assert_eq!(world.apns.wait("/3/device/", 9).await.len(), 9);
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(salt: &[u8], ikm: &[u8], info: &[&[u8]], length: usize) -> Vec<u8> {
    let mut derived = vec![0; length];
    let prk = Salt::new(HKDF_SHA256, salt).extract(ikm);
    prk.expand(info, Length(length)).unwrap().fill(&mut derived).unwrap();
    derived
}

/// A browser's side of RFC 8291.
fn decrypt(body: &[u8], own: EphemeralPrivateKey, own_public: &[u8], secret: &[u8]) -> Vec<u8> {
    let (salt, rest) = body.split_at(16);
    assert_eq!(u32::from_be_bytes(rest[..4].try_into().unwrap()), 4096);
    assert_eq!(rest[4], 65);
    let (server, record) = rest[5..].split_at(65);
    let peer = UnparsedPublicKey::new(&ECDH_P256, server);
    agree_ephemeral(own, &peer, |shared| {
        let ikm = derive(secret, shared, &[b"WebPush: info\0", own_public, server], 32);
        let key = derive(salt, &ikm, &[b"Content-Encoding: aes128gcm\0"], 16);
        let nonce = derive(salt, &ikm, &[b"Content-Encoding: nonce\0"], 12);
        let mut record = record.to_vec();
        let open = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        let plain = open.open_in_place(nonce, Aad::empty(), &mut record).unwrap();
        let (message, delimiter) = plain.split_at(plain.len() - 1);
        assert_eq!(delimiter, [2]);
        message.to_vec()
    })
    .unwrap()
}

#[tokio::test]
async fn web_push_with_vapid_and_an_encrypted_payload() {
    let world = World::start().await;
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
    let own_public = own.compute_public_key().unwrap();
    let secret = [7; 16];
    let target = json!({
        "kind": "web-push", "endpoint": format!("{}/push/abc", world.browser.origin),
        "keys": {"p256dh": URL_SAFE_NO_PAD.encode(own_public.as_ref()), "auth": URL_SAFE_NO_PAD.encode(secret)},
    });
    world.target("browser", &target.to_string()).await;
    world.push().await;
    let sent = world.browser.wait("/push/abc", 1).await.remove(0);
    assert_eq!((sent.header("content-encoding"), sent.header("ttl")), ("aes128gcm", "3600"));
    assert!(sent.header("topic").len() <= 32 && sent.header("urgency") == "high");
    let (token, key) =
        sent.header("authorization").strip_prefix("vapid t=").unwrap().split_once(",k=").unwrap();
    let (header, claims) = es256(token, key);
    assert_eq!(header, json!({"typ": "JWT", "alg": "ES256"}));
    assert_eq!(
        (&claims["aud"], &claims["sub"]),
        (&world.browser.origin.as_str().into(), &"mailto:ops@partner.example".into())
    );
    let me =
        common::send(world.partner.addr(), "GET /v1/me", &[("Authorization", "Bearer session-of-alice")], "")
            .await;
    assert_eq!(me.json()["web_push_key"], key, "what browsers subscribe with");
    let message: Value =
        serde_json::from_slice(&decrypt(&sent.body, own, own_public.as_ref(), &secret)).unwrap();
    assert_eq!((&message["type"], message.as_object().unwrap().len()), (&"wake".into(), 2));

    // Another host is not called, whoever asks.
    let elsewhere = target.to_string().replace(&world.browser.origin, &world.apns.origin);
    put_target(world.partner.addr(), ALICE, "x", &elsewhere).await.assert_problem(400, "bad-request");

    world.browser.prepare(410, &[], "");
    world.push().await;
    world.gone("web-push").await;
}

#[tokio::test]
async fn throttling_and_outages_are_waited_out() {
    let world = World::start().await;
    world.target("phone", FCM).await;
    world.fcm.prepare(429, &[("retry-after", "2")], "{}");
    world.fcm.prepare(503, &[], "");
    world.push().await;
    let sent = world.fcm.wait(FCM_SEND, 3).await;
    assert!(sent[1].at - sent[0].at >= Duration::from_millis(1900), "the provider's time is kept");
    let id = |got: &Got| serde_json::from_slice::<Value>(&got.body).unwrap()["message"]["data"]["id"].clone();
    assert_eq!(id(&sent[0]), id(&sent[2]), "it is the same wake-up");
}

#[tokio::test]
async fn one_providers_outage_delays_no_other() {
    let world = World::start().await;
    world.target("android", FCM).await;
    world.target("apple", APNS).await;
    for _ in 0..1000 {
        world.fcm.prepare(503, &[], "");
    }
    for n in 1..=5 {
        world.push().await;
        world.apns.wait("/3/device/", n).await;
    }
    let sent = "landbridge_wake_sent_total{kind=\"fcm\",result=\"ok\"}";
    assert_eq!(world.metric(sent).await, None);
    assert!(world.fcm.wait(FCM_SEND, 1).await.len() < 20, "an outage is not hammered");
    // It ends, and what waited goes out.
    world.fcm.answers.lock().unwrap().clear();
    world.whatsapp.hand.advance(120);
    world.push().await;
    until("the wake-up got through", async || {
        world.whatsapp.hand.advance(10);
        world.whatsapp.push(&world.partner, "alice").await;
        world.metric(sent).await.is_some()
    })
    .await;
}

#[tokio::test]
async fn addresses_and_keys_are_not_printed() {
    let world = World::start().await;
    let printed =
        format!("{:?}{:?}", world.apple, landbridge_partner::wake::WakeTarget::from_json(FCM).unwrap());
    assert_eq!(printed, "Es256Key([redacted])WakeTarget(fcm, [redacted])");
}

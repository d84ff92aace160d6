//! Every call over a socket: what it answers when all is well, and when it is not.
#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::place::Place;
use common::{ALICE, Answer, config, parse, raw, read_all, send, start, token};
use landbridge_enlist::jwks::KeySet;
use landbridge_enlist::jwt::{Profile, SignError, Signer, Verifier};
use landbridge_partner::{
    AuthError, Partner, PartnerConfig, SigningKeys, StaticUsers, UserAuthenticator, UserRecord,
};
use landbridge_transport::HttpClient;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const JWKS: &str = "GET /.well-known/oauth/openid/jwks";

#[tokio::test]
async fn a_token_verifies_with_the_published_keys() {
    let partner = start().await;
    let keys = send(partner.addr(), JWKS, &[], "").await;
    let answer = token(partner.addr(), ALICE).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    let json = answer.json();
    assert_eq!(
        (json["expires_in"].clone(), json["identifier"].clone(), json["integrator_id"].clone()),
        (3600.into(), "alice".into(), "1".into())
    );
    let set = KeySet::parse(keys.body.as_bytes()).unwrap().set;
    assert_eq!(set.kids().count(), 2, "a standby is published");
    let verifier = Verifier::new(Profile::user_token());
    let open = verifier.open(json["token"].as_str().unwrap()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let verified = verifier.verify(&open, partner.base_url(), set.get(open.kid()), now).unwrap();
    assert_eq!(verified.identifier.unwrap().as_str(), "alice");
    assert_eq!(verified.issuer, format!("http://{}", partner.addr()));
    assert!(verified.id.is_some());
    assert_eq!(token(partner.addr(), "b").await.status, 200, "the longest identifier");
    partner.shutdown().await;
}

#[tokio::test]
async fn the_key_set_is_conditional_and_cacheable() {
    let base_url = Some("https://foobar.com/whatsapp".to_owned());
    let partner = common::start_with(PartnerConfig { base_url, ..config() }).await.unwrap();
    assert_eq!(partner.base_url(), "https://foobar.com/whatsapp");
    let first = send(partner.addr(), JWKS, &[], "").await;
    assert_eq!((first.status, first.header("content-type")), (200, Some("application/json")));
    assert_eq!(first.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(first.header("server"), None);
    assert!(first.header("x-request-id").is_some());
    let etag = first.header("etag").unwrap();
    for key in first.json()["keys"].as_array().unwrap() {
        let members: BTreeSet<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, BTreeSet::from(["kid", "kty", "alg", "use", "n", "e"]));
    }
    for condition in [etag, "*", &format!("\"x\", W/{etag}")] {
        let again = send(partner.addr(), JWKS, &[("If-None-Match", condition)], "").await;
        assert_eq!((again.status, again.header("etag"), again.body.as_str()), (304, Some(etag), ""));
    }
    let other = send(partner.addr(), JWKS, &[("If-None-Match", "\"x\"")], "").await;
    assert_eq!(other.status, 200);
    let under_base = send(partner.addr(), "GET /whatsapp/.well-known/oauth/openid/jwks", &[], "").await;
    assert_eq!(under_base.body, first.body);
    let head = send(partner.addr(), "HEAD /.well-known/oauth/openid/jwks", &[], "").await;
    assert_eq!((head.status, head.header("etag"), head.body.as_str()), (200, Some(etag), ""));
    assert_eq!(head.header("content-length"), Some(first.body.len().to_string().as_str()));
}

#[tokio::test]
async fn me() {
    let partner = start().await;
    let headers = [("Authorization", "bearer session-of-alice")];
    let answer = send(partner.addr(), "GET /v1/me", &headers, "").await;
    let json = answer.json();
    assert_eq!(
        (answer.status, &json["identifier"], &json["base_url"]),
        (200, &"alice".into(), &partner.base_url().into())
    );
    assert_eq!(json["limits"]["token_bytes"], 4096);
    send(partner.addr(), "GET /v1/me", &[], "").await.assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn both_protocols_answer_alike() {
    let partner = start().await;
    let client = HttpClient::builder().build().unwrap();
    let url = format!("{}/.well-known/oauth/openid/jwks", partner.base_url());
    let answer = client.get(&url, &[]).await.unwrap();
    assert_eq!(answer.status, 200);
    // HTTP/2 with prior knowledge: preface and an empty SETTINGS are answered in frames.
    let mut stream = TcpStream::connect(partner.addr()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "SETTINGS");
}

#[tokio::test]
async fn sessions() {
    let partner = start().await;
    let addr = partner.addr();
    let bearer = |value: &'static str| async move {
        send(addr, "POST /v1/token", &[("Authorization", value)], "").await
    };
    for denied in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic session-of-alice",
        "session-of-alice",
        "Bearer session-of-alic",
    ] {
        let answer = bearer(denied).await;
        answer.assert_problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(bearer("BEARER session-of-alice").await.status, 200, "an empty body asks for the same");
    let twice = [("Authorization", "Bearer session-of-alice"), ("Authorization", "Bearer session-of-alice")];
    send(addr, "POST /v1/token", &twice, "").await.assert_problem(401, "unauthorized");
    // Who is not known learns nothing about the body.
    send(addr, "POST /v1/token", &[("Content-Type", "text/plain")], "x")
        .await
        .assert_problem(401, "unauthorized");
}

async fn post(partner: &Partner, content_type: &str, body: &str) -> Answer {
    let headers = [("Authorization", "Bearer session-of-alice"), ("Content-Type", content_type)];
    send(partner.addr(), "POST /v1/token", &headers, body).await
}

#[tokio::test]
async fn bodies() {
    let partner = start().await;
    for good in ["{}", r#"{"audience":"whatsapp"}"#, r#"{"audience":null,"more":[1]}"#] {
        assert_eq!(post(&partner, "application/json; charset=utf-8", good).await.status, 200, "{good}");
    }
    for bad in [
        "[]",
        "x",
        "{",
        r#"{"audience":"signal"}"#,
        r#"{"audience":1}"#,
        r#"{"audience":"whatsapp","audience":"whatsapp"}"#,
    ] {
        let answer = post(&partner, "application/json", bad).await;
        answer.assert_problem(400, "bad-request");
        assert!(!answer.body.contains("signal"), "input is not echoed");
    }
    for other in ["text/plain", "application/jsonx", ""] {
        post(&partner, other, "{}").await.assert_problem(415, "unsupported-media-type");
    }
    let exact = format!("{{}}{}", " ".repeat(16 * 1024 - 2));
    assert_eq!(post(&partner, "application/json", &exact).await.status, 200);
    post(&partner, "application/json", &format!("{exact} ")).await.assert_problem(413, "too-large");
}

/// An answer that goes out before the body has come in is not lost with the rest of it.
#[tokio::test]
async fn a_small_rest_of_a_body_is_read() {
    let partner = start().await;
    let request = |length: usize, header: &str| {
        let hash = "A".repeat(43);
        format!(
            "PUT /v1/media/by-hash/{hash} HTTP/1.1\r\nHost: p\r\n{header}Content-Length: {length}\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(partner.addr()).await.unwrap();
    for _ in 0..2 {
        // More than the server takes along with the head.
        stream.write_all(request(60_000, "").as_bytes()).await.unwrap();
        for _ in 0..60 {
            stream.write_all(&[b'x'; 1000]).await.unwrap();
        }
    }
    stream.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n").await.unwrap();
    let answers = String::from_utf8(read_all(&mut stream).await).unwrap();
    let statuses: Vec<&str> =
        answers.matches("HTTP/1.1 401").chain(answers.matches("HTTP/1.1 200")).collect();
    assert_eq!(statuses.len(), 3, "{answers}");

    // Nobody is asked for what nobody wants, and a large rest is not waited for.
    for (length, header) in [(60_000, "Expect: 100-continue\r\n"), (70_000, "")] {
        let answer = common::raw_open(partner.addr(), request(length, header).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_without_announced_length_is_limited_too() {
    let partner = start().await;
    let head = "POST /v1/token HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer session-of-alice\r\n\
                Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(4096));
    let endless = raw(partner.addr(), format!("{head}{}", chunk.repeat(5)).as_bytes()).await;
    endless.assert_problem(413, "too-large");
    let good = raw(partner.addr(), format!("{head}2\r\n{{}}\r\n0\r\n\r\n").as_bytes()).await;
    assert_eq!(good.status, 200);
    let announced = "POST /v1/token HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer session-of-alice\r\n\
                     Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n";
    raw(partner.addr(), announced.as_bytes()).await.assert_problem(413, "too-large");
}

#[tokio::test]
async fn malformed_requests() {
    let partner = start().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : p\r\n\r\n",
        b"POST /v1/token HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/token HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/token HTTP/1.1\r\nHost: p\r\nContent-Length: -1\r\n\r\n",
    ] {
        let answer = raw(partner.addr(), bytes).await;
        assert!(matches!(answer.status, 400 | 0), "{answer:?}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: p\r\n\r\n", "x".repeat(9000));
    assert_eq!(raw(partner.addr(), long.as_bytes()).await.status, 414);
    let many = format!("GET / HTTP/1.1\r\nHost: p\r\n{}\r\n", "A: b\r\n".repeat(200));
    assert_eq!(raw(partner.addr(), many.as_bytes()).await.status, 431);
    assert_eq!(token(partner.addr(), ALICE).await.status, 200, "alive");
}

#[tokio::test]
async fn other_paths_and_methods() {
    let partner = start().await;
    for path in [
        "/",
        "/v1",
        "/v1/token/",
        "/v1/Token",
        "//v1/token",
        "/v1/../v1/token",
        "/.well-known/jwks",
        "/health/live",
        "/whatsapp/.well-known/oauth/openid/jwks",
    ] {
        send(partner.addr(), &format!("GET {path}"), &[], "").await.assert_problem(404, "not-found");
    }
    for (line, allow) in [
        ("GET /v1/token", "POST"),
        ("GET /push", "POST"),
        ("POST /v1/me", "GET,HEAD,DELETE"),
        ("POST /.well-known/oauth/openid/jwks", "GET,HEAD"),
        ("OPTIONS /openapi.json", "GET,HEAD"),
        ("BREW /v1/token", "POST"),
    ] {
        let answer = send(partner.addr(), line, &[], "").await;
        answer.assert_problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{line}");
    }
}

/// A segment that is no UTF-8 names nothing, and who calls is asked first.
#[tokio::test]
async fn segments_that_cannot_be_decoded() {
    let partner = start().await;
    for (line, status, slug) in [
        ("PUT /v1/wake-targets/%FF", 400, "bad-request"),
        ("DELETE /v1/wake-targets/%FF", 400, "bad-request"),
        ("PUT /v1/media/by-hash/%FF", 400, "bad-request"),
        ("DELETE /v1/media/%FF", 404, "not-found"),
        ("GET /v1/uploads/%FF", 404, "not-found"),
        ("DELETE /v1/uploads/%FF", 404, "not-found"),
    ] {
        send(partner.addr(), line, &[], "").await.assert_problem(401, "unauthorized");
        let headers = [("Authorization", "Bearer session-of-alice"), ("Tus-Resumable", "1.0.0")];
        send(partner.addr(), line, &headers, "").await.assert_problem(status, slug);
    }
}

/// HEAD has the headers of GET (RFC 9110 section 8.6).
#[tokio::test]
async fn the_length_of_what_head_leaves_out() {
    let partner = start().await;
    for path in ["/v1/me", "/nothing", "/.well-known/oauth/openid/jwks", "/openapi.json"] {
        let get = send(partner.addr(), &format!("GET {path}"), &[], "").await;
        let head = send(partner.addr(), &format!("HEAD {path}"), &[], "").await;
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        for name in ["content-length", "content-type"] {
            assert!(head.header(name).is_some(), "{path}: {name}");
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn metrics_are_described_and_there_from_the_start() {
    let partner = start().await;
    let metrics = async || send(partner.admin_addr(), "GET /metrics", &[], "").await.body;
    let text = metrics().await;
    for series in [
        "landbridge_push_received_total{result=\"connected\"} 0",
        "landbridge_tokens_issued_total{result=\"not_opted_in\"} 0",
        "landbridge_uploads_total{result=\"mismatch\"} 0",
        "landbridge_media_bytes_total{direction=\"out\"} 0",
    ] {
        assert!(text.lines().any(|line| line == series), "{series} is missing in {text}");
    }
    token(partner.addr(), ALICE).await;
    token(partner.addr(), "nobody").await;
    send(partner.addr(), "POST /v1/token", &[("Authorization", "Bearer session-of-alice")], "{}").await;
    let text = metrics().await;
    for result in ["ok", "unauthorized", "rejected"] {
        let series = format!("landbridge_tokens_issued_total{{result=\"{result}\"}} 1");
        assert!(text.lines().any(|line| line == series), "{series} is missing in {text}");
    }
    let lines: Vec<&str> = text.lines().collect();
    for (n, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next()) {
            assert!(n > 0 && lines[n - 1].starts_with(&format!("# HELP {name} ")), "{name} has no HELP");
        }
    }
}

#[tokio::test]
async fn sixty_tokens_an_hour() {
    let partner = start().await;
    for _ in 0..60 {
        assert_eq!(token(partner.addr(), ALICE).await.status, 200);
    }
    let answer = token(partner.addr(), ALICE).await;
    answer.assert_problem(429, "rate-limited");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    assert_eq!(token(partner.addr(), "b").await.status, 200, "others are not locked out");
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let mut limits = landbridge_transport::HttpLimits::default();
    limits.first_byte = Duration::from_millis(300);
    limits.header = Duration::from_millis(300);
    let partner = common::builder(config()).await.http_limits(limits).start().await.unwrap();
    let begun = Instant::now();
    let mut silent = TcpStream::connect(partner.addr()).await.unwrap();
    let mut half = TcpStream::connect(partner.addr()).await.unwrap();
    half.write_all(b"GET /v1/me HTTP/1.1\r\nHost: ").await.unwrap();
    let (silent, half) = tokio::join!(read_all(&mut silent), read_all(&mut half));
    assert!(silent.is_empty());
    assert!(matches!(parse(&half).status, 0 | 408), "{half:?}");
    assert!(begun.elapsed() < Duration::from_secs(4));

    // A body that never comes is given 5 s.
    let mut body = TcpStream::connect(partner.addr()).await.unwrap();
    let head = b"POST /v1/token HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer session-of-alice\r\n\
                 Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{";
    body.write_all(head).await.unwrap();
    let begun = Instant::now();
    parse(&read_all(&mut body).await).assert_problem(408, "bad-request");
    assert!((4..8).contains(&begun.elapsed().as_secs()));
}

struct Fixed(fn() -> Result<UserRecord, AuthError>);

#[async_trait::async_trait]
impl UserAuthenticator for Fixed {
    async fn authenticate(&self, _: &axum::http::request::Parts) -> Result<UserRecord, AuthError> {
        (self.0)()
    }
}

#[tokio::test]
async fn authenticators_of_ones_own() {
    let start = |authenticator: fn() -> Result<UserRecord, AuthError>| async move {
        let config = PartnerConfig { dev_users: Default::default(), insecure_dev_auth: false, ..config() };
        common::builder(config).await.authenticator(Arc::new(Fixed(authenticator))).start().await.unwrap()
    };
    let out = start(|| {
        let identifier = "bob".parse().map_err(|_| AuthError::Denied)?;
        Ok(UserRecord { user_id: "7".to_owned(), identifier, opted_in: false })
    })
    .await;
    token(out.addr(), "any").await.assert_problem(403, "not-opted-in");
    let down = start(|| Err(AuthError::Unavailable("secret cause".into()))).await;
    let answer = token(down.addr(), "any").await;
    answer.assert_problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some() && !answer.body.contains("secret"));
}

/// A signer whose device leaves after the self-tests of the start.
struct Leaving {
    inner: landbridge_enlist::jwt::RsaSigner,
    left: std::sync::atomic::AtomicU32,
}

impl Signer for Leaving {
    fn kid(&self) -> &str {
        self.inner.kid()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            return Err(SignError("secret cause".into()));
        }
        self.inner.sign(message)
    }
}

#[tokio::test]
async fn a_signer_that_is_down() {
    let pem = landbridge_enlist::generate_rsa_pem(&mut landbridge_rng()).unwrap();
    let inner = landbridge_enlist::jwt::RsaSigner::from_pkcs8_pem(&pem).unwrap();
    let published = [inner.public_key().clone()];
    let keys = SigningKeys::new(Arc::new(Leaving { inner, left: 2.into() }), &published).unwrap();
    let partner = common::builder(config()).await.signing_keys(keys).start().await.unwrap();
    let answer = token(partner.addr(), ALICE).await;
    answer.assert_problem(503, "unavailable");
    assert!(!answer.body.contains("secret"));
}

fn landbridge_rng() -> impl rand::CryptoRng {
    rand::rng()
}

#[tokio::test]
async fn a_server_without_its_store_is_not_ready() {
    let place = Place::new().await;
    let partner = place.start(config()).await;
    let ready = async || {
        let ready = send(partner.admin_addr(), "GET /health/ready", &[], "").await;
        (ready.status, ready.json()["checks"]["store"].clone())
    };
    assert_eq!(ready().await, (200, "ok".into()));
    place.ruin();
    assert_eq!(ready().await, (503, "failed".into()));
    assert_eq!(send(partner.admin_addr(), "GET /health/live", &[], "").await.status, 200);
}

#[tokio::test]
async fn health_and_shutdown() {
    let partner = common::start_with(config()).await.unwrap();
    let (addr, admin) = (partner.addr(), partner.admin_addr());
    assert_ne!(addr, admin);
    assert_eq!(send(admin, "GET /health/live", &[], "").await.status, 200);
    let ready = send(admin, "GET /health/ready", &[], "").await;
    assert_eq!((ready.status, ready.json()["checks"]["store"].clone()), (200, "ok".into()));
    send(admin, "GET /v1/token", &[], "").await.assert_problem(404, "not-found");
    send(admin, "POST /health/live", &[], "").await.assert_problem(405, "method-not-allowed");
    // A request that is under way when the stop comes is still answered; meanwhile the server is not ready.
    let mut slow = TcpStream::connect(addr).await.unwrap();
    slow.write_all(
        b"POST /v1/token HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer session-of-alice\r\n\
                     Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    )
    .await
    .unwrap();
    let mut interim = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut slow, &mut interim).await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"), "the handler is waiting for the body");
    let stopping = tokio::spawn(partner.shutdown());
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let ready = send(admin, "GET /health/ready", &[], "").await;
    assert_eq!((ready.status, ready.json()["checks"]["accepting"].clone()), (503, "failed".into()));
    slow.write_all(b"{}").await.unwrap();
    assert_eq!(parse(&read_all(&mut slow).await).status, 200);
    stopping.await.unwrap();
    assert!(TcpStream::connect(admin).await.is_err());
}

#[test]
fn secrets_are_not_printed() {
    assert!(!format!("{:?}", config()).contains(ALICE));
    let users = StaticUsers::new([(ALICE.to_owned(), "alice".to_owned())]).unwrap();
    assert!(!format!("{users:?}").contains("alice"));
}

//! How users are told: tokens of the partner's own issuer, an authorization server, a trusted front. And the keys that
//! tokens are signed with, over time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::place::Place;
use common::whatsapp::{Hand, KeyServer, signer};
use common::{Answer, config, send, token};
use landbridge_enlist::jwks;
use landbridge_enlist::jwt::{self, Claims, RsaSigner, Signer as _};
use landbridge_partner::{
    Clock, FRONT_HEADER, FrontConfig, FrontWord, IntrospectionConfig, JwtUsersConfig, Partner, PartnerConfig,
    TrustedFront, UsersConfig,
};
use landbridge_transport::http_server::{HttpLimits, serve};
use serde_json::json;
use tokio::net::TcpListener;

fn with(users: UsersConfig) -> PartnerConfig {
    PartnerConfig { users: Some(users), dev_users: Default::default(), insecure_dev_auth: false, ..config() }
}

async fn me(partner: &Partner, session: &str) -> Answer {
    send(partner.addr(), "GET /v1/me", &[("Authorization", &format!("Bearer {session}"))], "").await
}

fn private(directory: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = directory.join(name);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    path
}

#[tokio::test]
async fn tokens_of_the_partners_own_issuer() {
    let issuer = signer("partner-2/p2-main");
    let keys = KeyServer::start(jwks::to_json([issuer.public_key()])).await;
    let hand = Hand::at(1_800_000_000);
    let users = UsersConfig::Jwt(JwtUsersConfig {
        issuer: "https://login.example".to_owned(),
        audience: "landbridge".to_owned(),
        keys_url: keys.url.clone(),
        identifier_claim: "sub".to_owned(),
        opt_in_claim: None,
    });
    let partner = common::builder(with(users)).await.clock(hand.clock()).start().await.unwrap();
    let claims = Claims {
        issuer: "https://login.example".to_owned(),
        audience: "landbridge".to_owned(),
        subject: Some("carol".to_owned()),
        ..Claims::push("", hand.seconds())
    };
    let session =
        |signer: &RsaSigner, claims: &Claims| jwt::issue(signer, claims).unwrap().as_str().to_owned();
    let good = session(&issuer, &claims);
    let answer = me(&partner, &good).await;
    assert_eq!((answer.status, &answer.json()["identifier"]), (200, &"carol".into()));
    assert_eq!(token(partner.addr(), &good).await.status, 200);
    let stranger = signer("attacker");
    for bad in [
        session(&issuer, &Claims { issuer: "https://other.example".to_owned(), ..claims.clone() }),
        session(&issuer, &Claims { audience: "other".to_owned(), ..claims.clone() }),
        session(&issuer, &Claims { subject: None, ..claims.clone() }),
        session(&issuer, &Claims { subject: Some("x".repeat(41)), ..claims.clone() }),
        session(
            &issuer,
            &Claims { expires_at: hand.seconds() - 61, issued_at: hand.seconds() - 99, ..claims.clone() },
        ),
        session(&stranger, &claims),
        session(&stranger.with_kid(issuer.public_key().kid()).unwrap(), &claims),
        good[..good.len() - 2].to_owned(),
    ] {
        me(&partner, &bad).await.assert_problem(401, "unauthorized");
    }
    // Access tokens of RFC 9068, and long ones.
    let typed = |typ: &str, more: usize| {
        let header = json!({"kid": issuer.public_key().kid(), "alg": "RS256", "typ": typ});
        let mut payload = serde_json::to_value(&claims).unwrap();
        payload["roles"] = "r".repeat(more).into();
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&payload));
        let signature = issuer.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    for (typ, more, status) in [
        ("at+jwt", 0, 200),
        ("AT+JWT", 4000, 200),
        ("JWT", 4000, 200),
        ("logout+jwt", 0, 401),
        ("JWT", 7000, 401),
    ] {
        assert_eq!(me(&partner, &typed(typ, more)).await.status, status, "{typ}, {more}");
    }
    let metrics = send(partner.admin_addr(), "GET /metrics", &[], "").await.body;
    for series in ["jwks_usable_keys{issuer=\"users\"} 1", "jwks_age_seconds{issuer=\"users\"} 0"] {
        assert!(metrics.contains(&format!("landbridge_{series}")), "{series} is missing in {metrics}");
    }
    // Our own tokens are no sessions.
    let ours = token(partner.addr(), &good).await.json()["token"].as_str().unwrap().to_owned();
    me(&partner, &ours).await.assert_problem(401, "unauthorized");
    keys.down();
    hand.advance(24 * 3600);
    let fresh = Claims { issued_at: hand.seconds(), expires_at: hand.seconds() + 3600, ..claims };
    me(&partner, &session(&issuer, &fresh)).await.assert_problem(503, "unavailable");
}

#[tokio::test]
async fn sessions_that_an_authorization_server_knows() {
    let (asked, state) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(StatusCode::OK)));
    let (counted, answers) = (Arc::clone(&asked), Arc::clone(&state));
    let handler = move |headers: HeaderMap, body: String| async move {
        counted.fetch_add(1, Ordering::SeqCst);
        // id:se%3Acret, form-encoded before it is base64, as RFC 6749 says.
        assert_eq!(headers["authorization"], "Basic aWQ6c2UlM0FjcmV0");
        assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
        let session =
            body.strip_prefix("token=").unwrap().strip_suffix("&token_type_hint=access_token").unwrap();
        let answer = match session {
            "good" => r#"{"active":true,"sub":"17","username":"dora","wa":true,"more":[1]}"#,
            "out" => r#"{"active":true,"sub":"18","username":"eve","wa":false}"#,
            "nobody" => r#"{"active":true,"username":"eve","wa":true}"#,
            "text" => r#"{"active":"true","sub":"17","username":"dora","wa":true}"#,
            "over" => r#"{"active":true,"sub":"17","username":"dora","wa":true,"exp":1}"#,
            "long" => {
                r#"{"active":true,"sub":"17","username":"12345678901234567890123456789012345678901","wa":true}"#
            }
            "junk" => "junk",
            _ => r#"{"active":false}"#,
        };
        (*answers.lock().unwrap(), answer).into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let router = Router::new().route("/introspect", post(handler));
    let server = serve(listener, router, HttpLimits::default(), std::future::pending()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let partner = common::start_with(with(UsersConfig::Introspection(IntrospectionConfig {
        url: format!("http://{}/introspect", server.local_addr()),
        client_id: "id".to_owned(),
        client_secret: private(directory.path(), "secret", "se:cret\n"),
        identifier_member: "username".to_owned(),
        opt_in_member: Some("wa".to_owned()),
    })))
    .await
    .unwrap();
    for _ in 0..3 {
        let answer = me(&partner, "good").await;
        assert_eq!((answer.status, &answer.json()["identifier"]), (200, &"dora".into()));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the answer is remembered for a moment");
    me(&partner, "out").await.assert_problem(403, "not-opted-in");
    for denied in ["unknown", "nobody", "text", "over", "long", "good&token=other", &"x".repeat(4097)] {
        me(&partner, denied).await.assert_problem(401, "unauthorized");
    }
    me(&partner, "junk").await.assert_problem(503, "unavailable");
    *state.lock().unwrap() = StatusCode::INTERNAL_SERVER_ERROR;
    me(&partner, "another").await.assert_problem(503, "unavailable");
    assert_eq!(me(&partner, "good").await.status, 200, "who is remembered is still known");
}

#[tokio::test]
async fn users_of_a_trusted_front() {
    let directory = tempfile::tempdir().unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    let key = private(directory.path(), "front", &format!("{secret}\n"));
    let partner = common::start_with(with(UsersConfig::Front(FrontConfig { key }))).await.unwrap();
    let front = TrustedFront::new(secret.as_bytes(), Clock::system()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let word = |opted_in| FrontWord {
        user_id: "7".to_owned(),
        identifier: "frank".to_owned(),
        opted_in,
        exp: now + 50,
    };
    let ask = async |value: &str| send(partner.addr(), "GET /v1/me", &[(FRONT_HEADER, value)], "").await;
    let answer = ask(&front.sign(&word(true))).await;
    assert_eq!((answer.status, &answer.json()["identifier"]), (200, &"frank".into()));
    ask(&front.sign(&word(false))).await.assert_problem(403, "not-opted-in");
    ask("frank").await.assert_problem(401, "unauthorized");
    let short = private(directory.path(), "short", "short");
    assert!(common::start_with(with(UsersConfig::Front(FrontConfig { key: short }))).await.is_err());
}

#[tokio::test]
async fn an_operator_rotates_keys() {
    let (place, hand) = (Place::new().await, Hand::at(1_800_000_000));
    let partner = place.builder(config()).await.clock(hand.clock()).start().await.unwrap();
    let published = async || {
        let keys = send(partner.addr(), "GET /.well-known/oauth/openid/jwks", &[], "").await.json();
        let kids = keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned());
        kids.collect::<Vec<_>>()
    };
    let admin = place.admin_token();
    let rotate = async |credential: &str, body: &str| {
        send(partner.admin_addr(), "POST /admin/keys/rotate", &[("Authorization", credential)], body).await
    };
    let good = format!("Bearer {admin}");
    for bad in ["", "Bearer ", "Bearer session-of-alice", &good[..good.len() - 1]] {
        rotate(bad, "").await.assert_problem(401, "unauthorized");
    }
    send(partner.addr(), "POST /admin/keys/rotate", &[("Authorization", &good)], "")
        .await
        .assert_problem(404, "not-found");
    let first = published().await;
    let refused = rotate(&good, "").await;
    refused.assert_problem(409, "bad-request");
    let wait = landbridge_partner::PUBLISHED_BEFORE_USE.to_string();
    assert_eq!(refused.header("retry-after"), Some(wait.as_str()));
    rotate(&good, "[]").await.assert_problem(400, "bad-request");
    hand.advance(landbridge_partner::PUBLISHED_BEFORE_USE);
    assert_eq!(rotate(&good, "").await.status, 204);
    let second = published().await;
    assert_eq!((&second[0], &second[2], second.len()), (&first[1], &first[0], 3));
    assert_eq!(rotate(&good, r#"{"emergency":true}"#).await.status, 204);
    let third = published().await;
    assert_eq!((&third[0], third.len()), (&second[1], 2));
    let metrics = send(partner.admin_addr(), "GET /metrics", &[], "").await.body;
    assert!(metrics.contains("landbridge_signing_key_age_seconds{state=\"standby\"} 0"), "{metrics}");
    // Without a data directory there is no operator's token, and none is right.
    let partner = common::start_with(config()).await.unwrap();
    for credential in ["Bearer ", "Bearer x", &good] {
        let headers = [("Authorization", credential)];
        let answer = send(partner.admin_addr(), "POST /admin/keys/rotate", &headers, "").await;
        answer.assert_problem(401, "unauthorized");
    }
}

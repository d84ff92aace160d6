//! Every reason of the closed set, and what each check answers.

use landbridge_enlist::jwt::{self, Claims};
use landbridge_enlist::{FormKind, IntegratorId, Reason};

use super::world::{Keys, SIGNERS, World, form_with, keys, request};
use crate::{Clock, RateLimits};

#[tokio::test]
async fn both_forms_are_enlisted() {
    let world = World::start().await;
    let keys = keys();
    let full = world.post(request(&world.partner, &keys).to_form(FormKind::Full)).await.unwrap();
    let v103 = world.post(request(&world.partner, &keys).to_form(FormKind::V103)).await.unwrap();
    assert_eq!(full, v103);
    assert_eq!(full.integrator, IntegratorId::ONE);
}

#[tokio::test]
async fn what_the_form_decides() {
    let world = World::start().await;
    let zero = "A".repeat(43);
    for (field, value, reason, param) in [
        ("authkey", None, Reason::MissingParam, Some("authkey")),
        ("token", Some(""), Reason::MissingParam, Some("token")),
        ("token", Some("%zz"), Reason::BadParam, Some("token")),
        ("x", Some("%ff"), Reason::BadParam, None),
        ("integrator_id", Some("01"), Reason::BadIntegrator, Some("integrator_id")),
        ("integrator_id", Some("7"), Reason::BadIntegrator, Some("integrator_id")),
        ("e_keytype", Some("Bg"), Reason::BadParam, Some("e_keytype")),
        ("e_regid", Some("AAAA"), Reason::BadParam, Some("e_regid")),
        ("e_ident", Some(&*zero), Reason::BadParam, Some("e_ident")),
        ("user_identifier", Some("a%00"), Reason::BadParam, Some("user_identifier")),
        ("interop_version", Some("0"), Reason::BadParam, Some("interop_version")),
    ] {
        let refusal = world.refused(form_with(&world.partner, field, value)).await;
        assert_eq!((refusal.reason, refusal.param.as_deref()), (reason, param), "{field}={value:?}");
    }
    let good = request(&world.partner, &keys()).to_form(FormKind::Full);
    let twice = world.refused(format!("{good}&token=x")).await;
    assert_eq!((twice.reason, twice.param.as_deref()), (Reason::BadParam, Some("token")));
    let mut unsigned = request(&world.partner, &keys());
    unsigned.keys.signed_prekey.signature[5] ^= 1;
    let refusal = world.refused(unsigned.to_form(FormKind::Full)).await;
    assert_eq!((refusal.reason, refusal.param.as_deref()), (Reason::BadParam, Some("e_skey_sig")));
    assert!(
        world.events().iter().all(|event| !matches!(event.kind, crate::events::EventKind::Enlisted { .. }))
    );
}

#[tokio::test]
async fn what_the_token_decides() {
    let world = World::with(Keys::Of(&[0]), |config| {
        config.partners.push((2, "https://partner-two.invalid".to_owned()));
    })
    .await;
    let (partner, now) = (&world.partner, Clock::real().now());
    let issue = |signer: usize, change: fn(&mut Claims)| {
        let mut claims = Claims::user(&*partner.url, &"alice".parse().unwrap(), now, &mut rand::rng());
        change(&mut claims);
        jwt::issue(&SIGNERS[signer], &claims).unwrap()
    };
    let cases = [
        (issue(0, |claims| claims.audience = "x".to_owned()), "wrong_audience"),
        (issue(0, |claims| claims.issuer = "http://x.invalid".to_owned()), "wrong_issuer"),
        (issue(0, |claims| claims.issuer += "/"), "wrong_issuer"),
        (issue(0, |claims| claims.subject = None), "missing_claim"),
        (issue(0, |claims| claims.subject = Some("a\nb".to_owned())), "bad_identifier"),
        (
            issue(0, |claims| {
                claims.issued_at -= 7200;
                claims.expires_at -= 7200;
            }),
            "expired",
        ),
        (issue(0, |claims| claims.issued_at += 3000), "iat_in_future"),
        (issue(0, |claims| claims.expires_at += 90_000), "lifetime_too_long"),
        (issue(1, |_| {}), "kid_unknown"),
        (jwt::Token::new("x".repeat(4097)), "token_too_large"),
        (jwt::Token::new("a.b"), "malformed"),
        (jwt::Token::new("eyJhbGciOiJub25lIn0.e30."), "alg_not_allowed"),
    ];
    for (token, word) in cases {
        let mut request = request(partner, &keys());
        request.token = token;
        let refusal = world.refused(request.to_form(FormKind::Full)).await;
        assert_eq!(refusal.reason, Reason::BadToken, "{word}");
        assert!(
            refusal.detail.as_deref().unwrap().starts_with(&format!("check 13, {word}: ")),
            "{refusal:?}"
        );
        assert!(!format!("{:?}", world.last_refusal()).contains(request.token.as_str()));
    }
    // A tampered signature.
    let mut request = request(partner, &keys());
    let (signed, signature) = request.token.as_str().rsplit_once('.').unwrap();
    let swapped = if signature.starts_with('A') { "B" } else { "A" };
    request.token = jwt::Token::new(format!("{signed}.{swapped}{}", &signature[1..]));
    let refusal = world.refused(request.to_form(FormKind::Full)).await;
    assert!(refusal.detail.unwrap().contains("bad_signature"));
    // A good token about somebody else, and of another integrator than the form says.
    request.token = partner.token(0, "mallory");
    assert_eq!(world.refused(request.to_form(FormKind::Full)).await.reason, Reason::BadToken);
    request.token = partner.token(0, "alice");
    request.integrator = IntegratorId::new(2).unwrap();
    assert_eq!(world.refused(request.to_form(FormKind::Full)).await.reason, Reason::BadIntegrator);
}

#[tokio::test]
async fn old_versions() {
    let world = World::with(Keys::Of(&[0]), |config| config.profile.login.protocol_version = 2).await;
    let refusal = world.refused(form_with(&world.partner, "x", None)).await;
    assert_eq!(refusal.reason, Reason::OldVersion);
    world.post(form_with(&world.partner, "interop_version", Some("2"))).await.unwrap();
}

#[tokio::test]
async fn barred_users() {
    let world = World::start().await;
    let (one, alice) = (IntegratorId::ONE, "alice".parse().unwrap());
    world.handle.bar_user(one, &alice).unwrap();
    assert_eq!(world.refused(form_with(&world.partner, "x", None)).await.reason, Reason::Blocked);
    world.handle.unbar_user(one, &alice).unwrap();
    world.post(form_with(&world.partner, "x", None)).await.unwrap();
}

#[tokio::test]
async fn trouble_with_the_storage() {
    let directory = tempfile::tempdir().unwrap();
    let world =
        World::with(Keys::Of(&[0]), |config| config.data_dir = Some(directory.path().to_owned())).await;
    let other = rusqlite::Connection::open(directory.path().join("sandbox.db")).unwrap();
    other.execute_batch("PRAGMA foreign_keys = OFF; ALTER TABLE users RENAME TO gone;").unwrap();
    let refusal = world.refused(form_with(&world.partner, "x", None)).await;
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::TemporarilyUnavailable, Some(10)));
    other.execute_batch("ALTER TABLE gone RENAME TO users;").unwrap();
    world.post(form_with(&world.partner, "x", None)).await.unwrap();
}

#[tokio::test]
async fn too_many() {
    let world = World::with(Keys::Of(&[0]), |config| {
        config.rate_limits = RateLimits::On;
        // Standing still, so that no second or minute ends in between.
        config.clock = Clock::manual(Clock::real().now());
    })
    .await;
    for _ in 0..10 {
        world.post(form_with(&world.partner, "x", None)).await.unwrap();
    }
    let refusal = world.refused(form_with(&world.partner, "x", None)).await;
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::TooRecent, Some(3600)));
    assert!(refusal.detail.unwrap().contains("one user in an hour"));
    // The address's minute: bodies that are no form count like any other.
    for n in 11..60 {
        assert_eq!(world.refused(format!("x={n}")).await.reason, Reason::MissingParam);
    }
    let refusal = world.refused("x=60").await;
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::TooRecent, Some(60)));
    world.state.clock.advance(60);
    assert_eq!(world.refused("x=61").await.reason, Reason::MissingParam);
    // Identical repeats count once.
    for _ in 0..100 {
        assert_eq!(world.refused("x=62").await.reason, Reason::MissingParam);
    }
    // A stranger's bad tokens cannot use up a user's hour.
    world.state.clock.advance(3600);
    for n in 0..20 {
        let body = form_with(&world.partner, "token", Some(&format!("a.b.{n}")));
        assert_eq!(world.refused(body).await.reason, Reason::BadToken);
    }
}

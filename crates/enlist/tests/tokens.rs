//! All token vectors in both profiles, and tokens issued here.
#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

mod common;

use std::collections::BTreeMap;

use common::{NOW, PARTNER_ONE, PARTNER_TWO, key_set, signer, vector};
use landbridge_enlist::jwks::KeySet;
use landbridge_enlist::jwt::{
    self, Claims, IssueError, KeyError, Profile, RejectReason, RsaSigner, SignError, Signer, Verified,
    Verifier,
};
use landbridge_enlist::{IntegratorId, UserIdentifier};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    profile: String,
    now: u64,
    #[serde(default)]
    context: Context,
    verdict: String,
    reason: Option<String>,
    token: String,
}

#[derive(Deserialize, Default)]
struct Context {
    user_identifier: Option<String>,
    integrator_id: Option<String>,
    jwks: Option<String>,
}

/// What an enlistment server does with a token, up to the comparison with the form.
fn verify(
    verifier: &Verifier,
    sets: &BTreeMap<String, (u16, KeySet)>,
    token: &str,
    now: u64,
) -> Result<(u16, Verified), RejectReason> {
    let unverified = verifier.open(token).map_err(|rejected| rejected.reason())?;
    let issuer = unverified.claimed_issuer().map_err(|rejected| rejected.reason())?;
    let (integrator, keys) = sets.get(issuer).ok_or(RejectReason::WrongIssuer)?;
    let key = keys.get(unverified.kid());
    let verified = verifier.verify(&unverified, issuer, key, now).map_err(|rejected| rejected.reason())?;
    Ok((*integrator, verified))
}

fn run(case: &Case) -> Result<(), String> {
    let verifier = match case.profile.as_str() {
        "user-token" => Verifier::new(Profile::user_token()),
        _ => Verifier::new(Profile::push_bearer(PARTNER_ONE)),
    };
    let sets = if case.profile == "user-token" {
        let first = case.context.jwks.as_deref().unwrap_or("jwks-partner-1.json");
        BTreeMap::from([
            (PARTNER_ONE.to_owned(), (1, key_set(first))),
            (PARTNER_TWO.to_owned(), (2, key_set("jwks-partner-2.json"))),
        ])
    } else {
        BTreeMap::from([(Profile::PUSH_ISSUER.to_owned(), (0, key_set("jwks-whatsapp.json")))])
    };
    let (integrator, verified) =
        verify(&verifier, &sets, &case.token, case.now).map_err(|reason| reason.as_str().to_owned())?;
    if case.context.integrator_id.as_ref().is_some_and(|form| *form != integrator.to_string()) {
        return Err("integrator_mismatch".to_owned());
    }
    let form = case.context.user_identifier.as_deref();
    if form.is_some_and(|form| verified.identifier.as_ref().map(UserIdentifier::as_str) != Some(form)) {
        return Err("identifier_mismatch".to_owned());
    }
    Ok(())
}

#[test]
fn every_token_vector_has_its_verdict() {
    let Cases { cases } = serde_json::from_str(&vector("tokens.json")).unwrap();
    assert_eq!(cases.len(), 175);
    let mut accepted = 0;
    let mut other_reason = Vec::new();
    for case in &cases {
        let outcome = run(case);
        assert_eq!(outcome.is_ok(), case.verdict == "accept", "{}: {outcome:?}", case.id);
        accepted += usize::from(outcome.is_ok());
        if let Err(reason) = outcome
            && Some(&reason) != case.reason.as_ref()
        {
            other_reason.push(format!("{}: {reason}, not {:?}", case.id, case.reason));
        }
    }
    assert_eq!(accepted, 24);
    // The reason is advisory: these name another fault first.
    assert_eq!(
        other_reason,
        [
            "alg-array: alg_not_allowed, not Some(\"malformed\")",
            "exp-1e400: malformed, not Some(\"bad_claim_type\")",
            "sub-nul: bad_identifier, not Some(\"identifier_mismatch\")",
        ]
    );
}

#[test]
fn every_prefix_and_every_flipped_bit_is_refused() {
    let verifier = Verifier::new(Profile::user_token());
    let sets = BTreeMap::from([(PARTNER_ONE.to_owned(), (1, key_set("jwks-partner-1.json")))]);
    let Cases { cases } = serde_json::from_str(&vector("tokens.json")).unwrap();
    let good = &cases[0].token;
    assert!(verify(&verifier, &sets, good, NOW).is_ok());
    for end in 0..good.len() {
        assert!(verify(&verifier, &sets, &good[..end], NOW).is_err(), "prefix of {end} bytes");
    }
    for at in 0..good.len() {
        for bit in 0..7 {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verify(&verifier, &sets, &changed, NOW).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn outside_one_failure_inside_its_reason() {
    let verifier = Verifier::new(Profile::user_token());
    let [a, b] = ["", "e30.e30.e30"].map(|token| verifier.open(token).unwrap_err());
    assert_eq!(a.to_string(), b.to_string());
    assert_eq!((a.reason(), b.reason()), (RejectReason::Malformed, RejectReason::AlgNotAllowed));
    assert_ne!(a.reason().rule(), b.reason().rule());
}

#[test]
fn the_edges_of_time() {
    let signer = signer("partner-1/p1-2026-10");
    let keys = key_set("jwks-partner-1.json");
    let verifier = Verifier::new(Profile::user_token());
    let claims = Claims::user(PARTNER_ONE, &"alice".parse().unwrap(), NOW, &mut common::rng(1));
    let token = jwt::issue(&signer, &claims).unwrap();
    let at = |now: u64| {
        let open = verifier.open(token.as_str()).unwrap();
        verifier.verify(&open, PARTNER_ONE, keys.get(open.kid()), now).map_err(|rejected| rejected.reason())
    };
    assert_eq!(at(NOW - 61).unwrap_err(), RejectReason::IatInFuture);
    assert!(at(NOW - 60).is_ok());
    assert!(at(NOW + 3600 + 59).is_ok());
    assert_eq!(at(NOW + 3600 + 60).unwrap_err(), RejectReason::Expired);
    assert_eq!(at(u64::MAX).unwrap_err(), RejectReason::Expired);
}

#[test]
fn the_longest_identifier_fits_and_round_trips() {
    let (signer, keys) = (signer("partner-1/p1-2026-11"), key_set("jwks-partner-1.json"));
    let verifier = Verifier::new(Profile::user_token());
    for text in ["😀".repeat(40), "\"".repeat(40), "\\".repeat(40)] {
        let identifier = UserIdentifier::new(text).unwrap();
        let claims = Claims::user(PARTNER_ONE, &identifier, NOW, &mut rand::rng());
        let token = jwt::issue(&signer, &claims).unwrap();
        let open = verifier.open(token.as_str()).unwrap();
        let verified = verifier.verify(&open, PARTNER_ONE, keys.get(open.kid()), NOW).unwrap();
        assert_eq!(verified.identifier, Some(identifier));
        assert_eq!(verified.id, claims.id);
        assert_eq!((verified.issued_at, verified.expires_at), (NOW, NOW + 3600));
    }
}

#[test]
fn push_bearers_are_issued_as_the_document_shows() {
    let signer = signer("whatsapp/1aXf8");
    let token = jwt::issue(&signer, &Claims::push(PARTNER_ONE, NOW)).unwrap();
    let verifier = Verifier::new(Profile::push_bearer(PARTNER_ONE));
    let open = verifier.open(token.as_str()).unwrap();
    let keys = key_set("jwks-whatsapp.json");
    let verified = verifier.verify(&open, Profile::PUSH_ISSUER, keys.get(open.kid()), NOW).unwrap();
    assert_eq!((verified.issuer.as_str(), verified.identifier, verified.id), ("WHATSAPP", None, None));
    // The same bytes are no user token of the same keys.
    let user = Verifier::new(Profile::user_token());
    let open = user.open(token.as_str()).unwrap();
    let refused = user.verify(&open, Profile::PUSH_ISSUER, keys.get(open.kid()), NOW).unwrap_err();
    assert_eq!(refused.reason(), RejectReason::WrongAudience);
}

#[test]
fn another_identifier_claim_is_a_setting() {
    let mut profile = Profile::user_token();
    profile.identifier_claim = Some("preferred_username".to_owned());
    let verifier = Verifier::new(profile);
    let signer = signer("partner-1/p1-2026-10");
    let claims = Claims::user(PARTNER_ONE, &"alice".parse().unwrap(), NOW, &mut rand::rng());
    let token = jwt::issue(&signer, &claims).unwrap();
    let open = verifier.open(token.as_str()).unwrap();
    let keys = key_set("jwks-partner-1.json");
    let refused = verifier.verify(&open, PARTNER_ONE, keys.get(open.kid()), NOW).unwrap_err();
    assert_eq!(refused.reason(), RejectReason::MissingClaim);
}

struct Broken(&'static str);

impl Signer for Broken {
    fn kid(&self) -> &str {
        self.0
    }
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Err(SignError("the device is gone".into()))
    }
}

#[test]
fn what_cannot_be_issued() {
    let claims = Claims::push(PARTNER_ONE, NOW);
    assert!(matches!(jwt::issue(&Broken("ok"), &claims), Err(IssueError::Sign(_))));
    for kid in ["", "a\"b", "ä", "a b"] {
        assert!(matches!(jwt::issue(&Broken(kid), &claims), Err(IssueError::Kid)), "{kid}");
    }
    let long = Claims { subject: Some("x".repeat(4000)), ..claims };
    let signer = signer("whatsapp/1aXf9");
    assert!(matches!(jwt::issue(&signer, &long), Err(IssueError::TooLong { got: 4097.. })));
}

#[test]
fn what_is_no_signing_key() {
    for (pem, hint) in [
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "encrypted"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
            "encrypted",
        ),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "not in PKCS#8"),
    ] {
        let refused = RsaSigner::from_pkcs8_pem(pem).unwrap_err().to_string();
        assert!(refused.contains(hint) && refused.contains("openssl pkcs8"), "{refused}");
    }
    for pem in ["", "-----BEGIN PRIVATE KEY-----"] {
        assert!(matches!(RsaSigner::from_pkcs8_pem(pem), Err(KeyError::Pem)), "{pem}");
    }
    let junk = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(RsaSigner::from_pkcs8_pem(junk), Err(KeyError::Rejected { .. })));
    let pem = vector("partner-1-key.pem");
    assert!(matches!(RsaSigner::from_pkcs8_pem(&format!("{pem}{pem}")), Err(KeyError::Pem)));
    let good = RsaSigner::from_pkcs8_pem(&pem.replace('\n', "\r\n")).unwrap();
    assert!(matches!(good.with_kid("a/b"), Err(KeyError::Kid)));
}

#[test]
fn secrets_print_as_redacted() {
    let signer = signer("partner-1/p1-2026-10");
    assert!(format!("{signer:?}").contains("[redacted]"));
    let token = jwt::issue(&signer, &Claims::push("x", NOW)).unwrap();
    assert_eq!(format!("{token:?}"), "Token([redacted])");
    let verifier = Verifier::new(Profile::user_token());
    let open = format!("{:?}", verifier.open(token.as_str()).unwrap());
    assert!(token.as_str().split('.').all(|part| !open.contains(part)), "{open}");
}

proptest! {
    #[test]
    fn arbitrary_text_is_no_token(text in "\\PC{0,200}|[A-Za-z0-9_.-]{0,300}") {
        let verifier = Verifier::new(Profile::user_token());
        if let Ok(open) = verifier.open(&text) {
            prop_assert!(verifier.verify(&open, "x", None, NOW).is_err());
        }
    }

    #[test]
    fn identifiers_round_trip(text in "[^\\p{Cc}]{1,40}", integrator in 1_u16..=999) {
        let identifier = UserIdentifier::new(text.as_str()).unwrap();
        prop_assert_eq!(identifier.as_str(), &text);
        let integrator = IntegratorId::new(integrator).unwrap();
        prop_assert_eq!(integrator.to_string().parse::<IntegratorId>().unwrap(), integrator);
    }
}

#[test]
fn a_token_tells_its_owner_when_it_ends() {
    let ends = |claims: &str| {
        use base64::Engine as _;
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
        jwt::Token::new(format!("e30.{claims}.c2ln")).expires_at()
    };
    assert_eq!(ends(r#"{"iss":"x","exp":1700000000}"#), Some(1_700_000_000));
    for claims in ["{}", r#"{"exp":"soon"}"#, r#"{"exp":-1}"#, r#"{"exp":1e300}"#, r#"[1]"#, "no JSON"] {
        assert_eq!(ends(claims), None, "{claims}");
    }
    for text in ["", "e30", "e30.e30", "e30.!.c2ln", "..."] {
        assert_eq!(jwt::Token::new(text).expires_at(), None, "{text}");
    }
}

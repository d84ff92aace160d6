//! Tokens: changed ones, and ones whose signature is good while the rest is anything.

use std::{collections::HashSet, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use landbridge_enlist::{
    jwks::KeySet,
    jwt::{Profile, RsaSigner, Signer as _, Verified, Verifier},
};
use serde_json::Value;

use crate::{
    input::{Input, put_long},
    vectors,
};

const NOW: u64 = 1_800_000_000;
pub(crate) const PARTNER: &str = "https://partner-one.example";
const OTHER: &str = "https://partner-two.example";
const KID: &str = "p1-2026-10";

fn key_set(text: &str) -> KeySet {
    KeySet::parse(text.as_bytes()).expect("the vectors' sets are good").set
}

struct Keys {
    partner: KeySet,
    weak: KeySet,
    other: KeySet,
    whatsapp: KeySet,
    signer: RsaSigner,
    /// Every token of the vectors: what is accepted is one of them.
    tokens: HashSet<String>,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let private: Value =
        serde_json::from_str(include_str!("../../crates/enlist/tests/vectors/private-keys.json"))
            .expect("JSON");
    let pem = private["keys"]["partner-1/p1-2026-10"].as_str().expect("the key is there");
    let tokens = vectors::list(&vectors::tokens(), "cases");
    Keys {
        partner: key_set(include_str!("../../crates/enlist/tests/vectors/jwks-partner-1.json")),
        weak: key_set(include_str!("../../crates/enlist/tests/vectors/jwks-weak.json")),
        other: key_set(include_str!("../../crates/enlist/tests/vectors/jwks-partner-2.json")),
        whatsapp: key_set(include_str!("../../crates/enlist/tests/vectors/jwks-whatsapp.json")),
        signer: RsaSigner::from_pkcs8_pem(pem).and_then(|signer| signer.with_kid(KID)).expect("a good key"),
        tokens: tokens.iter().filter_map(|case| case["token"].as_str().map(str::to_owned)).collect(),
    }
});

fn verify(choice: u8, token: &str, now: u64) -> Option<Verified> {
    let keys = &*KEYS;
    let profile = if choice & 1 == 0 { Profile::user_token() } else { Profile::push_bearer(PARTNER) };
    let verifier = Verifier::new(profile);
    let unverified = verifier.open(token).ok()?;
    let issuer = unverified.claimed_issuer().ok()?;
    let set = match (choice & 1, issuer) {
        (0, PARTNER) if choice & 2 == 0 => &keys.partner,
        (0, PARTNER) => &keys.weak,
        (0, OTHER) => &keys.other,
        (1, Profile::PUSH_ISSUER) => &keys.whatsapp,
        _ => return None,
    };
    verifier.verify(&unverified, issuer, set.get(unverified.kid()), now).ok()
}

/// Nobody but the holders of the keys makes a token that is accepted, not even from one that is.
pub(crate) fn token(bytes: &[u8]) {
    let Some((&choice, token)) = bytes.split_first() else { return };
    let Ok(token) = std::str::from_utf8(token) else { return };
    for now in [NOW, NOW - 30, NOW + 3_600] {
        if let Some(verified) = verify(choice, token, now) {
            assert!(KEYS.tokens.contains(token), "a token that nobody issued");
            assert!(now < verified.expires_at + 61 && verified.issued_at <= now + 60);
            assert_eq!(verified.identifier.is_some(), choice & 1 == 0);
        }
    }
}

pub(crate) fn token_seeds() -> Vec<Vec<u8>> {
    let cases = vectors::list(&vectors::tokens(), "cases");
    let seed = |case: &Value| {
        let push = u8::from(case["profile"] == "push-bearer");
        let weak = if case["context"]["jwks"] == "jwks-weak.json" { 2 } else { 0 };
        case["token"].as_str().map(|token| [&[push | weak], token.as_bytes()].concat())
    };
    cases.iter().filter_map(seed).filter(|seed| seed.len() <= 5000).collect()
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = KEYS.signer.sign(signed.as_bytes()).expect("the key signs");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// With a good signature it is the header and the claims that decide: accepted is only what a second reading of the rules
/// accepts, and written canonically the two agree.
pub(crate) fn claims(bytes: &[u8]) {
    let mut script = Input::new(bytes);
    let (header, claims) = (script.long(), script.rest());
    if header.len() + claims.len() > 4096 {
        return;
    }
    let read = serde_json::from_slice::<Value>(header).ok().zip(serde_json::from_slice::<Value>(claims).ok());
    let accepted = verify(0, &signed(header, claims), NOW);
    match read {
        None => assert!(accepted.is_none(), "accepted what is no JSON"),
        Some((header, claims)) => {
            let good = is_good(&header, &claims);
            if let Some(verified) = accepted {
                assert!(good, "accepted {header} {claims}");
                assert_eq!(
                    verified.identifier.as_ref().map(|identifier| identifier.as_str()),
                    claims["sub"].as_str()
                );
                assert_eq!(verified.issuer, PARTNER);
                assert_eq!(verified.id.as_deref(), claims["jti"].as_str());
            }
            let token = signed(header.to_string().as_bytes(), claims.to_string().as_bytes());
            let fits = token.len() <= 4096 && depth(&header).max(depth(&claims)) <= 32;
            assert_eq!(verify(0, &token, NOW).is_some(), good && fits, "{header} {claims}");
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// The rules for user tokens, as the protocol notes have them.
fn is_good(header: &Value, claims: &Value) -> bool {
    let (Some(header), Some(claims)) = (header.as_object(), claims.as_object()) else { return false };
    let forbidden = ["crit", "jku", "jwk", "x5u", "x5c", "b64", "cty"];
    let header_is_good = header.get("alg") == Some(&"RS256".into())
        && header.get("kid") == Some(&KID.into())
        && header
            .get("typ")
            .is_none_or(|typ| typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("jwt")))
        && !forbidden.iter().any(|member| header.contains_key(*member));
    let strings = ["jti", "sub", "iss"];
    let strings_are = strings.iter().all(|name| claims.get(*name).is_none_or(Value::is_string));
    let for_us = match claims.get("aud") {
        Some(Value::String(one)) => one == "WHATSAPP",
        Some(Value::Array(several)) => {
            several.iter().all(Value::is_string) && several.iter().any(|one| one == "WHATSAPP")
        }
        _ => false,
    };
    let date = |name: &str| claims.get(name).and_then(Value::as_f64);
    let (Some(exp), Some(iat)) = (date("exp"), date("iat")) else { return false };
    let Some(nbf) = (if claims.contains_key("nbf") { date("nbf") } else { Some(0.0) }) else { return false };
    let now = 1_800_000_000.0;
    let in_time = now < exp + 60.0 && iat <= now + 60.0 && nbf <= now + 60.0;
    let sub = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    let named = (1..=40).contains(&sub.chars().count()) && !sub.chars().any(char::is_control);
    header_is_good
        && strings_are
        && for_us
        && claims.get("iss").and_then(Value::as_str) == Some(PARTNER)
        && in_time
        && exp > iat
        && exp - iat <= 86_400.0
        && named
}

pub(crate) fn claim_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for case in vectors::list(&vectors::tokens(), "cases") {
        if case["profile"] != "user-token" {
            continue;
        }
        let token = case["token"].as_str().unwrap_or_default();
        let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
        let (Some(Ok(header)), Some(Ok(claims))) = (parts.next(), parts.next()) else { continue };
        if header.len() + claims.len() > 1000 {
            continue;
        }
        let mut seed = Vec::new();
        put_long(&mut seed, &header);
        seed.extend(claims);
        seeds.push(seed);
    }
    seeds
}

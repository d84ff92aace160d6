//! Tokens and signing keys are not printed, by value or through what holds them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{NOW, PARTNER_ONE, request, rng, signer};
use landbridge_enlist::jwt::{self, Claims, Profile, Signer as _, Token, Verifier};
use landbridge_enlist::{FormKind, FormRules, IntegratorId, VersionHints, check_form};

/// Fails if `shown` has any four consecutive bytes of a secret, in hexadecimal or as a list of numbers.
fn assert_hidden(shown: &str, secrets: &[&[u8]]) {
    let shown: String = shown.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    for four in secrets.iter().flat_map(|secret| secret.windows(4)) {
        let numbers: Vec<_> = four.iter().map(u8::to_string).collect();
        let hexes: Vec<_> = four.iter().map(|byte| format!("{byte:x}")).collect();
        for form in [hex::encode(four), numbers.join(","), hexes.join(","), four.escape_ascii().to_string()] {
            assert!(!shown.contains(&form.to_lowercase()), "{form} is in {shown}");
        }
    }
}

#[test]
fn tokens_do_not_print() {
    let signer = signer("partner-1/p1-2026-10");
    let claims = Claims::user(PARTNER_ONE, &"alice".parse().unwrap(), NOW, &mut rng(1));
    let token = jwt::issue(&signer, &claims).unwrap();
    let mut request = request(1);
    request.token = token.clone();
    let body = request.to_form(FormKind::Full);
    let is_enabled = |_: IntegratorId| true;
    let rules = FormRules { min_version: 1, is_enabled: &is_enabled };
    let form = check_form(body.as_bytes(), VersionHints::default(), &rules).unwrap();
    let verifier = Verifier::new(Profile::user_token());
    let unverified = verifier.open(token.as_str()).unwrap();
    let shown = format!("{token:#?} {request:#?} {form:#?} {unverified:#?} {signer:#?}");
    // Header and payload are as good as public; the signature is what makes them a credential.
    let signature = token.as_str().rsplit('.').next().unwrap();
    assert_hidden(&shown, &[signature.as_bytes(), &signer.sign(b"x").unwrap()]);
    assert!(!shown.contains(&token.as_str()[..40]));
    let cut = verifier.open(&token.as_str()[..token.as_str().len() - 2]).map(|_| ());
    assert_hidden(&format!("{cut:#?}"), &[signature.as_bytes()]);
}

#[test]
fn a_private_key_that_is_refused_does_not_print() {
    let pem = common::vector("partner-1-key.pem");
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    for broken in [pem.replace("PRIVATE KEY", "RSA PRIVATE KEY"), pem.replace("MII", "MIJ")] {
        let refused = jwt::RsaSigner::from_pkcs8_pem(&broken).unwrap_err();
        assert_hidden(&format!("{refused} {refused:#?}"), &[text.as_bytes()]);
    }
}

#[test]
fn tokens_are_equal_by_their_text() {
    let token = Token::new("a.b.c");
    assert_eq!(token, Token::new("a.b.c"));
    for other in ["a.b.d", "a.b.", "a.b.cc", ""] {
        assert_ne!(token, Token::new(other));
    }
}

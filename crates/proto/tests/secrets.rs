//! The login token is not printed, whatever holds it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use landbridge_proto::login::{InteropLogin, LoginClaims, Token, check_login};

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
fn the_token_does_not_print() {
    const TOKEN: &str = "eyJraWQi.eyJpc3Mi.c2lnbmF0dXJl";
    let login = InteropLogin::new(7, TOKEN);
    let claims = check_login(&login.encode()).unwrap();
    let LoginClaims::Interop(interop) = &claims else { unreachable!("no phone") };
    assert_eq!(interop.token.as_str(), Some(TOKEN));
    assert_hidden(&format!("{login:#?} {claims:#?} {:?}", interop.token), &[TOKEN.as_bytes()]);
}

#[test]
fn tokens_are_equal_by_their_bytes() {
    let token = Token::from("a.b.c");
    assert_eq!(token, Token::from("a.b.c"));
    for other in ["a.b.d", "a.b.", "a.b.cc", ""] {
        assert_ne!(token, Token::from(other));
    }
}

//! The form both ways, every check with its reason, the reply both ways, and what a client does about it.
#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

mod common;

use std::time::Duration;

use common::{request, rng};
use landbridge_enlist::jwt::Token;
use landbridge_enlist::{
    Answer, EnlistmentReply, FormKind, FormRules, IntegratorId, Login, Reaction, Reason, Refusal, ReplyError,
    TokenSubject, UserIdentifier, VersionHints, check_form, react, retry_delay, with_jitter,
};
use proptest::prelude::*;

fn rules(is_enabled: &dyn Fn(IntegratorId) -> bool) -> FormRules<'_> {
    FormRules { min_version: 1, is_enabled }
}

fn one() -> IntegratorId {
    IntegratorId::new(1).unwrap()
}

fn check(body: &str) -> Result<landbridge_enlist::CheckedForm, Refusal> {
    check_form(body.as_bytes(), VersionHints::default(), &rules(&|integrator| integrator == one()))
}

fn alice() -> TokenSubject {
    TokenSubject { integrator: one(), identifier: "alice".parse().unwrap() }
}

/// A good body with one field set to another text (already escaped), or left out.
fn with(field: &str, value: Option<&str>) -> String {
    let body = request(1).to_form(FormKind::Full);
    let mut pairs: Vec<String> =
        body.split('&').filter(|pair| !pair.starts_with(&format!("{field}="))).map(str::to_owned).collect();
    pairs.extend(value.map(|value| format!("{field}={value}")));
    pairs.join("&")
}

#[test]
fn the_form_is_the_published_one() {
    let body = request(1).to_form(FormKind::Full);
    let names: Vec<&str> = body.split('&').map(|pair| pair.split('=').next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "user_identifier",
            "e_ident",
            "e_keytype",
            "e_regid",
            "e_skey_id",
            "e_skey_sig",
            "e_skey_val",
            "authkey",
            "token",
            "integrator_id"
        ]
    );
    let lengths: Vec<usize> = body.split('&').map(|pair| pair.split_once('=').unwrap().1.len()).collect();
    assert_eq!(lengths, [5, 43, 2, 6, 4, 86, 43, 43, 5, 1]);
    assert!(body.contains("&e_regid=x6g6tA&") && body.contains("&e_skey_id=___-&"));
    let v103 = request(1).to_form(FormKind::V103);
    assert!(!v103.contains("integrator_id") && !v103.contains("user_identifier"));
    assert_eq!(v103.split('&').count(), 8);
}

#[test]
fn both_forms_are_accepted() {
    for kind in [FormKind::Full, FormKind::V103] {
        let request = request(7);
        let form = check(&request.to_form(kind)).unwrap();
        assert_eq!(form.token(), &Token::new("a.b.c"));
        assert_eq!(form.claimed_integrator().is_some(), kind == FormKind::Full);
        let verified = form.bind(alice()).unwrap();
        assert_eq!((verified.user(), verified.keys()), (&alice(), &request.keys));
        assert_eq!(verified.version(), 1);
    }
}

#[test]
fn a_stranger_may_shuffle_and_add_fields() {
    let body = request(1).to_form(FormKind::Full);
    let mut pairs: Vec<&str> = body.split('&').collect();
    pairs.reverse();
    let body = format!("e_key_val=1&{}&x=%20", pairs.join("&"));
    assert!(check(&body).unwrap().bind(alice()).is_ok());
}

#[test]
fn each_check_has_its_reason() {
    let e_ident_zero = "A".repeat(43);
    let long = "a".repeat(41);
    let cases: &[(&str, Option<&str>, Reason, Option<&str>)] = &[
        ("authkey", None, Reason::MissingParam, Some("authkey")),
        ("authkey", Some(""), Reason::MissingParam, Some("authkey")),
        ("e_keytype", None, Reason::MissingParam, Some("e_keytype")),
        ("e_regid", None, Reason::MissingParam, Some("e_regid")),
        ("e_ident", None, Reason::MissingParam, Some("e_ident")),
        ("e_skey_id", None, Reason::MissingParam, Some("e_skey_id")),
        ("e_skey_val", None, Reason::MissingParam, Some("e_skey_val")),
        ("e_skey_sig", None, Reason::MissingParam, Some("e_skey_sig")),
        ("token", None, Reason::MissingParam, Some("token")),
        ("token", Some(""), Reason::MissingParam, Some("token")),
        ("token", Some("%zz"), Reason::BadParam, Some("token")),
        ("integrator_id", Some(""), Reason::BadIntegrator, Some("integrator_id")),
        ("integrator_id", Some("01"), Reason::BadIntegrator, Some("integrator_id")),
        ("integrator_id", Some("1000"), Reason::BadIntegrator, Some("integrator_id")),
        ("integrator_id", Some("2"), Reason::BadIntegrator, Some("integrator_id")),
        ("e_keytype", Some("BR"), Reason::BadParam, Some("e_keytype")),
        ("e_keytype", Some("BQ=="), Reason::BadParam, Some("e_keytype")),
        ("e_keytype", Some("Bg"), Reason::BadParam, Some("e_keytype")),
        ("e_regid", Some("AAAA"), Reason::BadParam, Some("e_regid")),
        ("e_skey_id", Some("AAAAAA"), Reason::BadParam, Some("e_skey_id")),
        ("e_skey_sig", Some("AAAA"), Reason::BadParam, Some("e_skey_sig")),
        ("e_ident", Some(&e_ident_zero), Reason::BadParam, Some("e_ident")),
        ("authkey", Some(&e_ident_zero), Reason::BadParam, Some("authkey")),
        ("e_skey_val", Some(&e_ident_zero), Reason::BadParam, Some("e_skey_val")),
        ("user_identifier", Some(""), Reason::BadParam, Some("user_identifier")),
        ("user_identifier", Some(&long), Reason::BadParam, Some("user_identifier")),
        ("user_identifier", Some("al%0aice"), Reason::BadParam, Some("user_identifier")),
        ("user_identifier", Some("%ed%a0%80"), Reason::BadParam, Some("user_identifier")),
        ("interop_version", Some("0"), Reason::BadParam, Some("interop_version")),
        ("interop_version", Some("x"), Reason::BadParam, Some("interop_version")),
    ];
    for (field, value, reason, param) in cases {
        let refusal = check(&with(field, *value)).expect_err(&format!("{field} = {value:?}"));
        assert_eq!((&refusal.reason, refusal.param.as_deref()), (reason, *param), "{field} = {value:?}");
        assert!(refusal.detail.is_some());
    }
}

#[test]
fn the_first_failure_wins() {
    let first = |body: &str| {
        let refusal = check(body).unwrap_err();
        (refusal.reason, refusal.param.unwrap_or_default())
    };
    assert_eq!(first(""), (Reason::MissingParam, "authkey".to_owned()));
    // Table order, not order of arrival.
    assert_eq!(first("token=x&e_ident=y"), (Reason::MissingParam, "authkey".to_owned()));
    // 5 before 6.
    assert_eq!(first("token=x&token=x"), (Reason::BadParam, "token".to_owned()));
    // 6 before 8.
    let body = with("integrator_id", Some("0")).replace("token=", "tok=");
    assert_eq!(first(&body), (Reason::MissingParam, "token".to_owned()));
    // 7 before 8, 8 before 9, 9 before 10 and 11.
    let body = with("integrator_id", Some("0")).replace("authkey=", "authkey=!");
    assert_eq!(
        first(&format!("{body}&interop_version=-1")),
        (Reason::BadParam, "interop_version".to_owned())
    );
    assert_eq!(first(&body), (Reason::BadIntegrator, "integrator_id".to_owned()));
    let body = with("e_keytype", Some("Bg")).replace("e_skey_sig=", "e_skey_sig=!");
    assert_eq!(first(&body), (Reason::BadParam, "e_skey_sig".to_owned()));
}

#[test]
fn old_versions() {
    let body = request(1).to_form(FormKind::V103);
    let rules = FormRules { min_version: 2, is_enabled: &|_| true };
    let check = |hints| check_form(body.as_bytes(), hints, &rules).map(|form| form.version());
    assert_eq!(check(VersionHints::default()).unwrap_err().reason, Reason::OldVersion);
    assert_eq!(check(VersionHints { header: Some("2"), user_agent: None }).unwrap(), 2);
    let agent = VersionHints { header: None, user_agent: Some("x WhatsAppInterop/3") };
    assert_eq!(check(agent).unwrap(), 3);
}

#[test]
fn form_and_token_must_agree() {
    let bind = |integrator, identifier: &str, body: &str| {
        let identifier = UserIdentifier::new(identifier).unwrap();
        let integrator = IntegratorId::new(integrator).unwrap();
        check(body).unwrap().bind(TokenSubject { integrator, identifier }).map_err(|refusal| refusal.reason)
    };
    let body = request(1).to_form(FormKind::Full);
    assert_eq!(bind(2, "alice", &body).unwrap_err(), Reason::BadIntegrator);
    for other in ["Alice", "alice ", "álice"] {
        assert_eq!(bind(1, other, &body).unwrap_err(), Reason::BadToken);
    }
    let v103 = request(1).to_form(FormKind::V103);
    assert_eq!(bind(2, "bob", &v103).unwrap().user().identifier.as_str(), "bob");
    // 14 before 16.
    let mut unsigned = request(1);
    unsigned.keys.signed_prekey.signature[0] ^= 1;
    let body = unsigned.to_form(FormKind::Full);
    assert_eq!(bind(2, "alice", &body).unwrap_err(), Reason::BadIntegrator);
    assert_eq!(bind(1, "alice", &body).unwrap_err(), Reason::BadParam);
}

/// About half of all honest keys set the top bit of the last byte; a strict reader of the original paper refuses them.
#[test]
fn signatures_with_either_sign_bit_pass() {
    let mut seen = [0; 2];
    for seed in 0..64 {
        let request = request(seed);
        seen[usize::from(request.keys.signed_prekey.signature[63] >> 7)] += 1;
        assert!(check(&request.to_form(FormKind::Full)).unwrap().bind(alice()).is_ok());
    }
    assert!(seen.iter().all(|count| *count > 8), "{seen:?}");
}

#[test]
fn replies_are_the_published_ones() {
    let login: Login = "1-10853634039893@interop".parse().unwrap();
    let ok = EnlistmentReply::Enlisted(login);
    assert_eq!(ok.to_json(), r#"{"login":"1-10853634039893@interop","status":"ok"}"#);
    let fail = EnlistmentReply::Refused(Refusal::new(Reason::BadIntegrator));
    assert_eq!(fail.to_json(), r#"{"reason":"bad_integrator","status":"fail"}"#);
    let all = Refusal::new(Reason::TooRecent).param("p").retry_after(9).detail("d");
    for reply in [ok, fail, EnlistmentReply::Refused(all)] {
        assert_eq!(EnlistmentReply::parse(reply.to_json().as_bytes()).unwrap(), reply);
    }
    let odd = br#"{"status":"fail","reason":"new_word","retry_after":1.5,"param":7,"x":[],"login":"zzz"}"#;
    let EnlistmentReply::Refused(refusal) = EnlistmentReply::parse(odd).unwrap() else { panic!() };
    assert_eq!(refusal, Refusal::new(Reason::Other("new_word".into())).retry_after(2));
}

#[test]
fn what_is_no_reply() {
    let fault = |body: &str| EnlistmentReply::parse(body.as_bytes()).unwrap_err();
    assert!(matches!(fault("<html>"), ReplyError::Json(_)));
    assert!(matches!(fault(r#"{"status":"ok","status":"fail"}"#), ReplyError::Json(_)));
    assert!(matches!(fault("{}"), ReplyError::NoStatus));
    assert!(matches!(fault(r#"{"status":true}"#), ReplyError::NoStatus));
    assert!(matches!(fault(r#"{"status":"ok"}"#), ReplyError::NoLogin));
    assert!(matches!(fault(r#"{"status":"ok","login":"1-01@interop"}"#), ReplyError::Login(_)));
    assert!(matches!(fault(&" ".repeat(65_537)), ReplyError::TooLarge));
}

#[test]
fn what_a_client_does() {
    let http = |status, body: &str| react(Answer::Http { status, body: body.as_bytes() }, one());
    assert!(matches!(http(200, r#"{"status":"ok","login":"1-5@interop"}"#), Reaction::Enlisted(_)));
    assert!(matches!(http(200, r#"{"status":"ok","login":"2-5@interop"}"#), Reaction::Protocol(_)));
    assert!(matches!(http(200, r#"{"status":"ok","login":"5"}"#), Reaction::Protocol(_)));
    let fail =
        |reason: &str, more: &str| http(200, &format!(r#"{{"status":"fail","reason":"{reason}"{more}}}"#));
    for (reason, more, wanted) in [
        ("too_recent", "", 60),
        ("too_recent", r#","retry_after":7"#, 7),
        ("temporarily_unavailable", r#","retry_after":999999"#, 3600),
    ] {
        assert!(matches!(fail(reason, more), Reaction::RetryLater { seconds, .. } if seconds == wanted));
    }
    assert!(matches!(fail("bad_token", ""), Reaction::FreshToken(_)));
    for reason in ["old_version", "bad_integrator", "bad_param", "missing_param", "blocked", "brand_new", ""]
    {
        assert!(matches!(fail(reason, ""), Reaction::Permanent(_)), "{reason}");
    }
    for status in [429, 500, 503, 599] {
        assert!(matches!(http(status, ""), Reaction::RetrySame));
    }
    assert!(matches!(react(Answer::None, one()), Reaction::RetrySame));
    for status in [201, 204, 301, 302, 307, 400, 404, 405, 413, 415] {
        assert!(matches!(http(status, r#"{"status":"ok","login":"1-5@interop"}"#), Reaction::Protocol(_)));
    }
    assert!(matches!(http(200, "not json"), Reaction::Protocol(_)));
}

#[test]
fn retries_grow_and_end() {
    let mut rng = rng(3);
    let delays: Vec<_> = (0..7).map(|tries| retry_delay(tries, &mut rng)).collect();
    for (delay, seconds) in delays[1..5].iter().zip([1, 2, 4, 8]) {
        let delay = delay.unwrap();
        assert!(delay >= Duration::from_secs(seconds) && delay <= Duration::from_secs(seconds).mul_f64(1.2));
    }
    assert_eq!((delays[0], delays[5], delays[6]), (None, None, None));
    assert_ne!(with_jitter(60, &mut rng), with_jitter(60, &mut rng));
}

proptest! {
    #[test]
    fn arbitrary_bodies_never_pass(body in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(check_form(&body, VersionHints::default(), &rules(&|_| true)).is_err());
        let _ = EnlistmentReply::parse(&body);
        let _ = landbridge_enlist::claimed_integrator(&body);
    }

    #[test]
    fn requests_round_trip(seed: u64, id in 0_u32..1 << 24, registration_id: u32,
                           identifier in "[^\\p{Cc}]{1,40}", token in "[ -~]{1,100}", integrator in 1_u16..=999) {
        let mut sent = request(seed);
        sent.keys.signed_prekey.id = id;
        sent.keys.registration_id = registration_id;
        sent.identifier = UserIdentifier::new(identifier).unwrap();
        sent.token = Token::new(token);
        sent.integrator = IntegratorId::new(integrator).unwrap();
        let body = sent.to_form(FormKind::Full);
        let form = check_form(body.as_bytes(), VersionHints::default(), &rules(&|_| true)).unwrap();
        prop_assert_eq!(form.token(), &sent.token);
        prop_assert_eq!(landbridge_enlist::claimed_integrator(body.as_bytes()), Some(sent.integrator));
        let subject = TokenSubject { integrator: sent.integrator, identifier: sent.identifier };
        let verified = form.bind(subject.clone()).unwrap();
        prop_assert_eq!(verified.into_parts(), (subject, sent.keys));
    }

    #[test]
    fn logins_round_trip(integrator in 1_u16..=999, account in 1_u64..) {
        let login = Login {
            integrator: IntegratorId::new(integrator).unwrap(),
            account: account.try_into().unwrap(),
        };
        prop_assert_eq!(login.to_string().parse::<Login>().unwrap(), login);
    }

    #[test]
    fn reply_words_round_trip(word in "\\PC{0,40}") {
        let reason = Reason::from_word(&word);
        prop_assert_eq!(reason.as_str(), word);
    }
}

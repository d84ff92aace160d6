//! Enlistment: the form, the answer, and the names in them.

use landbridge_curve::PrivateKey;
use landbridge_enlist::{
    DeviceKeys, EnlistmentReply, EnlistmentRequest, FormKind, FormRules, IntegratorId, Login, Reason,
    Refusal, SignedPreKeyPublic, TokenSubject, UserIdentifier, VersionHints, check_form, claimed_integrator,
    jwt::Token,
};

use crate::{input::rng, vectors};

const RULES: FormRules<'static> =
    FormRules { min_version: 1, is_enabled: &|integrator| integrator.get() < 500 };

/// A form that is accepted is what a client would send with the same parts.
pub(crate) fn form(bytes: &[u8]) {
    let checked = match check_form(bytes, VersionHints::default(), &RULES) {
        Err(refusal) => {
            let reply = EnlistmentReply::Refused(refusal);
            assert_eq!(EnlistmentReply::parse(reply.to_json().as_bytes()).ok(), Some(reply));
            return;
        }
        Ok(checked) => checked,
    };
    let integrator = checked.claimed_integrator();
    if integrator.is_some() {
        assert_eq!(claimed_integrator(bytes), integrator);
    }
    let keys = checked.unverified_keys().clone();
    for key in [&keys.auth_key, &keys.identity_key, &keys.signed_prekey.key] {
        assert!(!key.is_low_order());
    }
    assert!(!checked.token().as_str().is_empty() && checked.version() >= 1);
    let subject = TokenSubject {
        integrator: integrator.unwrap_or(IntegratorId::ONE),
        identifier: UserIdentifier::new("alice").expect("a good identifier"),
    };
    for (kind, integrator) in [(FormKind::Full, subject.integrator), (FormKind::V103, IntegratorId::ONE)] {
        let request = EnlistmentRequest {
            keys: keys.clone(),
            integrator,
            identifier: subject.identifier.clone(),
            token: checked.token().clone(),
        };
        let form = request.to_form(kind);
        let again =
            check_form(form.as_bytes(), VersionHints::default(), &RULES).expect("the own form is good");
        assert_eq!(again.unverified_keys(), &keys);
        assert_eq!(again.token().as_str(), checked.token().as_str());
        assert_eq!(again.claimed_integrator().is_some(), kind == FormKind::Full);
    }
    let signed = keys.signed_prekey.is_signed_by(&keys.identity_key);
    match checked.clone().bind(subject.clone()) {
        Ok(verified) => {
            assert!(signed);
            assert_eq!((verified.user(), verified.keys()), (&subject, &keys));
        }
        Err(refusal) => assert!(!signed || refusal.reason == Reason::BadToken, "{refusal}"),
    }
    let stranger = TokenSubject { integrator: IntegratorId::new(999).expect("a good number"), ..subject };
    assert!(integrator.is_none() || checked.bind(stranger).is_err());
}

pub(crate) fn form_seeds() -> Vec<Vec<u8>> {
    let mut rng = rng(60);
    let [noise, identity, prekey] = [(); 3].map(|()| PrivateKey::generate(&mut rng));
    let request = EnlistmentRequest {
        keys: DeviceKeys {
            auth_key: noise.public(),
            registration_id: 0xc7a8_3ab4,
            identity_key: identity.public(),
            signed_prekey: SignedPreKeyPublic {
                id: 0xff_fffe,
                key: prekey.public(),
                signature: identity.sign(&[&prekey.public().to_typed()], &mut rng),
            },
        },
        integrator: IntegratorId::ONE,
        identifier: UserIdentifier::new("alice").expect("a good identifier"),
        token: Token::new("a.b.c"),
    };
    let [full, short] = [FormKind::Full, FormKind::V103].map(|kind| request.to_form(kind));
    vec![
        full.clone().into_bytes(),
        short.clone().into_bytes(),
        format!("{short}&interop_version=2").into_bytes(),
        format!("{full}&token=x").into_bytes(),
        format!("{full}&integrator_id=2").into_bytes(),
        format!("{short}&integrator_id=2&user_identifier=bob").into_bytes(),
        full.replace("alice", "%C3%84+b").into_bytes(),
        full.replace("integrator_id=1", "integrator_id=501").into_bytes(),
        full.replace("e_keytype=BQ", "e_keytype=BA").into_bytes(),
        b"a=%zz&b".to_vec(),
    ]
}

/// An answer that is accepted is written and read again as the same.
pub(crate) fn reply(bytes: &[u8]) {
    let Ok(reply) = EnlistmentReply::parse(bytes) else { return };
    let written = reply.to_json();
    let again = EnlistmentReply::parse(written.as_bytes()).expect("the own answer reads");
    assert_eq!(again, reply);
    assert_eq!(again.to_json(), written);
}

pub(crate) fn reply_seeds() -> Vec<Vec<u8>> {
    let login: Login = "1-10853634039893@interop".parse().expect("a good login");
    let refusal = Refusal::new(Reason::TooRecent).param("token").retry_after(60).detail("too soon");
    vec![
        EnlistmentReply::Enlisted(login).to_json().into_bytes(),
        EnlistmentReply::Refused(refusal).to_json().into_bytes(),
        br#"{"status":"fail","reason":"new_word","retry_after":1.5}"#.to_vec(),
        br#"{"status":"ok"}"#.to_vec(),
        br#"{"status":"fail","retry_after":-1,"x":[{}]}"#.to_vec(),
    ]
}

/// Names that are accepted print back the same.
pub(crate) fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(login) = text.parse::<Login>() {
        assert_eq!(login.to_string(), text);
    }
    if let Ok(integrator) = text.parse::<IntegratorId>() {
        assert_eq!(integrator.to_string(), text);
        assert_eq!(IntegratorId::new(integrator.get()), Some(integrator));
    }
    let allowed = (1..=40).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    match UserIdentifier::new(text) {
        Ok(identifier) => assert!(allowed && identifier.as_str() == text),
        Err(_) => assert!(!allowed),
    }
    assert_eq!(Reason::from_word(text).as_str(), text);
}

pub(crate) fn name_seeds() -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    vectors::strings_below(
        &serde_json::json!(["1", "999", "1000", "01", "alice", "1-2@interop", "bad_token"]),
        &mut texts,
    );
    texts.push("999-18446744073709551615@interop".to_owned());
    texts.push("😀".repeat(40));
    texts.into_iter().map(String::into_bytes).collect()
}

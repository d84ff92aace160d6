//! Protobuf: the strict reader, content rules, the login payload, padding.

use landbridge_proto::{
    Known, ParseFault, ParseLimits,
    content::{self, Context, Encryption, Limits, Verdict},
    handshake::{CertChain, ClientPayload, HandshakeMessage, noise_certificate},
    login::{InteropLogin, LoginClaims, MAX_TOKEN, check_login},
    message::Message,
    padding, parse,
    signal::{PreKeySignalMessage, SenderKeyDistributionMessage, SignalMessage},
};

use crate::vectors;

/// The strict reader refuses whatever prost refuses, and beyond that only what its limits name; what it accepts comes
/// back from its own bytes.
pub(crate) fn strict(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    match choice % 8 {
        0..=2 => agree::<Message>(bytes),
        3 => agree::<ClientPayload>(bytes),
        4 => agree::<HandshakeMessage>(bytes),
        5 => {
            agree::<CertChain>(bytes);
            agree::<noise_certificate::Details>(bytes);
        }
        6 => {
            agree::<SignalMessage>(bytes);
            agree::<PreKeySignalMessage>(bytes);
        }
        _ => agree::<SenderKeyDistributionMessage>(bytes),
    }
}

fn agree<T: Known>(bytes: &[u8]) {
    let theirs = T::decode(bytes);
    match parse::<T>(bytes, &ParseLimits::default()) {
        Ok(value) => {
            let encoded = value.encode_to_vec();
            let again = parse::<T>(&encoded, &ParseLimits::default()).expect("what was written reads");
            // Numbers that are not equal to themselves are equal in their bytes.
            assert_eq!(again.encode_to_vec(), encoded);
        }
        Err(error) => {
            let ours_alone =
                matches!(error.fault, ParseFault::TooDeep | ParseFault::TooLarge | ParseFault::TooManyParts);
            assert!(ours_alone || theirs.is_err(), "prost accepts what breaks {}: {error}", error.rule());
            assert!(error.offset <= bytes.len());
            assert_ne!(error.fault, ParseFault::Unreadable, "the walk let through what prost refuses");
        }
    }
    let mut tight = ParseLimits::default();
    (tight.size, tight.depth, tight.parts) = (64, 3, 4);
    if let Ok(value) = parse::<T>(bytes, &tight) {
        assert!(bytes.len() <= 64 && parse::<T>(bytes, &ParseLimits::default()).is_ok());
        drop(value);
    }
}

pub(crate) fn strict_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for file in [vectors::content(), vectors::malformed_content()] {
        seeds.extend(vectors::hex_under(&file, &["hex"]).into_iter().map(|bytes| [&[0], &*bytes].concat()));
    }
    for bytes in vectors::hex_under(&vectors::proto_transport(), &["hex"]) {
        seeds.extend([3, 4, 5].map(|choice| [&[choice], &*bytes].concat()));
    }
    seeds
}

/// Content keeps its bytes, its verdict is never milder than its findings, and cleaning it once is enough.
pub(crate) fn judged(bytes: &[u8]) {
    let (me, you) = ("14155551001@s.whatsapp.net", "1-108@interop");
    let group = "120363001234567890@g.us";
    for context in [
        Context::direct(you, me),
        Context::group(group, you, Encryption::Pairwise),
        Context::group(group, you, Encryption::SenderKey),
    ] {
        let limits = Limits::default();
        let Ok(content) = content::decode(bytes, &context, &limits) else {
            assert!(parse::<Message>(bytes, &limits.parse).is_err(), "reading alone decides about errors");
            return;
        };
        assert_eq!(content.raw(), bytes);
        let worst = content.findings().iter().map(|found| found.verdict).max().unwrap_or(Verdict::Accept);
        assert!(content.verdict() >= worst);
        assert!(content.rule().is_none_or(|rule| content.findings().iter().any(|found| found.rule == rule)));
        assert!(content.wrappers().len() <= limits.wrappers);
        if let Some(shown) = content.shown_text() {
            assert!(content.text().is_some_and(|text| text.starts_with(shown)));
            assert!(shown.chars().count() <= limits.text_chars);
        }
        if let Some(key) = content.sender_key() {
            let length = key.axolotl_sender_key_distribution_message.as_ref().map_or(0, Vec::len);
            assert!(length <= limits.sender_key);
        }
        let _ = (content.media(), content.context_info(), content.target(), content.reaction());
        let _ = (content.edited(), content.sender_timestamp_ms(), format!("{content:?}"));
        let outer = content::outer(content.message());
        assert_eq!(outer, content::outer(content.message()));
    }
}

pub(crate) fn judged_seeds() -> Vec<Vec<u8>> {
    let files = [vectors::content(), vectors::malformed_content()];
    files.iter().flat_map(|file| vectors::hex_under(file, &["hex"])).collect()
}

/// A login that is accepted holds what it must, and a login with the same claims is read as the same.
pub(crate) fn login(bytes: &[u8]) {
    let Ok(LoginClaims::Interop(claims)) = check_login(bytes) else { return };
    assert!(claims.account_id > 0);
    assert!((1..=MAX_TOKEN).contains(&claims.token.as_bytes().len()));
    let mut login = InteropLogin::new(claims.account_id, claims.token.as_bytes());
    login.version = claims.version.unwrap_or(1);
    login.passive = claims.passive;
    login.push_name.clone_from(&claims.push_name);
    login.connect_reason = claims.connect_reason;
    login.short_connect = Some(claims.short_connect);
    login.session_id = claims.session_id;
    login.enable_read_receipts = claims.enable_read_receipts;
    let Ok(LoginClaims::Interop(mut again)) = check_login(&login.encode()) else {
        panic!("the own login is refused")
    };
    if claims.version.is_none() {
        again.version = None;
    }
    assert_eq!(again, claims);
}

pub(crate) fn login_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vectors::hex_under(&vectors::proto_transport(), &["hex"]);
    let mut login = InteropLogin::new(10_853_634_039_893, "e30.e30.c2ln");
    seeds.push(login.encode().to_vec());
    (login.push_name, login.session_id, login.version) = (Some("A".to_owned()), Some(-1), 3);
    login.enable_read_receipts = Some(false);
    seeds.push(login.encode().to_vec());
    seeds
}

/// Padding that comes off is what was said, and put on again gives the same bytes.
pub(crate) fn pad(bytes: &[u8]) {
    let last = bytes.last().copied().unwrap_or_default();
    let even = bytes.iter().rev().take_while(|byte| **byte == last).count();
    match padding::unpad(bytes) {
        Ok(plain) => {
            assert!(last > 0 && even >= usize::from(last));
            let mut again = plain.to_vec();
            assert_eq!(again.len() + usize::from(last), bytes.len());
            again.resize(bytes.len(), last);
            assert_eq!(again, bytes);
        }
        Err(_) => assert!(bytes.is_empty() || last == 0 || even < usize::from(last)),
    }
    for length in 1..=16 {
        let mut padded = bytes.to_vec();
        padding::pad_with(&mut padded, padding::PadLen::new(length).expect("1 to 16"));
        assert_eq!(padding::unpad(&padded), Ok(bytes));
    }
}

pub(crate) fn pad_seeds() -> Vec<Vec<u8>> {
    vectors::hex_under(&vectors::padding(), &["hex"])
}

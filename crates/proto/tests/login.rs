//! The login payload, both sides.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{bytes, name, transport};
use landbridge_proto::{
    handshake::{
        ClientPayload,
        client_payload::{ConnectReason, ConnectType, user_agent::Platform},
    },
    login::{Device, InteropLogin, LoginClaims, LoginError, MAX_TOKEN, check_login},
};
use prost::Message as _;

fn vector(entry_name: &str) -> Vec<u8> {
    bytes(transport().iter().find(|entry| name(entry) == entry_name).unwrap())
}

#[test]
fn claims_of_the_vectors() {
    let LoginClaims::Interop(claims) = check_login(&vector("login-interop")).unwrap() else {
        panic!("a phone")
    };
    assert_eq!(claims.account_id, 10_853_634_039_893);
    assert!(claims.token.as_str().unwrap().starts_with("eyJ"));
    assert_eq!(claims.version, Some(1));
    assert_eq!(claims.push_name.as_deref(), Some("Alice"));
    assert_eq!(claims.connect_reason, Some(ConnectReason::UserActivated));
    assert_eq!((claims.session_id, claims.enable_read_receipts), (Some(-559_038_737), Some(true)));
    assert!(claims.passive && !claims.short_connect);

    let LoginClaims::Phone(phone) = check_login(&vector("login-phone")).unwrap() else { panic!("interop") };
    assert_eq!((phone.username, phone.push_name.as_deref()), (14_155_551_001, Some("Joe")));
}

#[test]
fn refusals() {
    for (name, expected) in [
        ("login-no-interop-data", LoginError::NoInteropData),
        ("login-no-token", LoginError::NoToken),
        ("login-account-zero", LoginError::NoAccount),
        ("login-username-and-interop", LoginError::UsernameInInterop),
        ("login-product-unknown", LoginError::Product { product: 77 }),
    ] {
        assert_eq!(check_login(&vector(name)), Err(expected), "{name}");
    }
    let truncated = check_login(&vector("login-truncated")).unwrap_err();
    assert!(matches!(truncated, LoginError::Malformed { .. }));
    assert_eq!(truncated.to_string(), "login payload cannot be read");
    let long = InteropLogin::new(1, vec![b'x'; MAX_TOKEN + 1]);
    assert_eq!(check_login(&long.encode()), Err(LoginError::TokenTooLong { length: MAX_TOKEN + 1 }));
    let msgr = ClientPayload { product: Some(3), ..ClientPayload::default() }.encode_to_vec();
    assert_eq!(check_login(&msgr), Err(LoginError::Product { product: 3 }));
    assert_eq!(check_login(b""), Err(LoginError::NoUsername));
}

#[test]
fn everything_a_client_says() {
    let mut login = InteropLogin::new(10_853_634_039_893, "a.b.c");
    login.push_name = Some("Alice".to_owned());
    login.version = 3;
    login.passive = false;
    login.connect_reason = Some(ConnectReason::Push);
    login.connect_type = Some(ConnectType::WifiUnknown);
    login.short_connect = Some(true);
    login.session_id = Some(-1);
    login.connect_attempt_count = Some(2);
    login.enable_read_receipts = Some(false);
    login.device = Some(Device {
        platform: Some(Platform::Android),
        model: Some("Phone".to_owned()),
        ..Device::default()
    });
    let bytes = login.encode();
    let LoginClaims::Interop(claims) = check_login(&bytes).unwrap() else { panic!("a phone") };
    assert_eq!((claims.version, claims.passive, claims.short_connect), (Some(3), false, true));
    assert_eq!((claims.session_id, claims.enable_read_receipts), (Some(-1), Some(false)));
    assert_eq!(claims.connect_reason, Some(ConnectReason::Push));
    let payload = ClientPayload::decode(&**bytes).unwrap();
    assert_eq!((payload.username, payload.device, payload.connect_attempt_count), (None, None, Some(2)));
    assert_eq!(payload.user_agent.unwrap().device.as_deref(), Some("Phone"));
}

#[test]
fn tokens_are_not_shown() {
    let login = InteropLogin::new(1, "eyJhbGciOiJSUzI1NiJ9.x.y");
    let claims = check_login(&login.encode()).unwrap();
    let payload = ClientPayload::decode(&**login.encode()).unwrap();
    for shown in [format!("{login:?}"), format!("{claims:?}"), format!("{payload:?}")] {
        assert!(!shown.contains("eyJ") && !shown.contains("101, 121, 74"), "{shown}");
    }
}

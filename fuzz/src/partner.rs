//! The partner's server: bodies of pushes, addresses of devices.

use landbridge_partner::{
    BadPush, MAX_PUSH_TO, push_recipient,
    wake::{WakeTarget, WebPushKeys},
};
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::Value;

/// Every member of an object, in order.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Read)
    }
}

/// A second reading of the body agrees: one member `to`, a string that is not empty and not too long.
pub(crate) fn push(bytes: &[u8]) {
    let read = push_recipient(bytes);
    if let Ok(to) = &read {
        assert!((1..=MAX_PUSH_TO).contains(&to.chars().count()));
        let plain = serde_json::json!({ "to": to }).to_string();
        assert_eq!(push_recipient(plain.as_bytes()).as_ref(), Ok(to));
        // Who it is for does not depend on what else is said, or where.
        let more = format!("{{\"t\": [1, null], {}, \"to2\": {{}}}}", &plain[1..plain.len() - 1]);
        assert_eq!(push_recipient(more.as_bytes()).as_ref(), Ok(to));
        assert!(push_recipient(format!("[{plain}]").as_bytes()).is_err());
    }
    // Numbers that no number can hold are read by neither, or passed over by the first.
    let Ok(Members(members)) = serde_json::from_slice(bytes) else { return };
    let all: Vec<_> = members.iter().filter(|(name, _)| name == "to").map(|(_, value)| value).collect();
    let expected = match all[..] {
        [Value::String(to)] if (1..=MAX_PUSH_TO).contains(&to.chars().count()) => Ok(to.clone()),
        [Value::String(_)] => Err(BadPush::To),
        _ => Err(BadPush::Object),
    };
    assert_eq!(read, expected);
}

pub(crate) fn push_seeds() -> Vec<Vec<u8>> {
    [
        r#"{"to":"alice"}"#,
        r#" {"x":1e999,"to":"\u0061\ud83d\ude00","y":[{},null]} "#,
        r#"{"to":"a","to":"b"}"#,
        r#"{"to":"a","\u0074o":1}"#,
        r#"{"to":""}"#,
        r#"{"to":"0123456789012345678901234567890123456789"}"#,
        r#"{"to":"0123456789012345678901234567890123456789x"}"#,
        r#"["alice"]"#,
        r#"{"to":null}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// An address that passed the check survives being stored, and says nothing that could leave its place in a request.
pub(crate) fn target(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(target) = WakeTarget::from_json(text) else { return };
    let stored = target.to_json().expect("strings can be written");
    let again = WakeTarget::from_json(&stored).expect("what was written reads");
    assert!(again == target && again.check() == target.check());
    assert_eq!(again.to_json().expect("strings can be written"), stored);
    if target.check().is_err() {
        return;
    }
    match &target {
        WakeTarget::Fcm { token } | WakeTarget::Apns { token } => {
            assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        WakeTarget::WebPush { endpoint, keys: WebPushKeys { p256dh, auth } } => {
            assert!(endpoint.contains("://") && !endpoint.chars().any(|c| c.is_control() || c == ' '));
            assert!(p256dh.len() >= 86 && auth.len() >= 22);
        }
        _ => {}
    }
}

pub(crate) fn target_seeds() -> Vec<Vec<u8>> {
    let key = format!("B{}", "A".repeat(86));
    let web = |endpoint: &str, p256dh: &str| {
        format!(
            r#"{{"kind":"web-push","endpoint":"{endpoint}","keys":{{"p256dh":"{p256dh}","auth":"AAAAAAAAAAAAAAAAAAAAAA"}}}}"#
        )
    };
    [
        r#"{"kind":"socket"}"#.to_owned(),
        r#"{"kind":"fcm","token":"bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1"}"#.to_owned(),
        r#"{"kind":"apns","token":"00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"}"#
            .to_owned(),
        web("https://push.example/send/abc", &key),
        web("https://push.example:8443", &key),
        web("http://user@[::1]/x?y#z", &key),
        web("javascript:alert", "BAAA"),
    ]
    .map(String::into_bytes)
    .to_vec()
}

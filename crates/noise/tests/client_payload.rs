//! The login payload as `landbridge-proto` has it, against recorded ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic, in its helpers too")]

mod common;

use common::{bytes, load};
use landbridge_proto::handshake::{
    ClientPayload,
    client_payload::{InteropData, UserAgent, user_agent::AppVersion},
};
use prost::Message as _;
use serde_json::{Map, Value};

/// Takes fields out of a JSON object, so that one nobody asked for is noticed.
struct Fields(Map<String, Value>);

impl Fields {
    fn new(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self(fields),
            other => panic!("no object: {other}"),
        }
    }

    fn number<T: TryFrom<i64>>(&mut self, name: &str) -> Option<T> {
        self.0.remove(name).map(|value| {
            T::try_from(value.as_i64().unwrap()).unwrap_or_else(|_| panic!("{name} is out of range"))
        })
    }

    fn wide(&mut self, name: &str) -> Option<u64> {
        self.0.remove(name).map(|value| value.as_str().unwrap().parse().unwrap())
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.0.remove(name).map(|value| value.as_bool().unwrap())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).map(|value| value.as_str().unwrap().to_owned())
    }

    fn group<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.0.remove(name).map(|value| {
            let mut fields = Self::new(value);
            let group = read(&mut fields);
            fields.done();
            group
        })
    }

    fn done(self) {
        assert!(self.0.is_empty(), "fields that the type does not have: {:?}", self.0);
    }
}

fn user_agent(fields: &mut Fields) -> UserAgent {
    UserAgent {
        platform: fields.number("platform"),
        app_version: fields.group("appVersion", |fields| AppVersion {
            primary: fields.number("primary"),
            secondary: fields.number("secondary"),
            tertiary: fields.number("tertiary"),
            quaternary: fields.number("quaternary"),
            quinary: fields.number("quinary"),
        }),
        mcc: fields.text("mcc"),
        mnc: fields.text("mnc"),
        os_version: fields.text("osVersion"),
        manufacturer: fields.text("manufacturer"),
        device: fields.text("device"),
        os_build_number: fields.text("osBuildNumber"),
        phone_id: fields.text("phoneId"),
        release_channel: fields.number("releaseChannel"),
        locale_language_iso6391: fields.text("localeLanguageIso6391"),
        locale_country_iso31661_alpha2: fields.text("localeCountryIso31661Alpha2"),
    }
}

#[test]
fn vectors() {
    let file = load("client_payload");
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let mut fields = Fields::new(case["fields"].clone());
        let payload = ClientPayload {
            username: fields.wide("username"),
            passive: fields.flag("passive"),
            user_agent: fields.group("userAgent", user_agent),
            push_name: fields.text("pushName"),
            session_id: fields.number("sessionId"),
            short_connect: fields.flag("shortConnect"),
            connect_type: fields.number("connectType"),
            connect_reason: fields.number("connectReason"),
            connect_attempt_count: fields.number("connectAttemptCount"),
            device: fields.number("device"),
            product: fields.number("product"),
            pull: fields.flag("pull"),
            interop_data: fields.group("interopData", |fields| InteropData {
                account_id: fields.wide("accountId"),
                token: fields.text("token").map(String::into_bytes),
                enable_read_receipts: fields.flag("enableReadReceipts"),
            }),
            ..ClientPayload::default()
        };
        fields.done();
        let protobuf = bytes(&case["protobuf"]);
        assert_eq!(hex::encode(payload.encode_to_vec()), hex::encode(&protobuf), "{name}");
        assert!(ClientPayload::decode(protobuf.as_slice()).unwrap() == payload, "{name} decoded");
    }
}

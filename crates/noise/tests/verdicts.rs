//! Recorded ServerHellos, certificate chains and transport frames, each with the verdict that is due.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic, in its helpers too")]

mod common;

use common::{array, bytes, load, private, public};
use landbridge_noise::{
    ClientHandshake, HandshakeError, Intro, OpenError, PinnedRoot, ServerTrust, StaticKeyPair, danger,
};

#[test]
fn server_hello() {
    let file = load("server_hello");
    let keys = &file["client"];
    let trust = PinnedRoot::new(public(&file["root_public"]));
    let now = file["now"].as_u64().unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 26);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let client = ClientHandshake::replay_with_ephemeral(
            StaticKeyPair::new(private(&keys["static_private"])),
            Intro::default(),
            private(&keys["ephemeral_private"]),
        );
        let (client, _) = client.xx().unwrap();
        let verdict = match client.read(&bytes(&case["server_hello"]), &trust, now) {
            Ok(state) => {
                state.finish(&bytes(&file["client_payload"])).unwrap();
                "ok".to_owned()
            }
            Err(HandshakeError::Certificate { source }) => format!("certificate:{}", source.verdict()),
            Err(error) => error.verdict().to_owned(),
        };
        assert_eq!(verdict, case["verdict"].as_str().unwrap(), "{name}");
    }
}

#[test]
fn certificates() {
    let file = load("certificates");
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 44);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let server_static = public(&case["server_static"]);
        let judged = PinnedRoot::new(public(&case["root_public"])).verify(
            &bytes(&case["chain"]),
            &server_static,
            case["now"].as_u64().unwrap(),
        );
        let verdict = judged.as_ref().map_or_else(|error| error.verdict(), |_| "ok");
        assert_eq!(verdict, case["verdict"].as_str().unwrap(), "{name}");
        if let Ok(verified) = judged {
            assert_eq!(verified.key(), &server_static);
            assert_eq!(verified.known().intermediate_key, public(&file["intermediate_public"]));
            let leaf = verified.known().leaf;
            assert_eq!(file["leaf_window"], serde_json::json!([leaf.not_before, leaf.not_after]));
        }
    }
}

/// What follows the cipher: the flags byte and the zlib stream belong to the payload, which is the wire format's.
const DECRYPTS: &str = "bad_compression";

#[test]
fn transport() {
    let file = load("transport");
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let mut opener = danger::opener_from_key(&array(&file["key"]));
        let frames = case["frames"].as_array().unwrap();
        for (n, (frame, verdict)) in frames.iter().zip(case["verdicts"].as_array().unwrap()).enumerate() {
            let mut body = bytes(frame);
            let got = match opener.open_in_place(&mut body) {
                Ok(_) => "ok",
                Err(OpenError::Decrypt { counter, length }) => {
                    assert_eq!((counter, length), (n as u64, frame.as_str().unwrap().len() / 2), "{name}");
                    "decrypt_error"
                }
                Err(OpenError::TooShort { .. } | OpenError::EmptyPlaintext { .. }) => "bad_length",
                Err(other) => panic!("{name}: {other}"),
            };
            let due = verdict.as_str().unwrap();
            assert_eq!(got, if due == DECRYPTS { "ok" } else { due }, "{name}");
            if got != "ok" {
                let again = opener.open_in_place(&mut bytes(frame)).unwrap_err();
                assert_eq!(again, OpenError::Poisoned { counter: n as u64 }, "{name}: one failure is fatal");
            }
        }
    }
}

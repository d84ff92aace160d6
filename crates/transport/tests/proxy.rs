//! The PROXY protocol against shared vectors, and its invariants on random input.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::net::SocketAddr;
use std::time::Duration;

use landbridge_transport::Transport;
use landbridge_transport::memory;
use landbridge_transport::proxy::{self, Decoded, ProxyError, ReadError, Version};
use proptest::prelude::*;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/proxy_protocol.json")).unwrap()
}

fn address(value: &Value, host: &str, port: &str) -> SocketAddr {
    let port = u16::try_from(value[port].as_u64().unwrap()).unwrap();
    SocketAddr::new(value[host].as_str().unwrap().parse().unwrap(), port)
}

#[test]
fn encodes_the_vectors() {
    for case in vectors()["encode"].as_array().unwrap() {
        let source = address(case, "source", "source_port");
        let destination = address(case, "destination", "destination_port");
        let v1 = proxy::encode(Version::V1, source, destination);
        assert_eq!(String::from_utf8(v1).unwrap(), case["v1"].as_str().unwrap());
        assert_eq!(
            hex::encode(proxy::encode(Version::V2, source, destination)),
            case["v2"].as_str().unwrap()
        );
    }
}

#[test]
fn decodes_the_vectors() {
    for case in vectors()["decode"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let stream = hex::decode(case["stream"].as_str().unwrap()).unwrap();
        let found = proxy::decode(&stream);
        match case["verdict"].as_str().unwrap() {
            "ok" => {
                let Ok(Decoded::Header(header)) = found else { panic!("{name}: {found:?}") };
                assert_eq!(hex::encode(&stream[header.len..]), case["rest"].as_str().unwrap(), "{name}");
                let source = header.addresses.map(|a| a.source);
                let wanted = (!case["source"].is_null()).then(|| address(case, "source", "source_port"));
                assert_eq!(source, wanted, "{name}");
            }
            "malformed" => assert!(found.is_err(), "{name}: {found:?}"),
            "incomplete" => assert_eq!(found, Ok(Decoded::Incomplete), "{name}"),
            "absent" => assert_eq!(found, Ok(Decoded::Absent), "{name}"),
            other => panic!("{name}: unknown verdict {other}"),
        }
    }
}

#[test]
fn each_error_names_what_is_wrong() {
    let line = |text: &str| proxy::decode(text.as_bytes()).unwrap_err();
    assert_eq!(line("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"), ProxyError::Line { field: "source address" });
    assert_eq!(line("PROXY TCP4 1.2.3.4 ::1 1 2\r\n"), ProxyError::Line { field: "destination address" });
    assert_eq!(line("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"), ProxyError::Line { field: "source port" });
    assert_eq!(
        line("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"),
        ProxyError::Line { field: "destination port" }
    );
    assert_eq!(line("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"), ProxyError::Line { field: "end" });
    assert_eq!(line("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"), ProxyError::Line { field: "protocol" });

    let binary = |tail: &str| {
        let bytes = hex::decode(format!("0d0a0d0a000d0a515549540a{tail}")).unwrap();
        proxy::decode(&bytes).unwrap_err()
    };
    assert_eq!(binary("11110000"), ProxyError::UnknownVersion { found: 1 });
    assert_eq!(binary("22110000"), ProxyError::UnknownCommand { found: 2 });
    assert_eq!(binary("2112000c"), ProxyError::UnsupportedFamily { found: 0x12 });
    assert_eq!(binary("21210023"), ProxyError::TooShort { found: 35, needed: 36 });
    assert_eq!(binary("2111ffff"), ProxyError::TooLong { limit: proxy::V2_MAX });
    assert_eq!(proxy::decode(b"\r\n\r\nX").unwrap_err(), ProxyError::Signature { offset: 4 });
}

#[test]
fn other_protocols_that_begin_alike_are_absent() {
    assert_eq!(proxy::decode(b"POST / HTTP/1.1\r\n"), Ok(Decoded::Absent));
    assert_eq!(proxy::decode(b"PR"), Ok(Decoded::Incomplete));
    assert_eq!(proxy::decode(b""), Ok(Decoded::Incomplete));
}

#[test]
fn mapped_and_mixed_addresses() {
    let mapped: SocketAddr = "[::ffff:192.0.2.1]:7".parse().unwrap();
    let v4: SocketAddr = "203.0.113.9:443".parse().unwrap();
    let v6: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
    assert_eq!(proxy::encode(Version::V1, mapped, v4), b"PROXY TCP4 192.0.2.1 203.0.113.9 7 443\r\n");
    assert_eq!(proxy::encode(Version::V1, mapped, v6), b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 7 443\r\n");
    for version in [Version::V1, Version::V2] {
        let Ok(Decoded::Header(header)) = proxy::decode(&proxy::encode_local(version)) else { panic!() };
        assert_eq!(header.addresses, None);
    }
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::from((ip, port))),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::from((ip, port))),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_no_prefix_is_taken_for_it(
        source in any_address(), destination in any_address(), rest in any::<Vec<u8>>(),
    ) {
        for version in [Version::V1, Version::V2] {
            let whole = proxy::encode(version, source, destination);
            for cut in 0..whole.len() {
                prop_assert_eq!(proxy::decode(&whole[..cut]), Ok(Decoded::Incomplete));
            }
            let mut stream = whole.clone();
            stream.extend_from_slice(&rest);
            let Ok(Decoded::Header(header)) = proxy::decode(&stream) else {
                return Err(TestCaseError::fail("no header"));
            };
            prop_assert_eq!(header.len, whole.len());
            let found = header.addresses.unwrap();
            prop_assert_eq!(found.source.ip().to_canonical(), source.ip().to_canonical());
            prop_assert_eq!(found.source.port(), source.port());
            prop_assert_eq!(found.destination.ip().to_canonical(), destination.ip().to_canonical());
            prop_assert_eq!(found.destination.port(), destination.port());
        }
    }

    #[test]
    fn any_bytes_end_in_a_verdict(
        start in prop_oneof![Just(Vec::new()), Just(b"PROXY ".to_vec()), Just(b"\r\n\r\n\0\r\nQUIT\n".to_vec())],
        tail in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = start;
        bytes.extend_from_slice(&tail);
        if let Ok(Decoded::Header(header)) = proxy::decode(&bytes) {
            prop_assert!(header.len <= bytes.len());
        }
    }
}

#[tokio::test]
async fn reads_a_header_in_pieces_and_keeps_what_follows() {
    let (transport, mut listener) = memory::pair();
    let mut client = transport.open().await.unwrap();
    let server = listener.accept().await.unwrap();
    let source: SocketAddr = "192.0.2.44:51234".parse().unwrap();
    let mut bytes = proxy::encode(Version::V1, source, source);
    bytes.extend_from_slice(b"WA\x06\x03");
    tokio::spawn(async move {
        for byte in bytes {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let (header, mut rest) = proxy::read(server, Duration::from_secs(60)).await.unwrap();
    assert_eq!(header.unwrap().addresses.unwrap().source, source);
    let mut after = Vec::new();
    rest.read_to_end(&mut after).await.unwrap();
    assert_eq!(after, b"WA\x06\x03");
}

#[tokio::test(start_paused = true)]
async fn reading_ends_on_silence_on_close_and_on_nonsense() {
    let (transport, mut listener) = memory::pair();
    let silent = transport.open().await.unwrap();
    let server = listener.accept().await.unwrap();
    let found = proxy::read(server, Duration::from_secs(5)).await;
    assert!(matches!(found, Err(ReadError::TimedOut { .. })));
    drop(silent);

    for (bytes, closed) in [(&b"PROXY TC"[..], true), (b"PROXY nonsense\r\n", false)] {
        let mut client = transport.open().await.unwrap();
        client.write_all(bytes).await.unwrap();
        drop(client);
        let server = listener.accept().await.unwrap();
        match proxy::read(server, Duration::from_secs(5)).await {
            Err(ReadError::Closed) => assert!(closed),
            Err(ReadError::Malformed { .. }) => assert!(!closed),
            other => panic!("{:?}", other.map(|(header, _)| header)),
        }
    }
}

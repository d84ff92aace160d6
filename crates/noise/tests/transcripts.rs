//! Recorded handshakes of other implementations, played on both sides.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic, in its helpers too")]

mod common;

use std::sync::Arc;

use common::{array, body, bytes, first_body, load, private, public, sha256};
use landbridge_noise::{
    ClientFinish, ClientHandshake, Established, FrameDecoder, Header, Hello, Intro, KnownServer, Opener,
    Pattern, PinnedRoot, Resumption, Sealer, ServerHandshake, ServerIdentity, StaticKeyPair, Transport,
    Validity, danger,
};
use serde_json::Value;

struct Replay {
    recorded: Value,
    /// Everything that each side wrote.
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

impl Replay {
    fn new(name: &str) -> Self {
        Self { recorded: load(name), to_server: Vec::new(), to_client: Vec::new() }
    }

    fn now(&self) -> u64 {
        self.recorded["now"].as_u64().unwrap()
    }

    fn payload(&self) -> Vec<u8> {
        bytes(&self.recorded["client_payload"])
    }

    fn trust(&self) -> PinnedRoot {
        PinnedRoot::new(public(&self.recorded["root_public"]))
    }

    fn client(&self) -> ClientHandshake {
        let header = Header::from_bytes(bytes(&self.recorded["header"]).try_into().unwrap()).unwrap();
        let keys = &self.recorded["client"];
        let pair = StaticKeyPair::new(private(&keys["static_private"]));
        assert_eq!(pair.public(), &public(&keys["static_public"]));
        ClientHandshake::replay_with_ephemeral(pair, Intro::new(header), private(&keys["ephemeral_private"]))
    }

    fn server(&self, chain: Vec<u8>) -> ServerHandshake {
        let keys = &self.recorded["server"];
        let identity = ServerIdentity::new(StaticKeyPair::new(private(&keys["static_private"])), chain);
        ServerHandshake::replay_with_ephemeral(
            Arc::new(identity),
            Header::DEFAULT,
            private(&keys["ephemeral_private"]),
        )
    }

    fn known(&self, key: &Value) -> KnownServer {
        let key = public(key);
        let validity = Validity::new(0, u64::MAX);
        KnownServer { key, leaf: validity, intermediate_key: key, intermediate: validity }
    }

    fn client_wrote(&mut self, message: usize, write: &[u8]) -> Vec<u8> {
        self.assert_wire(message, write);
        self.to_server.extend_from_slice(write);
        if message == 0 { first_body(write) } else { body(write) }
    }

    fn server_wrote(&mut self, message: usize, write: &[u8]) -> Vec<u8> {
        self.assert_wire(message, write);
        self.to_client.extend_from_slice(write);
        body(write)
    }

    fn assert_wire(&self, message: usize, write: &[u8]) {
        assert_eq!(hex::encode(write), self.recorded["handshake"][message]["wire"].as_str().unwrap());
    }

    /// Hash, keys, every transport frame and the streams as a whole.
    fn finish(mut self, client: Transport, server: Established) {
        let recorded = &self.recorded;
        let payload = self.payload();
        assert_eq!(server.payload.as_slice(), payload);
        assert_eq!(server.client_static, public(&recorded["client"]["static_public"]));
        assert_eq!(hex::encode(client.handshake_hash), recorded["handshake_hash"].as_str().unwrap());
        assert_eq!(client.handshake_hash, server.transport.handshake_hash);

        let Transport { sealer: mut client_seals, opener: mut client_opens, .. } = client;
        let Transport { sealer: mut server_seals, opener: mut server_opens, .. } = server.transport;
        let mut raw_client = danger::opener_from_key(&array(&recorded["key_client_to_server"]));
        let mut raw_server = danger::opener_from_key(&array(&recorded["key_server_to_client"]));
        for frame in recorded["transport"].as_array().unwrap() {
            if frame["sender"] == "client" {
                let openers = [&mut server_opens, &mut raw_client];
                transport_frame(frame, &mut client_seals, openers, &mut self.to_server);
            } else {
                let openers = [&mut client_opens, &mut raw_server];
                transport_frame(frame, &mut server_seals, openers, &mut self.to_client);
            }
        }
        for (name, stream) in
            [("stream_client_to_server", &self.to_server), ("stream_server_to_client", &self.to_client)]
        {
            assert_eq!(Some(stream.len() as u64), recorded[name]["length"].as_u64(), "{name}");
            assert_eq!(sha256(stream), recorded[name]["sha256"].as_str().unwrap(), "{name}");
        }
    }
}

fn transport_frame(frame: &Value, sealer: &mut Sealer, openers: [&mut Opener; 2], stream: &mut Vec<u8>) {
    let length = frame["length"].as_u64().unwrap() as usize;
    let plaintext = match frame.get("plaintext") {
        Some(plaintext) => bytes(plaintext),
        None => (0..length).map(|i| (31 * i + 7 * (i / 256)) as u8).collect(),
    };
    assert_eq!(plaintext.len(), length);
    if let Some(hash) = frame.get("plaintext_sha256") {
        assert_eq!(sha256(&plaintext), hash.as_str().unwrap());
    }
    assert_eq!(Some(sealer.counter()), frame["counter"].as_u64());
    let start = stream.len();
    sealer.seal_frame(&plaintext, stream).unwrap();
    let wire = &stream[start..];
    assert_eq!(hex::encode(&wire[..3]), frame["wire_prefix"].as_str().unwrap());
    assert_eq!(sha256(wire), frame["wire_sha256"].as_str().unwrap());
    if let Some(ciphertext) = frame.get("ciphertext") {
        assert_eq!(hex::encode(&wire[3..]), ciphertext.as_str().unwrap());
    }
    for opener in openers {
        let mut decoder = FrameDecoder::new();
        decoder.switch_to_transport();
        decoder.feed(wire);
        let body = decoder.next_frame().unwrap().unwrap();
        assert_eq!(opener.open_in_place(body).unwrap(), plaintext);
    }
}

#[test]
fn xx() {
    let mut replay = Replay::new("xx");
    let (client, write) = replay.client().xx().unwrap();
    let hello = replay.client_wrote(0, &write);
    let server = replay.server(bytes(&replay.recorded["server_payload"]));
    let Hello::Answered { state: server, write } = server.read(&hello).unwrap() else { panic!("IK") };
    assert_eq!(server.pattern(), Pattern::Xx);
    let hello = replay.server_wrote(1, &write);
    let client = client.read(&hello, &replay.trust(), replay.now()).unwrap();
    let ClientFinish { write, transport, server: verified } = client.finish(&replay.payload()).unwrap();
    assert_eq!(verified.key(), &public(&replay.recorded["server"]["static_public"]));
    assert!(verified.known().usable_at(replay.now()));
    let finish = replay.client_wrote(2, &write);
    let established = server.read(&finish).unwrap();
    assert_eq!(established.pattern, Pattern::Xx);
    replay.finish(transport, established);
}

#[test]
fn ik() {
    for name in ["ik", "ik_empty_server_payload"] {
        let mut replay = Replay::new(name);
        let known = replay.known(&replay.recorded["server"]["static_public"]);
        let (client, write) = replay.client().ik(&known, replay.now(), &replay.payload()).unwrap();
        let hello = replay.client_wrote(0, &write);
        let Hello::Resume(server) = replay.server(Vec::new()).read(&hello).unwrap() else { panic!("no IK") };
        assert_eq!(server.payload(), replay.payload());
        let server_payload = bytes(&replay.recorded["server_payload"]);
        let (established, write) = server.accept(&server_payload).unwrap();
        assert_eq!(established.pattern, Pattern::Ik);
        let hello = replay.server_wrote(1, &write);
        let outcome = client.read(&hello, &replay.trust(), replay.now()).unwrap();
        let Resumption::Accepted { transport, server_payload: got } = outcome else { panic!("fell back") };
        assert_eq!(got, server_payload);
        replay.finish(transport, established);
    }
}

#[test]
fn xxfallback() {
    let mut replay = Replay::new("xxfallback");
    let known = replay.known(&replay.recorded["stale_server_static"]);
    let (client, write) = replay.client().ik(&known, replay.now(), &replay.payload()).unwrap();
    let hello = replay.client_wrote(0, &write);
    let server = replay.server(bytes(&replay.recorded["server_payload"]));
    let Hello::Answered { state: server, write } = server.read(&hello).unwrap() else { panic!("read") };
    assert_eq!(server.pattern(), Pattern::XxFallback);
    let hello = replay.server_wrote(1, &write);
    let outcome = client.read(&hello, &replay.trust(), replay.now()).unwrap();
    let Resumption::FellBack(ClientFinish { write, transport, server: verified }) = outcome else {
        panic!("accepted")
    };
    assert_eq!(verified.key(), &public(&replay.recorded["server"]["static_public"]));
    let finish = replay.client_wrote(2, &write);
    let established = server.read(&finish).unwrap();
    assert_eq!(established.pattern, Pattern::XxFallback);
    replay.finish(transport, established);
}

#[test]
fn names_and_first_bytes() {
    for (name, pattern) in [("xx", Pattern::Xx), ("ik", Pattern::Ik), ("xxfallback", Pattern::XxFallback)] {
        assert_eq!(load(name)["protocol_name"].as_str(), Some(pattern.protocol_name()));
    }
    let (_, write) = Replay::new("xx").client().xx().unwrap();
    assert_eq!(hex::encode(&write[..11]), "574106030000241222".to_owned() + "0a20");
}

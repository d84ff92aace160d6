//! snow as a second opinion, with random keys and payloads, on either side.
//!
//! snow follows the Noise framework to the letter; two things bend it to the deployed protocol. Its hash passes over
//! the empty payload of the first XX message, and XXfallback is played as XX under the other name, with the first
//! message thrown away.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic, in its helpers too")]

mod common;

use common::{NOW, World, body, first_body};
use landbridge_noise::{
    ClientFinish, Hello, Pattern, PrivateKey, Resumption, ServerTrust as _, StaticKeyPair, Transport,
};
use landbridge_proto::handshake::{self as proto, HandshakeMessage};
use proptest::prelude::*;
use prost::Message as _;
use snow::{
    Builder, HandshakeState, TransportState,
    params::{BaseChoice, CipherChoice, DHChoice, HandshakeChoice, HashChoice, NoiseParams},
    resolvers::{CryptoResolver, DefaultResolver},
    types::{Cipher, Dh, Hash, Random},
};

struct Bent(DefaultResolver);

impl CryptoResolver for Bent {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        self.0.resolve_rng()
    }
    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        self.0.resolve_dh(choice)
    }
    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        let hash = self.0.resolve_hash(choice)?;
        Some(Box::new(PassOver { hash, inputs: Vec::new() }))
    }
    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        self.0.resolve_cipher(choice)
    }
}

/// A hash that gives a hash value back when nothing is mixed into it.
struct PassOver {
    hash: Box<dyn Hash>,
    inputs: Vec<Vec<u8>>,
}

impl Hash for PassOver {
    fn name(&self) -> &'static str {
        self.hash.name()
    }
    fn block_len(&self) -> usize {
        self.hash.block_len()
    }
    fn hash_len(&self) -> usize {
        self.hash.hash_len()
    }
    fn reset(&mut self) {
        self.inputs.clear();
        self.hash.reset();
    }
    fn input(&mut self, data: &[u8]) {
        self.inputs.push(data.to_vec());
        self.hash.input(data);
    }
    fn result(&mut self, out: &mut [u8]) {
        self.hash.result(out);
        if let [first, second] = self.inputs.as_slice()
            && first.len() == 32
            && second.is_empty()
        {
            out[..32].copy_from_slice(first);
        }
    }
}

fn builder(pattern: Pattern) -> Builder<'static> {
    let played = if pattern == Pattern::Ik { "IK" } else { "XX" };
    let params = NoiseParams::new(
        pattern.protocol_name().to_owned(),
        BaseChoice::Noise,
        played.parse::<HandshakeChoice>().unwrap(),
        DHChoice::Curve25519,
        CipherChoice::AESGCM,
        HashChoice::SHA256,
    );
    Builder::with_resolver(params, Box::new(Bent(DefaultResolver))).prologue(b"WA\x06\x03").unwrap()
}

fn written(state: &mut HandshakeState, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; payload.len() + 200];
    let length = state.write_message(payload, &mut out).unwrap();
    out.truncate(length);
    out
}

fn opened(state: &mut HandshakeState, message: &[u8]) -> Vec<u8> {
    let mut out = vec![0; message.len() + 16];
    let length = state.read_message(message, &mut out).unwrap();
    out.truncate(length);
    out
}

/// The Noise message in a frame.
fn noise(frame: &[u8]) -> Vec<u8> {
    let message = HandshakeMessage::decode(frame).unwrap();
    let parts = match (message.client_hello, message.server_hello, message.client_finish) {
        (Some(hello), None, None) => [hello.ephemeral, hello.r#static, hello.payload],
        (None, Some(hello), None) => [hello.ephemeral, hello.r#static, hello.payload],
        (None, None, Some(finish)) => [None, finish.r#static, finish.payload],
        _ => panic!("not one message"),
    };
    parts.into_iter().flatten().flatten().collect()
}

fn client_hello(noise: &[u8]) -> Vec<u8> {
    let (e, rest) = noise.split_at(32);
    let (s, payload) =
        if rest.is_empty() { (None, None) } else { (Some(rest[..48].to_vec()), Some(rest[48..].to_vec())) };
    let hello = proto::ClientHello { ephemeral: Some(e.to_vec()), r#static: s, payload };
    HandshakeMessage { client_hello: Some(hello), ..Default::default() }.encode_to_vec()
}

fn server_hello(noise: &[u8], with_static: usize) -> Vec<u8> {
    let (e, rest) = noise.split_at(32);
    let (s, payload) = rest.split_at(with_static);
    let hello = proto::ServerHello {
        ephemeral: Some(e.to_vec()),
        r#static: (with_static > 0).then(|| s.to_vec()),
        payload: Some(payload.to_vec()),
    };
    HandshakeMessage { server_hello: Some(hello), ..Default::default() }.encode_to_vec()
}

fn client_finish(noise: &[u8]) -> Vec<u8> {
    let finish =
        proto::ClientFinish { r#static: Some(noise[..48].to_vec()), payload: Some(noise[48..].to_vec()) };
    HandshakeMessage { client_finish: Some(finish), ..Default::default() }.encode_to_vec()
}

/// Both directions, a few frames each, and the handshake hash.
fn talk(ours: Transport, theirs: HandshakeState, text: &[u8]) {
    assert_eq!(ours.handshake_hash[..], theirs.get_handshake_hash()[..32]);
    let Transport { mut sealer, mut opener, .. } = ours;
    let mut theirs: TransportState = theirs.into_transport_mode().unwrap();
    for _ in 0..3 {
        let mut body = text.to_vec();
        sealer.seal_in_place(&mut body).unwrap();
        let mut got = vec![0; body.len()];
        let length = theirs.read_message(&body, &mut got).unwrap();
        assert_eq!(&got[..length], text);

        let mut sealed = vec![0; text.len() + 16];
        let length = theirs.write_message(text, &mut sealed).unwrap();
        assert_eq!(opener.open_in_place(&mut sealed[..length]).unwrap(), text);
    }
}

fn texts() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (prop::collection::vec(any::<u8>(), 0..600), prop::collection::vec(any::<u8>(), 1..600))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn xx_client_against_snow((payload, text) in texts()) {
        let world = World::new();
        let mut snow = builder(Pattern::Xx)
            .local_private_key(world.identity.keys().private().as_bytes()).unwrap()
            .build_responder().unwrap();
        let (client, write) = world.client().xx()?;
        opened(&mut snow, &noise(&first_body(&write)));
        let hello = server_hello(&written(&mut snow, world.identity.chain()), 48);
        let ClientFinish { write, transport, .. } =
            client.read(&hello, &world.authority.trust(), NOW)?.finish(&payload)?;
        prop_assert_eq!(opened(&mut snow, &noise(&body(&write))), payload);
        prop_assert_eq!(snow.get_remote_static().unwrap(), world.client_keys.public().as_bytes());
        talk(transport, snow, &text);
    }

    #[test]
    fn xx_server_against_snow((payload, text) in texts()) {
        let world = World::new();
        let mut snow = builder(Pattern::Xx)
            .local_private_key(world.client_keys.private().as_bytes()).unwrap()
            .build_initiator().unwrap();
        let hello = client_hello(&written(&mut snow, &[]));
        let Hello::Answered { state, write } = world.server().read(&hello)? else { panic!("IK") };
        prop_assert_eq!(opened(&mut snow, &noise(&body(&write))), world.identity.chain());
        let finish = client_finish(&written(&mut snow, &payload));
        let established = state.read(&finish)?;
        prop_assert_eq!(established.payload.as_slice(), payload);
        prop_assert_eq!(&established.client_static, world.client_keys.public());
        talk(established.transport, snow, &text);
    }

    #[test]
    fn ik_client_against_snow((payload, text) in texts()) {
        let world = World::new();
        let mut snow = builder(Pattern::Ik)
            .local_private_key(world.identity.keys().private().as_bytes()).unwrap()
            .build_responder().unwrap();
        let (client, write) = world.client().ik(&world.known, NOW, &payload)?;
        prop_assert_eq!(opened(&mut snow, &noise(&first_body(&write))), payload);
        let hello = server_hello(&written(&mut snow, b"welcome back"), 0);
        let outcome = client.read(&hello, &world.authority.trust(), NOW)?;
        let Resumption::Accepted { transport, server_payload } = outcome else { panic!("fell back") };
        prop_assert_eq!(server_payload, b"welcome back");
        talk(transport, snow, &text);
    }

    #[test]
    fn ik_server_against_snow((payload, text) in texts()) {
        let world = World::new();
        let mut snow = builder(Pattern::Ik)
            .local_private_key(world.client_keys.private().as_bytes()).unwrap()
            .remote_public_key(world.known.key.as_bytes()).unwrap()
            .build_initiator().unwrap();
        let hello = client_hello(&written(&mut snow, &payload));
        let Hello::Resume(state) = world.server().read(&hello)? else { panic!("not read") };
        prop_assert_eq!(state.payload(), payload);
        let (established, write) = state.accept(&[])?;
        prop_assert_eq!(opened(&mut snow, &noise(&body(&write))), b"");
        talk(established.transport, snow, &text);
    }

    #[test]
    fn fallback_client_against_snow((payload, text) in texts()) {
        let world = World::new();
        let mut snow = builder(Pattern::XxFallback)
            .local_private_key(world.identity.keys().private().as_bytes()).unwrap()
            .build_responder().unwrap();
        let (client, write) = world.client().ik(&world.stale(), NOW, &payload)?;
        opened(&mut snow, &noise(&first_body(&write))[..32]);
        let hello = server_hello(&written(&mut snow, world.identity.chain()), 48);
        let outcome = client.read(&hello, &world.authority.trust(), NOW)?;
        let Resumption::FellBack(ClientFinish { write, transport, .. }) = outcome else { panic!("IK") };
        prop_assert_eq!(opened(&mut snow, &noise(&body(&write))), payload);
        talk(transport, snow, &text);
    }

    #[test]
    fn fallback_server_against_snow((payload, text) in texts()) {
        let world = World::new();
        let ephemeral = PrivateKey::generate(&mut rand::rng());
        let mut ik = builder(Pattern::Ik)
            .local_private_key(world.client_keys.private().as_bytes()).unwrap()
            .remote_public_key(world.stale().key.as_bytes()).unwrap()
            .fixed_ephemeral_key_for_testing_only(ephemeral.as_bytes())
            .build_initiator().unwrap();
        let mut snow = builder(Pattern::XxFallback)
            .local_private_key(world.client_keys.private().as_bytes()).unwrap()
            .fixed_ephemeral_key_for_testing_only(ephemeral.as_bytes())
            .build_initiator().unwrap();
        let hello = client_hello(&written(&mut ik, &payload));
        written(&mut snow, &[]);
        let Hello::Answered { state, write } = world.server().read(&hello)? else { panic!("read") };
        prop_assert_eq!(state.pattern(), Pattern::XxFallback);
        prop_assert_eq!(opened(&mut snow, &noise(&body(&write))), world.identity.chain());
        let established = state.read(&client_finish(&written(&mut snow, &payload)))?;
        talk(established.transport, snow, &text);
    }
}

#[test]
fn the_oracle_judges_the_same_chain() {
    // The chain that snow carried as an opaque payload is a good one, so that the runs above verified it.
    let world = World::new();
    let keys = StaticKeyPair::generate(&mut rand::rng());
    let trust = world.authority.trust();
    assert!(trust.verify(world.identity.chain(), &world.known.key, NOW).is_ok());
    assert!(trust.verify(world.identity.chain(), keys.public(), NOW).is_err());
}

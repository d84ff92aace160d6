//! Handshakes with a peer that is not there, or not what it seems.

use std::sync::{Arc, LazyLock};

use landbridge_noise::{
    CertificateAuthority, ClientHandshake, Header, Hello, Intro, KnownServer, PREFIX_LEN, Pattern,
    PrivateKey, PublicKey, Resumption, ServerHandshake, ServerIdentity, StaticKeyPair, Validity,
};
use landbridge_proto::handshake::HandshakeMessage;
use prost::Message as _;

use crate::{
    input::{Input, put_long, rng},
    vectors,
};

pub(crate) const NOW: u64 = 1_767_225_600;
pub(crate) const LOGIN: &[u8] = b"client payload";
const GREETING: &[u8] = b"server payload";

/// A server that plays WhatsApp, and a client that believes it: the same in every run.
pub(crate) struct World {
    pub(crate) authority: CertificateAuthority,
    pub(crate) identity: Arc<ServerIdentity>,
    pub(crate) client_keys: StaticKeyPair,
    pub(crate) known: KnownServer,
}

pub(crate) static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut rng = rng(1);
    let validity = Validity::new(NOW - 1_000, NOW + 1_000);
    let authority = CertificateAuthority::generate(validity, &mut rng);
    let keys = StaticKeyPair::generate(&mut rng);
    let known = KnownServer {
        key: *keys.public(),
        leaf: validity,
        intermediate_key: authority.intermediate_private().public(),
        intermediate: validity,
    };
    let chain = authority.issue(keys.public(), validity, &mut rng);
    let identity = Arc::new(ServerIdentity::new(keys, chain));
    World { authority, identity, client_keys: StaticKeyPair::generate(&mut rng), known }
});

impl World {
    pub(crate) fn client(&self) -> ClientHandshake {
        ClientHandshake::new(self.client_keys.clone(), Intro::default(), &mut rng(2))
    }

    pub(crate) fn server(&self) -> ServerHandshake {
        ServerHandshake::new(Arc::clone(&self.identity), Header::DEFAULT, &mut rng(3))
    }

    /// What a client stored of a server that has since changed its key.
    pub(crate) fn stale(&self) -> KnownServer {
        KnownServer { key: PrivateKey::generate(&mut rng(4)).public(), ..self.known.clone() }
    }
}

/// The body of the one frame of `wire`.
pub(crate) fn body(wire: &[u8]) -> &[u8] {
    &wire[PREFIX_LEN..]
}

/// The body of the frame behind a bare header.
pub(crate) fn first_body(wire: &[u8]) -> &[u8] {
    body(&wire[Header::DEFAULT.as_bytes().len()..])
}

/// A server that reads anything: it believes to have the client's channel only if every sealed part is the client's own.
pub(crate) fn server(bytes: &[u8]) {
    let world = &*WORLD;
    let mut script = Input::new(bytes);
    let decision = script.u8();
    let hello = script.long();
    match world.server().read(hello) {
        Err(_) => {}
        Ok(Hello::Resume(resume)) => {
            assert_eq!(resume.client_static(), world.client_keys.public());
            assert_eq!(resume.payload(), LOGIN);
            if decision.is_multiple_of(2) {
                let (established, _) = resume.accept(GREETING).expect("the client's keys are good");
                assert_eq!(established.pattern, Pattern::Ik);
            } else {
                let (state, _) = resume.fall_back().expect("the client's keys are good");
                assert_eq!(state.pattern(), Pattern::XxFallback);
                genuine_or_refused(state.read(script.rest()));
            }
        }
        Ok(Hello::Answered { state, write }) => {
            let answer = HandshakeMessage::decode(body(&write)).expect("the own answer is protobuf");
            let answer = answer.server_hello.expect("the answer is a ServerHello");
            assert_eq!(answer.ephemeral.map(|key| key.len()), Some(32));
            genuine_or_refused(state.read(script.rest()));
        }
    }
}

fn genuine_or_refused(outcome: Result<landbridge_noise::Established, landbridge_noise::HandshakeError>) {
    if let Ok(established) = outcome {
        assert_eq!(&established.client_static, WORLD.client_keys.public());
        assert_eq!(established.payload.as_slice(), LOGIN);
    }
}

pub(crate) fn server_seeds() -> Vec<Vec<u8>> {
    let world = &*WORLD;
    let mut seeds = Vec::new();
    let mut push = |decision: u8, hello: &[u8], finish: &[u8]| {
        let mut seed = vec![decision];
        put_long(&mut seed, hello);
        seed.extend_from_slice(finish);
        seeds.push(seed);
    };
    let (client, hello) = world.client().xx().expect("XX begins");
    let Ok(Hello::Answered { write, .. }) = world.server().read(first_body(&hello)) else {
        panic!("XX is answered")
    };
    let client = client.read(body(&write), &world.authority.trust(), NOW).expect("the server is believed");
    let finish = client.finish(LOGIN).expect("a short payload");
    push(0, first_body(&hello), body(&finish.write));

    let (_, hello) = world.client().ik(&world.known, NOW, LOGIN).expect("IK begins");
    push(0, first_body(&hello), b"");
    let (client, _) = world.client().ik(&world.known, NOW, LOGIN).expect("IK begins");
    let Ok(Hello::Resume(resume)) = world.server().read(first_body(&hello)) else { panic!("IK is read") };
    let (_, write) = resume.fall_back().expect("good keys");
    let Ok(Resumption::FellBack(finish)) = client.read(body(&write), &world.authority.trust(), NOW) else {
        panic!("the fallback is taken")
    };
    push(1, first_body(&hello), body(&finish.write));

    let (_, hello) = world.client().ik(&world.stale(), NOW, LOGIN).expect("IK begins");
    push(0, first_body(&hello), body(&finish.write));
    for bytes in vectors::hex_under(&vectors::proto_transport(), &["hex"]) {
        push(0, &bytes, &bytes);
    }
    seeds
}

/// A client that reads anything: it finishes only with the answer that the server itself gave.
pub(crate) fn client(bytes: &[u8]) {
    let world = &*WORLD;
    let Some((&choice, answer)) = bytes.split_first() else { return };
    let trust = world.authority.trust();
    match choice % 3 {
        0 => {
            let (state, hello) = world.client().xx().expect("XX begins");
            if let Ok(state) = state.read(answer, &trust, NOW) {
                assert_eq!(state.server().key(), world.identity.keys().public());
                assert!(is_server_hello(answer, &server_answer(first_body(&hello))));
            }
        }
        1 => {
            let (state, hello) = world.client().ik(&world.known, NOW, LOGIN).expect("IK begins");
            match state.read(answer, &trust, NOW) {
                Err(_) => {}
                Ok(Resumption::Accepted { server_payload, .. }) => {
                    assert_eq!(server_payload, GREETING);
                    assert!(is_server_hello(answer, &resumed_answer(first_body(&hello))));
                }
                Ok(Resumption::FellBack(finish)) => {
                    assert_eq!(finish.server.key(), world.identity.keys().public());
                    assert!(is_server_hello(answer, &fallback_answer(first_body(&hello))));
                }
            }
        }
        _ => {
            let (state, hello) = world.client().ik(&world.stale(), NOW, LOGIN).expect("IK begins");
            match state.read(answer, &trust, NOW) {
                Err(_) => {}
                Ok(Resumption::Accepted { .. }) => panic!("nobody holds the stale key"),
                Ok(Resumption::FellBack(finish)) => {
                    assert_eq!(finish.server.key(), world.identity.keys().public());
                    assert!(is_server_hello(answer, &server_answer(first_body(&hello))));
                }
            }
        }
    }
}

/// Whether two frames carry the same ServerHello, whatever else the protobuf holds.
fn is_server_hello(frame: &[u8], genuine: &[u8]) -> bool {
    let read = |bytes| HandshakeMessage::decode(bytes).ok().and_then(|message| message.server_hello);
    read(frame).is_some() && read(frame) == read(genuine)
}

fn server_answer(hello: &[u8]) -> Vec<u8> {
    match WORLD.server().read(hello) {
        Ok(Hello::Answered { write, .. }) => body(&write).to_vec(),
        other => panic!("{other:?}"),
    }
}

fn resume(hello: &[u8]) -> landbridge_noise::AwaitDecision {
    match WORLD.server().read(hello) {
        Ok(Hello::Resume(resume)) => resume,
        other => panic!("{other:?}"),
    }
}

fn resumed_answer(hello: &[u8]) -> Vec<u8> {
    body(&resume(hello).accept(GREETING).expect("good keys").1).to_vec()
}

fn fallback_answer(hello: &[u8]) -> Vec<u8> {
    body(&resume(hello).fall_back().expect("good keys").1).to_vec()
}

pub(crate) fn client_seeds() -> Vec<Vec<u8>> {
    let world = &*WORLD;
    let mut seeds = Vec::new();
    let mut push = |choice: u8, answer: Vec<u8>| seeds.push([&[choice], &*answer].concat());
    push(0, server_answer(first_body(&world.client().xx().expect("XX begins").1)));
    let (_, hello) = world.client().ik(&world.known, NOW, LOGIN).expect("IK begins");
    push(1, resumed_answer(first_body(&hello)));
    push(1, fallback_answer(first_body(&hello)));
    push(2, server_answer(first_body(&world.client().ik(&world.stale(), NOW, LOGIN).expect("IK begins").1)));
    for bytes in vectors::hex_under(&vectors::server_hello(), &["server_hello"]) {
        push(0, bytes.clone());
        push(1, bytes);
    }
    seeds
}

/// A key that nobody holds the private half of.
pub(crate) fn nobody() -> PublicKey {
    PrivateKey::generate(&mut rng(99)).public()
}

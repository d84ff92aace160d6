//! Peers that do not play along: changed bytes, arbitrary bytes, weak keys, missing parts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic, in its helpers too")]

mod common;

use common::{NOW, World, body, first_body};
use landbridge_noise::{
    AwaitClientFinish, AwaitResumption, AwaitServerHello, CertificateError, ClientFinish, HandshakeError,
    Hello, MAX_HANDSHAKE_FRAME, Message, Part, Pattern, PrivateKey, PublicKey, ResumeError, Resumption,
    ServerTrust, VerifiedServer, danger,
};
use landbridge_proto::handshake::{self as proto, HandshakeMessage};
use proptest::prelude::*;
use prost::Message as _;

/// Every byte of `frame`, changed in several ways.
fn tampered(frame: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..frame.len()).flat_map(move |at| {
        [0x01, 0x80, 0xff].into_iter().map(move |mask| {
            let mut changed = frame.to_vec();
            changed[at] ^= mask;
            (at, changed)
        })
    })
}

fn started(world: &World) -> (AwaitServerHello, Vec<u8>) {
    let (client, write) = world.client().xx().unwrap();
    (client, first_body(&write))
}

fn resuming(world: &World) -> (AwaitResumption, Vec<u8>) {
    let (client, write) = world.client().ik(&world.known, NOW, b"payload").unwrap();
    (client, first_body(&write))
}

fn answered(world: &World, hello: &[u8]) -> (AwaitClientFinish, Vec<u8>) {
    match world.server().read(hello).unwrap() {
        Hello::Answered { state, write } => (state, body(&write)),
        Hello::Resume(_) => panic!("resumed"),
    }
}

#[test]
fn changed_client_hello_of_xx() {
    let world = World::new();
    let (_, hello) = started(&world);
    for (at, changed) in tampered(&hello) {
        let (client, _) = started(&world);
        // The server cannot tell, but the client must not believe the answer.
        let Ok(Hello::Answered { write, .. }) = world.server().read(&changed) else { continue };
        assert!(client.read(&body(&write), &world.authority.trust(), NOW).is_err(), "byte {at}");
    }
}

#[test]
fn changed_server_hello_of_xx() {
    let world = World::new();
    let length = answered(&world, &started(&world).1).1.len();
    for at in 0..length {
        for mask in [0x01, 0x80, 0xff] {
            let (client, hello) = started(&world);
            let (_, mut hello) = answered(&world, &hello);
            hello[at] ^= mask;
            assert!(client.read(&hello, &world.authority.trust(), NOW).is_err(), "byte {at}");
        }
    }
}

#[test]
fn changed_client_finish() {
    let world = World::new();
    let mut at = 0;
    loop {
        let (client, hello) = started(&world);
        let (server, hello) = answered(&world, &hello);
        let client = client.read(&hello, &world.authority.trust(), NOW).unwrap();
        let mut finish = body(&client.finish(b"payload").unwrap().write);
        let Some(byte) = finish.get_mut(at) else { break };
        *byte ^= 0x10;
        assert!(server.read(&finish).is_err(), "byte {at}");
        at += 1;
    }
    assert!(at > 70);
}

#[test]
fn changed_client_hello_of_ik() {
    let world = World::new();
    let (_, hello) = resuming(&world);
    for (at, changed) in tampered(&hello) {
        assert!(!matches!(world.server().read(&changed), Ok(Hello::Resume(_))), "byte {at} was resumed");
    }
}

#[test]
fn changed_server_hello_of_ik() {
    let world = World::new();
    let mut at = 0;
    loop {
        let (client, hello) = resuming(&world);
        let Hello::Resume(server) = world.server().read(&hello).unwrap() else { panic!("not read") };
        let mut hello = body(&server.accept(b"hello").unwrap().1);
        let Some(byte) = hello.get_mut(at) else { break };
        *byte ^= 0x08;
        assert!(client.read(&hello, &world.authority.trust(), NOW).is_err(), "byte {at}");
        at += 1;
    }
    assert!(at > 50);
}

#[test]
fn changed_transport_frames() {
    let frame = {
        let mut body = b"\0a stanza".to_vec();
        danger::sealer_from_key(&[1; 32]).seal_in_place(&mut body).unwrap();
        body
    };
    for (at, mut changed) in tampered(&frame) {
        assert!(danger::opener_from_key(&[1; 32]).open_in_place(&mut changed).is_err(), "byte {at}");
    }
    for length in 0..frame.len() {
        assert!(danger::opener_from_key(&[1; 32]).open_in_place(&mut frame[..length].to_vec()).is_err());
    }
}

fn server_hello(ephemeral: &PublicKey, sealed_static: Option<Vec<u8>>, payload: Vec<u8>) -> Vec<u8> {
    let hello = proto::ServerHello {
        ephemeral: Some(ephemeral.as_bytes().to_vec()),
        r#static: sealed_static,
        payload: Some(payload),
    };
    HandshakeMessage { server_hello: Some(hello), ..Default::default() }.encode_to_vec()
}

fn client_hello(ephemeral: &PublicKey, rest: (Option<Vec<u8>>, Option<Vec<u8>>)) -> Vec<u8> {
    let hello = proto::ClientHello {
        ephemeral: Some(ephemeral.as_bytes().to_vec()),
        r#static: rest.0,
        payload: rest.1,
    };
    HandshakeMessage { client_hello: Some(hello), ..Default::default() }.encode_to_vec()
}

/// Points of small order: 0, 1, and p − 1.
fn low_order() -> [PublicKey; 3] {
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let mut one = [0; 32];
    one[0] = 1;
    [PublicKey::from_bytes([0; 32]), PublicKey::from_bytes(one), PublicKey::from_bytes(minus_one)]
}

#[test]
fn weak_keys() {
    let world = World::new();
    let (keys, trust) = (low_order(), world.authority.trust());
    for key in keys {
        let error = world.server().read(&client_hello(&key, (None, None))).unwrap_err();
        assert!(
            matches!(error, HandshakeError::WeakKey { message: Message::ClientHello, part: Part::Ephemeral }),
            "{error}"
        );
        let resume = (Some(vec![0; 48]), Some(vec![0; 16]));
        assert_eq!(world.server().read(&client_hello(&key, resume)).unwrap_err().verdict(), "weak_key");

        let hello = server_hello(&key, Some(vec![0; 48]), vec![0; 16]);
        let error = started(&world).0.read(&hello, &trust, NOW).unwrap_err();
        assert_eq!(error.verdict(), "weak_key");
        let error = resuming(&world).0.read(&hello, &trust, NOW).unwrap_err();
        assert!(matches!(&error, ResumeError::Fallback { source } if source.verdict() == "weak_key"));
        let error = resuming(&world).0.read(&server_hello(&key, None, vec![0; 16]), &trust, NOW).unwrap_err();
        assert!(matches!(&error, ResumeError::Resumption { source } if source.verdict() == "weak_key"));

        let known = landbridge_noise::KnownServer { key, ..world.known.clone() };
        let error = world.client().ik(&known, NOW, b"").unwrap_err();
        assert_eq!(error.verdict(), "weak_key");
    }
}

#[test]
fn half_a_resumption_is_refused() {
    let world = World::new();
    let ephemeral = PrivateKey::generate(&mut rand::rng()).public();
    for (rest, missing) in
        [((Some(vec![0; 48]), None), Part::Payload), ((None, Some(vec![0; 16])), Part::Static)]
    {
        let error = world.server().read(&client_hello(&ephemeral, rest)).unwrap_err();
        assert!(matches!(error, HandshakeError::MissingPart { part, .. } if part == missing), "{error}");
    }
    for (sealed_static, payload, part) in
        [(47, 16, Part::Static), (49, 16, Part::Static), (48, 15, Part::Payload)]
    {
        let rest = (Some(vec![0; sealed_static]), Some(vec![0; payload]));
        let error = world.server().read(&client_hello(&ephemeral, rest)).unwrap_err();
        assert!(matches!(error, HandshakeError::BadLength { part: got, .. } if got == part), "{error}");
    }
}

#[test]
fn two_messages_in_one_frame_and_frames_that_are_too_long() {
    let world = World::new();
    let (client, mut both) = started(&world);
    let (_, hello) = answered(&world, &both);
    both.extend_from_slice(&hello);
    let error = world.server().read(&both).unwrap_err();
    assert!(matches!(
        error,
        HandshakeError::ExtraMessage { expected: Message::ClientHello, got: Message::ServerHello }
    ));
    let error = client.read(&vec![0; MAX_HANDSHAKE_FRAME + 1], &world.authority.trust(), NOW).unwrap_err();
    assert!(matches!(error, HandshakeError::FrameTooLong { got, .. } if got == MAX_HANDSHAKE_FRAME + 1));
}

#[test]
fn payloads_that_do_not_fit() {
    let world = World::new();
    let large = vec![0; MAX_HANDSHAKE_FRAME];
    assert_eq!(world.client().ik(&world.known, NOW, &large).unwrap_err().verdict(), "misuse");
    let (client, hello) = started(&world);
    let (_, hello) = answered(&world, &hello);
    let client = client.read(&hello, &world.authority.trust(), NOW).unwrap();
    let error = client.finish(&large).unwrap_err();
    assert!(matches!(error, HandshakeError::PayloadTooLarge { message: Message::ClientFinish, .. }));
}

/// Which failures of a resumption cost the stored key.
#[test]
fn forgetting_a_server() {
    let world = World::new();
    let other = World::new();
    let trust = world.authority.trust();
    let garbage = resuming(&world).0.read(b"garbage", &trust, NOW).unwrap_err();
    assert!(garbage.forget_server());
    let (client, _) = resuming(&world);
    let sealed_otherwise = server_hello(other.identity.keys().public(), None, vec![0; 16]);
    let error = client.read(&sealed_otherwise, &trust, NOW).unwrap_err();
    assert!(error.forget_server() && error.handshake().verdict() == "decrypt_error");

    let (client, hello) = resuming(&world);
    let (_, hello) = answered(&other, &hello);
    let error = client.read(&hello, &trust, NOW).unwrap_err();
    assert!(!error.forget_server());
    assert_eq!(error.handshake().verdict(), "bad_intermediate_signature");
}

#[test]
fn a_server_may_decline_to_resume() {
    let world = World::new();
    let (client, hello) = resuming(&world);
    let Hello::Resume(server) = world.server().read(&hello).unwrap() else { panic!("not read") };
    let (server, write) = server.fall_back().unwrap();
    let outcome = client.read(&body(&write), &world.authority.trust(), NOW).unwrap();
    let Resumption::FellBack(ClientFinish { write, .. }) = outcome else { panic!("accepted") };
    let established = server.read(&body(&write)).unwrap();
    assert_eq!((established.pattern, established.payload.as_slice()), (Pattern::XxFallback, &b"payload"[..]));
}

#[test]
fn a_known_server_has_its_dates() {
    let world = World::new();
    let last = world.known.leaf.not_after;
    assert!(world.client().ik(&world.known, last - 1, b"").is_ok());
    for now in [last, world.known.leaf.not_before - 1] {
        let error = world.client().ik(&world.known, now, b"").unwrap_err();
        assert!(matches!(error, HandshakeError::KnownServerOutdated { now: at } if at == now));
    }
    let unknown = danger::assert_verified(world.known.key);
    assert!(!unknown.known().usable_at(NOW), "a claim is good for no resumption");
}

/// A trust of somebody else's.
struct Claims(fn(&PublicKey) -> Result<VerifiedServer, CertificateError>);

impl ServerTrust for Claims {
    fn verify(&self, _: &[u8], server: &PublicKey, _: u64) -> Result<VerifiedServer, CertificateError> {
        (self.0)(server)
    }
}

#[test]
fn other_trusts() {
    let world = World::new();
    let read = |trust: &dyn ServerTrust| {
        let (client, hello) = started(&world);
        let (_, hello) = answered(&world, &hello);
        client.read(&hello, trust, NOW)
    };
    assert!(read(&Claims(|server| Ok(danger::assert_verified(*server)))).is_ok());
    let wrong = read(&Claims(|_| Ok(danger::assert_verified(PublicKey::from_bytes([9; 32])))));
    assert!(matches!(wrong, Err(HandshakeError::TrustMismatch)));
    let refused = read(&Claims(|_| Err(CertificateError::Other { source: "not today".into() })));
    assert!(
        matches!(refused, Err(HandshakeError::Certificate { source }) if source.verdict() == "not_trusted")
    );
}

#[test]
fn nothing_prints_a_secret() {
    let world = World::new();
    let secret = hex::encode(world.client_keys.private().as_bytes());
    let (client, hello) = started(&world);
    let (server, hello) = answered(&world, &hello);
    let mut printed = format!("{:?}{client:?}{server:?}{:?}", world.client(), world.server());
    let client = client.read(&hello, &world.authority.trust(), NOW).unwrap();
    printed += &format!("{client:?}");
    let finish = client.finish(b"token").unwrap();
    printed += &format!("{finish:?}{:?}", server.read(&body(&finish.write)).unwrap());
    printed += &format!("{:?}", resuming(&world).0);
    let bytes = format!("{:?}", world.client_keys.private().as_bytes());
    assert!(!printed.contains(&secret) && !printed.contains(&bytes) && !printed.contains("token"));
    assert!(!printed.contains(&format!("{:?}", b"token")));
}

/// Bytes that are somewhat like a handshake message.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let field = |usual: usize| {
        prop::option::of(prop_oneof![
            prop::collection::vec(any::<u8>(), usual),
            prop::collection::vec(any::<u8>(), 0..100),
        ])
    };
    let parts = (field(32), field(48), field(80));
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        parts.clone().prop_map(|(ephemeral, sealed, payload)| {
            let hello = proto::ClientHello { ephemeral, r#static: sealed, payload };
            HandshakeMessage { client_hello: Some(hello), ..Default::default() }.encode_to_vec()
        }),
        parts.clone().prop_map(|(ephemeral, sealed, payload)| {
            let hello = proto::ServerHello { ephemeral, r#static: sealed, payload };
            HandshakeMessage { server_hello: Some(hello), ..Default::default() }.encode_to_vec()
        }),
        parts.prop_map(|(_, sealed, payload)| {
            let finish = proto::ClientFinish { r#static: sealed, payload };
            HandshakeMessage { client_finish: Some(finish), ..Default::default() }.encode_to_vec()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_state_takes_arbitrary_messages(message in messages()) {
        let world = World::new();
        let trust = world.authority.trust();
        prop_assert!(!matches!(world.server().read(&message), Ok(Hello::Resume(_))));
        let (client, hello) = started(&world);
        prop_assert!(client.read(&message, &trust, NOW).is_err());
        prop_assert!(resuming(&world).0.read(&message, &trust, NOW).is_err());
        prop_assert!(answered(&world, &hello).0.read(&message).is_err());
        prop_assert!(trust.verify(&message, &world.known.key, NOW).is_err());
        let mut frame = message;
        prop_assert!(danger::opener_from_key(&[3; 32]).open_in_place(&mut frame).is_err());
    }

    #[test]
    fn sealed_frames_open_to_what_they_were(
        plaintexts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 1..10),
    ) {
        let (mut sealer, mut opener) = (danger::sealer_from_key(&[5; 32]), danger::opener_from_key(&[5; 32]));
        let (mut copied, mut written) = (Vec::new(), bytes::BytesMut::new());
        let mut twin = danger::sealer_from_key(&[5; 32]);
        for plaintext in &plaintexts {
            sealer.seal_frame(plaintext, &mut copied)?;
            twin.seal_frame_with(&mut written, |out| out.extend_from_slice(plaintext))?;
        }
        prop_assert_eq!(&copied[..], &written[..]);
        let mut decoder = landbridge_noise::FrameDecoder::new();
        decoder.feed(&copied);
        for plaintext in &plaintexts {
            let frame = decoder.next_frame()?.unwrap();
            prop_assert_eq!(opener.open_in_place(frame)?, &plaintext[..]);
        }
    }
}

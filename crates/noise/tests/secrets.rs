//! No state prints a key, a payload or a frame that was opened.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{NOW, World, body, first_body};
use landbridge_noise::{
    ClientFinish, FrameDecoder, Hello, PrivateKey, ServerHandshake, danger, encode_frame,
};

/// Fails if `shown` has any four consecutive bytes of a secret, in hexadecimal or as a list of numbers.
fn assert_hidden(shown: &str, secrets: &[&[u8]]) {
    let shown: String = shown.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    for four in secrets.iter().flat_map(|secret| secret.windows(4)) {
        let numbers: Vec<_> = four.iter().map(u8::to_string).collect();
        let hexes: Vec<_> = four.iter().map(|byte| format!("{byte:x}")).collect();
        for form in [hex::encode(four), numbers.join(","), hexes.join(","), four.escape_ascii().to_string()] {
            assert!(!shown.contains(&form.to_lowercase()), "{form} is in {shown}");
        }
    }
}

const PAYLOAD: &[u8] = b"a token that nobody may see";

#[test]
fn states_of_xx() {
    let world = World::new();
    let ephemeral = PrivateKey::generate(&mut rand::rng());
    let drawn = *ephemeral.as_bytes();
    let secrets: Vec<&[u8]> = vec![
        world.client_keys.private().as_bytes(),
        world.identity.keys().private().as_bytes(),
        world.authority.root_private().as_bytes(),
        world.authority.intermediate_private().as_bytes(),
        &drawn,
        PAYLOAD,
    ];
    let mut shown = format!("{:#?} {:#?} {:#?}", world.authority, world.identity, world.client_keys);
    let client = world.client();
    let server = ServerHandshake::replay_with_ephemeral(
        world.identity.clone(),
        landbridge_noise::Header::DEFAULT,
        ephemeral,
    );
    shown += &format!("{client:#?} {server:#?}");
    let (client, write) = client.xx().unwrap();
    shown += &format!("{client:#?}");
    let hello = server.read(&first_body(&write)).unwrap();
    shown += &format!("{hello:#?}");
    let Hello::Answered { state: server, write } = hello else { panic!("resumed") };
    let client = client.read(&body(&write), &world.authority.trust(), NOW).unwrap();
    shown += &format!("{client:#?}");
    let finish: ClientFinish = client.finish(PAYLOAD).unwrap();
    shown += &format!("{finish:#?}");
    let established = server.read(&body(&finish.write)).unwrap();
    assert_eq!(established.payload.as_slice(), PAYLOAD);
    shown += &format!("{established:#?}");
    assert_hidden(&shown, &secrets);
}

#[test]
fn states_of_ik() {
    let world = World::new();
    let (client, write) = world.client().ik(&world.known, NOW, PAYLOAD).unwrap();
    let hello = world.server().read(&first_body(&write)).unwrap();
    let mut shown = format!("{client:#?} {hello:#?}");
    let Hello::Resume(server) = hello else { panic!("not resumed") };
    let (established, write) = server.accept(b"").unwrap();
    shown += &format!("{established:#?} {:#?}", client.read(&body(&write), &world.authority.trust(), NOW));
    let keys = [&world.client_keys, world.identity.keys()].map(|keys| keys.private().as_bytes().as_slice());
    assert_hidden(&shown, &[keys[0], keys[1], PAYLOAD]);
}

#[test]
fn ciphers_and_frames() {
    let key: [u8; 32] = std::array::from_fn(|n| (n as u8).wrapping_mul(73).wrapping_add(41));
    let (mut sealer, mut opener) = (danger::sealer_from_key(&key), danger::opener_from_key(&key));
    let mut sealed = PAYLOAD.to_vec();
    sealer.seal_in_place(&mut sealed).unwrap();
    let mut wire = Vec::new();
    encode_frame(&sealed, &mut wire).unwrap();
    let mut decoder = FrameDecoder::new();
    decoder.feed(&wire);
    assert_eq!(opener.open_in_place(decoder.next_frame().unwrap().unwrap()).unwrap(), PAYLOAD);
    // The plaintext lies in the decoder's buffer until the next call.
    assert_hidden(&format!("{sealer:#?} {opener:#?} {decoder:#?} {decoder:?}"), &[&key, PAYLOAD]);
}

//! `wacore-noise`. It has the client's side only, and trusts WhatsApp's root only; both sides are made of its generic
//! handshake here, without certificates and without the protobuf around the parts.

#![expect(clippy::expect_used, reason = "handshakes of our own")]

use std::hint::black_box;

use wacore_binary::consts::{NOISE_PATTERN_XX, WA_CONN_HEADER};
use wacore_libsignal::protocol::KeyPair;
use wacore_noise::{NoiseCipher, NoiseHandshake};

use super::{CLIENT_PAYLOAD, KEY, TAG};

pub fn transport(plaintext: &[u8]) -> impl FnMut() {
    let (seal, open) = (NoiseCipher::new(&KEY).expect("32 bytes"), NoiseCipher::new(&KEY).expect("32 bytes"));
    let mut buffer = Vec::with_capacity(plaintext.len() + TAG);
    let mut counter = 0;
    move || {
        buffer.clear();
        buffer.extend_from_slice(plaintext);
        seal.encrypt_in_place_with_counter(counter, &mut buffer).expect("seals");
        open.decrypt_in_place_with_counter(counter, &mut buffer).expect("opens");
        black_box(&buffer);
        counter += 1;
    }
}

pub fn handshake(chain: Vec<u8>) -> impl FnMut() {
    let (client_keys, server_keys) =
        (KeyPair::generate(&mut rand::rng()), KeyPair::generate(&mut rand::rng()));
    let start = || NoiseHandshake::new(NOISE_PATTERN_XX, &WA_CONN_HEADER).expect("begins");
    let public =
        |keys: &KeyPair| -> [u8; 32] { keys.public_key.public_key_bytes().try_into().expect("32 bytes") };
    move || {
        let (mut client, mut server) = (start(), start());
        let ephemeral = KeyPair::generate(&mut rand::rng());
        let hello = public(&ephemeral);
        client.authenticate(&hello);

        server.authenticate(&hello);
        let server_ephemeral = KeyPair::generate(&mut rand::rng());
        let answer = public(&server_ephemeral);
        server.authenticate(&answer);
        server.mix_shared_secret(server_ephemeral.private_key.serialize(), &hello).expect("ee");
        let sealed_static = server.encrypt(&public(&server_keys)).expect("s");
        server.mix_shared_secret(server_keys.private_key.serialize(), &hello).expect("es");
        let sealed_chain = server.encrypt(&chain).expect("payload");

        client.authenticate(&answer);
        client.mix_shared_secret(ephemeral.private_key.serialize(), &answer).expect("ee");
        let server_static = client.decrypt(&sealed_static).expect("s");
        client.mix_shared_secret(ephemeral.private_key.serialize(), &server_static).expect("es");
        black_box(client.decrypt(&sealed_chain).expect("payload"));
        let sealed_static = client.encrypt(&public(&client_keys)).expect("s");
        client.mix_shared_secret(client_keys.private_key.serialize(), &answer).expect("se");
        let sealed_payload = client.encrypt(&CLIENT_PAYLOAD).expect("payload");

        let client_static = server.decrypt(&sealed_static).expect("s");
        server.mix_shared_secret(server_ephemeral.private_key.serialize(), &client_static).expect("se");
        black_box(server.decrypt(&sealed_payload).expect("payload"));
        black_box((client.finish().expect("keys"), server.finish().expect("keys")));
    }
}

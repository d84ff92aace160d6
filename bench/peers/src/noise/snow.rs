//! `snow` with its default resolver.

#![expect(clippy::expect_used, reason = "handshakes of our own")]

use std::hint::black_box;

use ::snow::{Builder, HandshakeState, TransportState, params::NoiseParams};

use super::{CLIENT_PAYLOAD, TAG};

fn parameters() -> NoiseParams {
    "Noise_XX_25519_AESGCM_SHA256".parse().expect("known")
}

struct Parties {
    parameters: NoiseParams,
    client: Vec<u8>,
    server: Vec<u8>,
    message: Vec<u8>,
    payload: Vec<u8>,
}

impl Parties {
    fn new() -> Self {
        let generate = || Builder::new(parameters()).generate_keypair().expect("keys").private;
        Self {
            parameters: parameters(),
            client: generate(),
            server: generate(),
            message: vec![0; 65_535],
            payload: vec![0; 65_535],
        }
    }

    fn builder<'a>(&self, keys: &'a [u8]) -> Builder<'a> {
        Builder::new(self.parameters.clone()).local_private_key(keys).expect("32 bytes")
    }

    fn pass(&mut self, from: &mut HandshakeState, to: &mut HandshakeState, payload: &[u8]) {
        let length = from.write_message(payload, &mut self.message).expect("writes");
        black_box(to.read_message(&self.message[..length], &mut self.payload).expect("reads"));
    }

    fn handshake(&mut self, chain: &[u8]) -> (TransportState, TransportState) {
        let mut client = self.builder(&self.client).build_initiator().expect("begins");
        let mut server = self.builder(&self.server).build_responder().expect("begins");
        self.pass(&mut client, &mut server, &[]);
        self.pass(&mut server, &mut client, chain);
        self.pass(&mut client, &mut server, &CLIENT_PAYLOAD);
        (client.into_transport_mode().expect("done"), server.into_transport_mode().expect("done"))
    }
}

pub fn transport(plaintext: &[u8]) -> impl FnMut() {
    let (mut client, mut server) = Parties::new().handshake(&[]);
    let (mut sealed, mut opened) = (vec![0; plaintext.len() + TAG], vec![0; plaintext.len() + TAG]);
    move || {
        let length = client.write_message(plaintext, &mut sealed).expect("seals");
        black_box(server.read_message(&sealed[..length], &mut opened).expect("opens"));
    }
}

pub fn handshake(chain: Vec<u8>) -> impl FnMut() {
    let mut parties = Parties::new();
    move || drop(black_box(parties.handshake(&chain)))
}

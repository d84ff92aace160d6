//! Our side.

use std::{hint::black_box, sync::Arc};

use landbridge_noise::{
    CertificateAuthority, CertificateError, ClientFinish, ClientHandshake, Header, Hello, Intro, PREFIX_LEN,
    PinnedRoot, PublicKey, ServerHandshake, ServerIdentity, ServerTrust, StaticKeyPair, TAG_LEN, Validity,
    VerifiedServer, danger,
};

use super::{CLIENT_PAYLOAD, KEY};

const NOW: u64 = 1_767_225_600;
/// Header before the first frame, in bytes.
const HEADER: usize = 4;

/// Whole frames, copied in, sealed, and opened where they lie.
#[expect(clippy::expect_used, reason = "frames of our own")]
pub fn transport(plaintext: &[u8]) -> impl FnMut() {
    let (mut sealer, mut opener) = (danger::sealer_from_key(&KEY), danger::opener_from_key(&KEY));
    let mut buffer = Vec::with_capacity(PREFIX_LEN + plaintext.len() + TAG_LEN);
    move || {
        buffer.clear();
        sealer.seal_frame(plaintext, &mut buffer).expect("seals");
        black_box(opener.open_in_place(&mut buffer[PREFIX_LEN..]).expect("opens"));
    }
}

/// Takes any server, for a handshake without the cost of its certificates.
pub struct Anyone;

impl ServerTrust for Anyone {
    fn verify(&self, _: &[u8], server: &PublicKey, _: u64) -> Result<VerifiedServer, CertificateError> {
        Ok(danger::assert_verified(*server))
    }
}

pub struct Parties {
    client: StaticKeyPair,
    server: Arc<ServerIdentity>,
    pub trust: PinnedRoot,
    pub chain: Vec<u8>,
}

#[expect(clippy::expect_used, reason = "handshakes of our own")]
impl Parties {
    pub fn new() -> Self {
        let mut rng = rand::rng();
        let validity = Validity::new(NOW - 1, NOW + 1);
        let authority = CertificateAuthority::generate(validity, &mut rng);
        let keys = StaticKeyPair::generate(&mut rng);
        let chain = authority.issue(keys.public(), validity, &mut rng);
        Self {
            client: StaticKeyPair::generate(&mut rng),
            server: Arc::new(ServerIdentity::new(keys, chain.clone())),
            trust: authority.trust(),
            chain: chain.as_slice().to_vec(),
        }
    }

    pub fn handshake(&self, trust: &dyn ServerTrust) {
        let mut rng = rand::rng();
        let client = ClientHandshake::new(self.client.clone(), Intro::default(), &mut rng);
        let (client, write) = client.xx().expect("ClientHello");
        let server = ServerHandshake::new(Arc::clone(&self.server), Header::DEFAULT, &mut rng);
        let hello = server.read(&write[HEADER + PREFIX_LEN..]).expect("ServerHello");
        let Hello::Answered { state: server, write } = hello else { return };
        let client = client.read(&write[PREFIX_LEN..], trust, NOW).expect("trusted");
        let ClientFinish { write, transport, .. } = client.finish(&CLIENT_PAYLOAD).expect("ClientFinish");
        black_box((transport, server.read(&write[PREFIX_LEN..]).expect("established")));
    }

    pub fn verify(&self) {
        black_box(self.trust.verify(&self.chain, self.server.keys().public(), NOW).expect("trusted"));
    }
}

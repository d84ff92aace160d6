//! The Noise channel of the chat connection: handshakes, certificate chain, transport ciphers, framing.
//!
//! Bytes in, bytes out: no I/O, no clock, no randomness of its own. The protocol is Noise over X25519, AES-256-GCM and
//! SHA-256 in the patterns XX, IK and XXfallback, as WhatsApp deploys it: the empty payload of the first XX message is
//! not hashed, messages are cut into protobuf fields, and a certificate chain is the server's first payload.
//!
//! | to | use |
//! |---|---|
//! | connect | [`ClientHandshake`], with a [`ServerTrust`] such as [`PinnedRoot`] |
//! | accept | [`IntroReader`], [`ServerHandshake`] with a [`ServerIdentity`] |
//! | cut the stream into frames | [`FrameDecoder`]; for unsealed frames [`encode_frame`] |
//! | send and receive | [`Transport`]: a [`Sealer`] and an [`Opener`] |
//! | play WhatsApp | [`CertificateAuthority`] |
//!
//! A whole connection in memory:
//!
//! ```
//! use landbridge_noise::*;
//! use std::sync::Arc;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (now, mut rng) = (1_767_225_600, rand::rng());
//!
//! // A server, and the authority that its clients believe.
//! let authority = CertificateAuthority::generate(Validity::new(now - 60, now + 86_400), &mut rng);
//! let keys = StaticKeyPair::generate(&mut rng);
//! let chain = authority.issue(keys.public(), Validity::new(now - 60, now + 3_600), &mut rng);
//! let identity = Arc::new(ServerIdentity::new(keys, chain));
//!
//! // Client: header and ClientHello.
//! let client_keys = StaticKeyPair::generate(&mut rng);
//! let client = ClientHandshake::new(client_keys.clone(), Intro::default(), &mut rng);
//! let (client, to_server) = client.xx()?;
//!
//! // Server: header, then one frame; ServerHello.
//! let mut input = to_server.as_slice();
//! let intro = IntroReader::new(Header::DEFAULT).read(&mut input)?.ok_or("header cut short")?;
//! let mut server_in = FrameDecoder::new();
//! server_in.feed(input);
//! let server = ServerHandshake::new(identity, intro.header(), &mut rng);
//! let hello = server_in.next_frame()?.ok_or("frame cut short")?;
//! let Hello::Answered { state: server, write: to_client } = server.read(hello)? else { return Err("IK".into()) };
//!
//! // Client: verifies the server, sends ClientFinish and, in the same breath, a first transport frame.
//! let mut client_in = FrameDecoder::new();
//! client_in.feed(&to_client);
//! let hello = client_in.next_frame()?.ok_or("frame cut short")?;
//! let client = client.read(hello, &authority.trust(), now)?;
//! let ClientFinish { write: mut to_server, mut transport, .. } = client.finish(b"client payload")?;
//! client_in.switch_to_transport();
//! transport.sealer.seal_frame(b"\0stanza", &mut to_server)?;
//!
//! // Server: knows the client, and finds the transport frame behind the handshake.
//! server_in.feed(&to_server);
//! let mut established = server.read(server_in.next_frame()?.ok_or("frame cut short")?)?;
//! server_in.switch_to_transport();
//! assert_eq!(&established.client_static, client_keys.public());
//! assert_eq!(established.payload.as_slice(), b"client payload");
//! let frame = server_in.next_frame()?.ok_or("frame cut short")?;
//! assert_eq!(established.transport.opener.open_in_place(frame)?, b"\0stanza");
//! # Ok(()) }
//! ```

/// `Debug` for states that are made of secrets: the name alone.
macro_rules! opaque_debug {
    ($($state:ty),+ $(,)?) => {$(
        impl std::fmt::Debug for $state {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($state), "([redacted])"))
            }
        }
    )+};
}

mod authority;
mod buf;
mod certificate;
mod cipher;
mod client;
pub mod danger;
mod error;
mod frame;
mod intro;
mod keys;
mod message;
mod pattern;
mod server;
mod symmetric;
mod transport;
mod trust;

pub use authority::CertificateAuthority;
pub use buf::FrameBuf;
pub use certificate::{Certificate, CertificateError, CertificatePart, PinnedRoot, WHATSAPP_ROOT};
pub use cipher::TAG_LEN;
pub use client::{
    AwaitPayload, AwaitResumption, AwaitServerHello, ClientFinish, ClientHandshake, Resumption,
};
pub use error::{HandshakeError, Message, Part, ResumeError};
pub use frame::{
    EAGER_CAP, FrameDecoder, FrameError, MAX_FRAME, MAX_HANDSHAKE_FRAME, PREFIX_LEN, encode_frame,
};
pub use intro::{Header, Intro, IntroError, IntroReader, MAX_ROUTING_INFO};
pub use keys::StaticKeyPair;
pub use landbridge_curve::{PrivateKey, PublicKey};
pub use pattern::Pattern;
pub use server::{AwaitClientFinish, AwaitDecision, Established, Hello, ServerHandshake, ServerIdentity};
pub use transport::{COUNTER_END, MAX_PLAINTEXT, OpenError, Opener, SealError, Sealer, Transport};
pub use trust::{KnownServer, ServerTrust, Validity, VerifiedServer};

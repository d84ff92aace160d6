//! The server's side of a handshake.

use std::sync::Arc;

use landbridge_curve::{PrivateKey, PublicKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    HandshakeError, Header, Message, Part, Pattern, StaticKeyPair, Transport,
    message::{self, ClientFinishParts, ClientHelloParts, agree, open, open_key, seal},
    symmetric::{Keyed, Unkeyed},
};

/// What a server is: its static key pair, and the chain that vouches for it. Shared by all of its connections.
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    keys: StaticKeyPair,
    chain: Vec<u8>,
}

impl ServerIdentity {
    /// A server with `keys` and a serialised certificate chain, as
    /// [`CertificateAuthority::issue`](crate::CertificateAuthority::issue) makes it. The chain is sent as it is.
    pub fn new(keys: StaticKeyPair, chain: impl Into<Vec<u8>>) -> Self {
        Self { keys, chain: chain.into() }
    }

    /// The static key pair.
    pub const fn keys(&self) -> &StaticKeyPair {
        &self.keys
    }

    /// The chain.
    pub fn chain(&self) -> &[u8] {
        &self.chain
    }
}

/// A server that waits for a ClientHello.
///
/// ```text
/// ServerHandshake ─ read ─┬► Hello::Answered { state, write } ──────────────┐
///                         └► Hello::Resume(AwaitDecision) ─┬─ fall_back ──┤
///                                                          │              └► AwaitClientFinish ─ read ─┐
///                                                          └─ accept ───────────────────────────────► Established
/// ```
///
/// The header is read beforehand, with [`IntroReader`](crate::IntroReader). Frames are given without their length
/// prefix, as [`FrameDecoder`](crate::FrameDecoder) hands them out; bytes to write come whole.
#[derive(Debug)]
pub struct ServerHandshake {
    identity: Arc<ServerIdentity>,
    header: Header,
    ephemeral: PrivateKey,
}

impl ServerHandshake {
    /// A handshake on a connection that began with `header`. The ephemeral key comes from `rng`.
    pub fn new<R: CryptoRng + ?Sized>(identity: Arc<ServerIdentity>, header: Header, rng: &mut R) -> Self {
        Self::replay_with_ephemeral(identity, header, PrivateKey::generate(rng))
    }

    /// As [`new`](Self::new), with a given ephemeral key: **only** for replaying recorded handshakes. A key that is
    /// used for two connections gives both of them away.
    pub const fn replay_with_ephemeral(
        identity: Arc<ServerIdentity>,
        header: Header,
        ephemeral: PrivateKey,
    ) -> Self {
        Self { identity, header, ephemeral }
    }

    /// Reads the ClientHello. XX is answered at once; IK that can be read waits for a decision; IK that cannot is
    /// answered as XXfallback.
    ///
    /// # Errors
    /// [`HandshakeError`]. A ClientHello with only one of static key and payload is refused (ASSUMED).
    pub fn read(self, frame: &[u8]) -> Result<Hello, HandshakeError> {
        let hello = ClientHelloParts::read(frame)?;
        let Some((sealed_static, sealed_payload)) = hello.resume else {
            let (state, write) = self.answer(Pattern::Xx, &hello.ephemeral)?;
            return Ok(Hello::Answered { state, write });
        };
        match self.open_resume(&hello.ephemeral, &sealed_static, &sealed_payload) {
            Ok((symmetric, client_static, payload)) => Ok(Hello::Resume(AwaitDecision {
                handshake: self,
                symmetric,
                client_ephemeral: hello.ephemeral,
                client_static,
                payload,
            })),
            Err(HandshakeError::Decrypt { .. }) => {
                let (state, write) = self.answer(Pattern::XxFallback, &hello.ephemeral)?;
                Ok(Hello::Answered { state, write })
            }
            Err(error) => Err(error),
        }
    }

    /// The ServerHello of XX or XXfallback.
    fn answer(
        self,
        pattern: Pattern,
        client_ephemeral: &PublicKey,
    ) -> Result<(AwaitClientFinish, Vec<u8>), HandshakeError> {
        const THIS: Message = Message::ServerHello;
        let Self { identity, header, ephemeral } = self;
        let public = ephemeral.public();
        let mut symmetric = Unkeyed::new(pattern.protocol_name(), header.as_bytes());
        symmetric.mix_hash(client_ephemeral.as_bytes());
        symmetric.mix_hash(public.as_bytes());
        let weak = (Message::ClientHello, Part::Ephemeral);
        let mut symmetric = symmetric.mix_key(&agree(&ephemeral, client_ephemeral, weak.0, weak.1)?);
        let sealed_static = seal(&mut symmetric, identity.keys.public().as_bytes(), THIS)?;
        symmetric.mix_key(&agree(identity.keys.private(), client_ephemeral, weak.0, weak.1)?);
        let sealed_chain = seal(&mut symmetric, &identity.chain, THIS)?;
        let write = message::server_hello(&public, Some(sealed_static), sealed_chain)?;
        Ok((AwaitClientFinish { symmetric, ephemeral, pattern }, write))
    }

    /// IK rows 2 to 5, from the server's side.
    fn open_resume(
        &self,
        client_ephemeral: &PublicKey,
        sealed_static: &[u8],
        sealed_payload: &[u8],
    ) -> Result<(Keyed, PublicKey, Zeroizing<Vec<u8>>), HandshakeError> {
        const THIS: Message = Message::ClientHello;
        let keys = &self.identity.keys;
        let mut symmetric = Unkeyed::new(Pattern::Ik.protocol_name(), self.header.as_bytes());
        symmetric.mix_hash(keys.public().as_bytes());
        symmetric.mix_hash(client_ephemeral.as_bytes());
        let shared = agree(keys.private(), client_ephemeral, THIS, Part::Ephemeral)?;
        let mut symmetric = symmetric.mix_key(&shared);
        let client_static = open_key(&mut symmetric, sealed_static, THIS)?;
        symmetric.mix_key(&agree(keys.private(), &client_static, THIS, Part::Static)?);
        let payload = open(&mut symmetric, sealed_payload, THIS, Part::Payload)?;
        Ok((symmetric, client_static, payload))
    }
}

/// What came of a ClientHello.
#[derive(Debug)]
pub enum Hello {
    /// XX, or IK that this server could not read: write the bytes, then wait for one frame.
    Answered {
        /// Waits for the ClientFinish.
        state: AwaitClientFinish,
        /// The frame to write.
        write: Vec<u8>,
    },
    /// IK that this server can read.
    Resume(AwaitDecision),
}

/// A server that has read an attempt to resume and waits for its owner's decision.
///
/// What the client sent may be a replay of an earlier connection: do nothing on its word that a replay must not do.
/// The client is there for certain when its first transport frame opens.
pub struct AwaitDecision {
    handshake: ServerHandshake,
    symmetric: Keyed,
    client_ephemeral: PublicKey,
    client_static: PublicKey,
    payload: Zeroizing<Vec<u8>>,
}

impl AwaitDecision {
    /// The client's static key.
    pub const fn client_static(&self) -> &PublicKey {
        &self.client_static
    }

    /// The client's payload (a serialised ClientPayload).
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Resumes, with `server_payload` (usually empty) sealed in the ServerHello. Write the bytes given; transport
    /// frames may follow at once.
    ///
    /// # Errors
    /// [`HandshakeError::WeakKey`], [`HandshakeError::PayloadTooLarge`].
    pub fn accept(self, server_payload: &[u8]) -> Result<(Established, Vec<u8>), HandshakeError> {
        const THIS: Message = Message::ClientHello;
        let Self { handshake, mut symmetric, client_ephemeral, client_static, payload } = self;
        let ephemeral = handshake.ephemeral;
        let public = ephemeral.public();
        symmetric.mix_hash(public.as_bytes());
        symmetric.mix_key(&agree(&ephemeral, &client_ephemeral, THIS, Part::Ephemeral)?);
        symmetric.mix_key(&agree(&ephemeral, &client_static, THIS, Part::Static)?);
        let sealed = seal(&mut symmetric, server_payload, Message::ServerHello)?;
        let write = message::server_hello(&public, None, sealed)?;
        let transport = symmetric.split_server();
        Ok((Established { transport, client_static, payload, pattern: Pattern::Ik }, write))
    }

    /// Answers as if the attempt could not be read: XXfallback. Write the bytes given, then wait for one frame.
    ///
    /// # Errors
    /// [`HandshakeError::WeakKey`], [`HandshakeError::PayloadTooLarge`].
    pub fn fall_back(self) -> Result<(AwaitClientFinish, Vec<u8>), HandshakeError> {
        self.handshake.answer(Pattern::XxFallback, &self.client_ephemeral)
    }
}

/// A server that has sent the ServerHello of XX or XXfallback.
pub struct AwaitClientFinish {
    symmetric: Keyed,
    ephemeral: PrivateKey,
    pattern: Pattern,
}

impl AwaitClientFinish {
    /// XX or XXfallback.
    pub const fn pattern(&self) -> Pattern {
        self.pattern
    }

    /// Reads the ClientFinish. Transport frames may be sent at once.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub fn read(self, frame: &[u8]) -> Result<Established, HandshakeError> {
        const THIS: Message = Message::ClientFinish;
        let Self { mut symmetric, ephemeral, pattern } = self;
        let finish = ClientFinishParts::read(frame)?;
        let client_static = open_key(&mut symmetric, &finish.sealed_static, THIS)?;
        symmetric.mix_key(&agree(&ephemeral, &client_static, THIS, Part::Static)?);
        let payload = open(&mut symmetric, &finish.sealed_payload, THIS, Part::Payload)?;
        Ok(Established { transport: symmetric.split_server(), client_static, payload, pattern })
    }
}

/// A connection whose client has proved to hold the private half of `client_static`; with IK, subject to replay.
///
/// That this key is the `authkey` of the account that the payload names is for the server to check.
pub struct Established {
    /// The two directions.
    pub transport: Transport,
    /// The client's static key.
    pub client_static: PublicKey,
    /// The client's payload (a serialised ClientPayload with a token in it), wiped when dropped.
    pub payload: Zeroizing<Vec<u8>>,
    /// How it came about.
    pub pattern: Pattern,
}

impl std::fmt::Debug for Established {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { transport, client_static, payload: _, pattern } = self;
        f.debug_struct("Established")
            .field("transport", transport)
            .field("client_static", client_static)
            .field("payload", &"[redacted]")
            .field("pattern", pattern)
            .finish()
    }
}

opaque_debug!(AwaitDecision, AwaitClientFinish);

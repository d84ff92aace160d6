//! The client's side of a handshake.

use landbridge_curve::{PrivateKey, PublicKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    HandshakeError, Intro, KnownServer, Message, Part, Pattern, ResumeError, ServerTrust, StaticKeyPair,
    Transport, VerifiedServer,
    message::{self, ServerHelloParts, agree, open, open_key, seal},
    symmetric::{Keyed, Unkeyed},
};

/// A client that has sent nothing yet.
///
/// [`xx`](Self::xx) starts the full handshake:
///
/// ```text
/// ClientHandshake ─ xx ──► AwaitServerHello ─ read ──► AwaitPayload ─ finish ──► ClientFinish { transport, .. }
///        └──── ik ──────► AwaitResumption ─ read ──► Resumption::Accepted or Resumption::FellBack(ClientFinish)
/// ```
///
/// Each step takes the state by value and gives the bytes to write, if any, in one `Vec`: header and pre-intro are in
/// front of the first frame, so that they leave in the same write. Frames are given without their length prefix, as
/// [`FrameDecoder`](crate::FrameDecoder) hands them out. After an error the state is gone; close the connection.
#[derive(Debug)]
pub struct ClientHandshake {
    keys: StaticKeyPair,
    intro: Intro,
    ephemeral: PrivateKey,
}

impl ClientHandshake {
    /// A handshake with the enlisted pair `keys`, which opens the connection with `intro`. The ephemeral key comes
    /// from `rng`.
    pub fn new<R: CryptoRng + ?Sized>(keys: StaticKeyPair, intro: Intro, rng: &mut R) -> Self {
        Self::replay_with_ephemeral(keys, intro, PrivateKey::generate(rng))
    }

    /// As [`new`](Self::new), with a given ephemeral key: **only** for replaying recorded handshakes. A key that is
    /// used for two connections gives both of them away.
    pub const fn replay_with_ephemeral(keys: StaticKeyPair, intro: Intro, ephemeral: PrivateKey) -> Self {
        Self { keys, intro, ephemeral }
    }

    /// Starts XX. Write the bytes given, then wait for one frame.
    ///
    /// # Errors
    /// None in practice: a ClientHello of XX always fits its frame.
    pub fn xx(self) -> Result<(AwaitServerHello, Vec<u8>), HandshakeError> {
        let Self { keys, intro, ephemeral } = self;
        let public = ephemeral.public();
        let mut symmetric = Unkeyed::new(Pattern::Xx.protocol_name(), intro.header().as_bytes());
        // The framework would hash the empty payload as well; the deployed protocol does not.
        symmetric.mix_hash(public.as_bytes());
        let mut write = Vec::new();
        intro.encode(&mut write);
        message::client_hello(&public, None, &mut write)?;
        Ok((AwaitServerHello { keys, ephemeral, symmetric }, write))
    }

    /// Starts IK with the key of a server that was verified on an earlier connection. Write the bytes given, then
    /// wait for one frame.
    ///
    /// `payload` is sealed under the server's static key alone: it has no forward secrecy, and it may be replayed to
    /// the server. It is kept until the answer is there, for the fallback, and wiped then.
    ///
    /// # Errors
    /// [`HandshakeError::KnownServerOutdated`] if `server` may not be used at `now` (unix seconds),
    /// [`HandshakeError::WeakKey`] if its key is of low order, [`HandshakeError::PayloadTooLarge`].
    pub fn ik(
        self,
        server: &KnownServer,
        now: u64,
        payload: &[u8],
    ) -> Result<(AwaitResumption, Vec<u8>), HandshakeError> {
        const THIS: Message = Message::ClientHello;
        if !server.usable_at(now) {
            return Err(HandshakeError::KnownServerOutdated { now });
        }
        let Self { keys, intro, ephemeral } = self;
        let public = ephemeral.public();
        let mut symmetric = Unkeyed::new(Pattern::Ik.protocol_name(), intro.header().as_bytes());
        symmetric.mix_hash(server.key.as_bytes());
        symmetric.mix_hash(public.as_bytes());
        let mut symmetric = symmetric.mix_key(&agree(&ephemeral, &server.key, THIS, Part::Static)?);
        let sealed_static = seal(&mut symmetric, keys.public().as_bytes(), THIS)?;
        symmetric.mix_key(&agree(keys.private(), &server.key, THIS, Part::Static)?);
        let sealed_payload = seal(&mut symmetric, payload, THIS)?;
        let mut write = Vec::new();
        intro.encode(&mut write);
        message::client_hello(&public, Some((sealed_static, sealed_payload)), &mut write)?;
        let payload = Zeroizing::new(payload.to_vec());
        Ok((AwaitResumption { keys, intro, ephemeral, public, symmetric, payload }, write))
    }
}

/// A client that has sent the ClientHello of XX.
pub struct AwaitServerHello {
    keys: StaticKeyPair,
    ephemeral: PrivateKey,
    symmetric: Unkeyed,
}

impl AwaitServerHello {
    /// Reads the ServerHello and lets `trust` judge the server at `now` (unix seconds).
    ///
    /// # Errors
    /// [`HandshakeError`]; nothing about the client has been sent then.
    pub fn read(
        self,
        frame: &[u8],
        trust: &dyn ServerTrust,
        now: u64,
    ) -> Result<AwaitPayload, HandshakeError> {
        let Self { keys, ephemeral, symmetric } = self;
        let hello = ServerHelloParts::read(frame)?;
        verify_server(symmetric, keys, &ephemeral, &hello, &Judge { trust, now })
    }
}

/// A client that believes the server and waits for its owner's payload.
pub struct AwaitPayload {
    keys: StaticKeyPair,
    symmetric: Keyed,
    server_ephemeral: PublicKey,
    server: VerifiedServer,
}

impl AwaitPayload {
    /// The server that was verified.
    pub const fn server(&self) -> &VerifiedServer {
        &self.server
    }

    /// Makes the ClientFinish, with `payload` (a serialised ClientPayload) sealed in it.
    ///
    /// # Errors
    /// [`HandshakeError::PayloadTooLarge`], [`HandshakeError::WeakKey`].
    pub fn finish(self, payload: &[u8]) -> Result<ClientFinish, HandshakeError> {
        const THIS: Message = Message::ClientFinish;
        let Self { keys, mut symmetric, server_ephemeral, server } = self;
        let sealed_static = seal(&mut symmetric, keys.public().as_bytes(), THIS)?;
        let shared = agree(keys.private(), &server_ephemeral, Message::ServerHello, Part::Ephemeral)?;
        symmetric.mix_key(&shared);
        let sealed_payload = seal(&mut symmetric, payload, THIS)?;
        let write = message::client_finish(sealed_static, sealed_payload)?;
        Ok(ClientFinish { write, transport: symmetric.split(), server })
    }
}

/// The end of XX and of XXfallback.
#[derive(Debug)]
pub struct ClientFinish {
    /// The frame to write before any transport frame.
    pub write: Vec<u8>,
    /// The two directions.
    pub transport: Transport,
    /// The server that was verified; [`VerifiedServer::known`] is what to keep for a resumption.
    pub server: VerifiedServer,
}

/// A client that has sent the ClientHello of IK.
pub struct AwaitResumption {
    keys: StaticKeyPair,
    intro: Intro,
    ephemeral: PrivateKey,
    public: PublicKey,
    symmetric: Keyed,
    payload: Zeroizing<Vec<u8>>,
}

impl AwaitResumption {
    /// Reads the ServerHello. One without static key accepts the resumption; one with it starts XXfallback, in
    /// which `trust` judges the server at `now` (unix seconds) and the same payload is sent again.
    ///
    /// # Errors
    /// [`ResumeError`], which tells whether the stored server key is to be erased.
    pub fn read(self, frame: &[u8], trust: &dyn ServerTrust, now: u64) -> Result<Resumption, ResumeError> {
        let hello = ServerHelloParts::read(frame).map_err(|source| ResumeError::Resumption { source })?;
        if hello.sealed_static.is_none() {
            return self.accepted(&hello).map_err(|source| ResumeError::Resumption { source });
        }
        self.fall_back(&hello, &Judge { trust, now }).map_err(|source| ResumeError::Fallback { source })
    }

    fn accepted(self, hello: &ServerHelloParts) -> Result<Resumption, HandshakeError> {
        const THIS: Message = Message::ServerHello;
        let Self { keys, mut symmetric, ephemeral, .. } = self;
        symmetric.mix_hash(hello.ephemeral.as_bytes());
        symmetric.mix_key(&agree(&ephemeral, &hello.ephemeral, THIS, Part::Ephemeral)?);
        symmetric.mix_key(&agree(keys.private(), &hello.ephemeral, THIS, Part::Ephemeral)?);
        let server_payload = open(&mut symmetric, &hello.sealed_payload, THIS, Part::Payload)?;
        Ok(Resumption::Accepted { transport: symmetric.split(), server_payload: server_payload.to_vec() })
    }

    /// Starts anew with the ephemeral key that was sent; everything that IK had derived is thrown away.
    fn fall_back(self, hello: &ServerHelloParts, judge: &Judge<'_>) -> Result<Resumption, HandshakeError> {
        let Self { keys, intro, ephemeral, public, payload, .. } = self;
        let mut symmetric = Unkeyed::new(Pattern::XxFallback.protocol_name(), intro.header().as_bytes());
        symmetric.mix_hash(public.as_bytes());
        let verified = verify_server(symmetric, keys, &ephemeral, hello, judge)?;
        Ok(Resumption::FellBack(verified.finish(&payload)?))
    }
}

/// What a server made of an attempt to resume.
#[derive(Debug)]
pub enum Resumption {
    /// The server took it; there is nothing more to write.
    Accepted {
        /// The two directions.
        transport: Transport,
        /// What the server sent along, often nothing. Peers do not look at it.
        server_payload: Vec<u8>,
    },
    /// The server could not read it, for its key has changed: XXfallback took its place.
    FellBack(ClientFinish),
}

/// Who judges, and when.
struct Judge<'a> {
    trust: &'a dyn ServerTrust,
    now: u64,
}

/// XX rows 6 to 8: the ServerHello of XX and XXfallback.
fn verify_server(
    mut symmetric: Unkeyed,
    keys: StaticKeyPair,
    ephemeral: &PrivateKey,
    hello: &ServerHelloParts,
    judge: &Judge<'_>,
) -> Result<AwaitPayload, HandshakeError> {
    const THIS: Message = Message::ServerHello;
    let sealed_static = hello
        .sealed_static
        .as_deref()
        .ok_or(HandshakeError::MissingPart { message: THIS, part: Part::Static })?;
    symmetric.mix_hash(hello.ephemeral.as_bytes());
    let mut symmetric = symmetric.mix_key(&agree(ephemeral, &hello.ephemeral, THIS, Part::Ephemeral)?);
    let server_static = open_key(&mut symmetric, sealed_static, THIS)?;
    symmetric.mix_key(&agree(ephemeral, &server_static, THIS, Part::Static)?);
    let chain = open(&mut symmetric, &hello.sealed_payload, THIS, Part::Payload)?;
    let server = judge
        .trust
        .verify(&chain, &server_static, judge.now)
        .map_err(|source| HandshakeError::Certificate { source })?;
    if !server.is_about(&server_static) {
        return Err(HandshakeError::TrustMismatch);
    }
    Ok(AwaitPayload { keys, symmetric, server_ephemeral: hello.ephemeral, server })
}

opaque_debug!(AwaitServerHello, AwaitPayload, AwaitResumption);

//! The Noise handshake over a stream, with the login in its last message.

use std::time::Duration;

use landbridge_enlist::jwt::Token;
use landbridge_noise::{
    ClientFinish, ClientHandshake, FrameDecoder, HandshakeError, Header, Intro, KnownServer, Opener,
    ResumeError, Resumption, Sealer, StaticKeyPair,
};
use landbridge_proto::handshake::client_payload::ConnectReason;
use landbridge_proto::login::InteropLogin;
use landbridge_store::{Fact, StoreTx};
use landbridge_transport::Stream;
use rand::Rng as _;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::{Before, LOGIN_ANSWER};
use crate::client::{Inner, ReadReceipts};
use crate::error::{Ending, Error};

const HELLO: &str = "server's hello";

/// The secure channel, both ways.
pub(super) struct Channel {
    pub(super) decoder: FrameDecoder,
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
    /// The server, if it has shown its certificates: what a later connection may resume with.
    pub(super) verified: Option<KnownServer>,
}

pub(super) async fn shake_hands(
    inner: &Inner,
    stream: &mut Box<dyn Stream>,
    before: &Before,
    token: &Token,
    reason: ConnectReason,
) -> Result<Channel, Error> {
    let payload = login_payload(inner, before, token, reason);
    match &before.known {
        Some(server) if server.usable_at(inner.clock.now()) => {
            // On the heap: most connections do without it.
            Box::pin(resume(inner, stream, before, server, &payload)).await
        }
        _ => full(inner, stream, before, &payload).await,
    }
}

fn begin(inner: &Inner, before: &Before) -> Result<ClientHandshake, Error> {
    let keys = StaticKeyPair::new(before.account.noise_static.clone());
    Ok(ClientHandshake::new(keys, intro(inner, before)?, &mut inner.rng.fork()))
}

const fn failed(source: HandshakeError) -> Error {
    Error::Handshake { source }
}

/// XX.
async fn full(
    inner: &Inner,
    stream: &mut Box<dyn Stream>,
    before: &Before,
    payload: &[u8],
) -> Result<Channel, Error> {
    let (waiting, hello) = begin(inner, before)?.xx().map_err(failed)?;
    let mut decoder = FrameDecoder::new();
    let frame = exchange(inner, stream, &mut decoder, &hello).await?;
    let verified = waiting.read(&frame, &*inner.trust, inner.clock.now()).map_err(failed)?;
    finish(stream, decoder, verified.finish(payload).map_err(failed)?).await
}

/// IK, or XXfallback if the server has another key by now.
async fn resume(
    inner: &Inner,
    stream: &mut Box<dyn Stream>,
    before: &Before,
    server: &KnownServer,
    payload: &[u8],
) -> Result<Channel, Error> {
    let Ok((waiting, hello)) = begin(inner, before)?.ik(server, inner.clock.now(), payload) else {
        // Nothing has been sent yet; and if it is the payload that does not fit, the long way says so too.
        return full(inner, stream, before, payload).await;
    };
    let mut decoder = FrameDecoder::new();
    let answer = exchange(inner, stream, &mut decoder, &hello).await;
    // A server that does not know IK may just close or say nothing: its key may be good still, but the next try of this
    // process is the long way.
    let frame = answer.inspect_err(|_| inner.resumption_failed.store(true, Ordering::Relaxed))?;
    match waiting.read(&frame, &*inner.trust, inner.clock.now()) {
        Ok(Resumption::Accepted { transport, .. }) => {
            decoder.switch_to_transport();
            Ok(Channel { decoder, sealer: transport.sealer, opener: transport.opener, verified: None })
        }
        Ok(Resumption::FellBack(fallback)) => finish(stream, decoder, fallback).await,
        Err(error) => {
            if error.forget_server() {
                inner.resumption_failed.store(true, Ordering::Relaxed);
                let forget =
                    |tx: &mut dyn StoreTx| tx.set_fact(Fact::SERVER_STATIC, None).map_err(Error::from);
                inner.vault.write(forget).await?;
            }
            Err(match error {
                ResumeError::Resumption { source } | ResumeError::Fallback { source } => failed(source),
                _ => Error::ClosedEarly { before: HELLO },
            })
        }
    }
}

/// Writes the client's hello and waits for the server's.
async fn exchange(
    inner: &Inner,
    stream: &mut Box<dyn Stream>,
    decoder: &mut FrameDecoder,
    hello: &[u8],
) -> Result<Vec<u8>, Error> {
    write(stream, hello, HELLO).await?;
    let limit = Duration::from_secs(inner.profile.connection.hello_timeout_s);
    let answered = tokio::time::timeout(limit, read_frame(stream, decoder, HELLO)).await;
    answered.map_err(|_| Error::TimedOut { what: HELLO, after: limit })?
}

/// Writes the client's last message, with the login in it.
async fn finish(
    stream: &mut Box<dyn Stream>,
    mut decoder: FrameDecoder,
    finish: ClientFinish,
) -> Result<Channel, Error> {
    decoder.switch_to_transport();
    write(stream, &finish.write, LOGIN_ANSWER).await?;
    let ClientFinish { transport, server, .. } = finish;
    let verified = Some(server.known().clone());
    Ok(Channel { decoder, sealer: transport.sealer, opener: transport.opener, verified })
}

fn intro(inner: &Inner, before: &Before) -> Result<Intro, Error> {
    let header = Header::from_bytes(inner.profile.connection.header)
        .map_err(|e| Error::Setup { what: "the header of the profile", source: Some(e.into()) })?;
    let intro = Intro::new(header);
    match &before.routing {
        // Bytes that the server once gave and this version cannot send are of no use; the header alone is.
        Some(routing) => Ok(intro.clone().with_routing(routing.clone()).unwrap_or(intro)),
        None => Ok(intro),
    }
}

fn login_payload(inner: &Inner, before: &Before, token: &Token, reason: ConnectReason) -> Zeroizing<Vec<u8>> {
    let mut login = InteropLogin::new(before.login.account.get(), token.as_str());
    login.push_name.clone_from(&inner.push_name);
    login.version = inner.profile.login.protocol_version;
    login.passive = inner.profile.login.passive;
    login.pull = Some(inner.profile.login.pull);
    login.connect_reason = Some(reason);
    login.short_connect = (reason == ConnectReason::Push).then_some(true);
    login.session_id = Some(i32::from_be_bytes(inner.rng.fork().next_u32().to_be_bytes()));
    let failed = inner.failed_logins.load(Ordering::Relaxed);
    login.connect_attempt_count = (failed > 0).then_some(failed);
    login.enable_read_receipts = Some(inner.read_receipts == ReadReceipts::Send);
    login.device.clone_from(&inner.device);
    login.encode()
}

async fn read_frame(
    stream: &mut Box<dyn Stream>,
    decoder: &mut FrameDecoder,
    before: &'static str,
) -> Result<Vec<u8>, Error> {
    loop {
        if let Some(frame) = decoder.next_frame().map_err(frame_error)? {
            return Ok(frame.to_vec());
        }
        read_more(stream, decoder, before).await?;
    }
}

/// Reads once.
pub(super) async fn read_more(
    stream: &mut Box<dyn Stream>,
    decoder: &mut FrameDecoder,
    before: &'static str,
) -> Result<(), Error> {
    let read = stream.read_buf(decoder.read_buf()).await;
    match read.map_err(|source| Error::Io { before, source })? {
        0 => Err(Error::ClosedEarly { before }),
        _ => Ok(()),
    }
}

async fn write(stream: &mut Box<dyn Stream>, bytes: &[u8], before: &'static str) -> Result<(), Error> {
    let io = |source| Error::Io { before, source };
    stream.write_all(bytes).await.map_err(io)?;
    stream.flush().await.map_err(io)
}

fn frame_error(source: landbridge_noise::FrameError) -> Error {
    Error::Disconnected { ending: std::sync::Arc::new(Ending::Frame { source }) }
}

//! The Noise handshake over a stream, with the login in its last message.

use std::time::Duration;

use landbridge_enlist::jwt::Token;
use landbridge_noise::{ClientHandshake, FrameDecoder, Header, Intro, Opener, Sealer, StaticKeyPair};
use landbridge_proto::handshake::client_payload::ConnectReason;
use landbridge_proto::login::InteropLogin;
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
}

pub(super) async fn shake_hands(
    inner: &Inner,
    stream: &mut Box<dyn Stream>,
    before: &Before,
    token: &Token,
    reason: ConnectReason,
) -> Result<Channel, Error> {
    let handshake = |source| Error::Handshake { source };
    let keys = StaticKeyPair::new(before.account.noise_static.clone());
    let intro = intro(inner, before)?;
    let (waiting, hello) =
        ClientHandshake::new(keys, intro, &mut inner.rng.fork()).xx().map_err(handshake)?;
    write(stream, &hello, HELLO).await?;

    let mut decoder = FrameDecoder::new();
    let limit = Duration::from_secs(inner.profile.connection.hello_timeout_s);
    let answered = tokio::time::timeout(limit, read_frame(stream, &mut decoder, HELLO)).await;
    let frame = answered.map_err(|_| Error::TimedOut { what: HELLO, after: limit })??;
    let verified = waiting.read(&frame, &*inner.trust, inner.clock.now()).map_err(handshake)?;

    let finish = verified.finish(&login_payload(inner, before, token, reason)).map_err(handshake)?;
    decoder.switch_to_transport();
    write(stream, &finish.write, LOGIN_ANSWER).await?;
    Ok(Channel { decoder, sealer: finish.transport.sealer, opener: finish.transport.opener })
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

//! Handshake messages: a Noise message cut into the fields of a protobuf.

use landbridge_curve::{PrivateKey, PublicKey, SharedSecret};
use landbridge_proto::handshake::{ClientFinish, ClientHello, HandshakeMessage, ServerHello};
use prost::Message as _;
use zeroize::Zeroizing;

use crate::{
    HandshakeError, MAX_HANDSHAKE_FRAME, Message, Part, TAG_LEN,
    frame::{PREFIX_LEN, prefix},
    symmetric::{Keyed, Refused},
};

/// Bytes of a public key.
const KEY_LEN: usize = 32;

/// Bytes of a sealed public key.
const SEALED_KEY_LEN: usize = KEY_LEN + TAG_LEN;

/// The fields of a ClientHello, lengths checked.
pub(crate) struct ClientHelloParts {
    pub(crate) ephemeral: PublicKey,
    /// Sealed static key and sealed payload: an attempt at IK.
    pub(crate) resume: Option<(Vec<u8>, Vec<u8>)>,
}

/// The fields of a ServerHello, lengths checked.
pub(crate) struct ServerHelloParts {
    pub(crate) ephemeral: PublicKey,
    pub(crate) sealed_static: Option<Vec<u8>>,
    pub(crate) sealed_payload: Vec<u8>,
}

/// The fields of a ClientFinish, lengths checked.
pub(crate) struct ClientFinishParts {
    pub(crate) sealed_static: Vec<u8>,
    pub(crate) sealed_payload: Vec<u8>,
}

impl ClientHelloParts {
    pub(crate) fn read(frame: &[u8]) -> Result<Self, HandshakeError> {
        const THIS: Message = Message::ClientHello;
        let hello =
            decode(frame, THIS)?.client_hello.ok_or(HandshakeError::MissingMessage { expected: THIS })?;
        let ephemeral = ephemeral(hello.ephemeral, THIS)?;
        let resume = match (hello.r#static, hello.payload) {
            (None, None) => None,
            (sealed_static, payload) => {
                Some((present(sealed_static, THIS, Part::Static)?, present(payload, THIS, Part::Payload)?))
            }
        };
        Ok(Self { ephemeral, resume })
    }
}

impl ServerHelloParts {
    pub(crate) fn read(frame: &[u8]) -> Result<Self, HandshakeError> {
        const THIS: Message = Message::ServerHello;
        let hello =
            decode(frame, THIS)?.server_hello.ok_or(HandshakeError::MissingMessage { expected: THIS })?;
        Ok(Self {
            ephemeral: ephemeral(hello.ephemeral, THIS)?,
            sealed_static: hello
                .r#static
                .map(|sealed| present(Some(sealed), THIS, Part::Static))
                .transpose()?,
            sealed_payload: present(hello.payload, THIS, Part::Payload)?,
        })
    }
}

impl ClientFinishParts {
    pub(crate) fn read(frame: &[u8]) -> Result<Self, HandshakeError> {
        const THIS: Message = Message::ClientFinish;
        let finish =
            decode(frame, THIS)?.client_finish.ok_or(HandshakeError::MissingMessage { expected: THIS })?;
        Ok(Self {
            sealed_static: present(finish.r#static, THIS, Part::Static)?,
            sealed_payload: present(finish.payload, THIS, Part::Payload)?,
        })
    }
}

/// Parses a frame and makes sure that nothing but the message that is due is in it.
fn decode(frame: &[u8], expected: Message) -> Result<HandshakeMessage, HandshakeError> {
    if frame.len() > MAX_HANDSHAKE_FRAME {
        return Err(HandshakeError::FrameTooLong {
            message: expected,
            limit: MAX_HANDSHAKE_FRAME,
            got: frame.len(),
        });
    }
    let message = HandshakeMessage::decode(frame).map_err(|source| HandshakeError::Malformed {
        message: expected,
        length: frame.len(),
        source,
    })?;
    let there = [
        (Message::ClientHello, message.client_hello.is_some()),
        (Message::ServerHello, message.server_hello.is_some()),
        (Message::ClientFinish, message.client_finish.is_some()),
    ];
    if !there.contains(&(expected, true)) {
        return Err(HandshakeError::MissingMessage { expected });
    }
    match there.into_iter().find(|&(message, is_there)| is_there && message != expected) {
        Some((got, _)) => Err(HandshakeError::ExtraMessage { expected, got }),
        None => Ok(message),
    }
}

fn ephemeral(field: Option<Vec<u8>>, message: Message) -> Result<PublicKey, HandshakeError> {
    let part = Part::Ephemeral;
    let bytes = field.ok_or(HandshakeError::MissingPart { message, part })?;
    PublicKey::from_slice(&bytes).map_err(|_| HandshakeError::BadLength {
        message,
        part,
        expected: KEY_LEN,
        got: bytes.len(),
    })
}

/// A sealed field that is there and long enough, or exactly as long as a sealed key is.
fn present(field: Option<Vec<u8>>, message: Message, part: Part) -> Result<Vec<u8>, HandshakeError> {
    let bytes = field.ok_or(HandshakeError::MissingPart { message, part })?;
    let (expected, good) = match part {
        Part::Payload => (TAG_LEN, bytes.len() >= TAG_LEN),
        Part::Static | Part::Ephemeral => (SEALED_KEY_LEN, bytes.len() == SEALED_KEY_LEN),
    };
    if good {
        Ok(bytes)
    } else {
        Err(HandshakeError::BadLength { message, part, expected, got: bytes.len() })
    }
}

/// The frame of a ClientHello, appended to `out`.
pub(crate) fn client_hello(
    ephemeral: &PublicKey,
    resume: Option<(Vec<u8>, Vec<u8>)>,
    out: &mut Vec<u8>,
) -> Result<(), HandshakeError> {
    let (sealed_static, payload) = resume.unzip();
    let hello =
        ClientHello { ephemeral: Some(ephemeral.as_bytes().to_vec()), r#static: sealed_static, payload };
    let message = HandshakeMessage { client_hello: Some(hello), ..HandshakeMessage::default() };
    append(&message, Message::ClientHello, out)
}

/// The frame of a ServerHello.
pub(crate) fn server_hello(
    ephemeral: &PublicKey,
    sealed_static: Option<Vec<u8>>,
    payload: Vec<u8>,
) -> Result<Vec<u8>, HandshakeError> {
    let hello = ServerHello {
        ephemeral: Some(ephemeral.as_bytes().to_vec()),
        r#static: sealed_static,
        payload: Some(payload),
    };
    let message = HandshakeMessage { server_hello: Some(hello), ..HandshakeMessage::default() };
    let mut out = Vec::new();
    append(&message, Message::ServerHello, &mut out)?;
    Ok(out)
}

/// The frame of a ClientFinish.
pub(crate) fn client_finish(sealed_static: Vec<u8>, payload: Vec<u8>) -> Result<Vec<u8>, HandshakeError> {
    let finish = ClientFinish { r#static: Some(sealed_static), payload: Some(payload) };
    let message = HandshakeMessage { client_finish: Some(finish), ..HandshakeMessage::default() };
    let mut out = Vec::new();
    append(&message, Message::ClientFinish, &mut out)?;
    Ok(out)
}

fn append(message: &HandshakeMessage, name: Message, out: &mut Vec<u8>) -> Result<(), HandshakeError> {
    let length = message.encoded_len();
    let too_large =
        || HandshakeError::PayloadTooLarge { message: name, limit: MAX_HANDSHAKE_FRAME, got: length };
    if length > MAX_HANDSHAKE_FRAME {
        return Err(too_large());
    }
    out.reserve(PREFIX_LEN + length);
    out.extend_from_slice(&prefix(length).map_err(|_| too_large())?);
    // A Vec grows as needed, so the one cause of an encoding error is absent.
    message.encode(out).map_err(|_| too_large())
}

/// X25519, or the name of the key that gives zero.
pub(crate) fn agree(
    mine: &PrivateKey,
    theirs: &PublicKey,
    message: Message,
    part: Part,
) -> Result<SharedSecret, HandshakeError> {
    mine.agree(theirs).map_err(|_| HandshakeError::WeakKey { message, part })
}

/// Seals a field of a message that is being made.
pub(crate) fn seal(state: &mut Keyed, plaintext: &[u8], message: Message) -> Result<Vec<u8>, HandshakeError> {
    state.seal(plaintext).map_err(|Refused| HandshakeError::PayloadTooLarge {
        message,
        limit: MAX_HANDSHAKE_FRAME,
        got: plaintext.len(),
    })
}

/// Opens a field of a message that was received.
pub(crate) fn open(
    state: &mut Keyed,
    sealed: &[u8],
    message: Message,
    part: Part,
) -> Result<Zeroizing<Vec<u8>>, HandshakeError> {
    state.open(sealed).map_err(|Refused| HandshakeError::Decrypt { message, part })
}

/// Opens a static key.
pub(crate) fn open_key(
    state: &mut Keyed,
    sealed: &[u8],
    message: Message,
) -> Result<PublicKey, HandshakeError> {
    let part = Part::Static;
    let key = open(state, sealed, message, part)?;
    PublicKey::from_slice(&key).map_err(|_| HandshakeError::BadLength {
        message,
        part,
        expected: SEALED_KEY_LEN,
        got: sealed.len(),
    })
}

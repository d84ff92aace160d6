//! The messages on the wire, read in place.
//!
//! The operations of this crate use these readers; they are public for tools that show what a message carries. Reading
//! proves nothing: only opening a message does.

use landbridge_curve::{KeyError, PublicKey};
use thiserror::Error;

use crate::{
    DecryptError, MalformedMessage,
    ladder::RemoteRatchetKey,
    protobuf::{self, Fields, put_bytes, put_bytes_head, put_uint32},
};

/// The message version that this crate speaks, the high nibble of the first byte.
pub const VERSION: u8 = 3;
/// Bytes of the MAC at the end of a `msg`.
pub const MAC_LEN: usize = 8;
/// Bytes of a public key in a message.
pub(crate) const TYPED_KEY: usize = 33;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The version is not 3.
    #[error("message version {got} instead of 3")]
    Version {
        /// The version in the high nibble.
        got: u8,
    },
    /// The bytes behind the version are broken.
    #[error("the bytes are no Signal message")]
    Malformed(#[source] MalformedMessage),
    /// A public key has a wrong length or type.
    #[error("the message carries an invalid public key")]
    Key(#[source] KeyError),
}

impl From<ParseError> for DecryptError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Version { got } if got < VERSION => Self::LegacyVersion { got },
            ParseError::Version { got } => Self::UnknownVersion { got },
            ParseError::Malformed(cause) => Self::Malformed(cause),
            ParseError::Key(cause) => Self::InvalidKey(cause),
        }
    }
}

impl From<MalformedMessage> for ParseError {
    fn from(cause: MalformedMessage) -> Self {
        Self::Malformed(cause)
    }
}

/// Takes the version byte off. The low nibble, the highest version that the sender knows, does not matter.
pub(crate) fn split_version(bytes: &[u8]) -> Result<(u8, &[u8]), ParseError> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Err(MalformedMessage::TooShort { got: 0 }.into());
    };
    match first >> 4 {
        VERSION => Ok((first, rest)),
        got => Err(ParseError::Version { got }),
    }
}

fn required<T>(value: Option<T>, number: u32) -> Result<T, MalformedMessage> {
    value.ok_or(MalformedMessage::MissingField { number })
}

/// A `msg`: version byte, SignalMessage, MAC.
#[derive(Debug, Clone, Copy)]
pub struct SignalMessage<'a> {
    pub(crate) ratchet: RemoteRatchetKey,
    /// Place in the sender's chain, from 0.
    pub counter: u32,
    /// Index of the last message of the sender's previous chain, as the sender states it. Nothing depends on it.
    pub previous_counter: u32,
    /// AES-256-CBC blocks.
    pub ciphertext: &'a [u8],
    /// The 8 bytes at the end.
    pub mac: [u8; MAC_LEN],
    /// All bytes before the MAC, which it covers as they were received.
    pub(crate) covered: &'a [u8],
}

impl<'a> SignalMessage<'a> {
    /// Reads a `msg`.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (_, rest) = split_version(bytes)?;
        let too_short = MalformedMessage::TooShort { got: bytes.len() };
        let (body, mac) = rest.split_last_chunk::<MAC_LEN>().ok_or(too_short)?;
        let (mut ratchet, mut counter, mut previous, mut ciphertext) = (None, None, None, None);
        let mut fields = Fields::new(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => ratchet = Some(value.bytes(&fields)?),
                2 => counter = Some(value.uint32(&fields)?),
                3 => previous = Some(value.uint32(&fields)?),
                4 => ciphertext = Some(value.bytes(&fields)?),
                _ => {}
            }
        }
        Ok(Self {
            ratchet: RemoteRatchetKey::from_typed(required(ratchet, 1)?).map_err(ParseError::Key)?,
            counter: required(counter, 2)?,
            previous_counter: previous.unwrap_or(0),
            ciphertext: required(ciphertext, 4)?,
            mac: *mac,
            covered: bytes.get(..1 + body.len()).unwrap_or_default(),
        })
    }

    /// The sender's ratchet key.
    pub fn ratchet_key(&self) -> &PublicKey {
        self.ratchet.key()
    }

    /// The first byte: version and the highest version that the sender knows.
    pub fn version_byte(&self) -> u8 {
        self.covered.first().copied().unwrap_or_default()
    }
}

/// A `pkmsg`: version byte, PreKeySignalMessage with a complete `msg` inside.
#[derive(Debug, Clone, Copy)]
pub struct PreKeySignalMessage<'a> {
    /// The first byte: version and the highest version that the sender knows.
    pub version_byte: u8,
    /// The sender's registration id; under no MAC.
    pub registration_id: u32,
    /// The receiver's one-time prekey that was used, if one was.
    pub prekey_id: Option<u32>,
    /// The receiver's signed prekey that was used.
    pub signed_prekey_id: u32,
    /// The sender's ephemeral key, which names the session.
    pub base_key: PublicKey,
    /// The sender's identity.
    pub identity: PublicKey,
    /// The first message itself.
    pub message: SignalMessage<'a>,
    /// The bytes of [`Self::message`].
    pub message_bytes: &'a [u8],
}

impl<'a> PreKeySignalMessage<'a> {
    /// Reads a `pkmsg`. The version of the inner message must be the same.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (version_byte, body) = split_version(bytes)?;
        let (mut prekey, mut base, mut identity, mut message) = (None, None, None, None);
        let (mut registration, mut signed_prekey) = (None, None);
        let mut fields = Fields::new(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => prekey = Some(value.uint32(&fields)?),
                2 => base = Some(value.bytes(&fields)?),
                3 => identity = Some(value.bytes(&fields)?),
                4 => message = Some(value.bytes(&fields)?),
                5 => registration = Some(value.uint32(&fields)?),
                6 => signed_prekey = Some(value.uint32(&fields)?),
                _ => {}
            }
        }
        let signed_prekey_id = required(signed_prekey, 6)?;
        let message_bytes = required(message, 4)?;
        Ok(Self {
            version_byte,
            registration_id: registration.unwrap_or(0),
            prekey_id: prekey,
            signed_prekey_id,
            base_key: PublicKey::from_typed(required(base, 2)?).map_err(ParseError::Key)?,
            identity: PublicKey::from_typed(required(identity, 3)?).map_err(ParseError::Key)?,
            message: SignalMessage::parse(message_bytes)?,
            message_bytes,
        })
    }
}

/// What a `pkmsg` says around its inner message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope<'a> {
    pub(crate) prekey_id: Option<u32>,
    pub(crate) base_key: &'a PublicKey,
    pub(crate) identity: &'a PublicKey,
    pub(crate) registration_id: u32,
    pub(crate) signed_prekey_id: u32,
}

impl Envelope<'_> {
    /// Bytes around an inner message of `inner` bytes, the version byte included.
    pub(crate) fn len_around(&self, inner: usize) -> usize {
        1 + self.prekey_id.map_or(0, protobuf::uint32_len)
            + 2 * protobuf::bytes_len(TYPED_KEY)
            + (protobuf::bytes_len(inner) - inner)
            + protobuf::uint32_len(self.registration_id)
            + protobuf::uint32_len(self.signed_prekey_id)
    }

    /// What comes before the inner message.
    pub(crate) fn put_head(&self, out: &mut Vec<u8>, version_byte: u8, inner: usize) {
        out.push(version_byte);
        if let Some(id) = self.prekey_id {
            put_uint32(out, 1, id);
        }
        put_bytes(out, 2, &self.base_key.to_typed());
        put_bytes(out, 3, &self.identity.to_typed());
        put_bytes_head(out, 4, inner);
    }

    /// What comes after the inner message.
    pub(crate) fn put_tail(&self, out: &mut Vec<u8>) {
        put_uint32(out, 5, self.registration_id);
        put_uint32(out, 6, self.signed_prekey_id);
    }
}

/// The head of a `msg`, everything before the ciphertext.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) version_byte: u8,
    pub(crate) ratchet: &'a PublicKey,
    pub(crate) counter: u32,
    pub(crate) previous_counter: u32,
}

impl Head<'_> {
    /// Bytes of the whole `msg` with a ciphertext of `ciphertext` bytes.
    pub(crate) const fn message_len(&self, ciphertext: usize) -> usize {
        1 + protobuf::bytes_len(TYPED_KEY)
            + protobuf::uint32_len(self.counter)
            + protobuf::uint32_len(self.previous_counter)
            + protobuf::bytes_len(ciphertext)
            + MAC_LEN
    }

    /// Writes it; the ciphertext follows.
    pub(crate) fn put(&self, out: &mut Vec<u8>, ciphertext: usize) {
        out.push(self.version_byte);
        put_bytes(out, 1, &self.ratchet.to_typed());
        put_uint32(out, 2, self.counter);
        put_uint32(out, 3, self.previous_counter);
        put_bytes_head(out, 4, ciphertext);
    }
}

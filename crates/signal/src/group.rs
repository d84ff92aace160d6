//! Sender keys: one ciphertext for a whole group.
//!
//! Each member has an own chain and tells it to the others, through the pairwise sessions, in a *distribution*. A
//! message is then encrypted once with the next key of that chain and signed with the chain's signing key. Whoever
//! knows a chain key reads on until the member makes a new chain, so a new one is made whenever somebody leaves.
//!
//! Frame and numbers are those that WhatsApp speaks (PEERS): four fields and no distribution UUID.

use landbridge_curve::{KeyError, PrivateKey, PublicKey, SIGNATURE_LEN};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    Address, Limits, MalformedMessage, StoreError,
    crypto::{self, hkdf},
    group_record::{SenderKeyRecord, SenderKeyState},
    ladder::{ChainKey, MessageSeed},
    message::{ParseError, VERSION, split_version},
    protobuf::{Fields, put_bytes, put_bytes_head, put_uint32},
    skipped::SkippedKeys,
};

/// One record per group and sender; the own chain lies under the own address.
pub trait SenderKeyStore {
    /// The record of `sender` in `group`, if any.
    ///
    /// # Errors
    /// [`StoreError`] if reading fails or the stored bytes are no record.
    fn load_sender_key(&self, group: &str, sender: &Address) -> Result<Option<SenderKeyRecord>, StoreError>;

    /// Replaces the record of `sender` in `group`.
    ///
    /// # Errors
    /// [`StoreError`] if writing fails.
    fn save_sender_key(
        &mut self,
        group: &str,
        sender: &Address,
        record: &SenderKeyRecord,
    ) -> Result<(), StoreError>;

    /// Forgets the record of `sender` in `group`; none there is no error. Forgetting the own one makes the next
    /// [`distribution`] begin a new chain.
    ///
    /// # Errors
    /// [`StoreError`] if writing fails.
    fn delete_sender_key(&mut self, group: &str, sender: &Address) -> Result<(), StoreError>;
}

/// Why a group operation failed. Nothing has been stored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The message version is not 3.
    #[error("message version {got} instead of 3")]
    Version {
        /// The version in the high nibble.
        got: u8,
    },
    /// The bytes are no message of this kind.
    #[error("the bytes are no sender-key message")]
    Malformed(#[source] MalformedMessage),
    /// The signing key is no public key.
    #[error("the signing key is invalid")]
    InvalidKey(#[source] KeyError),
    /// There is no own chain in this group, or no such chain of the sender.
    #[error("there is no sender key of {sender} for this message")]
    NoSenderKey {
        /// Whose chain is missing.
        sender: Address,
    },
    /// The signature is not by the chain's signing key.
    #[error("the signature does not verify")]
    BadSignature,
    /// The message was opened before, or is older than the distribution: do not ask for it again.
    #[error("message {iteration} of this chain was opened before or precedes the distribution")]
    Duplicate {
        /// Its place in the chain.
        iteration: u32,
    },
    /// More messages are missing than the limit allows.
    #[error("the message is {jump} ahead of its chain, the limit is {limit}")]
    TooFar {
        /// How many messages are missing.
        jump: u32,
        /// The limit that was in force.
        limit: u32,
    },
    /// The text has wrong padding: the sender is broken.
    #[error("the padding of the decrypted text is wrong")]
    BadPadding,
    /// 2^32 messages were sent: make a new chain.
    #[error("the own chain is used up")]
    ChainExhausted,
    /// The store failed.
    #[error("the group operation needed the store")]
    Store(#[source] StoreError),
}

impl From<ParseError> for GroupError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Version { got } => Self::Version { got },
            ParseError::Malformed(cause) => Self::Malformed(cause),
            ParseError::Key(cause) => Self::InvalidKey(cause),
        }
    }
}

impl From<MalformedMessage> for GroupError {
    fn from(cause: MalformedMessage) -> Self {
        Self::Malformed(cause)
    }
}

/// Longest distribution, in bytes: version, two numbers of up to 5 bytes, two keys, four tags and two lengths.
const DISTRIBUTION_MAX: usize = 1 + 2 * 5 + 32 + 33 + 4 + 2;

/// The keys of one group message: KDF(empty, seed, `WhisperGroup`, 48) = IV ‖ cipher key.
fn message_keys(seed: &MessageSeed) -> ([u8; 16], Zeroizing<[u8; 32]>) {
    let okm = hkdf::<48>(seed.as_bytes(), b"WhisperGroup");
    let mut iv = [0; 16];
    let mut key = Zeroizing::new([0; 32]);
    iv.copy_from_slice(&okm[..16]);
    key.copy_from_slice(&okm[16..]);
    (iv, key)
}

/// The present state of the own chain, for the other members. Makes the chain if there is none: a random 31-bit id,
/// a random chain key and a signing key, drawn in this order.
///
/// The bytes hold the chain key: they go out under pairwise encryption only, and are wiped when dropped.
///
/// # Errors
/// [`GroupError::Store`].
pub fn distribution<S, R>(
    store: &mut S,
    group: &str,
    own: &Address,
    rng: &mut R,
) -> Result<Zeroizing<Vec<u8>>, GroupError>
where
    S: SenderKeyStore + ?Sized,
    R: CryptoRng + ?Sized,
{
    let mut record = store.load_sender_key(group, own).map_err(GroupError::Store)?.unwrap_or_default();
    if record.newest().is_none_or(|state| state.signing_private.is_none()) {
        let id = rng.next_u32() >> 1;
        let mut chain = Zeroizing::new([0; 32]);
        rng.fill_bytes(chain.as_mut());
        let signing = PrivateKey::generate(rng);
        record.add(SenderKeyState {
            id,
            key: ChainKey::from_bytes(*chain),
            next: 0,
            signing: signing.public(),
            signing_private: Some(signing),
            skipped: SkippedKeys::default(),
        });
        store.save_sender_key(group, own, &record).map_err(GroupError::Store)?;
    }
    let state = record.newest().ok_or_else(|| GroupError::NoSenderKey { sender: own.clone() })?;
    // Room for all of it, so that no copy of the chain key is left behind by growing.
    let mut out = Zeroizing::new(Vec::with_capacity(DISTRIBUTION_MAX));
    out.push(VERSION << 4 | VERSION);
    put_uint32(&mut out, 1, state.id);
    put_uint32(&mut out, 2, state.next);
    put_bytes(&mut out, 3, state.key.as_bytes());
    put_bytes(&mut out, 4, &state.signing.to_typed());
    Ok(out)
}

/// Which chain a distribution announces, and from where on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The chain's id.
    pub chain_id: u32,
    /// The first message that can be opened.
    pub iteration: u32,
}

/// Takes the distribution of another member. One that repeats a chain that is here keeps the progress made.
///
/// # Errors
/// [`GroupError`]; then nothing is stored.
pub fn process_distribution<S: SenderKeyStore + ?Sized>(
    store: &mut S,
    group: &str,
    sender: &Address,
    bytes: &[u8],
) -> Result<Announced, GroupError> {
    let (_, body) = split_version(bytes)?;
    let (mut id, mut iteration, mut chain, mut signing) = (None, None, None, None);
    let mut fields = Fields::new(body);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => id = Some(value.uint32(&fields)?),
            2 => iteration = Some(value.uint32(&fields)?),
            3 => chain = Some(value.bytes(&fields)?),
            4 => signing = Some(value.bytes(&fields)?),
            _ => {}
        }
    }
    let missing = |number| MalformedMessage::MissingField { number };
    let chain = chain.ok_or(missing(3))?;
    let length = MalformedMessage::FieldLength { number: 3, got: chain.len() };
    let state = SenderKeyState {
        id: id.ok_or(missing(1))?,
        next: iteration.ok_or(missing(2))?,
        key: ChainKey::from_bytes(chain.try_into().map_err(|_| length)?),
        signing: PublicKey::from_typed(signing.ok_or(missing(4))?).map_err(GroupError::InvalidKey)?,
        signing_private: None,
        skipped: SkippedKeys::default(),
    };
    let announced = Announced { chain_id: state.id, iteration: state.next };
    let mut record = store.load_sender_key(group, sender).map_err(GroupError::Store)?.unwrap_or_default();
    record.add(state);
    store.save_sender_key(group, sender, &record).map_err(GroupError::Store)?;
    Ok(announced)
}

/// Encrypts a text for the group with the own chain, and signs it. As with pairwise messages, the store's writes must
/// be durable before the bytes leave.
///
/// # Errors
/// [`GroupError`]; then nothing is stored.
pub fn encrypt<S, R>(
    store: &mut S,
    group: &str,
    own: &Address,
    plaintext: &[u8],
    rng: &mut R,
) -> Result<Vec<u8>, GroupError>
where
    S: SenderKeyStore + ?Sized,
    R: CryptoRng + ?Sized,
{
    let none = || GroupError::NoSenderKey { sender: own.clone() };
    let mut record = store.load_sender_key(group, own).map_err(GroupError::Store)?.ok_or_else(none)?;
    let state = record.newest_mut().ok_or_else(none)?;
    let next = state.next.checked_add(1).ok_or(GroupError::ChainExhausted)?;
    let signing = state.signing_private.as_ref().ok_or_else(none)?;
    let (seed, key) = state.key.step();
    let (iv, cipher) = message_keys(&seed);
    let length = crypto::padded_len(plaintext.len());
    let mut out = Vec::with_capacity(24 + length + SIGNATURE_LEN);
    out.push(VERSION << 4 | VERSION);
    put_uint32(&mut out, 1, state.id);
    put_uint32(&mut out, 2, state.next);
    put_bytes_head(&mut out, 3, length);
    crypto::encrypt_onto(&mut out, &cipher, &iv, plaintext, |_| {});
    let signature = signing.sign(&[&out], rng);
    out.extend_from_slice(&signature);
    state.key = key;
    state.next = next;
    store.save_sender_key(group, own, &record).map_err(GroupError::Store)?;
    Ok(out)
}

/// A group message on the wire, read in place.
#[derive(Debug, Clone, Copy)]
pub struct SenderKeyMessage<'a> {
    /// The first byte: version and the highest version that the sender knows.
    pub version_byte: u8,
    /// Which chain of the sender.
    pub chain_id: u32,
    /// Place in the chain, from 0.
    pub iteration: u32,
    /// AES-256-CBC blocks.
    pub ciphertext: &'a [u8],
    /// XEdDSA by the chain's signing key over everything before it.
    pub signature: &'a [u8; SIGNATURE_LEN],
    signed: &'a [u8],
}

impl<'a> SenderKeyMessage<'a> {
    /// Reads an `skmsg`.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (version_byte, rest) = split_version(bytes)?;
        let too_short = MalformedMessage::TooShort { got: bytes.len() };
        let (body, signature) = rest.split_last_chunk().ok_or(too_short)?;
        let (mut id, mut iteration, mut ciphertext) = (None, None, None);
        let mut fields = Fields::new(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => id = Some(value.uint32(&fields)?),
                2 => iteration = Some(value.uint32(&fields)?),
                3 => ciphertext = Some(value.bytes(&fields)?),
                _ => {}
            }
        }
        let missing = |number| MalformedMessage::MissingField { number };
        Ok(Self {
            version_byte,
            chain_id: id.ok_or(missing(1))?,
            iteration: iteration.ok_or(missing(2))?,
            ciphertext: ciphertext.ok_or(missing(3))?,
            signature,
            signed: bytes.get(..1 + body.len()).unwrap_or_default(),
        })
    }
}

/// Opens a group message.
///
/// # Errors
/// [`GroupError`]; then nothing is stored.
pub fn decrypt<S: SenderKeyStore + ?Sized>(
    store: &mut S,
    group: &str,
    sender: &Address,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>, GroupError> {
    let message = SenderKeyMessage::parse(bytes)?;
    let none = || GroupError::NoSenderKey { sender: sender.clone() };
    let mut record = store.load_sender_key(group, sender).map_err(GroupError::Store)?.ok_or_else(none)?;
    let state = record.state_mut(message.chain_id).ok_or_else(none)?;
    state.signing.verify(&[message.signed], message.signature).map_err(|_| GroupError::BadSignature)?;
    // The record is the store's clone: what fails from here on is dropped with it.
    let seed = state.take_seed(message.iteration, limits)?;
    let (iv, cipher) = message_keys(&seed);
    let text =
        crypto::Decryption::new(&cipher, &iv).decrypt(message.ciphertext).ok_or(GroupError::BadPadding)?;
    store.save_sender_key(group, sender, &record).map_err(GroupError::Store)?;
    Ok(text)
}

//! The stored form of a session: fixed-width fields in big endian, no names, one version.
//!
//! ```text
//! session  = version[1] base key[32] local identity[32] remote identity[32]
//!            local registration id[4] remote registration id[4] root key[32]
//!            ratchet private[32] ratchet public[32] chain key[32] next counter[4] previous counter[4]
//!            pending[1: 0 none, 1 without, 2 with one-time prekey] signed prekey id[4] prekey id[4]
//!            chains[1] chain*
//! chain    = ratchet key[32] chain key[32] next counter[4] skipped[2] (counter[4] seed[32])*
//! ```

use landbridge_curve::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::{
    PreKeyId, RecordError, SignedPreKeyId,
    ladder::{ChainKey, MessageSeed, RatchetKeyPair, RemoteRatchetKey, RootKey},
    message::VERSION,
    ratchet::{
        LocalIdentity, MAX_RECEIVING_CHAINS, PendingPreKey, ReceivingChain, RemoteIdentity, SendingChain,
        Session,
    },
    skipped::{MAX_SKIPPED, SkippedKeys},
};

const FIXED_LEN: usize = 1 + 3 * 32 + 2 * 4 + 32 + 3 * 32 + 2 * 4 + 1 + 2 * 4 + 1;
const CHAIN_LEN: usize = 32 + 32 + 4;
const SKIPPED_LEN: usize = 4 + 32;

/// Bytes of [`encode_skipped`].
pub(crate) const fn skipped_len(skipped: &SkippedKeys) -> usize {
    2 + SKIPPED_LEN * skipped.len()
}

/// Appends skipped seeds: their number, which is bounded by 2,000, then counter and seed of each.
pub(crate) fn encode_skipped(skipped: &SkippedKeys, out: &mut Vec<u8>) {
    out.extend_from_slice(&skipped.len().to_be_bytes()[size_of::<usize>() - 2..]);
    for (counter, seed) in skipped.iter() {
        out.extend_from_slice(&counter.to_be_bytes());
        out.extend_from_slice(seed);
    }
}

/// Reads [`encode_skipped`] back. All counters must be below `next`.
pub(crate) fn decode_skipped(r: &mut Reader<'_>, next: u32) -> Result<SkippedKeys, RecordError> {
    let count = usize::from(r.u16()?);
    if count > MAX_SKIPPED {
        return Err(r.damaged());
    }
    let mut skipped = SkippedKeys::default();
    for _ in 0..count {
        let damaged = r.damaged();
        let counter = r.u32()?;
        if counter >= next {
            return Err(damaged);
        }
        skipped.insert(counter, &MessageSeed::from_bytes(r.array()?));
    }
    // A counter that came twice would make them fewer.
    if skipped.len() == count { Ok(skipped) } else { Err(r.damaged()) }
}

/// Reads bytes from the front, remembering where it is.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) const fn damaged(&self) -> RecordError {
        RecordError::Damaged { offset: self.at }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let part = rest.get(..length).ok_or(self.damaged())?;
        self.at += length;
        Ok(part)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let damaged = self.damaged();
        self.take(N)?.try_into().map_err(|_| damaged)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, RecordError> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, RecordError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn public(&mut self) -> Result<PublicKey, RecordError> {
        self.array().map(PublicKey::from_bytes)
    }

    pub(crate) fn private(&mut self) -> Result<PrivateKey, RecordError> {
        self.array().map(PrivateKey::from_bytes)
    }

    pub(crate) fn finish(self) -> Result<(), RecordError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.damaged()) }
    }
}

impl Session {
    /// Bytes of [`Self::encode_onto`].
    pub(crate) fn encoded_len(&self) -> usize {
        let chains = self.receiving.iter().map(|chain| CHAIN_LEN + skipped_len(&chain.skipped));
        FIXED_LEN + chains.sum::<usize>()
    }

    /// The stored form, in memory that is wiped when dropped.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.encoded_len()));
        self.encode_onto(&mut out);
        out
    }

    /// Appends the stored form. The caller has reserved [`Self::encoded_len`], so that no secret is left behind in
    /// a buffer that was too small.
    pub(crate) fn encode_onto(&self, out: &mut Vec<u8>) {
        out.push(self.version);
        out.extend_from_slice(self.base_key.as_bytes());
        out.extend_from_slice(self.local_identity.0.as_bytes());
        out.extend_from_slice(self.remote_identity.0.as_bytes());
        out.extend_from_slice(&self.local_registration_id.to_be_bytes());
        out.extend_from_slice(&self.remote_registration_id.to_be_bytes());
        out.extend_from_slice(self.root.as_bytes());
        out.extend_from_slice(self.sending.ratchet.private().as_bytes());
        out.extend_from_slice(self.sending.ratchet.public().as_bytes());
        out.extend_from_slice(self.sending.key.as_bytes());
        out.extend_from_slice(&self.sending.next.to_be_bytes());
        out.extend_from_slice(&self.previous_counter.to_be_bytes());
        let (pending, signed_prekey, prekey) = match self.pending {
            None => (0, 0, 0),
            Some(PendingPreKey { prekey: None, signed_prekey }) => (1, signed_prekey.get(), 0),
            Some(PendingPreKey { prekey: Some(id), signed_prekey }) => (2, signed_prekey.get(), id.get()),
        };
        out.push(pending);
        out.extend_from_slice(&signed_prekey.to_be_bytes());
        out.extend_from_slice(&prekey.to_be_bytes());
        // At most 5.
        out.push(self.receiving.len().to_be_bytes()[size_of::<usize>() - 1]);
        for chain in &self.receiving {
            out.extend_from_slice(chain.ratchet.key().as_bytes());
            out.extend_from_slice(chain.key.as_bytes());
            out.extend_from_slice(&chain.next.to_be_bytes());
            encode_skipped(&chain.skipped, out);
        }
    }

    /// Reads [`Self::encode_onto`] back.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut r = Reader::new(bytes);
        let version = r.u8()?;
        if version != VERSION {
            return Err(RecordError::UnknownVersion { got: version });
        }
        let base_key = r.public()?;
        let local_identity = LocalIdentity(r.public()?);
        let remote_identity = RemoteIdentity(r.public()?);
        let local_registration_id = r.u32()?;
        let remote_registration_id = r.u32()?;
        let root = RootKey::from_bytes(r.array()?);
        let ratchet = RatchetKeyPair::from_halves(r.private()?, r.public()?);
        let sending = SendingChain { ratchet, key: ChainKey::from_bytes(r.array()?), next: r.u32()? };
        let previous_counter = r.u32()?;
        let pending = decode_pending(&mut r)?;
        let chains = usize::from(r.u8()?);
        if chains > MAX_RECEIVING_CHAINS {
            return Err(r.damaged());
        }
        let mut receiving = Vec::with_capacity(MAX_RECEIVING_CHAINS);
        for _ in 0..chains {
            receiving.push(decode_chain(&mut r)?);
        }
        r.finish()?;
        Ok(Self {
            version,
            local_identity,
            remote_identity,
            local_registration_id,
            remote_registration_id,
            base_key,
            root,
            sending,
            previous_counter,
            receiving,
            pending,
        })
    }
}

fn decode_pending(r: &mut Reader<'_>) -> Result<Option<PendingPreKey>, RecordError> {
    let damaged = r.damaged();
    let (kind, signed_prekey, prekey) = (r.u8()?, r.u32()?, r.u32()?);
    let signed_prekey = SignedPreKeyId::new(signed_prekey).map_err(|_| damaged)?;
    let prekey = PreKeyId::new(prekey).map_err(|_| damaged)?;
    match kind {
        0 => Ok(None),
        1 => Ok(Some(PendingPreKey { prekey: None, signed_prekey })),
        2 => Ok(Some(PendingPreKey { prekey: Some(prekey), signed_prekey })),
        _ => Err(damaged),
    }
}

fn decode_chain(r: &mut Reader<'_>) -> Result<ReceivingChain, RecordError> {
    let ratchet = RemoteRatchetKey::new(r.public()?);
    let key = ChainKey::from_bytes(r.array()?);
    let next = r.u32()?;
    let skipped = decode_skipped(r, next)?;
    Ok(ReceivingChain { ratchet, key, next, skipped })
}

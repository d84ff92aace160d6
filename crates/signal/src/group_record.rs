//! The chains of one sender in one group.

use std::fmt;

use landbridge_curve::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::{
    Limits, RecordError,
    codec::{Reader, decode_skipped, encode_skipped, skipped_len},
    group::GroupError,
    ladder::{ChainKey, MessageSeed},
    skipped::SkippedKeys,
};

/// Chains kept per sender; the oldest goes first (PEERS).
const MAX_STATES: usize = 5;

/// The first byte of a stored record.
const FORMAT: u8 = 1;

/// Bytes of a stored chain without its skipped seeds.
const STATE_LEN: usize = 4 + 4 + 32 + 32 + 1 + 32;

/// The newest chains of one sender in one group, at most 5.
#[derive(Clone, Default)]
pub struct SenderKeyRecord {
    /// Newest first.
    states: Vec<SenderKeyState>,
}

/// One chain.
#[derive(Clone)]
pub(crate) struct SenderKeyState {
    pub(crate) id: u32,
    /// CK of the next message.
    pub(crate) key: ChainKey,
    /// Iteration of the next message.
    pub(crate) next: u32,
    pub(crate) signing: PublicKey,
    /// Only for the own chain.
    pub(crate) signing_private: Option<PrivateKey>,
    pub(crate) skipped: SkippedKeys,
}

impl fmt::Debug for SenderKeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states } = self;
        f.debug_struct("SenderKeyRecord").field("states", &states.len()).finish()
    }
}

/// What is public about a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SenderKeyInfo {
    /// The chain's id.
    pub chain_id: u32,
    /// The message expected next.
    pub next_iteration: u32,
    /// Messages that were skipped and can still be opened.
    pub skipped: usize,
}

impl SenderKeyRecord {
    /// What is public about the chains, newest first.
    pub fn info(&self) -> Vec<SenderKeyInfo> {
        let info = |state: &SenderKeyState| SenderKeyInfo {
            chain_id: state.id,
            next_iteration: state.next,
            skipped: state.skipped.len(),
        };
        self.states.iter().map(info).collect()
    }

    pub(crate) fn newest(&self) -> Option<&SenderKeyState> {
        self.states.first()
    }

    pub(crate) fn newest_mut(&mut self) -> Option<&mut SenderKeyState> {
        self.states.first_mut()
    }

    pub(crate) fn state_mut(&mut self, id: u32) -> Option<&mut SenderKeyState> {
        self.states.iter_mut().find(|state| state.id == id)
    }

    /// Puts a chain in front. One with the same id goes, except that the very same chain keeps its progress.
    pub(crate) fn add(&mut self, state: SenderKeyState) {
        let known = self.states.iter().position(|known| known.id == state.id);
        let known = known.map(|index| self.states.remove(index));
        let state = known.filter(|known| known.signing == state.signing).unwrap_or(state);
        self.states.truncate(MAX_STATES - 1);
        self.states.insert(0, state);
    }

    /// The record in its stored form: versioned, stable, and secret. The buffer is wiped when dropped.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let length: usize = self.states.iter().map(|state| STATE_LEN + skipped_len(&state.skipped)).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(2 + length));
        out.push(FORMAT);
        // At most 5.
        out.push(self.states.len().to_be_bytes()[size_of::<usize>() - 1]);
        for state in &self.states {
            out.extend_from_slice(&state.id.to_be_bytes());
            out.extend_from_slice(&state.next.to_be_bytes());
            out.extend_from_slice(state.key.as_bytes());
            out.extend_from_slice(state.signing.as_bytes());
            out.push(u8::from(state.signing_private.is_some()));
            let private: &[u8; 32] = state.signing_private.as_ref().map_or(&[0; 32], PrivateKey::as_bytes);
            out.extend_from_slice(private);
            encode_skipped(&state.skipped, &mut out);
        }
        out
    }

    /// Reads [`Self::to_bytes`] back.
    ///
    /// # Errors
    /// [`RecordError`] if the bytes are no record of a known format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut r = Reader::new(bytes);
        let format = r.u8()?;
        if format != FORMAT {
            return Err(RecordError::UnknownFormat { got: format });
        }
        let count = usize::from(r.u8()?);
        if count > MAX_STATES {
            return Err(r.damaged());
        }
        let mut states = Vec::with_capacity(MAX_STATES);
        for _ in 0..count {
            let (id, next) = (r.u32()?, r.u32()?);
            let (key, signing) = (ChainKey::from_bytes(r.array()?), r.public()?);
            let damaged = r.damaged();
            let signing_private = match (r.u8()?, r.private()?) {
                (0, _) => None,
                (1, key) => Some(key),
                _ => return Err(damaged),
            };
            let skipped = decode_skipped(&mut r, next)?;
            states.push(SenderKeyState { id, key, next, signing, signing_private, skipped });
        }
        r.finish()?;
        Ok(Self { states })
    }
}

impl SenderKeyState {
    /// Advances to `iteration` and takes its seed out. On an error the state is unchanged.
    pub(crate) fn take_seed(&mut self, iteration: u32, limits: &Limits) -> Result<MessageSeed, GroupError> {
        if iteration < self.next {
            let seed = self.skipped.get(iteration).ok_or(GroupError::Duplicate { iteration })?;
            self.skipped.remove(iteration);
            return Ok(seed);
        }
        let (jump, limit) = (iteration - self.next, limits.max_jump);
        let Some(next) = iteration.checked_add(1).filter(|_| jump <= limit) else {
            return Err(GroupError::TooFar { jump, limit });
        };
        let (mut seed, mut key) = self.key.step();
        for skipped in self.next..iteration {
            self.skipped.insert(skipped, &seed);
            (seed, key) = key.step();
        }
        self.key = key;
        self.next = next;
        Ok(seed)
    }
}

//! All sessions with one peer.

use std::{fmt, sync::Arc};

use landbridge_curve::PublicKey;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    Ciphertext, DecryptError, EncryptError, Limits, RecordError, RegistrationId,
    codec::Reader,
    message::SignalMessage,
    ratchet::{Change, Session, Unopened},
};

/// Archived sessions kept; the oldest goes first (PEERS).
pub const MAX_ARCHIVED: usize = 40;

/// The first byte of a stored record.
const FORMAT: u8 = 1;

/// The sessions with one peer device: at most one that is current, used for sending, and up to 40 archived ones that
/// can still open delayed messages, newest first. Cloning is cheap: clones share their sessions until one changes.
#[derive(Clone, Default)]
pub struct SessionRecord {
    current: Option<Arc<Session>>,
    archived: Arc<Vec<Arc<ArchivedSession>>>,
}

/// A session at rest: it stays in its stored form until a message may be for it.
struct ArchivedSession {
    base_key: PublicKey,
    bytes: Zeroizing<Vec<u8>>,
}

impl ArchivedSession {
    fn new(session: &Session) -> Self {
        Self { base_key: session.base_key, bytes: session.encode() }
    }
}

/// Which session of a record has a certain base key.
pub(crate) enum Place {
    Current,
    Archived(usize),
}

impl fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { current, archived } = self;
        f.debug_struct("SessionRecord")
            .field("current", &current.is_some())
            .field("archived", &archived.len())
            .finish()
    }
}

/// What is public about a current session, for tools.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The message version, 3.
    pub version: u8,
    /// Our registration id when the session began.
    pub local_registration_id: RegistrationId,
    /// Theirs, as the bundle or the first message said.
    pub remote_registration_id: RegistrationId,
    /// Their identity in this session.
    pub remote_identity: PublicKey,
    /// The initiator's ephemeral key, which names the session.
    pub base_key: PublicKey,
    /// Whether our messages still are `pkmsg`, because nothing has come back yet.
    pub unacknowledged: bool,
    /// The previous counter that the next message carries.
    pub previous_counter: u32,
    /// The counter that the next message carries.
    pub next_counter: u32,
    /// The receiving chains, newest last.
    pub receiving_chains: Vec<ReceivingChainInfo>,
}

/// What is public about a receiving chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivingChainInfo {
    /// The peer's ratchet key.
    pub ratchet_key: PublicKey,
    /// The counter expected next.
    pub next_counter: u32,
    /// Messages that were skipped and can still be opened.
    pub skipped: usize,
}

impl SessionRecord {
    /// A record without any session.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is a current session, that is, whether a text can be encrypted.
    pub fn has_current(&self) -> bool {
        self.current.is_some()
    }

    /// How many sessions are archived, 0 to 40.
    pub fn archived(&self) -> usize {
        self.archived.len()
    }

    /// Puts the current session into the archive, so that the next text needs a new bundle: the own reset. Delayed
    /// messages of the archived session still open, and opening one makes it current again.
    pub fn archive_current(&mut self) {
        if let Some(session) = self.current.take() {
            let archived = Arc::make_mut(&mut self.archived);
            archived.truncate(MAX_ARCHIVED - 1);
            archived.insert(0, Arc::new(ArchivedSession::new(&session)));
        }
    }

    /// Archives the current session, and lets nothing be encrypted any more with the sending chains of all: this record
    /// may be older than what was sent with it, so a counter could be used for two texts. Delayed messages still open; a
    /// session becomes current again only when a message has turned its ratchet.
    ///
    /// # Errors
    /// [`RecordError`] if an archived session does not parse; then nothing has changed.
    pub fn retire(&mut self) -> Result<(), RecordError> {
        let mut retired = Vec::with_capacity(self.archived.len() + 1);
        for kept in self.archived.iter() {
            let mut session = Session::decode(&kept.bytes)?;
            session.retire();
            retired.push(Arc::new(ArchivedSession::new(&session)));
        }
        if let Some(mut session) = self.current.take() {
            let session = Arc::make_mut(&mut session);
            session.retire();
            retired.truncate(MAX_ARCHIVED - 1);
            retired.insert(0, Arc::new(ArchivedSession::new(session)));
        }
        self.archived = Arc::new(retired);
        Ok(())
    }

    /// What is public about the current session.
    pub fn info(&self) -> Option<SessionInfo> {
        let session = self.current.as_deref()?;
        let chains = session.receiving.iter().map(|chain| ReceivingChainInfo {
            ratchet_key: *chain.ratchet.key(),
            next_counter: chain.next,
            skipped: chain.skipped.len(),
        });
        Some(SessionInfo {
            version: session.version,
            local_registration_id: session.local_registration_id,
            remote_registration_id: session.remote_registration_id,
            remote_identity: session.remote_identity.0,
            base_key: session.base_key,
            unacknowledged: session.pending.is_some(),
            previous_counter: session.previous_counter,
            next_counter: session.sending.next,
            receiving_chains: chains.collect(),
        })
    }

    /// The record in its stored form: versioned, stable, and secret. The buffer is wiped when dropped.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let current = self.current.as_deref().map_or(0, |session| 4 + session.encoded_len());
        let archived: usize = self.archived.iter().map(|session| 4 + session.bytes.len()).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(3 + current + archived));
        out.push(FORMAT);
        out.push(u8::from(self.current.is_some()));
        if let Some(session) = self.current.as_deref() {
            put_length(&mut out, session.encoded_len());
            session.encode_onto(&mut out);
        }
        // At most 40.
        out.push(self.archived.len().to_be_bytes()[size_of::<usize>() - 1]);
        for session in self.archived.iter() {
            put_length(&mut out, session.bytes.len());
            out.extend_from_slice(&session.bytes);
        }
        out
    }

    /// Reads [`Self::to_bytes`] back.
    ///
    /// # Errors
    /// [`RecordError`] if the bytes are no record of a known format. Archived sessions are looked at only when a
    /// message may need them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut r = Reader::new(bytes);
        let format = r.u8()?;
        if format != FORMAT {
            return Err(RecordError::UnknownFormat { got: format });
        }
        let damaged = r.damaged();
        let current = match r.u8()? {
            0 => None,
            1 => Some(Arc::new(Session::decode(take_session(&mut r)?)?)),
            _ => return Err(damaged),
        };
        let count = usize::from(r.u8()?);
        if count > MAX_ARCHIVED {
            return Err(r.damaged());
        }
        let mut archived = Vec::with_capacity(count);
        for _ in 0..count {
            let bytes = take_session(&mut r)?;
            let mut head = Reader::new(bytes);
            head.u8()?;
            let base_key = head.public()?;
            archived.push(Arc::new(ArchivedSession { base_key, bytes: Zeroizing::new(bytes.to_vec()) }));
        }
        r.finish()?;
        Ok(Self { current, archived: Arc::new(archived) })
    }

    pub(crate) fn current(&self) -> Option<&Session> {
        self.current.as_deref()
    }

    /// Makes a new session the current one; the former goes to the front of the archive.
    pub(crate) fn begin(&mut self, session: Session) {
        self.archive_current();
        self.current = Some(Arc::new(session));
    }

    /// Encrypts in the current session; `None` if there is none.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8]) -> Option<Result<Ciphertext, EncryptError>> {
        Some(Arc::make_mut(self.current.as_mut()?).encrypt(plaintext))
    }

    /// The place of the session with this base key.
    pub(crate) fn find(&self, base_key: &PublicKey) -> Option<Place> {
        if self.current.as_deref().is_some_and(|session| session.base_key == *base_key) {
            return Some(Place::Current);
        }
        self.archived.iter().position(|session| session.base_key == *base_key).map(Place::Archived)
    }

    /// Opens a message in whichever session fits: the current one, then the archived ones, newest first. A message
    /// that a session knows as a duplicate is not tried further.
    pub(crate) fn open<R: CryptoRng + ?Sized>(
        &self,
        message: &SignalMessage<'_>,
        limits: &Limits,
        rng: &mut R,
    ) -> Result<Opened, DecryptError> {
        let mut last =
            DecryptError::NoSessionFits { tried: usize::from(self.has_current()) + self.archived() };
        let current = self.has_current().then_some(Place::Current).into_iter();
        for place in current.chain((0..self.archived()).map(Place::Archived)) {
            match self.open_in(&place, message, limits, rng) {
                Err(DecryptError::NoSessionFits { .. }) => {}
                Err(error @ DecryptError::TooFar { .. }) => last = error,
                done => return done,
            }
        }
        Err(last)
    }

    /// Opens a message in one session.
    pub(crate) fn open_in<R: CryptoRng + ?Sized>(
        &self,
        place: &Place,
        message: &SignalMessage<'_>,
        limits: &Limits,
        rng: &mut R,
    ) -> Result<Opened, DecryptError> {
        const NONE: DecryptError = DecryptError::NoSessionFits { tried: 1 };
        match *place {
            Place::Current => {
                let session = self.current().ok_or(NONE)?;
                let (text, change) = session.try_open(message, limits, rng)?;
                Ok(Opened { text: text.into(), identity: session.remote_identity.0, change, from: None })
            }
            Place::Archived(index) => {
                let kept = self.archived.get(index).ok_or(NONE)?;
                let session = Box::new(Session::decode(&kept.bytes).map_err(DecryptError::DamagedRecord)?);
                let (text, change) = session.try_open(message, limits, rng)?;
                let identity = session.remote_identity.0;
                Ok(Opened { text: text.into(), identity, change, from: Some((index, session)) })
            }
        }
    }

    /// Does what opening a message in this very record has left to be done, and gives the text. The session that
    /// opened it becomes the current one if it was not, unless it is retired.
    pub(crate) fn commit(&mut self, opened: Opened) -> Vec<u8> {
        let Opened { mut text, identity: _, change, from } = opened;
        match from {
            None => {
                if let Some(current) = &mut self.current {
                    Arc::make_mut(current).commit(change);
                }
            }
            Some((index, mut session)) => {
                session.commit(change);
                let archived = Arc::make_mut(&mut self.archived);
                archived.remove(index);
                if session.is_retired() {
                    archived.insert(index, Arc::new(ArchivedSession::new(&session)));
                } else {
                    self.begin(*session);
                }
            }
        }
        std::mem::take(&mut text)
    }
}

/// A message that a session of a record has opened. Until [`SessionRecord::commit`], the record is unchanged.
pub(crate) struct Opened {
    text: Zeroizing<Vec<u8>>,
    /// The sender's identity in that session.
    pub(crate) identity: PublicKey,
    change: Change,
    /// The session and its place if it comes from the archive.
    from: Option<(usize, Box<Session>)>,
}

impl From<Unopened> for DecryptError {
    fn from(reason: Unopened) -> Self {
        match reason {
            Unopened::Duplicate { counter } => Self::Duplicate { counter },
            Unopened::TooFar { jump, limit } => Self::TooFar { jump, limit },
            Unopened::LowOrderKey(cause) => Self::LowOrderKey(cause),
            Unopened::BadMac => Self::NoSessionFits { tried: 1 },
            Unopened::BadPadding => Self::BadPadding,
        }
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    // A session is below 362,000 bytes: 5 chains of 2,000 seeds.
    out.extend_from_slice(&length.to_be_bytes()[size_of::<usize>() - 4..]);
}

fn take_session<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], RecordError> {
    let damaged = r.damaged();
    let length = usize::try_from(r.u32()?).map_err(|_| damaged)?;
    r.take(length)
}

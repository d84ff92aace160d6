//! One session: the Double Ratchet.
//!
//! Opening a message is split in two. [`Session::try_open`] borrows the session, works out what the message would
//! change and checks MAC and padding; [`Session::commit`] then applies the change and cannot fail. A message that does
//! not open therefore leaves no trace, and trying one on many sessions copies none of them.

use landbridge_curve::{LowOrderKey, PrivateKey, PublicKey};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use crate::{
    Ciphertext, CiphertextKind, EncryptError, IdentityKeyPair, Limits, PreKeyBundle, PreKeyId,
    RegistrationId, SignedPreKeyId,
    crypto::{self, Decryption, padded_len},
    hmac::{HmacContext, HmacKey},
    ladder::{ChainKey, MessageKeys, MessageSeed, RatchetKeyPair, RemoteRatchetKey, RootKey},
    message::{Envelope, Head, MAC_LEN, SignalMessage, VERSION},
    skipped::SkippedKeys,
    x3dh,
};

/// Receiving chains kept; with the oldest its skipped seeds go (PEERS).
pub(crate) const MAX_RECEIVING_CHAINS: usize = 5;

/// The counter of a sending chain that is not used any more.
const SPENT: u32 = u32::MAX;

/// Our identity in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocalIdentity(pub(crate) PublicKey);

/// Their identity in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RemoteIdentity(pub(crate) PublicKey);

/// What we send with, until the ratchet turns.
#[derive(Debug, Clone)]
pub(crate) struct SendingChain {
    /// Our ratchet key pair.
    pub(crate) ratchet: RatchetKeyPair,
    /// CK of the next message.
    pub(crate) key: ChainKey,
    /// Counter of the next message.
    pub(crate) next: u32,
}

/// What we receive with under one of their ratchet keys.
#[derive(Debug, Clone)]
pub(crate) struct ReceivingChain {
    /// Their ratchet key.
    pub(crate) ratchet: RemoteRatchetKey,
    /// CK of the next message.
    pub(crate) key: ChainKey,
    /// Counter of the next message.
    pub(crate) next: u32,
    /// Seeds of messages below `next` that have not come.
    pub(crate) skipped: SkippedKeys,
}

/// What every message must say until the peer has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PendingPreKey {
    pub(crate) prekey: Option<PreKeyId>,
    pub(crate) signed_prekey: SignedPreKeyId,
}

/// The state of one session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// The message version; 3 is the only one there is.
    pub(crate) version: u8,
    pub(crate) local_identity: LocalIdentity,
    pub(crate) remote_identity: RemoteIdentity,
    pub(crate) local_registration_id: RegistrationId,
    pub(crate) remote_registration_id: RegistrationId,
    /// The initiator's ephemeral key, which names the session.
    pub(crate) base_key: PublicKey,
    pub(crate) root: RootKey,
    pub(crate) sending: SendingChain,
    /// Index of the last message of our previous sending chain, 0 before any.
    pub(crate) previous_counter: u32,
    /// Oldest first.
    pub(crate) receiving: Vec<ReceivingChain>,
    pub(crate) pending: Option<PendingPreKey>,
}

/// Why a session does not open a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unopened {
    Duplicate { counter: u32 },
    TooFar { jump: u32, limit: u32 },
    LowOrderKey(LowOrderKey),
    BadMac,
    BadPadding,
}

/// What an opened message changes.
#[derive(Debug)]
pub(crate) enum Change {
    /// A kept seed has been used.
    UseKept { chain: usize, counter: u32 },
    /// A chain has moved on.
    Advance { chain: usize, by: Advance },
    /// The ratchet has turned. Boxed, because every change is moved and most are small.
    Turn(Box<Turn>),
}

/// One turn of the ratchet: their new chain and ours.
#[derive(Debug)]
pub(crate) struct Turn {
    ratchet: RemoteRatchetKey,
    root: RootKey,
    by: Advance,
    sending: SendingChain,
}

/// A chain from one counter to a later one.
#[derive(Debug)]
pub(crate) struct Advance {
    /// Counter of the first of the skipped seeds.
    first: u32,
    skipped: Vec<MessageSeed>,
    key: ChainKey,
    next: u32,
}

/// The responder's side of a first message.
pub(crate) struct Answer<'a> {
    pub(crate) identity: &'a IdentityKeyPair,
    pub(crate) registration_id: RegistrationId,
    pub(crate) signed_prekey: &'a PrivateKey,
    pub(crate) prekey: Option<&'a PrivateKey>,
    pub(crate) their_identity: RemoteIdentity,
    pub(crate) their_base: PublicKey,
    pub(crate) their_registration_id: RegistrationId,
}

impl Session {
    /// Begins a session as the initiator. Draws the base key, then the first ratchet key.
    pub(crate) fn initiate<R: CryptoRng + ?Sized>(
        identity: &IdentityKeyPair,
        registration_id: RegistrationId,
        bundle: &PreKeyBundle,
        rng: &mut R,
    ) -> Result<Self, LowOrderKey> {
        let base = PrivateKey::generate(rng);
        let ratchet = RatchetKeyPair::generate(rng);
        let their_signed_prekey = bundle.signed_prekey.key.prepare();
        let (root, first_chain) = x3dh::Initiator {
            identity: identity.private(),
            base: &base,
            their_identity: &bundle.identity,
            their_signed_prekey: &their_signed_prekey,
            their_prekey: bundle.prekey.as_ref().map(|prekey| &prekey.key),
        }
        .agree()?;
        let (root, key) = root.turn(ratchet.private(), &their_signed_prekey)?;
        Ok(Self {
            version: VERSION,
            local_identity: LocalIdentity(*identity.public()),
            remote_identity: RemoteIdentity(bundle.identity),
            local_registration_id: registration_id,
            remote_registration_id: bundle.registration_id,
            base_key: base.public(),
            root,
            sending: SendingChain { ratchet, key, next: 0 },
            previous_counter: 0,
            receiving: vec![ReceivingChain {
                ratchet: RemoteRatchetKey::new(bundle.signed_prekey.key),
                key: first_chain,
                next: 0,
                skipped: SkippedKeys::default(),
            }],
            pending: Some(PendingPreKey {
                prekey: bundle.prekey.as_ref().map(|prekey| prekey.id),
                signed_prekey: bundle.signed_prekey.id,
            }),
        })
    }

    /// Begins a session as the responder, with its first message. Draws a ratchet key once that has opened.
    pub(crate) fn respond<R: CryptoRng + ?Sized>(
        answer: &Answer<'_>,
        message: &SignalMessage<'_>,
        limits: &Limits,
        rng: &mut R,
    ) -> Result<(Self, Vec<u8>), Unopened> {
        // The sending chain that belongs to the signed prekey is never used: the first message turns the ratchet.
        let (root, _) = x3dh::Responder {
            identity: answer.identity.private(),
            signed_prekey: answer.signed_prekey,
            prekey: answer.prekey,
            their_identity: &answer.their_identity.0,
            their_base: &answer.their_base,
        }
        .agree()
        .map_err(Unopened::LowOrderKey)?;
        let (local_identity, remote_identity) =
            (LocalIdentity(*answer.identity.public()), answer.their_identity);
        let identities = Identities { local: &local_identity, remote: &remote_identity };
        let (text, turn) = Turn::try_open(&root, answer.signed_prekey, identities, message, limits, rng)?;
        let session = Self {
            version: VERSION,
            local_identity,
            remote_identity,
            local_registration_id: answer.registration_id,
            remote_registration_id: answer.their_registration_id,
            base_key: answer.their_base,
            root: turn.root,
            sending: turn.sending,
            previous_counter: 0,
            receiving: vec![ReceivingChain::begin(turn.ratchet, turn.by)],
            pending: None,
        };
        Ok((session, text))
    }

    /// Lets nothing be encrypted any more with the present sending chain: it may have been used beyond what this state
    /// knows. Messages still open, and one that turns the ratchet brings a new chain.
    pub(crate) fn retire(&mut self) {
        self.sending.next = SPENT;
    }

    /// Whether nothing can be encrypted until the ratchet turns.
    pub(crate) fn is_retired(&self) -> bool {
        self.sending.next == SPENT
    }

    /// Encrypts the next message of the sending chain.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8]) -> Result<Ciphertext, EncryptError> {
        let counter = self.sending.next;
        let next = counter.checked_add(1).ok_or(EncryptError::ChainExhausted)?;
        let (seed, key) = self.sending.key.step();
        let head = Head {
            version_byte: self.version << 4 | VERSION,
            ratchet: self.sending.ratchet.public(),
            counter,
            previous_counter: self.previous_counter,
        };
        let inner = head.message_len(padded_len(plaintext.len()));
        let message = match &self.pending {
            None => {
                let mut bytes = Vec::with_capacity(inner);
                self.seal_onto(&mut bytes, &head, &seed.keys(), plaintext);
                Ciphertext { kind: CiphertextKind::Message, bytes }
            }
            Some(pending) => {
                let envelope = Envelope {
                    prekey_id: pending.prekey.map(PreKeyId::get),
                    base_key: &self.base_key,
                    identity: &self.local_identity.0,
                    registration_id: self.local_registration_id,
                    signed_prekey_id: pending.signed_prekey.get(),
                };
                let mut bytes = Vec::with_capacity(envelope.len_around(inner) + inner);
                envelope.put_head(&mut bytes, head.version_byte, inner);
                self.seal_onto(&mut bytes, &head, &seed.keys(), plaintext);
                envelope.put_tail(&mut bytes);
                Ciphertext { kind: CiphertextKind::PreKey, bytes }
            }
        };
        self.sending.key = key;
        self.sending.next = next;
        Ok(message)
    }

    fn seal_onto(&self, out: &mut Vec<u8>, head: &Head<'_>, keys: &MessageKeys, plaintext: &[u8]) {
        let start = out.len();
        head.put(out, padded_len(plaintext.len()));
        let mut mac = Mac::begin(&keys.mac, &self.local_identity.0, &self.remote_identity.0);
        mac.take(&out[start..]);
        crypto::encrypt_onto(out, &keys.cipher, &keys.iv, plaintext, |piece| mac.take(piece));
        out.extend_from_slice(&mac.finish());
    }

    /// Opens a message without changing anything; [`Self::commit`] applies the change.
    pub(crate) fn try_open<R: CryptoRng + ?Sized>(
        &self,
        message: &SignalMessage<'_>,
        limits: &Limits,
        rng: &mut R,
    ) -> Result<(Vec<u8>, Change), Unopened> {
        let counter = message.counter;
        // The newest chain is the likeliest.
        let known = self.receiving.iter().rposition(|chain| chain.ratchet == message.ratchet);
        if let Some((index, chain)) = known.and_then(|index| Some((index, self.receiving.get(index)?))) {
            if counter < chain.next {
                let seed = chain.skipped.get(counter).ok_or(Unopened::Duplicate { counter })?;
                let text = self.identities().open(&seed, message)?;
                return Ok((text, Change::UseKept { chain: index, counter }));
            }
            let (seed, by) = advance(&chain.key, chain.next, counter, limits)?;
            let text = self.identities().open(&seed, message)?;
            return Ok((text, Change::Advance { chain: index, by }));
        }
        let ours = self.sending.ratchet.private();
        let (text, turn) = Turn::try_open(&self.root, ours, self.identities(), message, limits, rng)?;
        Ok((text, Change::Turn(Box::new(turn))))
    }

    fn identities(&self) -> Identities<'_> {
        Identities { local: &self.local_identity, remote: &self.remote_identity }
    }

    /// Applies what [`Self::try_open`] worked out on this very state.
    pub(crate) fn commit(&mut self, change: Change) {
        match change {
            Change::UseKept { chain, counter } => {
                if let Some(chain) = self.receiving.get_mut(chain) {
                    chain.skipped.remove(counter);
                }
            }
            Change::Advance { chain, by } => {
                if let Some(chain) = self.receiving.get_mut(chain) {
                    chain.apply(by);
                }
            }
            Change::Turn(turn) => {
                let Turn { ratchet, root, by, sending } = *turn;
                if self.receiving.len() >= MAX_RECEIVING_CHAINS {
                    self.receiving.remove(0);
                }
                self.receiving.push(ReceivingChain::begin(ratchet, by));
                self.root = root;
                self.previous_counter =
                    if self.is_retired() { 0 } else { self.sending.next.saturating_sub(1) };
                self.sending = sending;
            }
        }
        self.pending = None;
    }
}

/// Both identities of a session, which each of its MACs covers.
#[derive(Clone, Copy)]
struct Identities<'a> {
    local: &'a LocalIdentity,
    remote: &'a RemoteIdentity,
}

impl Identities<'_> {
    /// Opens a message of the peer with the keys that `seed` gives.
    fn open(&self, seed: &MessageSeed, message: &SignalMessage<'_>) -> Result<Vec<u8>, Unopened> {
        let keys = seed.keys();
        // Its key schedule does not depend on the MAC: a processor works on both at once.
        let decryption = Decryption::new(&keys.cipher, &keys.iv);
        let mut mac = Mac::begin(&keys.mac, &self.remote.0, &self.local.0);
        mac.take(message.covered);
        if !bool::from(mac.finish().ct_eq(&message.mac)) {
            return Err(Unopened::BadMac);
        }
        decryption.decrypt(message.ciphertext).ok_or(Unopened::BadPadding)
    }
}

impl Turn {
    /// Opens the first message under a new ratchet key of theirs, which meets `ours`. Draws the key that replaces ours
    /// once the message has opened.
    fn try_open<R: CryptoRng + ?Sized>(
        root: &RootKey,
        ours: &PrivateKey,
        identities: Identities<'_>,
        message: &SignalMessage<'_>,
        limits: &Limits,
        rng: &mut R,
    ) -> Result<(Vec<u8>, Self), Unopened> {
        check_jump(0, message.counter, limits)?;
        let ratchet = message.ratchet;
        let theirs = ratchet.key().prepare();
        let (root, key) = root.turn(ours, &theirs).map_err(Unopened::LowOrderKey)?;
        let (seed, by) = advance(&key, 0, message.counter, limits)?;
        let text = identities.open(&seed, message)?;
        let ours = RatchetKeyPair::generate(rng);
        let (root, key) = root.turn(ours.private(), &theirs).map_err(Unopened::LowOrderKey)?;
        let sending = SendingChain { ratchet: ours, key, next: 0 };
        Ok((text, Self { ratchet, root, by, sending }))
    }
}

impl ReceivingChain {
    /// The chain of a new ratchet key, from its start to where `by` leads.
    fn begin(ratchet: RemoteRatchetKey, by: Advance) -> Self {
        let mut chain = Self { ratchet, key: by.key.clone(), next: by.next, skipped: SkippedKeys::default() };
        chain.apply(by);
        chain
    }

    fn apply(&mut self, by: Advance) {
        for (counter, seed) in (by.first..).zip(&by.skipped) {
            self.skipped.insert(counter, seed);
        }
        self.key = by.key;
        self.next = by.next;
    }
}

fn check_jump(next: u32, counter: u32, limits: &Limits) -> Result<u32, Unopened> {
    let jump = counter.saturating_sub(next);
    let limit = limits.max_jump;
    // The last counter of all would leave no place for the next one.
    if jump > limit || counter == u32::MAX { Err(Unopened::TooFar { jump, limit }) } else { Ok(jump) }
}

/// The seed at `counter` of a chain that stands at `next`, with what is between.
fn advance(
    key: &ChainKey,
    next: u32,
    counter: u32,
    limits: &Limits,
) -> Result<(MessageSeed, Advance), Unopened> {
    let jump = check_jump(next, counter, limits)?;
    let mut skipped = Vec::with_capacity(jump as usize);
    let (mut seed, mut key) = key.step();
    for _ in 0..jump {
        let (next_seed, next_key) = key.step();
        skipped.push(std::mem::replace(&mut seed, next_seed));
        key = next_key;
    }
    Ok((seed, Advance { first: next, skipped, key, next: counter + 1 }))
}

/// The first 8 bytes of HMAC over both identities, the sender's first, and the covered bytes.
struct Mac<'a>(HmacContext<'a>);

impl<'a> Mac<'a> {
    fn begin(key: &'a HmacKey, sender: &PublicKey, receiver: &PublicKey) -> Self {
        let mut identities = [0; 66];
        identities[..33].copy_from_slice(&sender.to_typed());
        identities[33..].copy_from_slice(&receiver.to_typed());
        let mut context = key.begin();
        context.update(&identities);
        Self(context)
    }

    fn take(&mut self, covered: &[u8]) {
        self.0.update(covered);
    }

    fn finish(self) -> [u8; MAC_LEN] {
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&self.0.finish()[..MAC_LEN]);
        mac
    }
}

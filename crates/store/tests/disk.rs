//! The disk fills up, fails, tears writes and loses power, at every call of a scenario: the store says so by name, keeps
//! nothing by halves, and goes on when the fault is over.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use landbridge_curve::PrivateKey;
use landbridge_faultdisk::{Disk, Fault};
use landbridge_signal::{
    Address, Ciphertext, CiphertextKind, IdentityKeyPair, MemorySignalStore, PreKeyBundle, SignedPreKey,
    SignedPreKeyId, TrustPolicy, decrypt, encrypt, process_bundle,
};
use landbridge_store::{
    Account, ClientStore, Enlistment, EpochWitness, InboxMessage, Mark, MessageKey, OutboxMessage, Seen,
    SqliteStore, StoreError, Stored, WitnessError,
};

const PEER: &str = "14155551001@s.whatsapp.net";

/// One-time keys that come with the account.
const KEYS: usize = 3;

fn peer() -> Address {
    Address::new(PEER, 0)
}

fn own() -> Address {
    Address::new("own", 0)
}

/// What happens once a step has failed.
#[derive(Clone, Copy, Debug)]
enum After {
    /// The fault ends and the store is used as it is.
    GoOn,
    /// The store is closed while the fault lasts, and opened when it is over.
    Reopen,
    /// Power is lost, with that seed for what had reached the disk.
    Power(u64),
}

/// One transaction or so.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create,
    Begin,
    Send(u32),
    Receive(u32),
    Confirm,
    Checkpoint,
    Close,
}

/// Both directions of a conversation that turns its ratchets, and all that a store does on the side.
fn script() -> Vec<Step> {
    let mut steps = vec![Step::Create, Step::Begin, Step::Send(0), Step::Receive(0), Step::Confirm];
    steps.extend([Step::Send(1), Step::Send(2), Step::Checkpoint, Step::Receive(1), Step::Receive(2)]);
    steps.extend([
        Step::Send(3),
        Step::Close,
        Step::Receive(3),
        Step::Confirm,
        Step::Send(4),
        Step::Checkpoint,
    ]);
    steps.extend([Step::Send(5), Step::Receive(4), Step::Close]);
    steps
}

type Failure = Box<dyn Error + Send + Sync>;

/// The store's own error, however deep it lies.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> &'a StoreError {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<StoreError>() {
            return found;
        }
        if let Some(landbridge_signal::StoreError(inner)) =
            error.downcast_ref::<landbridge_signal::StoreError>()
        {
            next = Some(inner.as_ref());
        } else {
            next = error.source();
        }
    }
    panic!("not an error of the store: {error:?}")
}

/// A witness elsewhere, which forgets nothing.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Option<Mark>>>);

impl EpochWitness for Witness {
    fn read(&mut self) -> Result<Option<Mark>, WitnessError> {
        Ok(*self.0.lock().unwrap())
    }

    fn write(&mut self, mark: &Mark) -> Result<(), WitnessError> {
        *self.0.lock().unwrap() = Some(*mark);
        Ok(())
    }
}

/// The peer, and what was told on either side.
struct World {
    disk: Disk,
    path: PathBuf,
    witness: Witness,
    store: Option<SqliteStore>,
    account: Account,
    phone: MemorySignalStore,
    bundle: PreKeyBundle,
    /// Written by the peer, once each.
    written: BTreeMap<u32, Ciphertext>,
    /// Stored, as the store told.
    received: Vec<u32>,
    confirmed: u64,
    /// Stored and then sent: what the peer has opened.
    sent: BTreeMap<u32, Vec<u8>>,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let mut rng = rand::rng();
        let directory = tempfile::tempdir().unwrap();
        let identity = IdentityKeyPair::generate(&mut rng);
        let signed = SignedPreKey::generate(SignedPreKeyId::new(7).unwrap(), &identity, &mut rng);
        let mut phone = MemorySignalStore::new(identity.clone(), 99);
        phone.add_signed_prekey(signed.clone());
        let bundle = PreKeyBundle {
            registration_id: 99,
            identity: *identity.public(),
            signed_prekey: signed.public(),
            prekey: None,
        };
        let account = Account {
            identity: IdentityKeyPair::generate(&mut rng),
            registration_id: 1,
            noise_static: PrivateKey::generate(&mut rng),
            integrator: 1,
            identifier: "alice".into(),
            enlistment: Enlistment::Prepared,
        };
        Self {
            disk: Disk::mount(directory.path()),
            path: directory.path().join("client.db"),
            witness: Witness::default(),
            store: None,
            account,
            phone,
            bundle,
            written: BTreeMap::new(),
            received: Vec::new(),
            confirmed: 0,
            sent: BTreeMap::new(),
            _directory: directory,
        }
    }

    fn store(&mut self) -> Result<&mut SqliteStore, StoreError> {
        if self.store.is_none() {
            self.store = Some(SqliteStore::open_with(&self.path, self.witness.clone())?);
        }
        Ok(self.store.as_mut().unwrap())
    }

    fn step(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Create => self.create(),
            Step::Begin => self.begin(),
            Step::Send(n) => self.send(n),
            Step::Receive(n) => self.receive(n),
            Step::Confirm => self.confirm(),
            Step::Checkpoint => Ok(self.store()?.checkpoint()?),
            Step::Close => {
                self.store = None;
                self.store()?;
                Ok(())
            }
        }
    }

    fn create(&mut self) -> Result<(), Failure> {
        let account = self.account.clone();
        let keys: Vec<PrivateKey> = (0..KEYS).map(|_| PrivateKey::generate(&mut rand::rng())).collect();
        let mut tx = self.store()?.begin()?;
        if tx.account()?.is_none() {
            tx.create_account(&account)?;
            tx.add_prekeys(&keys)?;
        }
        assert_eq!(tx.prekeys_to_upload(100)?.len(), KEYS, "the account and its keys come together");
        Ok(tx.commit()?)
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let bundle = self.bundle.clone();
        let mut tx = self.store()?.begin()?;
        let _ =
            process_bundle(tx.as_signal_store(), &peer(), &bundle, TrustPolicy::Accept, &mut rand::rng())?;
        Ok(tx.commit()?)
    }

    /// Stored and only then sent; a message that a failed commit kept nevertheless is sent as it was stored.
    fn send(&mut self, n: u32) -> Result<(), Failure> {
        let (id, text) = (format!("OUT{n}"), format!("to the peer {n}").repeat(20));
        let mut tx = self.store()?.begin()?;
        let stanza = match tx.outgoing(PEER, &id)? {
            Some(kept) => kept.message.stanza,
            None => {
                let sealed = encrypt(tx.as_signal_store(), &peer(), text.as_bytes(), TrustPolicy::Accept)?;
                let mut stanza = vec![u8::from(sealed.kind == CiphertextKind::PreKey)];
                stanza.extend_from_slice(&sealed.bytes);
                tx.enqueue(&OutboxMessage {
                    id,
                    recipient: PEER.into(),
                    kind: "text".into(),
                    plaintext: text.clone().into_bytes(),
                    stanza: stanza.clone(),
                    created_at: 1,
                })?;
                stanza
            }
        };
        tx.commit()?;
        let kind = if stanza[0] == 1 { CiphertextKind::PreKey } else { CiphertextKind::Message };
        let mut rng = rand::rng();
        let opened = decrypt(&mut self.phone, &own(), kind, &stanza[1..], TrustPolicy::Accept, &mut rng)
            .unwrap_or_else(|error| panic!("message {n} does not open, or uses a key again: {error:?}"));
        assert_eq!(opened.plaintext, text.as_bytes());
        self.sent.insert(n, stanza);
        Ok(())
    }

    fn receive(&mut self, n: u32) -> Result<(), Failure> {
        let phone = &mut self.phone;
        let text = incoming(n);
        let sealed = self
            .written
            .entry(n)
            .or_insert_with(|| encrypt(phone, &own(), text.as_bytes(), TrustPolicy::Accept).unwrap())
            .clone();
        let mut rng = rand::rng();
        let mut tx = self.store()?.begin()?;
        let seen = tx.seen(&key(n))?;
        let opened =
            decrypt(tx.as_signal_store(), &peer(), sealed.kind, &sealed.bytes, TrustPolicy::Accept, &mut rng);
        if seen == Seen::Stored {
            // The commit that failed was kept: then so was the ratchet's step.
            assert!(opened.is_err(), "message {n} is stored and its key is still there");
            drop(tx);
        } else {
            let message = InboxMessage {
                key: key(n),
                t: n.into(),
                kind: "text".into(),
                plaintext: opened?.plaintext,
                notify: None,
            };
            assert!(matches!(tx.store_message(&message)?, Stored::New { .. }));
            tx.commit()?;
        }
        self.received.push(n);
        Ok(())
    }

    fn confirm(&mut self) -> Result<(), Failure> {
        let mut tx = self.store()?.begin()?;
        for entry in tx.unconfirmed(0, 1000)? {
            tx.confirm(entry.seq)?;
        }
        tx.commit()?;
        self.confirmed = self.received.len() as u64;
        Ok(())
    }

    /// All that was told is there, whole, once, and nothing else.
    fn audit(&mut self) {
        let (received, sent, confirmed) = (self.received.clone(), self.sent.clone(), self.confirmed);
        let store = self.store().unwrap();
        store.verify().unwrap();
        let tx = store.begin().unwrap();
        assert_eq!(tx.lineage().unwrap().rollback, None, "a false alarm");
        let unconfirmed: Vec<u64> = tx.unconfirmed(0, 1000).unwrap().iter().map(|entry| entry.seq).collect();
        let expected: Vec<u64> = (confirmed + 1..=received.len() as u64).collect();
        assert_eq!(unconfirmed, expected);
        for n in received {
            let entry = tx.message(&key(n)).unwrap().unwrap_or_else(|| panic!("message {n} is lost"));
            assert_eq!(entry.message.plaintext, incoming(n).as_bytes());
        }
        let pending: Vec<Vec<u8>> =
            tx.pending(0, 1000).unwrap().into_iter().map(|entry| entry.message.stanza).collect();
        assert_eq!(pending, sent.into_values().collect::<Vec<_>>());
    }
}

fn key(n: u32) -> MessageKey {
    MessageKey::direct(PEER, format!("IN{n}"))
}

fn incoming(n: u32) -> String {
    format!("from the peer {n}").repeat(20)
}

/// The scenario with a fault at the `n`-th call. Whether it struck before the scenario was over.
fn run(fault: Fault, n: u64, after: After) -> bool {
    let mut world = World::new();
    world.disk.arm(fault, n);
    let mut struck = false;
    for step in script() {
        let result = world.step(step);
        // Closing has nobody to tell, and SQLite does without some of its calls: a fault may pass unnoticed.
        struck |= world.disk.struck();
        let Err(error) = result else { continue };
        assert!(world.disk.struck(), "{step:?} failed without a fault: {error:?}");
        let error = cause(&*error);
        match fault {
            Fault::Full => assert!(matches!(error, StoreError::Full), "{step:?}: {error:?}"),
            _ => assert!(
                matches!(error, StoreError::Backend { .. } | StoreError::Open { .. }),
                "{step:?}: {error:?}"
            ),
        }
        match after {
            After::GoOn => world.disk.lift(),
            After::Reopen => {
                world.store = None;
                world.disk.lift();
            }
            After::Power(seed) => {
                world.disk.power_cycle(seed);
                world.store = None;
            }
        }
        world.step(step).unwrap_or_else(|error| panic!("{step:?} after the fault: {error:?}"));
    }
    struck |= world.disk.struck();
    world.disk.lift();
    if struck {
        world.audit();
        // And nothing of it was only in memory.
        world.disk.power_cycle(n % 3);
        world.store = None;
        world.audit();
        world.send(100).unwrap();
        world.receive(100).unwrap();
        world.audit();
    }
    struck
}

/// A fault at every call. How many there are shows that the fault gets there.
fn at_every_call(fault: Fault, after: &[After], at_least: u64) {
    for after in after {
        let mut n = 0;
        while std::panic::catch_unwind(|| run(fault, n, *after))
            .unwrap_or_else(|_| panic!("{fault:?} at call {n}, {after:?}"))
        {
            n += 1;
        }
        println!("{fault:?}, {after:?}: {n} calls");
        assert!(n >= at_least, "{fault:?} only struck at {n} calls");
    }
}

#[test]
fn a_full_disk() {
    at_every_call(Fault::Full, &[After::GoOn, After::Reopen], 200);
}

#[test]
fn one_call_that_fails() {
    at_every_call(Fault::Io, &[After::GoOn, After::Reopen], 300);
}

#[test]
fn a_disk_that_fails_from_there_on() {
    at_every_call(Fault::Broken, &[After::GoOn, After::Reopen], 300);
}

#[test]
fn a_write_that_is_cut_short() {
    at_every_call(Fault::ShortWrite, &[After::GoOn, After::Power(6)], 200);
}

#[test]
fn a_loss_of_power() {
    // Nothing that was not synchronised is on the disk; all of it is; some sectors of it are.
    let seeds = [0, 1, 2, 3].map(After::Power);
    at_every_call(Fault::PowerLoss, &seeds, 200);
}

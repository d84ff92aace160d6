//! A store that is older than it should be notices it, and uses nothing twice.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use landbridge_curve::PrivateKey;
use landbridge_signal::{
    Address, IdentityKeyPair, MemorySignalStore, PreKeyBundle, SignedPreKey, SignedPreKeyId, TrustPolicy,
    decrypt, encrypt, process_bundle,
};
use landbridge_store::{
    Account, ClientStore, Enlistment, EpochWitness, Fact, Mark, Rollback, SqliteStore, StoreError, StoreTx,
    WitnessError,
};

fn commit<T>(store: &mut SqliteStore, work: impl FnOnce(&mut dyn StoreTx) -> T) -> T {
    let mut tx = store.begin().unwrap();
    let result = work(&mut *tx);
    tx.commit().unwrap();
    result
}

fn peer() -> Address {
    Address::new("peer", 0)
}

fn own() -> Address {
    Address::new("own", 0)
}

/// A peer who can be written to.
struct Peer(MemorySignalStore, PreKeyBundle);

impl Peer {
    fn new() -> Self {
        let mut rng = rand::rng();
        let identity = IdentityKeyPair::generate(&mut rng);
        let signed = SignedPreKey::generate(SignedPreKeyId::new(7).unwrap(), &identity, &mut rng);
        let mut store = MemorySignalStore::new(identity.clone(), 99);
        store.add_signed_prekey(signed.clone());
        let bundle = PreKeyBundle {
            registration_id: 99,
            identity: *identity.public(),
            signed_prekey: signed.public(),
            prekey: None,
        };
        Self(store, bundle)
    }
}

fn create(store: &mut SqliteStore, peer_keys: &Peer) {
    let mut rng = rand::rng();
    let account = Account {
        identity: IdentityKeyPair::generate(&mut rng),
        registration_id: 1,
        noise_static: PrivateKey::generate(&mut rng),
        integrator: 1,
        identifier: "alice".into(),
        enlistment: Enlistment::Prepared,
    };
    commit(store, |tx| {
        tx.create_account(&account).unwrap();
        let store = tx.as_signal_store();
        let _ = process_bundle(store, &peer(), &peer_keys.1, TrustPolicy::Accept, &mut rand::rng()).unwrap();
    });
}

fn send(store: &mut SqliteStore, text: &str) -> Result<landbridge_signal::Ciphertext, String> {
    commit(store, |tx| {
        let sealed = encrypt(tx.as_signal_store(), &peer(), text.as_bytes(), TrustPolicy::Accept);
        sealed.map_err(|error| error.to_string())
    })
}

fn lineage(store: &mut SqliteStore) -> landbridge_store::Lineage {
    store.begin().unwrap().lineage().unwrap()
}

fn copy(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn opening_and_closing_in_peace_raises_no_alarm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let mut last = 0;
    for round in 0..5 {
        let mut store = SqliteStore::open(&path).unwrap();
        if round == 0 {
            create(&mut store, &Peer::new());
        }
        send(&mut store, "hello").unwrap();
        let lineage = lineage(&mut store);
        assert_eq!((lineage.rollback, lineage.keys_due), (None, false));
        assert!(lineage.epoch > last, "{} after {last}", lineage.epoch);
        last = lineage.epoch;
    }
}

#[test]
fn a_backup_that_is_put_back_renews_every_session_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let mut bob = Peer::new();
    let mut store = SqliteStore::open(&path).unwrap();
    create(&mut store, &bob);
    send(&mut store, "before the backup").unwrap();
    drop(store);
    let backup = copy(&path);

    let mut store = SqliteStore::open(&path).unwrap();
    let sent = send(&mut store, "after the backup").unwrap();
    let opened = decrypt(&mut bob.0, &own(), sent.kind, &sent.bytes, TrustPolicy::Accept, &mut rand::rng());
    assert_eq!(opened.unwrap().plaintext, b"after the backup");
    let expected = lineage(&mut store).epoch + 1;
    drop(store);

    fs::write(&path, backup).unwrap();
    let mut store = SqliteStore::open(&path).unwrap();
    let now = lineage(&mut store);
    let rollback = now.rollback.unwrap();
    assert_eq!(rollback.expected, Some(expected));
    assert!(rollback.found < expected && now.epoch > expected && now.keys_due, "{now:?}");
    // The counter of the lost message is not used again: there is nothing to encrypt with.
    assert!(send(&mut store, "in its place").unwrap_err().contains("session"));
    // What the peer still sends in the old session opens, and turns its ratchet; then it can be used again.
    let answer = encrypt(&mut bob.0, &own(), b"answer", TrustPolicy::Accept).unwrap();
    commit(&mut store, |tx| {
        let store = tx.as_signal_store();
        let opened =
            decrypt(store, &peer(), answer.kind, &answer.bytes, TrustPolicy::Accept, &mut rand::rng());
        assert_eq!(opened.unwrap().plaintext, b"answer");
    });
    let fresh = send(&mut store, "under a new ratchet key").unwrap();
    let opened = decrypt(&mut bob.0, &own(), fresh.kind, &fresh.bytes, TrustPolicy::Accept, &mut rand::rng());
    assert_eq!(opened.unwrap().plaintext, b"under a new ratchet key");
    drop(store);

    // Noticed once: the next opening is in order, and the notice waits until it is taken.
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(lineage(&mut store).rollback, Some(rollback));
    send(&mut store, "still there").unwrap();
}

#[test]
fn a_copy_made_under_way_is_noticed_after_sixty_four_commits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let mut store = SqliteStore::open(&path).unwrap();
    create(&mut store, &Peer::new());
    store.checkpoint().unwrap();
    let backup = copy(&path);
    for n in 0..65_u32 {
        commit(&mut store, |tx| tx.set_fact(Fact::LOGIN_COUNT, Some(n.to_string().as_bytes())).unwrap());
    }
    // A process that dies writes no last epoch.
    std::mem::forget(store);
    let other = directory.path().join("other.db");
    fs::write(&other, backup).unwrap();
    fs::copy(directory.path().join("client.db-epoch"), directory.path().join("other.db-epoch")).unwrap();
    let mut store = SqliteStore::open(&other).unwrap();
    assert!(lineage(&mut store).rollback.is_some());
}

#[test]
fn a_database_without_its_witness_or_with_a_foreign_one_is_in_doubt() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (directory.path().join("client.db"), directory.path().join("other.db"));
    for name in [&path, &other] {
        create(&mut SqliteStore::open(name).unwrap(), &Peer::new());
    }
    fs::copy(directory.path().join("other.db-epoch"), directory.path().join("client.db-epoch")).unwrap();
    let mut store = SqliteStore::open(&path).unwrap();
    let Rollback { expected, .. } = lineage(&mut store).rollback.unwrap();
    assert_eq!(expected, None);
    drop(store);
    for damage in [None, Some("landbridge epoch 2\n")] {
        match damage {
            None => fs::remove_file(directory.path().join("other.db-epoch")).unwrap(),
            Some(text) => fs::write(directory.path().join("other.db-epoch"), text).unwrap(),
        }
        let mut store = SqliteStore::open(&other).unwrap();
        assert!(lineage(&mut store).rollback.is_some(), "{damage:?}");
        assert!(send(&mut store, "no").is_err());
    }
}

/// One life of a store: makes keys, and tells which were offered to a server and under which ids signed ones went out.
fn offers(store: &mut SqliteStore, count: u8, life: u8) -> (Vec<([u8; 32], u32)>, u32) {
    commit(store, |tx| {
        let keys: Vec<_> = (0..count).map(|n| PrivateKey::from_bytes([life * count + n + 1; 32])).collect();
        tx.add_prekeys(&keys).unwrap();
        let offered = tx.prekeys_to_upload(1000).unwrap();
        let ids: Vec<_> = offered.iter().map(|key| key.id).collect();
        tx.mark_uploaded(&ids).unwrap();
        let identity = tx.account().unwrap().unwrap().identity;
        let signed = SignedPreKey::generate(tx.next_signed_prekey_id().unwrap(), &identity, &mut rand::rng());
        tx.add_signed_prekey(&signed, 1).unwrap();
        let offered = offered.iter().map(|key| (*key.key.public().as_bytes(), key.id.get())).collect();
        (offered, signed.id.get())
    })
}

#[test]
fn a_copy_that_is_put_back_again_and_again_offers_no_key_and_no_id_twice() {
    for witness_lost in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client.db");
        let mut store = SqliteStore::open(&path).unwrap();
        create(&mut store, &Peer::new());
        let (mut offered, mut signed) = (Vec::new(), Vec::new());
        let (keys, id) = offers(&mut store, 20, 0);
        let before: Vec<u32> = keys.iter().map(|(_, id)| *id).collect();
        offered.extend(keys);
        signed.push(id);
        drop(store);
        let backup = copy(&path);
        for life in 1..8 {
            let mut store = SqliteStore::open(&path).unwrap();
            // Messages on their way may use every key of the copy.
            let tx = store.begin().unwrap();
            assert!(before.iter().all(|id| tx.load_prekey((*id).try_into().unwrap()).unwrap().is_some()));
            assert!(tx.load_signed_prekey(signed[0].try_into().unwrap()).unwrap().is_some());
            drop(tx);
            let (keys, id) = offers(&mut store, 20, life);
            assert_eq!(keys.len(), 20, "new ones only");
            offered.extend(keys);
            signed.push(id);
            drop(store);
            fs::write(&path, &backup).unwrap();
            if witness_lost {
                fs::remove_file(directory.path().join("client.db-epoch")).unwrap();
            }
        }
        for twice in [
            offered.iter().map(|(_, id)| *id).collect::<Vec<_>>(),
            offered.iter().map(|(key, _)| u32::from_be_bytes([key[0], key[1], key[2], key[3]])).collect(),
            signed,
        ] {
            let mut once = twice.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), twice.len(), "witness lost: {witness_lost}: {twice:?}");
        }
    }
}

/// A witness in a place that no backup reaches.
#[derive(Clone, Default)]
struct KeyStore {
    mark: Arc<Mutex<Option<Mark>>>,
    broken: Arc<Mutex<Option<&'static str>>>,
}

impl EpochWitness for KeyStore {
    fn read(&mut self) -> Result<Option<Mark>, WitnessError> {
        match *self.broken.lock().unwrap() {
            Some("read") => Err("locked".into()),
            _ => Ok(*self.mark.lock().unwrap()),
        }
    }

    fn write(&mut self, mark: &Mark) -> Result<(), WitnessError> {
        if *self.broken.lock().unwrap() == Some("write") {
            return Err("locked".into());
        }
        *self.mark.lock().unwrap() = Some(*mark);
        Ok(())
    }
}

#[test]
fn a_directory_that_is_put_back_whole_is_noticed_by_a_witness_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let witness = KeyStore::default();
    create(&mut SqliteStore::open_with(&path, witness.clone()).unwrap(), &Peer::new());
    let backup = copy(&path);
    drop(SqliteStore::open_with(&path, witness.clone()).unwrap());
    fs::write(&path, backup).unwrap();
    let mut store = SqliteStore::open_with(&path, witness).unwrap();
    assert!(lineage(&mut store).rollback.is_some());
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("epoch")), "{names:?}");
}

#[test]
fn a_store_whose_witness_is_mute_does_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let witness = KeyStore::default();
    create(&mut SqliteStore::open_with(&path, witness.clone()).unwrap(), &Peer::new());
    for (broken, said) in [("read", "did not answer"), ("write", "did not take the new one")] {
        *witness.broken.lock().unwrap() = Some(broken);
        let error = SqliteStore::open_with(&path, witness.clone()).unwrap_err();
        assert!(matches!(error, StoreError::Witness { .. }), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
    }
    // Neither attempt has raised an alarm.
    *witness.broken.lock().unwrap() = None;
    let mut store = SqliteStore::open_with(&path, witness).unwrap();
    assert_eq!(lineage(&mut store).rollback, None);
}

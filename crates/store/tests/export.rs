//! The account as one file: it comes back whole, or not at all.
#![cfg(feature = "export")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use landbridge_curve::PrivateKey;
use landbridge_signal::{IdentityKeyPair, SignedPreKey, SignedPreKeyId};
use landbridge_store::{
    Account, ClientStore, Enlistment, ExportError, ExportSecret, Fact, InboxMessage, KdfCost, MemoryStore,
    MessageKey, OutboxMessage, Portable, SqliteStore, StoreError, StoreTx, TrailStep,
};

const PEER: &str = "14155551001@s.whatsapp.net";
const KEY: [u8; 32] = [7; 32];

fn commit<T>(store: &mut SqliteStore, work: impl FnOnce(&mut dyn StoreTx) -> T) -> T {
    let mut tx = store.begin().unwrap();
    let result = work(&mut *tx);
    tx.commit().unwrap();
    result
}

/// Writes something of every kind, `messages` times.
fn fill(store: &mut SqliteStore, messages: u32) {
    let mut rng = rand::rng();
    let identity = IdentityKeyPair::generate(&mut rng);
    let account = Account {
        registration_id: 4711,
        noise_static: PrivateKey::generate(&mut rng),
        integrator: 1,
        identifier: "alice 👋".into(),
        enlistment: Enlistment::Enlisted { login: "1-7@interop".into(), at: 50 },
        identity: identity.clone(),
    };
    let signed = SignedPreKey::generate(SignedPreKeyId::new(1).unwrap(), &identity, &mut rng);
    commit(store, |tx| {
        tx.create_account(&account).unwrap();
        tx.add_signed_prekey(&signed, 50).unwrap();
        let ids = tx.add_prekeys(&[PrivateKey::generate(&mut rng), PrivateKey::generate(&mut rng)]).unwrap();
        tx.remove_prekey(ids[1]).unwrap();
        tx.set_fact(Fact::LOGIN_COUNT, Some(b"3")).unwrap();
        for n in 0..messages {
            let id = format!("m{n}");
            tx.store_message(&InboxMessage {
                key: MessageKey::direct(PEER, &id),
                t: n.into(),
                kind: "text".into(),
                plaintext: vec![1; 300],
                notify: (n % 2 == 0).then(|| "Bob".into()),
            })
            .unwrap();
            let (recipient, kind) = (PEER.to_owned(), "text".to_owned());
            let (plaintext, stanza) = (vec![4; 300], vec![5; 400]);
            tx.enqueue(&OutboxMessage {
                id: id.clone(),
                recipient,
                kind,
                plaintext,
                stanza,
                created_at: n.into(),
            })
            .unwrap();
            tx.note(PEER, &id, n.into(), &TrailStep::Queued).unwrap();
        }
    });
}

/// What an application sees of a store.
fn picture(store: &mut SqliteStore) -> String {
    let tx = store.begin().unwrap();
    let account = tx.account().unwrap().unwrap();
    format!(
        "{:?} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        account.identity.public(),
        account.identifier,
        account.enlistment,
        tx.fact(Fact::LOGIN_COUNT).unwrap(),
        tx.unconfirmed(0, 1_000_000).unwrap(),
        tx.pending(0, 1_000_000).unwrap(),
        tx.prekey_counts().unwrap(),
        tx.signed_prekeys().unwrap().len(),
        tx.trail("m1").unwrap(),
    )
}

fn export(store: &mut SqliteStore, secret: &ExportSecret) -> Result<Vec<u8>, ExportError> {
    let mut out = Vec::new();
    store.export(&mut out, secret, 100, &mut rand::rng())?;
    Ok(out)
}

fn import(path: &Path, file: &[u8], secret: &ExportSecret) -> Result<SqliteStore, ExportError> {
    SqliteStore::import(path, file, secret)
}

fn key() -> ExportSecret {
    ExportSecret::key(KEY)
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

#[test]
fn an_account_moves_whole_and_the_old_store_falls_silent() {
    let directory = tempfile::tempdir().unwrap();
    let mut old = SqliteStore::open(directory.path().join("old.db")).unwrap();
    // More than one chunk.
    fill(&mut old, 300);
    let before = picture(&mut old);
    let file = export(&mut old, &key()).unwrap();
    assert!(file.len() > 3 * 65_536, "{} bytes", file.len());
    let path = directory.path().join("new.db");
    let mut new = import(&path, &file, &key()).unwrap();
    assert_eq!(picture(&mut new), before);
    new.verify().unwrap();
    let (was, is) = (old.begin().unwrap().lineage().unwrap(), new.begin().unwrap().lineage().unwrap());
    assert_eq!((was.handed_over, is.handed_over, is.rollback), (Some(100), None, None));
    assert!(is.epoch > was.epoch, "{is:?} {was:?}");
    // Positions go on where they were, and ids of keys are not given twice.
    let ids = commit(&mut new, |tx| tx.add_prekeys(&[PrivateKey::from_bytes([9; 32])]).unwrap());
    assert_eq!(ids[0].get(), 3);
    commit(&mut new, |tx| tx.note(PEER, "later", 400, &TrailStep::Queued).unwrap());
    assert_eq!(new.begin().unwrap().trail("later").unwrap()[0].seq, 301);

    // The old one can be read, and is exported once.
    assert_eq!(picture(&mut old), before);
    let error = export(&mut old, &key()).unwrap_err();
    assert!(chain(&error).contains("handed over to another store"), "{}", chain(&error));
    drop(new);
    let mut new = SqliteStore::open(&path).unwrap();
    assert_eq!(new.begin().unwrap().lineage().unwrap().rollback, None, "its witness knows it");
    // And on to the next phone.
    let file = export(&mut new, &key()).unwrap();
    import(&directory.path().join("next.db"), &file, &key()).unwrap();
}

#[test]
fn a_passphrase_opens_what_it_has_locked_and_nothing_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let cost = KdfCost::new(1_024, 1, 1).unwrap();
    let secret = |text: &str| ExportSecret::passphrase_with(text, cost);
    let mut old = SqliteStore::open(directory.path().join("old.db")).unwrap();
    fill(&mut old, 2);
    let file = export(&mut old, &secret("correct horse")).unwrap();
    let path = directory.path().join("new.db");
    for wrong in ["", "correct horse ", "Correct horse"] {
        let error = import(&path, &file, &secret(wrong)).unwrap_err();
        assert!(matches!(error, ExportError::Sealed { chunk: 0 }), "{error:?}");
    }
    let error = import(&path, &file, &key()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the exported account is locked with a passphrase, and something else was given"
    );
    assert!(!path.exists(), "nothing is made for a secret that does not fit");
    // The cost is the file's, whatever the reader would take.
    import(&path, &file, &ExportSecret::passphrase("correct horse")).unwrap();
    assert!(!format!("{:?}", secret("correct horse")).contains("horse"));
}

#[test]
fn two_exports_have_nothing_in_common() {
    let directory = tempfile::tempdir().unwrap();
    let mut old = SqliteStore::open(directory.path().join("old.db")).unwrap();
    fill(&mut old, 2);
    let first = export(&mut old, &key()).unwrap();
    commit(&mut old, |tx| tx.take_back().unwrap());
    let second = export(&mut old, &key()).unwrap();
    assert!(first[54..].windows(16).all(|window| !second[54..].windows(16).any(|other| other == window)));
    let text = vec![1; 300];
    assert!(!first.windows(text.len()).any(|window| window == text), "the messages can be read");
}

#[test]
fn every_change_and_every_cut_is_noticed_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut old = SqliteStore::open(directory.path().join("old.db")).unwrap();
    fill(&mut old, 1);
    let file = export(&mut old, &key()).unwrap();
    let path = directory.path().join("new.db");
    for at in 0..file.len() {
        let mut bad = file.clone();
        bad[at] ^= 1 << (at % 8);
        let error = import(&path, &bad, &key()).unwrap_err();
        let known = match error {
            ExportError::NotAnExport => at < 22,
            ExportError::NewerForm { .. } => at == 8,
            ExportError::OtherSecret { .. } | ExportError::Cost { .. } => at == 9,
            ExportError::Sealed { chunk: 0 } => at >= 22,
            _ => false,
        };
        assert!(known, "byte {at}: {error:?}");
    }
    for length in 0..file.len() {
        let error = import(&path, &file[..length], &key()).unwrap_err();
        let known = if length < 54 {
            matches!(error, ExportError::CutOff)
        } else {
            matches!(error, ExportError::Sealed { chunk: 0 })
        };
        assert!(known, "{length} bytes: {error:?}");
    }
    let longer = [&file[..], &[0]].concat();
    assert!(matches!(import(&path, &longer, &key()).unwrap_err(), ExportError::Sealed { .. }));
    let mut names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| !name.to_string_lossy().starts_with("old"));
    assert!(names.is_empty(), "{names:?}");
    import(&path, &file, &key()).unwrap();
}

#[test]
fn chunks_cannot_be_swapped_left_out_or_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let mut old = SqliteStore::open(directory.path().join("old.db")).unwrap();
    fill(&mut old, 300);
    let file = export(&mut old, &key()).unwrap();
    let (header, body) = file.split_at(54);
    let chunks: Vec<&[u8]> = body.chunks(65_536 + 16).collect();
    let last = chunks.len() - 1;
    let orders: [Vec<usize>; 5] = [
        [1, 0].into_iter().chain(2..=last).collect(),
        [0].into_iter().chain(2..=last).collect(),
        [0, 0].into_iter().chain(1..=last).collect(),
        (0..last).collect(),
        (0..=last).chain([last]).collect(),
    ];
    let path = directory.path().join("new.db");
    for order in orders {
        let bad: Vec<u8> =
            order.iter().fold(header.to_vec(), |file, chunk| [&file[..], chunks[*chunk]].concat());
        let error = import(&path, &bad, &key()).unwrap_err();
        assert!(matches!(error, ExportError::Sealed { .. }), "{order:?}: {error:?}");
        assert!(!path.exists(), "{order:?}: an import that failed left a store");
    }
}

#[test]
fn a_file_cannot_make_the_reader_work_without_bound() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new.db");
    let header = |memory: u32, passes: u32, lanes: u32| {
        let mut bytes = b"LBexport\x01\x01".to_vec();
        for number in [memory, passes, lanes] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&[0; 32 + 16]);
        bytes
    };
    for (memory, passes, lanes) in [
        (u32::MAX, 1, 1),
        (1_048_577, 1, 1),
        (1_023, 1, 1),
        (0, 0, 0),
        (65_536, u32::MAX, 1),
        (65_536, 0, 1),
        (65_536, 3, 0),
        (65_536, 3, 17),
        (1_048_576, 5, 1),
    ] {
        let error =
            import(&path, &header(memory, passes, lanes), &ExportSecret::passphrase("x")).unwrap_err();
        assert!(matches!(error, ExportError::Cost { .. }), "{memory} {passes} {lanes}: {error:?}");
        assert!(KdfCost::new(memory, passes, lanes).is_err());
    }
}

#[test]
fn only_an_empty_store_takes_an_account() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old.db"), directory.path().join("new.db"));
    let mut store = SqliteStore::open(&old).unwrap();
    fill(&mut store, 1);
    let file = export(&mut store, &key()).unwrap();
    // One that is in use, one with an account, one with no more than a fact.
    let error = import(&old, &file, &key()).unwrap_err();
    assert!(chain(&error).contains("in use by another process"), "{}", chain(&error));
    drop(store);
    assert!(matches!(import(&old, &file, &key()).unwrap_err(), ExportError::NotEmpty));
    let mut other = SqliteStore::open(&new).unwrap();
    commit(&mut other, |tx| tx.set_fact(Fact::LOGIN_COUNT, Some(b"1")).unwrap());
    drop(other);
    assert!(matches!(import(&new, &file, &key()).unwrap_err(), ExportError::NotEmpty));
    assert!(SqliteStore::open(&new).unwrap().begin().unwrap().account().unwrap().is_none());
    // An empty one does.
    let third = directory.path().join("third.db");
    drop(SqliteStore::open(&third).unwrap());
    import(&third, &file, &key()).unwrap();
}

#[test]
fn the_same_file_imported_twice_at_one_place_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let mut old = SqliteStore::open(directory.path().join("old.db")).unwrap();
    fill(&mut old, 1);
    let file = export(&mut old, &key()).unwrap();
    let path = directory.path().join("new.db");
    drop(import(&path, &file, &key()).unwrap());
    fs::remove_file(&path).unwrap();
    let mut again = import(&path, &file, &key()).unwrap();
    let lineage = again.begin().unwrap().lineage().unwrap();
    assert!(lineage.rollback.is_some() && lineage.keys_due, "{lineage:?}");
}

#[test]
fn a_store_without_an_account_or_in_memory_is_not_exported() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path().join("old.db")).unwrap();
    let error = export(&mut store, &key()).unwrap_err();
    assert!(matches!(error, ExportError::Store { source: StoreError::NoAccount }), "{error:?}");
    assert!(store.portable().is_some() && MemoryStore::new().portable().is_none());
}

/// A disk that is full after so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = bytes.len().min(self.0);
        self.0 -= room;
        if room == 0 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(room) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_export_that_fails_leaves_the_account_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path().join("old.db")).unwrap();
    fill(&mut store, 300);
    for room in [0, 53, 54, 100_000, 200_000] {
        let error = store.export(&mut Full(room), &key(), 100, &mut rand::rng()).unwrap_err();
        assert!(matches!(error, ExportError::Io { doing: "written", .. }), "{room}: {error:?}");
        assert_eq!(store.begin().unwrap().lineage().unwrap().handed_over, None, "{room}");
    }
}

//! What the SQLite file itself must be: private, locked, versioned, checked, and without traces of what was deleted.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use landbridge_curve::PrivateKey;
use landbridge_signal::IdentityKeyPair;
use landbridge_store::{
    Account, ClientStore, Enlistment, Fact, InboxMessage, MessageKey, SqliteStore, StoreError, StoreTx,
    Stored,
};
use rusqlite::Connection;

fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path)
}

fn commit(store: &mut SqliteStore, work: impl FnOnce(&mut dyn StoreTx)) {
    let mut tx = store.begin().unwrap();
    work(&mut *tx);
    tx.commit().unwrap();
}

/// The message and all its causes.
fn report(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
#[cfg(unix)]
fn file_and_log_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let mut store = open(&path).unwrap();
    commit(&mut store, |tx| tx.set_fact(Fact::LOGIN_COUNT, Some(b"1")).unwrap());
    let mut files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap()).collect();
    files.sort_by_key(|entry| entry.file_name());
    let names: Vec<_> = files.iter().map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(
        names,
        ["client.db", "client.db-epoch", "client.db-wal"],
        "no shared memory file: the store is one process's own"
    );
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn a_second_opener_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let mut first = open(&path).unwrap();
    for _ in 0..2 {
        let error = open(&path).unwrap_err();
        assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
        assert!(error.to_string().contains("in use by another process"), "{error}");
        commit(&mut first, |tx| tx.set_fact(Fact::LOGIN_COUNT, Some(b"1")).unwrap());
    }
    drop(first);
    let mut second = open(&path).expect("free again");
    assert_eq!(second.begin().unwrap().fact(Fact::LOGIN_COUNT).unwrap(), Some(b"1".to_vec()));
}

#[test]
fn a_newer_schema_is_refused_and_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    drop(open(&path).unwrap());
    let raw = Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 1000).unwrap();
    drop(raw);
    let before = fs::read(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 1000, .. }), "{error:?}");
    assert!(error.to_string().contains("use a newer release"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn other_files_are_refused_and_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = directory.path().join("foreign.db");
    let raw = Connection::open(&foreign).unwrap();
    raw.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')").unwrap();
    drop(raw);
    let text = directory.path().join("text.db");
    fs::write(&text, "no database, but long enough to have had a header of one hundred bytes ".repeat(20))
        .unwrap();
    for path in [&foreign, &text] {
        let error = open(path).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        assert!(error.to_string().contains("is damaged or is no Landbridge store"), "{error}");
    }
    let raw = Connection::open(&foreign).unwrap();
    let text: String = raw.query_row("SELECT text FROM notes", [], |row| row.get(0)).unwrap();
    assert_eq!(text, "mine");
}

#[test]
fn a_directory_or_missing_parent_is_an_open_error() {
    let directory = tempfile::tempdir().unwrap();
    let missing = open(&directory.path().join("no/such/client.db")).unwrap_err();
    assert!(matches!(missing, StoreError::Open { .. }), "{missing:?}");
    assert!(report(&missing).contains("cannot be opened"), "{}", report(&missing));
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
}

#[test]
fn damage_anywhere_is_an_error_and_never_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let mut store = open(&path).unwrap();
    for n in 0..200_u32 {
        let key = MessageKey::direct("peer@s.whatsapp.net", n.to_string());
        let message =
            InboxMessage { key, t: n.into(), kind: "text".into(), plaintext: vec![7; 200], notify: None };
        commit(&mut store, |tx| {
            assert_eq!(tx.store_message(&message).unwrap(), Stored::New { seq: u64::from(n) + 1 })
        });
    }
    drop(store);
    let good = fs::read(&path).unwrap();
    let pages = good.len() / 4096;
    assert!(pages > 10, "{pages} pages");
    let mut refused = 0;
    for page in 0..pages {
        let mut bad = good.clone();
        bad[page * 4096..][..200].fill(0xa5);
        fs::write(&path, bad).unwrap();
        let outcome = open(&path).and_then(|mut store| {
            store.verify()?;
            let tx = store.begin()?;
            tx.unconfirmed(0, 1000)?;
            tx.prekey_counts()?;
            Ok(())
        });
        if let Err(error) = outcome {
            let known = matches!(error, StoreError::Corrupt { .. } | StoreError::NewerSchema { .. });
            assert!(known, "page {page}: {error:?}");
            refused += 1;
        }
    }
    // A page on the free list holds nothing that could be damaged.
    assert!(refused + 5 >= pages, "only {refused} of {pages} damaged pages were noticed");

    fs::write(&path, &good[..good.len() / 2]).unwrap();
    let outcome = open(&path).and_then(|store| store.verify());
    assert!(matches!(outcome, Err(StoreError::Corrupt { .. })), "a cut file: {outcome:?}");
}

/// All bytes that belong to the store, in whichever file.
fn all_bytes(directory: &Path) -> Vec<u8> {
    fs::read_dir(directory).unwrap().flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn deleted_secrets_leave_the_files() {
    let mut rng = rand::rng();
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory.path().join("client.db")).unwrap();
    let secrets: Vec<PrivateKey> = (0..50).map(|_| PrivateKey::generate(&mut rng)).collect();
    let account = Account {
        identity: IdentityKeyPair::generate(&mut rng),
        registration_id: 1,
        noise_static: PrivateKey::generate(&mut rng),
        integrator: 1,
        identifier: "alice".into(),
        enlistment: Enlistment::Prepared,
    };
    let text = b"a text that is long enough to be unique in these files";
    let key = MessageKey::direct("peer@s.whatsapp.net", "A");
    let mut ids = Vec::new();
    commit(&mut store, |tx| {
        tx.create_account(&account).unwrap();
        ids = tx.add_prekeys(&secrets).unwrap();
        let message = InboxMessage { key, t: 1, kind: "text".into(), plaintext: text.to_vec(), notify: None };
        tx.store_message(&message).unwrap();
        tx.confirm(1).unwrap();
    });
    store.checkpoint().unwrap();
    let bytes = all_bytes(directory.path());
    assert!(
        secrets.iter().all(|key| contains(&bytes, key.as_bytes())) && contains(&bytes, text),
        "the scan finds what is there"
    );

    // Half of the keys go one by one, each in a commit of its own, as messages use them.
    for id in &ids[..25] {
        commit(&mut store, |tx| tx.remove_prekey(*id).unwrap());
    }
    commit(&mut store, |tx| assert_eq!(tx.forget_content(100).unwrap(), 1));
    store.checkpoint().unwrap();
    let bytes = all_bytes(directory.path());
    assert!(secrets[..25].iter().all(|key| !contains(&bytes, key.as_bytes())), "a used key is still there");
    assert!(secrets[25..].iter().all(|key| contains(&bytes, key.as_bytes())));
    assert!(!contains(&bytes, text), "a forgotten text is still there");

    commit(&mut store, |tx| tx.wipe_keys(5).unwrap());
    drop(store);
    let bytes = all_bytes(directory.path());
    let own = [account.identity.private().as_bytes(), account.noise_static.as_bytes()];
    assert!(
        own.into_iter().chain(secrets.iter().map(PrivateKey::as_bytes)).all(|key| !contains(&bytes, key))
    );
}

#[test]
fn the_log_is_emptied_on_the_way() {
    let mut rng = rand::rng();
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory.path().join("client.db")).unwrap();
    let secret = PrivateKey::generate(&mut rng);
    let mut ids = Vec::new();
    commit(&mut store, |tx| ids = tx.add_prekeys(std::slice::from_ref(&secret)).unwrap());
    commit(&mut store, |tx| tx.remove_prekey(ids[0]).unwrap());
    assert!(contains(&all_bytes(directory.path()), secret.as_bytes()), "the log still has it");
    for n in 0..100_u32 {
        commit(&mut store, |tx| tx.set_fact(Fact::LOGIN_COUNT, Some(n.to_string().as_bytes())).unwrap());
    }
    assert!(!contains(&all_bytes(directory.path()), secret.as_bytes()), "nobody asked for a checkpoint");
}

//! A process that is killed at any moment leaves a store in which every step is whole or absent.
#![cfg(all(feature = "sqlite", unix))]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use landbridge_curve::PrivateKey;
use landbridge_store::{
    ClientStore, InboxMessage, MessageKey, OutboxMessage, OwedAnswer, OwedClass, SqliteStore, StoreError,
    StoreTx,
};

const STORE: &str = "LANDBRIDGE_STORE_KILL_TEST";
const PEER: &str = "peer@s.whatsapp.net";

/// One step of a made-up client: a message in with its receipt owed, a prekey used and one made, a message out. All or nothing.
fn step(tx: &mut dyn StoreTx, n: u32) -> Result<(), StoreError> {
    let id = format!("m{n}");
    let key = MessageKey::direct(PEER, &id);
    tx.store_message(&InboxMessage {
        key,
        t: n.into(),
        kind: "text".into(),
        plaintext: vec![1; 300],
        notify: None,
    })?;
    let (to, stanza) = (PEER.to_owned(), vec![2; 100]);
    tx.owe(&OwedAnswer { class: OwedClass::Delivery, to, participant: None, id: id.clone(), stanza })?;
    if let Some(oldest) = tx.prekeys_to_upload(1)?.first() {
        let id = oldest.id;
        tx.remove_prekey(id).expect("remove a prekey");
    }
    tx.add_prekeys(&[PrivateKey::from_bytes([3; 32])])?;
    let (recipient, kind) = (PEER.to_owned(), "text".to_owned());
    let (plaintext, stanza) = (vec![4; 300], vec![5; 400]);
    tx.enqueue(&OutboxMessage { id, recipient, kind, plaintext, stanza, created_at: n.into() })?;
    Ok(())
}

/// How many steps there are; panics if one is half there.
fn whole_steps(store: &mut SqliteStore) -> u32 {
    store.verify().expect("a sound file");
    let tx = store.begin().unwrap();
    let inbox = tx.unconfirmed(0, 1_000_000).unwrap();
    let outbox = tx.pending(0, 1_000_000).unwrap();
    let owed = tx.owed(1_000_000).unwrap();
    for (n, ((message, sent), answer)) in inbox.iter().zip(&outbox).zip(&owed).enumerate() {
        let id = format!("m{n}");
        assert_eq!([&message.message.key.id, &sent.message.id, &answer.answer.id], [&id; 3]);
        assert_eq!((message.message.plaintext.len(), sent.message.stanza.len()), (300, 400));
    }
    let steps = u32::try_from(inbox.len()).unwrap();
    assert_eq!((outbox.len(), owed.len()), (inbox.len(), inbox.len()), "a step is half there");
    let counts = tx.prekey_counts().unwrap();
    assert_eq!((counts.stored, counts.used), (steps.min(1), u64::from(steps.saturating_sub(1))));
    steps
}

/// The child: this same test binary, told by its environment to write until it is killed.
#[test]
fn child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let mut store = SqliteStore::open(Path::new(&path)).unwrap();
    let mut n = whole_steps(&mut store);
    let mut out = std::io::stdout();
    loop {
        let mut tx = store.begin().unwrap();
        step(&mut *tx, n).unwrap();
        tx.commit().unwrap();
        n += 1;
        // Told only after the commit: what the parent has read must survive.
        writeln!(out, "\ncommitted {n}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn kill_leaves_whole_steps_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let mut before = 0;
    for round in 0..30_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_writes_until_it_is_killed", "--nocapture"])
            .env(STORE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Lines are read until the moment of the kill, which differs from round to round by commits and by microseconds.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let goal = before + 1 + u32::try_from(round * 5 % 37).unwrap();
        let mut told = before;
        let mut killed = false;
        for line in lines {
            let Some(n) = line.unwrap().strip_prefix("committed ").map(|n| n.parse::<u32>().unwrap()) else {
                continue;
            };
            told = n;
            if told >= goal && !killed {
                let until = Instant::now() + Duration::from_micros(round * 53 % 700);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
                child.kill().unwrap();
                killed = true;
            }
        }
        assert!(killed, "the child ended by itself");
        child.wait().unwrap();
        let after = whole_steps(&mut SqliteStore::open(&path).unwrap());
        assert!(after >= told, "{told} steps were committed and told, {after} are there");
        assert!(after <= told + 1, "{after} steps are there, {told} were told");
        before = after;
    }
}

#[test]
fn another_process_is_refused_while_one_is_alive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_writes_until_it_is_killed", "--nocapture"])
        .env(STORE, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("committed ")), "the child has the store open");
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(whole_steps(&mut SqliteStore::open(&path).unwrap()) > 0);
}

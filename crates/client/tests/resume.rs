//! Shortened handshakes: when they are tried, when they fall back, and when they are given up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::sync::{Arc, Mutex};

use landbridge::noise::Pattern;
use landbridge::stanza::Profile;
use landbridge::stanza::profile::Resume;
use landbridge::store::{ClientStore, Fact, MemoryStore, StoreError, StoreTx};
use landbridge::{Client, Error};
use support::{Server, enlisted_store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What outlives a process: its store after the last commit.
type Disk = Arc<Mutex<MemoryStore>>;

struct Kept {
    store: MemoryStore,
    disk: Disk,
}

impl ClientStore for Kept {
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
        *self.disk.lock().unwrap() = self.store.clone();
        self.store.begin()
    }
}

fn disk() -> Disk {
    Arc::new(Mutex::new(enlisted_store()))
}

fn process(server: &Server, disk: &Disk, resume: Resume) -> Client {
    let mut profile = Profile::default();
    profile.connection.resume = resume;
    let store = Kept { store: disk.lock().unwrap().clone(), disk: Arc::clone(disk) };
    server.builder(store).profile(profile).build().unwrap()
}

/// Logs in and out; which handshake it was.
async fn login(server: &mut Server, client: &Client) -> Pattern {
    let mut conn = server.connect(client).await;
    let pattern = conn.pattern;
    let ping = client.ping();
    conn.serve_while(ping).await.unwrap();
    let ((), _rest) = tokio::join!(client.disconnect(), conn.until_closed());
    // A transaction more, so that the disk has all that was committed.
    client.address().await.unwrap();
    pattern
}

/// A login that the server does not take part in beyond reading the hello and answering it with `answer`.
async fn spoilt(server: &mut Server, client: &Client, answer: &[u8]) -> Error {
    let spoil = async {
        let mut stream = server.stream().await;
        let mut hello = Vec::new();
        assert!(stream.read_buf(&mut hello).await.unwrap() > 0);
        stream.write_all(answer).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(client.connect(), spoil);
    client.address().await.unwrap();
    outcome.unwrap_err()
}

#[tokio::test]
async fn a_known_server_is_resumed_with_and_may_change_its_key() {
    let (mut server, disk) = (Server::new(), disk());
    let client = process(&server, &disk, Resume::On);
    assert_eq!(login(&mut server, &client).await, Pattern::Xx);
    assert_eq!(login(&mut server, &client).await, Pattern::Ik);
    let client = process(&server, &disk, Resume::On);
    assert_eq!(login(&mut server, &client).await, Pattern::Ik);
    server.rekey();
    assert_eq!(login(&mut server, &client).await, Pattern::XxFallback);
    assert_eq!(login(&mut server, &client).await, Pattern::Ik);
    // Not what it does of its own accord.
    let client = process(&server, &disk, Resume::Off);
    assert_eq!(login(&mut server, &client).await, Pattern::Xx);
    assert_eq!(login(&mut server, &client).await, Pattern::Xx);
}

#[tokio::test]
async fn a_failed_resumption_is_forgotten_and_the_process_takes_the_long_way_from_then_on() {
    let (mut server, disk) = (Server::new(), disk());
    let client = process(&server, &disk, Resume::On);
    assert_eq!(login(&mut server, &client).await, Pattern::Xx);
    let error = spoilt(&mut server, &client, &[0, 0, 2, 0xff, 0xff]).await;
    assert_eq!(error.code(), "handshake", "{}", error.chain());
    let other = process(&server, &disk, Resume::On);
    assert_eq!(login(&mut server, &other).await, Pattern::Xx);
    assert_eq!(login(&mut server, &other).await, Pattern::Ik);
    assert_eq!(login(&mut server, &client).await, Pattern::Xx);
    assert_eq!(login(&mut server, &client).await, Pattern::Xx);
}

#[tokio::test]
async fn a_closed_socket_and_bad_certificates_leave_the_known_server_known() {
    let (mut server, mut other, disk) = (Server::new(), Server::new(), disk());
    let client = process(&server, &disk, Resume::On);
    assert_eq!(login(&mut server, &client).await, Pattern::Xx);
    let error = spoilt(&mut server, &client, &[]).await;
    assert_eq!(error.code(), "closed_early", "{}", error.chain());
    assert_eq!(login(&mut server, &client).await, Pattern::Xx);

    let client = process(&server, &disk, Resume::On);
    server.swap_keys(&mut other);
    let outcome = tokio::select! {
        outcome = client.connect() => outcome,
        _conn = server.accept() => unreachable!("the client does not answer"),
    };
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Handshake { .. }), "{}", error.chain());
    client.address().await.unwrap();
    server.swap_keys(&mut other);
    let client = process(&server, &disk, Resume::On);
    assert_eq!(login(&mut server, &client).await, Pattern::Ik);
}

#[tokio::test]
async fn what_the_store_holds_and_does_not_read_is_forgotten() {
    let (mut server, disk) = (Server::new(), disk());
    for garbage in [&b""[..], &[1; 32], &[1; 96], &[2; 97]] {
        {
            let mut store = disk.lock().unwrap();
            let mut tx = store.begin().unwrap();
            tx.set_fact(Fact::SERVER_STATIC, Some(garbage)).unwrap();
            tx.commit().unwrap();
        }
        let client = process(&server, &disk, Resume::On);
        assert_eq!(login(&mut server, &client).await, Pattern::Xx);
        assert_eq!(login(&mut server, &client).await, Pattern::Ik);
    }
}

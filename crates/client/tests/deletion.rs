//! Deletion of the account, half done in every way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use landbridge::stanza::stream::{FailureReason, LoginFailure};
use landbridge::stanza::{ClientRequest, ClientStanza, Request};
use landbridge::store::{ClientStore, Enlistment, OutState, SqliteStore};
use landbridge::wire::Jid;
use landbridge::{Client, Error, SendFailure};
use support::{Conn, OWN, Phone, Server, enlist_in, enlisted_store, now};

/// The next request of the client that a test answers by itself.
async fn request(conn: &mut Conn) -> (String, ClientRequest) {
    match conn.next().await {
        ClientStanza::Request { id, request, .. } => (id, request),
        other => panic!("no request: {other:?}"),
    }
}

async fn deletion(conn: &mut Conn) -> String {
    match request(conn).await {
        (id, ClientRequest::DeleteAccount(_)) => id,
        other => panic!("no deletion: {other:?}"),
    }
}

async fn confirm(conn: &mut Conn, id: &str) {
    let node = landbridge::stanza::account::DeleteAccount.reply_node(&(), id, &conn.profile);
    conn.send(&node).await;
}

/// A client with a session, a verified peer, and a message that waits.
async fn with_a_past(server: &mut Server, store: impl ClientStore + 'static) -> (Client, Conn, Jid) {
    let client = server.builder(store).build().unwrap();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new("14155551001");
    let to = phone.jid.clone();
    let (id, _) = tokio::join!(client.send_text(&to, "hello"), conn.serve_keys(&mut phone));
    id.unwrap();
    assert!(matches!(conn.next().await, ClientStanza::Message(_)));
    let number = client.safety_number(&to).await.unwrap();
    client.mark_verified(&number).await.unwrap();
    (client, conn, to)
}

/// Every key is gone; what was said is not.
fn assert_wiped(store: &mut dyn ClientStore, to: &Jid) {
    let whom = landbridge::signal::Address::new(to.user_part(), 0);
    let tx = store.begin().unwrap();
    assert!(tx.account().unwrap().is_none());
    assert!(tx.identity_key().is_err());
    assert!(tx.load_session(&whom).unwrap().is_none());
    assert!(tx.remote_identity(&whom).unwrap().is_none());
    assert!(tx.signed_prekeys().unwrap().is_empty());
    assert_eq!(tx.prekey_counts().unwrap().stored, 0);
    assert!(tx.peers().unwrap().is_empty());
    assert!(tx.pending(0, 10).unwrap().is_empty());
}

/// The file, once its last user has let it go.
async fn reopened(path: &std::path::Path) -> SqliteStore {
    loop {
        match SqliteStore::open(path) {
            Ok(store) => return store,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_process_killed_between_wish_and_answer_asks_again_and_sends_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alice.db");
    let mut server = Server::new();
    let mut store = SqliteStore::open(&path).unwrap();
    enlist_in(&mut store);
    let (client, mut conn, to) = with_a_past(&mut server, store).await;
    let deleting = client.clone();
    let task = tokio::spawn(async move { deleting.delete_account().await });
    deletion(&mut conn).await;
    // Killed here.
    task.abort();
    let _ = task.await;
    drop((client, conn));

    let client = server.builder(reopened(&path).await).build().unwrap();
    // Refused at once, before any login.
    assert!(matches!(client.send_text(&to, "too late").await, Err(Error::NotEnlisted)));
    let mut conn = server.connect(&client).await;
    let id = deletion(&mut conn).await;
    assert!(matches!(client.send_text(&to, "too late").await, Err(Error::NotEnlisted)));
    confirm(&mut conn, &id).await;
    let rest = conn.until_closed().await;
    assert!(!rest.iter().any(|stanza| matches!(stanza, ClientStanza::Message(_))), "{rest:?}");
    client.closed().await;
    assert_eq!(client.address().await.unwrap(), None);
    assert!(matches!(client.connect().await, Err(Error::NotEnlisted)));
    drop(client);
    assert_wiped(&mut reopened(&path).await, &to);
}

#[tokio::test]
async fn what_waited_fails_with_the_account_and_whoever_waits_for_it_is_told() {
    let mut server = Server::new();
    let (client, mut conn, to) = with_a_past(&mut server, enlisted_store()).await;
    let id = client.send_text(&to, "never acked").await.unwrap();
    assert!(matches!(conn.next().await, ClientStanza::Message(_)));
    let (waiter, peer, waited) = (client.clone(), to.clone(), id.clone());
    let waiting = tokio::spawn(async move { waiter.wait_for(&peer, &waited, OutState::Sent).await });
    let (deleted, ()) = tokio::join!(client.delete_account(), async {
        let id = deletion(&mut conn).await;
        confirm(&mut conn, &id).await;
    });
    deleted.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), OutState::Failed);
    let why = client.why_failed(&to, &id).await.unwrap();
    assert_eq!(why, Some(SendFailure::NotSent { reason: "account deleted".to_owned() }));
}

#[tokio::test]
async fn a_login_that_is_refused_afterwards_means_that_it_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alice.db");
    let mut server = Server::new();
    let mut store = SqliteStore::open(&path).unwrap();
    enlist_in(&mut store);
    let (client, mut conn, to) = with_a_past(&mut server, store).await;
    let (lost, ()) = tokio::join!(client.delete_account(), async {
        deletion(&mut conn).await;
        drop(conn);
    });
    assert!(matches!(lost, Err(Error::Disconnected { .. })), "{lost:?}");
    // Whoever stays connected finds out by itself, and does not enlist anew.
    let runner = client.clone();
    let run = tokio::spawn(async move { runner.run().await });
    let mut conn = server.accept().await;
    conn.send(&LoginFailure::new(FailureReason::LoggedOut).to_node(&conn.profile)).await;
    assert_eq!(run.await.unwrap().code(), "not_enlisted");
    assert_eq!(client.address().await.unwrap(), None);
    drop((client, conn));
    assert_wiped(&mut reopened(&path).await, &to);
}

#[tokio::test]
async fn an_account_that_the_server_has_forgotten_is_deleted_without_it() {
    let server = Server::new();
    let mut store = enlisted_store();
    let mut tx = store.begin().unwrap();
    tx.set_enlistment(&Enlistment::Lapsed { login: OWN.to_owned(), at: now() }).unwrap();
    tx.commit().unwrap();
    let client = server.builder(store).build().unwrap();
    client.delete_account().await.unwrap();
    assert!(matches!(client.own_keys().await, Err(Error::NotEnlisted)));
    assert!(matches!(client.delete_account().await, Err(Error::NotEnlisted)));
    // One that it knows needs a connection.
    let client = server.client();
    assert!(matches!(client.delete_account().await, Err(Error::NotConnected)));
    assert_eq!(client.address().await.unwrap(), Some(support::own()));
}

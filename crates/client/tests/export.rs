//! The account moves to another device; a backup is put back. Identity stays, no key is used twice, nothing is lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::fs;
use std::path::Path;

use landbridge::stanza::ack::AckIn;
use landbridge::stanza::keys::FetchReason;
use landbridge::stanza::message::{EncType, MessageOut};
use landbridge::stanza::{ClientRequest, ClientStanza, MessageId, Request};
use landbridge::store::{ExportSecret, OutState, SqliteStore};
use landbridge::{Client, Error, Event, Events, Reaction};
use support::{Conn, Phone, Server, enlist_in, event, now, text};

const BOB: &str = "14155551001";

fn secret() -> ExportSecret {
    ExportSecret::key([7; 32])
}

async fn message(conn: &mut Conn) -> MessageOut {
    loop {
        if let ClientStanza::Message(message) = conn.next().await {
            return *message;
        }
    }
}

/// Sends a text that the phone opens and the server acks.
async fn deliver(client: &Client, conn: &mut Conn, phone: &mut Phone, text: &str) -> MessageOut {
    let to = phone.jid.clone();
    let id = client.send_text(&to, text).await.unwrap();
    taken(client, conn, phone, &id, text).await
}

async fn taken(
    client: &Client,
    conn: &mut Conn,
    phone: &mut Phone,
    id: &MessageId,
    text: &str,
) -> MessageOut {
    let sent = message(conn).await;
    assert_eq!((&sent.id, phone.open(&sent.encs[0]).unwrap().as_str()), (id, text));
    conn.send(&AckIn::message(id.as_str(), phone.jid.clone(), now()).to_node(&conn.profile)).await;
    let to = phone.jid.clone();
    // A receipt for what the phone wrote may come meanwhile.
    conn.serve_all_while(client.wait_for(&to, id, OutState::Sent)).await.unwrap();
    sent
}

/// A client over a file, connected, that has exchanged a message with a phone each way.
async fn acquainted(server: &mut Server, path: &Path, phone: &mut Phone) -> (Client, Events, Conn) {
    let mut store = SqliteStore::open(path).unwrap();
    enlist_in(&mut store);
    let client = server.builder(store).build().unwrap();
    let mut events = client.events();
    let mut conn = server.connect(&client).await;
    phone.meet(&conn.uploads[0].clone());
    conn.send(&phone.message("B0", "hello").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "hello");
    deliver(&client, &mut conn, phone, "hello to you").await;
    // Asking for the next event takes the last one; there is one more for that.
    conn.send(&phone.message("B1", "and").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "and");
    (client, events, conn)
}

/// Answers the client's fetch of the phone's keys. Receipts that are still owed may come before it.
async fn serve_keys(conn: &mut Conn, phone: &mut Phone) -> FetchReason {
    loop {
        if let ClientStanza::Request { id, request: ClientRequest::FetchKeys(request), .. } =
            conn.next().await
        {
            let node = request.reply_node(&vec![phone.fetched()], &id, &conn.profile);
            conn.send(&node).await;
            return request.users[0].reason;
        }
    }
}

/// Opens a file whose last user is about to let it go. Beside the runtime, since opening waits for the other.
async fn reopen(path: &Path) -> SqliteStore {
    loop {
        let path = path.to_owned();
        match tokio::task::spawn_blocking(move || SqliteStore::open(path)).await.unwrap() {
            Ok(store) => return store,
            Err(landbridge::store::StoreError::InUse { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_new_phone_goes_on_in_the_same_sessions_and_the_old_one_is_fenced() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::new();
    let mut phone = Phone::new(BOB);
    let (old, mut events, mut conn) =
        acquainted(&mut server, &directory.path().join("old.db"), &mut phone).await;
    let (exported, _rest) = tokio::join!(old.export(Vec::new(), secret()), conn.until_closed());
    let file = exported.unwrap();
    assert!(matches!(
        event(&mut events, |event| match event {
            Event::Disconnected { .. } => Some(event.clone()),
            _ => None,
        })
        .await,
        Event::Disconnected { .. }
    ));

    // The old one does nothing any more that could be seen outside.
    let error = old.connect().await.unwrap_err();
    assert!(matches!(error, Error::HandedOver { .. }), "{error:?}");
    assert_eq!((error.code(), error.reaction()), ("handed_over", Reaction::AskUser));
    assert!(error.to_string().contains("take it back here"), "{error}");
    assert_eq!(old.send_text(&phone.jid, "no").await.unwrap_err().code(), "handed_over");
    assert_eq!(old.mark_read(&phone.jid, &["B0".parse().unwrap()]).await.unwrap_err().code(), "handed_over");
    assert_eq!(old.export(Vec::new(), secret()).await.unwrap_err().code(), "handed_over");
    assert_eq!(old.run().await.code(), "handed_over");

    // The new one is the same account, in the same sessions: no keys are fetched, none are uploaded, no first message.
    let path = directory.path().join("new.db");
    let store = SqliteStore::import(&path, &file[..], &secret()).unwrap();
    let new = server.builder(store).build().unwrap();
    let mut conn = server.connect(&new).await;
    assert_eq!(new.address().await.unwrap(), old.address().await.unwrap());
    let sent = deliver(&new, &mut conn, &mut phone, "from the new phone").await;
    assert_eq!(sent.encs[0].kind, EncType::Message);
    assert!(conn.uploads.is_empty());
    let mut events = new.events();
    conn.send(&phone.message("B2", "welcome").to_node(&conn.profile)).await;
    // What the old one had taken but not confirmed comes first.
    assert_eq!([text(&mut events).await, text(&mut events).await], ["and", "welcome"]);
}

#[tokio::test]
async fn an_account_that_is_taken_back_begins_new_sessions() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.db");
    let mut server = Server::new();
    let mut phone = Phone::new(BOB);
    let (client, events, mut conn) = acquainted(&mut server, &path, &mut phone).await;
    let (exported, _rest) = tokio::join!(client.export(Vec::new(), secret()), conn.until_closed());
    exported.unwrap();
    drop((client, events));

    // The fence outlives the process; taking back does as well.
    let client = server.builder(reopen(&path).await).build().unwrap();
    assert_eq!(client.connect().await.unwrap_err().code(), "handed_over");
    client.take_back().await.unwrap();
    client.take_back().await.unwrap();
    let mut conn = server.connect(&client).await;
    assert!(!conn.uploads[0].prekeys.is_empty(), "new one-time keys before anything else");
    let to = phone.jid.clone();
    let (id, reason) = tokio::join!(client.send_text(&to, "back again"), serve_keys(&mut conn, &mut phone));
    assert_eq!(reason, FetchReason::IdentityChanged);
    let sent = taken(&client, &mut conn, &mut phone, &id.unwrap(), "back again").await;
    assert_eq!(sent.encs[0].kind, EncType::PreKey);
}

#[tokio::test]
async fn a_backup_that_is_put_back_is_told_and_uses_no_key_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let mut server = Server::new();
    let mut phone = Phone::new(BOB);
    let (client, events, mut conn) = acquainted(&mut server, &path, &mut phone).await;
    let waiting = client.send_text(&phone.jid, "waiting").await.unwrap();
    let first = message(&mut conn).await;
    let ((), _rest) = tokio::join!(client.disconnect(), conn.until_closed());
    drop((client, events));
    drop(reopen(&path).await);
    let backup = fs::read(&path).unwrap();

    // Life goes on: the message is acked, another is sent.
    let client = server.builder(reopen(&path).await).build().unwrap();
    let mut conn = server.connect(&client).await;
    let again = message(&mut conn).await;
    assert_eq!((again.id.clone(), &again.encs[0].ciphertext), (waiting.clone(), &first.encs[0].ciphertext));
    assert_eq!(phone.open(&again.encs[0]).unwrap(), "waiting");
    conn.send(&AckIn::message(waiting.as_str(), phone.jid.clone(), now()).to_node(&conn.profile)).await;
    deliver(&client, &mut conn, &mut phone, "after the backup").await;
    let late = phone.message("B7", "late, in the old session");
    let ((), _rest) = tokio::join!(client.disconnect(), conn.until_closed());
    drop(client);
    drop(reopen(&path).await);

    fs::write(&path, backup).unwrap();
    let client = server.builder(reopen(&path).await).build().unwrap();
    let mut events = client.events();
    let told = |event: &Event| match event {
        Event::StoreRolledBack { found, expected } => Some((*found, *expected)),
        _ => None,
    };
    let (found, expected) = event(&mut events, told).await;
    assert!(expected.is_some_and(|expected| expected > found), "{found} {expected:?}");
    // Not taken yet: another stream is told again, and taking it ends that.
    drop(events);
    let mut events = client.events();
    assert_eq!(event(&mut events, told).await, (found, expected));
    assert_eq!(text(&mut events).await, "and");

    let mut conn = server.connect(&client).await;
    assert!(!conn.uploads[0].prekeys.is_empty(), "new one-time keys before anything else");
    // The pending message goes out in a new session, under its old id: the phone knows it and shows it once.
    serve_keys(&mut conn, &mut phone).await;
    let renewed = message(&mut conn).await;
    assert_eq!((renewed.id, renewed.encs[0].kind.clone()), (waiting, EncType::PreKey));
    assert_eq!(phone.open(&renewed.encs[0]).unwrap(), "waiting");
    // What was on its way in the old session still opens.
    conn.send(&late.to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "late, in the old session");
    drop((client, events));
    let client = server.builder(reopen(&path).await).build().unwrap();
    let mut events = client.events();
    let next = event(&mut events, |event| Some(event.clone())).await;
    assert!(matches!(next, Event::Message(_)), "told once: {next:?}");
}

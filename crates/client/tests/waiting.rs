//! Waiting for a message of ours to get somewhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use landbridge::Error;
use landbridge::stanza::ack::AckIn;
use landbridge::stanza::codes::MessageErrorCode;
use landbridge::stanza::receipt::{ReceiptIn, ReceiptType};
use landbridge::stanza::{ClientStanza, MessageId};
use landbridge::store::OutState;
use support::{Conn, Phone, Server, now};

async fn sent(conn: &mut Conn) -> MessageId {
    match conn.next().await {
        ClientStanza::Message(message) => message.id,
        other => panic!("no message: {other:?}"),
    }
}

#[tokio::test]
async fn a_wait_ends_with_the_state_and_outlives_a_connection() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new("14155551001");
    phone.meet(&conn.uploads[0]);
    let to = phone.jid.clone();
    let (id, _) = tokio::join!(client.send_text(&to, "Hallo"), conn.serve_keys(&mut phone));
    let id = id.unwrap();
    assert_eq!(sent(&mut conn).await, id);
    let waiting = |goal| {
        let (client, to, id) = (client.clone(), to.clone(), id.clone());
        tokio::spawn(async move { client.wait_for(&to, &id, goal).await })
    };
    let (taken, read) = (waiting(OutState::Sent), waiting(OutState::Read));
    conn.send(&AckIn::message(id.as_str(), to.clone(), now()).to_node(&conn.profile)).await;
    assert_eq!(taken.await.unwrap().unwrap(), OutState::Sent);

    drop(conn);
    client.closed().await.unwrap();
    assert!(!read.is_finished());
    let mut conn = server.connect(&client).await;
    let receipt = ReceiptIn::new(ReceiptType::Read, to.clone(), id.clone(), now());
    conn.send(&receipt.to_node(&conn.profile)).await;
    assert_eq!(read.await.unwrap().unwrap(), OutState::Read);
    // What is reached already is told at once.
    assert_eq!(client.wait_for(&to, &id, OutState::Delivered).await.unwrap(), OutState::Read);
}

#[tokio::test]
async fn a_refused_message_ends_the_wait_and_an_unknown_one_is_an_error() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new("14155551001");
    let to = phone.jid.clone();
    let (id, _) = tokio::join!(client.send_text(&to, "Hallo"), conn.serve_keys(&mut phone));
    let id = id.unwrap();
    sent(&mut conn).await;
    let refusal = AckIn::message(id.as_str(), to.clone(), now()).refused(MessageErrorCode::ReachOutLocked);
    conn.send(&refusal.to_node(&conn.profile)).await;
    assert_eq!(client.wait_for(&to, &id, OutState::Delivered).await.unwrap(), OutState::Failed);

    let unknown = MessageId::try_from("3EB0".to_owned()).unwrap();
    let error = client.wait_for(&to, &unknown, OutState::Sent).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchMessage), "{error}");
}

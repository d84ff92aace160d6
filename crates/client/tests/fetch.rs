//! One visit to the mailbox.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::time::Duration;

use landbridge::proto::handshake::client_payload::ConnectReason;
use landbridge::stanza::ClientStanza;
use landbridge::stanza::ib::{Ib, OfflinePreview};
use landbridge::stanza::stream::Success;
use landbridge::{Client, Fetched};
use support::{Conn, Phone, Server, now, text};

const LIMIT: Duration = Duration::from_secs(30);

/// A client that has been there before, and a phone that can write to it.
async fn acquainted(server: &mut Server) -> (Client, Phone) {
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new("14155551001");
    phone.meet(&conn.uploads[0]);
    let ((), _rest) = tokio::join!(client.disconnect(), conn.until_closed());
    (client, phone)
}

async fn deliver(conn: &mut Conn, phone: &mut Phone, texts: &[&str]) {
    let count = u32::try_from(texts.len()).unwrap();
    let preview = OfflinePreview { count, message: count, ..OfflinePreview::default() };
    conn.send(&Ib::OfflinePreview(preview).to_node(&conn.profile)).await;
    for text in texts {
        conn.send(&phone.message(text, text).to_node(&conn.profile)).await;
    }
}

fn texts(fetched: &Fetched) -> Vec<&str> {
    fetched.messages.iter().filter_map(|message| message.text()).collect()
}

#[tokio::test]
async fn the_mailbox_is_emptied_and_receipted_before_the_client_leaves() {
    let mut server = Server::new();
    let (client, mut phone) = acquainted(&mut server).await;
    let serve = async {
        let mut conn = server.active().await;
        assert_eq!(conn.login.connect_reason, Some(ConnectReason::Push));
        assert!(conn.login.short_connect);
        deliver(&mut conn, &mut phone, &["one", "two", "three"]).await;
        conn.send(&Ib::Offline { count: 3 }.to_node(&conn.profile)).await;
        conn.until_closed().await
    };
    let (fetched, rest) = tokio::join!(client.fetch_once(LIMIT), serve);
    let fetched = fetched.unwrap();
    assert_eq!(texts(&fetched), ["one", "two", "three"]);
    assert!(fetched.caught_up);
    let receipted: usize = rest
        .iter()
        .map(|stanza| match stanza {
            ClientStanza::Receipt(receipt) => receipt.ids().count(),
            _ => 0,
        })
        .sum();
    assert_eq!(receipted, 3, "{rest:?}");
    // They are the application's as ever.
    let mut events = client.events();
    assert_eq!(text(&mut events).await, "one");
    assert_eq!(text(&mut events).await, "two");
    // Another visit brings what is new.
    let serve = async {
        let mut conn = server.active().await;
        deliver(&mut conn, &mut phone, &["four"]).await;
        conn.send(&Ib::Offline { count: 1 }.to_node(&conn.profile)).await;
        conn.until_closed().await
    };
    let (fetched, _rest) = tokio::join!(client.fetch_once(LIMIT), serve);
    assert_eq!(texts(&fetched.unwrap()), ["four"]);
}

#[tokio::test]
async fn time_that_is_up_and_a_server_that_leaves_are_no_errors() {
    let mut server = Server::new();
    let (client, mut phone) = acquainted(&mut server).await;
    let serve = async {
        let mut conn = server.active().await;
        deliver(&mut conn, &mut phone, &["one"]).await;
        assert!(matches!(conn.next().await, ClientStanza::Receipt(_)));
    };
    let (fetched, ()) = tokio::join!(client.fetch_once(LIMIT), serve);
    let fetched = fetched.unwrap();
    assert_eq!(texts(&fetched), ["one"]);
    assert!(!fetched.caught_up);

    tokio::time::pause();
    let serve = async {
        let mut conn = server.active().await;
        deliver(&mut conn, &mut phone, &["two"]).await;
        conn.until_closed().await
    };
    let (fetched, _rest) = tokio::join!(client.fetch_once(LIMIT), serve);
    let fetched = fetched.unwrap();
    assert_eq!(texts(&fetched), ["two"]);
    assert!(!fetched.caught_up);

    let serve = async {
        let mut conn = server.accept().await;
        conn.send(&Success::at(now()).to_node(&conn.profile)).await;
        // Nothing more: the activation is not answered.
        while conn.payload().await.is_some() {}
    };
    let (late, ()) = tokio::join!(client.fetch_once(LIMIT), serve);
    assert_eq!(late.unwrap_err().code(), "timed_out");
}

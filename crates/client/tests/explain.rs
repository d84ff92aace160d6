//! What `explain` tells of a message: every step, and nothing of what it says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use landbridge::stanza::ack::AckIn;
use landbridge::stanza::message::{Enc, EncType};
use landbridge::stanza::receipt::{ReceiptIn, ReceiptType};
use landbridge::stanza::retry::Retry;
use landbridge::stanza::{ClientStanza, MessageId};
use landbridge::store::{OutState, SqliteStore};
use landbridge::{Client, Explanation, Standing, explain_offline};
use support::{Conn, Phone, Server, enlist_in, event, now, text};

const BOB: &str = "14155551001";
const CANARY: &str = "canary-in-a-coal-mine";

/// Answers everything up to a ping, so that all that was asked of the client before is done and stored.
async fn settled(client: &Client, conn: &mut Conn) -> Vec<ClientStanza> {
    let mut seen = Vec::new();
    let ping = client.ping();
    tokio::pin!(ping);
    loop {
        tokio::select! {
            pong = &mut ping => {
                pong.unwrap();
                return seen;
            }
            stanza = conn.stanza() => {
                let stanza = stanza.expect("the client is there");
                if !conn.serve(&stanza).await {
                    seen.push(stanza);
                }
            }
        }
    }
}

/// Waits until the trail of a message holds a step.
async fn explained(client: &Client, conn: &mut Conn, id: &str, last: &str) -> Explanation {
    loop {
        settled(client, conn).await;
        let mut found = client.explain(&id.parse().unwrap()).await.unwrap();
        if found.iter().any(|found| found.trail.iter().any(|entry| entry.step.name() == last)) {
            assert_eq!(found.len(), 1);
            return found.remove(0);
        }
    }
}

fn steps(explanation: &Explanation) -> Vec<String> {
    explanation.trail.iter().map(|entry| entry.step.to_string()).collect()
}

#[tokio::test]
async fn a_message_of_ours_is_followed_from_the_store_to_the_reader() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new(BOB);
    let to = phone.jid.clone();
    let (id, _) = tokio::join!(client.send_text(&to, CANARY), conn.serve_keys(&mut phone));
    let id: MessageId = id.unwrap();
    let name = id.as_str();
    assert!(matches!(conn.next().await, ClientStanza::Message(_)));
    conn.send(&AckIn::message(name, phone.jid.clone(), now()).to_node(&conn.profile)).await;
    let mut receipt = ReceiptIn::new(ReceiptType::Retry, phone.jid.clone(), id.clone(), now());
    receipt.retry =
        Some(Retry { id: id.clone(), t: now(), count: 1, error: None, registration: 99, keys: None });
    conn.send(&receipt.to_node(&conn.profile)).await;
    assert!(matches!(conn.next().await, ClientStanza::Message(_)), "the answer to the request");
    for count in [6, 1] {
        receipt.retry.as_mut().unwrap().count = count;
        conn.send(&receipt.to_node(&conn.profile)).await;
    }
    for kind in [ReceiptType::Delivered, ReceiptType::Read] {
        conn.send(&ReceiptIn::new(kind, phone.jid.clone(), id.clone(), now()).to_node(&conn.profile)).await;
    }
    let told = loop {
        let told = explained(&client, &mut conn, name, "moved").await;
        let read = Standing::Sent { state: OutState::Read, failure: None, retries: 1 };
        if told.standing == read && told.trail.iter().any(|entry| entry.step.name() == "retry_ignored") {
            break told;
        }
    };
    assert_eq!((told.chat.clone(), told.id.clone()), (phone.jid.clone(), id.clone()));
    let all = steps(&told);
    // Requests are answered beside the reading, so those steps have an order of their own.
    let retries: Vec<_> =
        all.iter().filter(|step| step.contains("request") || step.contains("again")).collect();
    assert_eq!(
        retries[..2],
        ["the recipient could not open it: request 1 for it", "encrypted anew in answer to request 1",]
    );
    assert!(all.contains(&"not sent again: it was asked for too often".to_owned()), "{all:#?}");
    let rest: Vec<_> =
        all.iter().filter(|step| !step.contains("request") && !step.contains("again")).collect();
    assert_eq!(
        rest,
        [
            "encrypted and stored, to be sent",
            "handed to the connection",
            "taken by the server",
            "now delivered",
            "now read"
        ]
    );
    assert!(!format!("{told:?}{all:?}").contains(CANARY));
}

#[tokio::test]
async fn a_message_of_theirs_is_followed_from_the_first_failure_to_the_receipt() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let mut store = SqliteStore::open(&path).unwrap();
    enlist_in(&mut store);
    let mut server = Server::new();
    let client = server.builder(store).build().unwrap();
    let mut events = client.events();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new(BOB);
    phone.meet(&conn.uploads[0].clone());
    let _lost = phone.enc("lost");
    let broken = phone.stanza("B1", Enc::new(EncType::Message, vec![0x33; 60]));
    for _ in 0..2 {
        conn.send(&broken.to_node(&conn.profile)).await;
    }
    let request = loop {
        let ClientStanza::Receipt(receipt) = conn.next().await else { continue };
        break receipt.retry.unwrap();
    };
    if let Some(keys) = &request.keys {
        phone.meet_again(request.registration, keys);
    }
    let mut enc = phone.enc(CANARY);
    enc.count = Some(1);
    let whole = phone.stanza("B1", enc);
    conn.send(&whole.to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, CANARY);
    conn.send(&whole.to_node(&conn.profile)).await;
    conn.send(&phone.message("B2", "the next one").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "the next one");
    explained(&client, &mut conn, "B2", "answered").await;
    let told = explained(&client, &mut conn, "B1", "answered").await;
    assert_eq!(told.standing, Standing::Received { taken: true, receipt_owed: false });
    let all = steps(&told);
    let decided: Vec<_> = all.iter().filter(|step| !step.ends_with("written to the server")).collect();
    assert!(decided[0].starts_with("did not open: "), "{decided:#?}");
    assert_eq!(
        decided[1..],
        [
            "asked for again: request 1",
            "came again; only its receipt is repeated",
            "opened at last and stored: text",
            "came again; only its receipt is repeated",
        ]
    );
    for answer in ["retry receipt", "ack", "delivery receipt"] {
        assert!(all.contains(&format!("{answer} written to the server")), "{answer} in {all:#?}");
    }
    assert_eq!(client.explain(&"B3".parse().unwrap()).await.unwrap(), []);

    // The same from the file, when no client has it; and no text is in the trail.
    let ((), _rest) = tokio::join!(client.disconnect(), conn.until_closed());
    drop(events);
    drop(client);
    let mut store = loop {
        // The client's last steps may still be under way.
        let path = path.clone();
        if let Ok(store) = tokio::task::spawn_blocking(move || SqliteStore::open(path)).await.unwrap() {
            break store;
        }
    };
    let offline = explain_offline(&mut store, &"B1".parse().unwrap()).unwrap();
    assert_eq!(offline[0].trail[..told.trail.len()], told.trail);
    drop(store);
    let raw = rusqlite::Connection::open(&path).unwrap();
    let mut rows = raw.prepare("SELECT chat || id || coalesce(detail, '') FROM trail").unwrap();
    let rows: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(rows.len() > 5 && rows.iter().all(|row| !row.contains(CANARY)), "{rows:#?}");
}

#[tokio::test]
async fn what_was_written_and_never_acked_is_told_after_the_connection() {
    let mut server = Server::new();
    let client = server.client();
    let mut events = client.events();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new(BOB);
    let to = phone.jid.clone();
    let (id, _) = tokio::join!(client.send_text(&to, CANARY), conn.serve_keys(&mut phone));
    let id = id.unwrap();
    assert!(matches!(conn.next().await, ClientStanza::Message(_)));
    drop(conn);
    client.closed().await;
    event(&mut events, |event| matches!(event, landbridge::Event::Disconnected { .. }).then_some(())).await;
    let mut conn = server.connect(&client).await;
    assert!(matches!(conn.next().await, ClientStanza::Message(_)), "it goes again");
    let told = explained(&client, &mut conn, id.as_str(), "written").await;
    assert_eq!(steps(&told), ["encrypted and stored, to be sent", "handed to the connection"]);
    assert_eq!(told.standing, Standing::Sent { state: OutState::Pending, failure: None, retries: 0 });
}

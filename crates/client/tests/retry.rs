//! Retry requests: who gets an answer, in which session, how often; and messages that never open.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use landbridge::stanza::ack::{AckIn, AckOut};
use landbridge::stanza::message::{Enc, EncType, MessageOut};
use landbridge::stanza::receipt::{ReceiptIn, ReceiptOut, ReceiptType};
use landbridge::stanza::retry::{Retry, RetryKeys};
use landbridge::stanza::{ClientRequest, ClientStanza, MessageId};
use landbridge::store::MemoryStore;
use landbridge::{Client, Clock, Event};
use support::{Conn, Phone, Server, enlisted_store, event, now, text};

const BOB: &str = "14155551001";
const REGISTRATION: u32 = 99;

#[derive(Clone)]
struct SetClock(Arc<AtomicU64>);

impl SetClock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(now())))
    }

    fn forward(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

async fn message(conn: &mut Conn) -> MessageOut {
    match conn.next().await {
        ClientStanza::Message(message) => *message,
        other => panic!("no message: {other:?}"),
    }
}

async fn ack(conn: &mut Conn) -> AckOut {
    match conn.next().await {
        ClientStanza::Ack(ack) => ack,
        other => panic!("no ack: {other:?}"),
    }
}

/// A client on a clock of the test, and a phone that has opened a message of it.
async fn acquainted(server: &mut Server) -> (Client, Conn, Phone, SetClock) {
    let clock = SetClock::new();
    let client = server.builder(enlisted_store()).clock(clock.clone()).build().unwrap();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new(BOB);
    let to = phone.jid.clone();
    let (id, _) = tokio::join!(client.send_text(&to, "hello"), conn.serve_keys(&mut phone));
    let sent = message(&mut conn).await;
    assert_eq!(phone.open(&sent.encs[0]).unwrap(), "hello");
    conn.send(&AckIn::message(id.unwrap().as_str(), to, now()).to_node(&conn.profile)).await;
    (client, conn, phone, clock)
}

/// A message that the server takes.
async fn sent(client: &Client, conn: &mut Conn, phone: &Phone, words: &str) -> (MessageId, MessageOut) {
    let id = client.send_text(&phone.jid, words).await.unwrap();
    let stanza = message(conn).await;
    conn.send(&AckIn::message(id.as_str(), phone.jid.clone(), now()).to_node(&conn.profile)).await;
    (id, stanza)
}

async fn ask(conn: &mut Conn, phone: &Phone, id: &MessageId, count: u8, registration: u32) {
    ask_with(conn, phone, id, count, registration, None).await;
}

async fn ask_with(
    conn: &mut Conn,
    phone: &Phone,
    id: &MessageId,
    count: u8,
    registration: u32,
    keys: Option<RetryKeys>,
) {
    let retry = Retry { id: id.clone(), t: now(), count, error: None, registration, keys };
    let mut receipt = ReceiptIn::new(ReceiptType::Retry, phone.jid.clone(), id.clone(), now());
    receipt.retry = Some(retry);
    conn.send(&receipt.to_node(&conn.profile)).await;
}

/// Keys as a phone sends them along with a request.
fn keys_of(phone: &mut Phone) -> RetryKeys {
    let bundle = phone.fetched().bundle.unwrap();
    RetryKeys {
        identity: bundle.identity,
        prekey: bundle.prekey,
        signed_prekey: bundle.signed_prekey,
        device_identity: None,
    }
}

#[tokio::test]
async fn another_registration_ends_the_session() {
    let mut server = Server::new();
    let (client, mut conn, mut phone, _) = acquainted(&mut server).await;
    let (id, _) = sent(&client, &mut conn, &phone, "for whom?").await;
    // Already the first request: a session with who has another registration id is one with somebody who is gone.
    ask(&mut conn, &phone, &id, 1, REGISTRATION + 1).await;
    conn.serve_keys(&mut phone).await;
    let again = message(&mut conn).await;
    assert_eq!((again.encs[0].kind.clone(), again.encs[0].count), (EncType::PreKey, Some(1)));
    assert_eq!(phone.open(&again.encs[0]).unwrap(), "for whom?");
    ack(&mut conn).await;
}

#[tokio::test]
async fn keys_are_fetched_for_retries_once_an_hour_also_across_restarts() {
    let mut server = Server::new();
    let clock = SetClock::new();
    let disk: Arc<std::sync::Mutex<MemoryStore>> = Arc::new(std::sync::Mutex::new(enlisted_store()));
    let process = |server: &Server| {
        let store = Kept { store: disk.lock().unwrap().clone(), disk: Arc::clone(&disk) };
        server.builder(store).clock(clock.clone()).build().unwrap()
    };
    let client = process(&server);
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new(BOB);
    let to = phone.jid.clone();
    let (id, _) = tokio::join!(client.send_text(&to, "one"), conn.serve_keys(&mut phone));
    message(&mut conn).await;
    let id = id.unwrap();
    ask(&mut conn, &phone, &id, 2, REGISTRATION).await;
    conn.serve_keys(&mut phone).await;
    assert_eq!(phone.open(&message(&mut conn).await.encs[0]).unwrap(), "one");
    ack(&mut conn).await;
    // Neither a higher count, nor a registration that never was, costs another key before the hour is over.
    for (count, registration) in [(3, REGISTRATION), (4, REGISTRATION + 7)] {
        ask(&mut conn, &phone, &id, count, registration).await;
        let again = message(&mut conn).await;
        assert_eq!(again.encs[0].count, Some(count));
        assert_eq!(phone.open(&again.encs[0]).unwrap(), "one");
        ack(&mut conn).await;
    }
    client.address().await.unwrap();
    drop((client, conn));

    clock.forward(3_590);
    let client = process(&server);
    let mut conn = server.connect(&client).await;
    // It was never acked, so it comes first.
    message(&mut conn).await;
    let (second, _) = sent(&client, &mut conn, &phone, "two").await;
    ask(&mut conn, &phone, &second, 2, REGISTRATION).await;
    assert_eq!(message(&mut conn).await.encs[0].count, Some(2));
    ack(&mut conn).await;
    clock.forward(20);
    ask(&mut conn, &phone, &second, 3, REGISTRATION).await;
    conn.serve_keys(&mut phone).await;
    assert_eq!(phone.open(&message(&mut conn).await.encs[0]).unwrap(), "two");
}

/// A store whose last commit outlives its client.
struct Kept {
    store: MemoryStore,
    disk: Arc<std::sync::Mutex<MemoryStore>>,
}

impl landbridge::store::ClientStore for Kept {
    fn begin(&mut self) -> Result<Box<dyn landbridge::store::StoreTx + '_>, landbridge::store::StoreError> {
        *self.disk.lock().unwrap() = self.store.clone();
        self.store.begin()
    }
}

#[tokio::test]
async fn a_peer_that_lost_many_messages_costs_one_new_session() {
    let mut server = Server::new();
    let (client, mut conn, mut phone, clock) = acquainted(&mut server).await;
    let mut lost = Vec::new();
    for n in 0..5 {
        lost.push(sent(&client, &mut conn, &phone, &n.to_string()).await.0);
    }
    clock.forward(5);
    // Each request brings keys, as it does from who has no session.
    for (n, id) in lost.iter().enumerate() {
        let keys = keys_of(&mut phone);
        ask_with(&mut conn, &phone, id, 1, REGISTRATION, Some(keys)).await;
        let again = message(&mut conn).await;
        assert_eq!(phone.open(&again.encs[0]).unwrap(), n.to_string());
        ack(&mut conn).await;
    }
    // One session at the phone beside the first: it was begun once, and used for all.
    assert_eq!(phone.sessions(), 2);
}

/// The client was away while the peer was set up anew twice. A request of the installation in between, which the client
/// never met, waited in the mailbox, and is answered only after the last one has shown itself.
#[tokio::test]
async fn keys_of_an_installation_that_is_gone_begin_no_session() {
    let mut server = Server::new();
    let (client, mut conn, phone, _) = acquainted(&mut server).await;
    let (old, _) = sent(&client, &mut conn, &phone, "old").await;
    let mut between = phone.reinstalled();
    let mut last = phone.reinstalled();
    last.meet(&conn.uploads[0].clone());
    conn.send(&last.message("3EB0AA", "it is me").to_node(&conn.profile)).await;
    conn.next().await;
    let keys = keys_of(&mut between);
    ask_with(&mut conn, &phone, &old, 1, REGISTRATION, Some(keys)).await;
    conn.serve_keys(&mut last).await;
    assert_eq!(last.open(&message(&mut conn).await.encs[0]).unwrap(), "old");
    ack(&mut conn).await;
    // And what is written from now on is for the last installation.
    let (_, new) = sent(&client, &mut conn, &phone, "new").await;
    assert_eq!(last.open(&new.encs[0]).unwrap(), "new");
}

/// The present installation is believed again, whatever came late of the one before and however lately that was.
#[tokio::test]
async fn the_present_installation_gets_its_session_back() {
    let mut server = Server::new();
    let (client, mut conn, mut phone, clock) = acquainted(&mut server).await;
    let upload = conn.uploads[0].clone();
    let mut last = phone.reinstalled();
    last.meet(&upload);
    conn.send(&last.message("3EB0AA", "it is me").to_node(&conn.profile)).await;
    conn.next().await;
    // Late: the client takes it for another change.
    phone.begin(upload.registration, upload.identity, upload.signed_prekey, upload.prekeys.get(1).copied());
    conn.send(&phone.message("3EB0BB", "late").to_node(&conn.profile)).await;
    conn.next().await;
    clock.forward(1);
    let (id, for_whom) = sent(&client, &mut conn, &phone, "who are you?").await;
    assert!(last.open(&for_whom.encs[0]).is_err());
    let keys = keys_of(&mut last);
    ask_with(&mut conn, &phone, &id, 1, REGISTRATION, Some(keys)).await;
    conn.serve_keys(&mut last).await;
    assert_eq!(last.open(&message(&mut conn).await.encs[0]).unwrap(), "who are you?");
    ack(&mut conn).await;
}

#[tokio::test]
async fn who_was_not_sent_a_message_gets_none_and_the_answers_have_an_end() {
    let mut server = Server::new();
    let (client, mut conn, phone, _) = acquainted(&mut server).await;
    let (id, _) = sent(&client, &mut conn, &phone, "for Bob alone").await;
    let eve = Phone::new("14155551666");
    for count in 1..=5 {
        ask(&mut conn, &eve, &id, count, REGISTRATION).await;
        ack(&mut conn).await;
    }
    let mut answers = 0;
    // With counts that skip, repeat and run on, for as long as somebody likes.
    for count in [1, 3, 2, 3, 4, 5, 6, 255, 5] {
        ask(&mut conn, &phone, &id, count, REGISTRATION).await;
        loop {
            match conn.next().await {
                ClientStanza::Message(_) => answers += 1,
                ClientStanza::Ack(_) => break,
                ClientStanza::Request { id, request: ClientRequest::FetchKeys(fetch), .. } => {
                    let mut again = Phone::new(BOB);
                    let node = landbridge::stanza::Request::reply_node(
                        &fetch,
                        &vec![again.fetched()],
                        &id,
                        &conn.profile,
                    );
                    conn.send(&node).await;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    // 1, 3, 3 again, 4, 5, 5 again.
    assert_eq!(answers, 6);
}

/// A message that nobody can open.
fn garbage(phone: &Phone, id: &str) -> landbridge::stanza::message::MessageIn {
    phone.stanza(id, Enc::new(EncType::Message, vec![0x33; 80]))
}

/// What a client does with each of so many stanzas: retry receipts, those of them with keys, acks.
async fn answers(conn: &mut Conn, acks: usize) -> (usize, usize) {
    let (mut asked, mut with_keys, mut acked) = (0, 0, 0);
    while acked < acks {
        match conn.next().await {
            ClientStanza::Ack(_) => acked += 1,
            ClientStanza::Receipt(receipt) => {
                let ReceiptOut { retry: Some(retry), .. } = *receipt else {
                    panic!("a receipt: {receipt:?}")
                };
                asked += 1;
                with_keys += usize::from(retry.keys.is_some());
            }
            other => panic!("{other:?}"),
        }
    }
    (asked, with_keys)
}

#[tokio::test]
async fn a_flood_of_messages_that_do_not_open_is_acked_with_bounded_work() {
    let mut server = Server::new();
    let (client, mut conn, mut phone, clock) = acquainted(&mut server).await;
    let mut events = client.events();
    let flood = 1_000;
    for n in 0..flood {
        conn.send(&garbage(&phone, &format!("G{n}")).to_node(&conn.profile)).await;
    }
    let (asked, with_keys) = answers(&mut conn, flood).await;
    assert!(asked < 600, "{asked} of {flood} were asked for again");
    assert!(with_keys < 120, "{with_keys} keys were given away");
    // Another peer is heard as ever, and so is this one once it has come to its senses.
    let mut carol = Phone::new("14155551002");
    carol.meet(&conn.uploads[0]);
    conn.send(&carol.message("C1", "hello").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "hello");
    clock.forward(60);
    phone.begin(
        conn.uploads[0].registration,
        conn.uploads[0].identity,
        conn.uploads[0].signed_prekey,
        conn.uploads[0].prekeys.last().copied(),
    );
    conn.send(&phone.message("B1", "sorry").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "sorry");
}

#[tokio::test]
async fn what_was_not_tried_in_a_flood_is_not_lost() {
    let mut server = Server::new();
    let (client, mut conn, mut phone, clock) = acquainted(&mut server).await;
    let mut events = client.events();
    for n in 0..33 {
        conn.send(&garbage(&phone, &format!("G{n}")).to_node(&conn.profile)).await;
    }
    // A good one among them, at a moment when nothing is tried.
    let good = phone.message("B1", "in the middle of it");
    conn.send(&good.to_node(&conn.profile)).await;
    answers(&mut conn, 34).await;
    let asked = event(&mut events, |event| match event {
        Event::Undecryptable { id, asked, .. } if id.as_str() == "B1" => Some(*asked),
        _ => None,
    });
    assert_eq!(asked.await, 1);
    clock.forward(60);
    let mut again = phone.message("B1", "in the middle of it");
    if let landbridge::stanza::message::MessageContent::Encrypted(encs) = &mut again.content {
        encs[0].count = Some(1);
    }
    conn.send(&again.to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "in the middle of it");
}

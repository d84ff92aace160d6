//! Safety numbers, verified users, and what a change of identity holds up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use landbridge::signal::fingerprint::{Fingerprint, ScanError};
use landbridge::stanza::ack::{AckIn, AckOut};
use landbridge::stanza::codes::IqErrorCode;
use landbridge::stanza::keys::{FetchKeys, FetchReason};
use landbridge::stanza::message::MessageOut;
use landbridge::stanza::notification::Notification;
use landbridge::stanza::receipt::{ReceiptIn, ReceiptType};
use landbridge::stanza::retry::{Retry, RetryKeys};
use landbridge::stanza::stream::Success;
use landbridge::stanza::{ClientRequest, ClientStanza, IqError, MessageId, Request};
use landbridge::store::{OutState, SqliteStore};
use landbridge::{
    Client, Comparison, Error, Event, Events, IdentityPolicy, Reaction, SafetyNumber, Sending, Verification,
};
use support::{Conn, OWN, Phone, Server, enlist_in, enlisted_store, event, now, text};

const BOB: &str = "14155551001";

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

/// The server's word that it has taken a message.
async fn taken(conn: &mut Conn, phone: &Phone, id: &MessageId) {
    conn.send(&AckIn::message(id.as_str(), phone.jid.clone(), now()).to_node(&conn.profile)).await;
}

/// A client and a phone that have each other's identity: the client has written once.
async fn acquainted(server: &mut Server, client: &Client) -> (Conn, Phone) {
    let mut conn = server.connect(client).await;
    let mut phone = Phone::new(BOB);
    let to = phone.jid.clone();
    let (id, _) = tokio::join!(client.send_text(&to, "hello"), conn.serve_keys(&mut phone));
    let sent = message(&mut conn).await;
    assert_eq!(phone.open(&sent.encs[0]).unwrap(), "hello");
    let id = id.unwrap();
    taken(&mut conn, &phone, &id).await;
    client.wait_for(&phone.jid, &id, OutState::Sent).await.unwrap();
    (conn, phone)
}

/// What the peer's app would show.
fn code_of(phone: &Phone, ours: &landbridge::noise::PublicKey) -> Fingerprint {
    let own = OWN.split('@').next().unwrap();
    Fingerprint::new(phone.jid.user_part().as_bytes(), &phone.identity(), own.as_bytes(), ours)
}

async fn verified(client: &Client, phone: &Phone) -> SafetyNumber {
    let number = client.safety_number(&phone.jid).await.unwrap();
    client.mark_verified(&number).await.unwrap();
    number
}

async fn announce(conn: &mut Conn, phone: &Phone, id: &str) {
    conn.send(&Notification::identity_changed(id, now(), phone.jid.clone()).to_node(&conn.profile)).await;
    assert_eq!(ack(conn).await.id, id);
}

/// What the next notice says.
async fn notice(events: &mut Events) -> (Verification, bool) {
    event(events, |event| match event {
        Event::IdentityChanged { verification, sending, .. } => {
            Some((*verification, matches!(sending, Sending::Held { .. })))
        }
        _ => None,
    })
    .await
}

async fn is_held(client: &Client, phone: &Phone) -> bool {
    matches!(client.peer_trust(&phone.jid).await.unwrap().sending, Sending::Held { .. })
}

/// Nothing but answers to what the server asks has gone out.
async fn nothing_goes_out(client: &Client, conn: &mut Conn) {
    conn.serve_while(client.ping()).await.unwrap();
    while let Some(stanza) = conn.stanza_now().await {
        assert!(conn.serve(&stanza).await, "unexpected: {stanza:?}");
    }
}

#[tokio::test]
async fn both_sides_have_the_same_number_and_a_scanned_code_tells_others_apart() {
    let mut server = Server::new();
    let client = server.client();
    let (conn, phone) = acquainted(&mut server, &client).await;
    let number = client.safety_number(&phone.jid).await.unwrap();
    let ours = landbridge::noise::PublicKey::from_bytes(conn.uploads[0].identity);
    let theirs = code_of(&phone, &ours);
    assert_eq!(number.digits(), theirs.numeric());
    assert_eq!((number.digits().len(), number.identity()), (60, &phone.identity()));
    assert_eq!(number.compare(&theirs.scannable(2)), Ok(Comparison::Match));
    assert_eq!(number.compare(&code_of(&phone.reinstalled(), &ours).scannable(2)), Ok(Comparison::Mismatch));
    assert_eq!(number.compare(&number.scannable()), Ok(Comparison::Mismatch), "our own code is not theirs");
    assert!(matches!(number.compare(&theirs.scannable(1)), Err(ScanError::VersionMismatch { .. })));
    assert_eq!(number.compare(b"http://example.com"), Err(ScanError::Malformed));
}

#[tokio::test]
async fn a_number_needs_keys_and_keys_need_a_connection() {
    let mut server = Server::new();
    let client = server.client();
    let mut phone = Phone::new(BOB);
    assert!(matches!(client.safety_number(&phone.jid).await, Err(Error::NotConnected)));
    let mut conn = server.connect(&client).await;
    let jid = phone.jid.clone();
    let (number, reason) = tokio::join!(client.safety_number(&jid), conn.serve_keys(&mut phone));
    assert_eq!(reason, FetchReason::NoSession);
    assert_eq!(number.unwrap().identity(), &phone.identity());
}

#[tokio::test]
async fn the_users_word_holds_for_one_identity_only() {
    let mut server = Server::new();
    let client = server.client();
    let (mut conn, phone) = acquainted(&mut server, &client).await;
    let trust = client.peer_trust(&phone.jid).await.unwrap();
    assert_eq!((trust.verification, trust.identity), (Verification::NotVerified, Some(phone.identity())));
    let number = verified(&client, &phone).await;
    assert_eq!(client.peer_trust(&phone.jid).await.unwrap().verification, Verification::Verified);

    announce(&mut conn, &phone, "n-1").await;
    let trust = client.peer_trust(&phone.jid).await.unwrap();
    assert_eq!((trust.verification, trust.identity), (Verification::WasVerified, None));
    let error = client.mark_verified(&number).await.unwrap_err();
    assert!(matches!(error, Error::OtherIdentity { .. }), "{error:?}");
    assert_eq!(error.reaction(), Reaction::AskUser);

    // The new one is fetched, compared and verified, which also ends the hold.
    let mut reinstalled = phone.reinstalled();
    let (number, reason) = tokio::join!(client.safety_number(&phone.jid), conn.serve_keys(&mut reinstalled));
    let number = number.unwrap();
    assert_eq!((reason, number.identity()), (FetchReason::IdentityChanged, &reinstalled.identity()));
    assert!(is_held(&client, &phone).await);
    client.mark_verified(&number).await.unwrap();
    let trust = client.peer_trust(&phone.jid).await.unwrap();
    assert_eq!((trust.verification, trust.sending), (Verification::Verified, Sending::Open));
    client.mark_unverified(&phone.jid).await.unwrap();
    let trust = client.peer_trust(&phone.jid).await.unwrap();
    assert_eq!(trust.verification, Verification::NotVerified);
}

#[tokio::test]
async fn nothing_goes_out_to_a_verified_peer_with_another_identity_until_it_is_accepted() {
    let mut server = Server::new();
    let client = server.client();
    let (mut conn, phone) = acquainted(&mut server, &client).await;
    let mut events = client.events();
    verified(&client, &phone).await;
    // On its way when the news comes, and never acked.
    let first = client.send_text(&phone.jid, "one").await.unwrap();
    message(&mut conn).await;
    announce(&mut conn, &phone, "n-1").await;
    assert_eq!(notice(&mut events).await, (Verification::WasVerified, true));
    let second = client.send_text(&phone.jid, "two").await.unwrap();
    let third = client.send_text(&phone.jid, "three").await.unwrap();
    nothing_goes_out(&client, &mut conn).await;
    assert_eq!(client.message_state(&phone.jid, &second).await.unwrap(), Some(OutState::Pending));

    // Receiving goes on, also under the new identity, and answers nothing by itself but the receipt.
    let mut reinstalled = phone.reinstalled();
    let upload = conn.uploads[0].clone();
    reinstalled.begin(
        upload.registration,
        upload.identity,
        upload.signed_prekey,
        upload.prekeys.last().copied(),
    );
    conn.send(&reinstalled.message("B1", "it is me").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "it is me");
    assert!(matches!(conn.next().await, ClientStanza::Receipt(_)));
    client.send_text(&phone.jid, "four").await.unwrap();
    nothing_goes_out(&client, &mut conn).await;
    // Others are not held up.
    let mut carol = Phone::new("14155551002");
    let to = carol.jid.clone();
    let (sent, _) = tokio::join!(client.send_text(&to, "and you?"), conn.serve_keys(&mut carol));
    assert_eq!(message(&mut conn).await.id, sent.unwrap());

    client.accept_identity(&phone.jid).await.unwrap();
    for (id, words) in
        [(Some(&first), "one"), (Some(&second), "two"), (Some(&third), "three"), (None, "four")]
    {
        let sent = message(&mut conn).await;
        assert!(id.is_none_or(|id| sent.id == *id), "{words}");
        assert_eq!(reinstalled.open(&sent.encs[0]).unwrap(), words);
    }
    let trust = client.peer_trust(&phone.jid).await.unwrap();
    assert_eq!((trust.verification, trust.sending), (Verification::WasVerified, Sending::Open));
    // From now on as ever.
    client.send_text(&phone.jid, "five").await.unwrap();
    assert_eq!(reinstalled.open(&message(&mut conn).await.encs[0]).unwrap(), "five");
}

#[tokio::test]
async fn who_was_not_verified_is_only_told_of_unless_all_are_held() {
    for (policy, verify, held) in [
        (IdentityPolicy::Notify, true, false),
        (IdentityPolicy::HoldVerified, false, false),
        (IdentityPolicy::HoldVerified, true, true),
        (IdentityPolicy::HoldAll, false, true),
    ] {
        let mut server = Server::new();
        let client = server.builder(enlisted_store()).identity_policy(policy).build().unwrap();
        let (mut conn, phone) = acquainted(&mut server, &client).await;
        let mut events = client.events();
        if verify {
            verified(&client, &phone).await;
        }
        announce(&mut conn, &phone, "n-1").await;
        let was = if verify { Verification::WasVerified } else { Verification::NotVerified };
        assert_eq!(notice(&mut events).await, (was, held), "{policy:?} {verify}");
        assert_eq!(is_held(&client, &phone).await, held);
    }
}

/// A retry request for `id` from a newly set up phone, with its keys.
fn retry_with_keys(id: &MessageId, count: u8, phone: &mut Phone) -> ReceiptIn {
    let bundle = phone.fetched().bundle.unwrap();
    let keys = RetryKeys {
        identity: bundle.identity,
        prekey: bundle.prekey,
        signed_prekey: bundle.signed_prekey,
        device_identity: None,
    };
    let retry = Retry {
        id: id.clone(),
        t: now(),
        count,
        error: None,
        registration: bundle.registration,
        keys: Some(keys),
    };
    let mut receipt = ReceiptIn::new(ReceiptType::Retry, phone.jid.clone(), id.clone(), now());
    receipt.retry = Some(retry);
    receipt
}

#[tokio::test]
async fn held_messages_and_retries_outlive_a_restart_and_go_out_after_one_call() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alice.db");
    let mut server = Server::new();
    let mut store = SqliteStore::open(&path).unwrap();
    enlist_in(&mut store);
    let client = server.builder(store).build().unwrap();
    let (mut conn, phone) = acquainted(&mut server, &client).await;
    verified(&client, &phone).await;
    let lost = client.send_text(&phone.jid, "lost").await.unwrap();
    message(&mut conn).await;
    taken(&mut conn, &phone, &lost).await;
    client.wait_for(&phone.jid, &lost, OutState::Sent).await.unwrap();
    // The new phone cannot open it, and shows its identity by asking: acked, not answered.
    let mut reinstalled = phone.reinstalled();
    conn.send(&retry_with_keys(&lost, 1, &mut reinstalled).to_node(&conn.profile)).await;
    // The server confirms it.
    conn.serve_keys(&mut reinstalled).await;
    ack(&mut conn).await;
    assert!(is_held(&client, &phone).await);
    let trust = client.peer_trust(&phone.jid).await.unwrap();
    assert_eq!(
        (trust.identity, trust.verification),
        (Some(reinstalled.identity()), Verification::WasVerified)
    );
    client.send_text(&phone.jid, "new").await.unwrap();
    nothing_goes_out(&client, &mut conn).await;
    drop((client, conn));

    let reopened = loop {
        // The last task of the first client lets go of the file.
        match SqliteStore::open(&path) {
            Ok(store) => break store,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let client = server.builder(reopened).build().unwrap();
    let mut events = client.events();
    assert_eq!(notice(&mut events).await, (Verification::WasVerified, true));
    let mut conn = server.connect(&client).await;
    nothing_goes_out(&client, &mut conn).await;
    assert!(is_held(&client, &phone).await);
    client.accept_identity(&phone.jid).await.unwrap();
    let new = message(&mut conn).await;
    assert_eq!(reinstalled.open(&new.encs[0]).unwrap(), "new");
    let again = message(&mut conn).await;
    assert_eq!((&again.id, again.encs[0].count), (&lost, Some(1)));
    assert_eq!(reinstalled.open(&again.encs[0]).unwrap(), "lost");
    // And that is all: the next connection has only what is not acked.
    taken(&mut conn, &phone, &new.id).await;
    client.wait_for(&phone.jid, &new.id, OutState::Sent).await.unwrap();
    drop(conn);
    client.closed().await;
    let mut conn = server.connect(&client).await;
    nothing_goes_out(&client, &mut conn).await;
}

#[tokio::test]
async fn a_held_message_can_be_accepted_without_a_connection() {
    let mut server = Server::new();
    let client = server.client();
    let (mut conn, phone) = acquainted(&mut server, &client).await;
    verified(&client, &phone).await;
    announce(&mut conn, &phone, "n-1").await;
    drop(conn);
    client.closed().await;
    client.send_text(&phone.jid, "later").await.unwrap();
    client.accept_identity(&phone.jid).await.unwrap();
    let mut conn = server.connect(&client).await;
    let mut reinstalled = phone.reinstalled();
    assert_eq!(conn.serve_keys(&mut reinstalled).await, FetchReason::IdentityChanged);
    assert_eq!(reinstalled.open(&message(&mut conn).await.encs[0]).unwrap(), "later");
}

#[tokio::test]
async fn content_for_a_stranger_waits_for_the_connection_and_keeps_its_order() {
    let mut server = Server::new();
    let client = server.client();
    let mut phone = Phone::new(BOB);
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(client.send_text(&phone.jid, &n.to_string()).await.unwrap());
    }
    let mut conn = server.connect(&client).await;
    conn.serve_keys(&mut phone).await;
    for (n, id) in ids.iter().enumerate() {
        let sent = message(&mut conn).await;
        assert_eq!((&sent.id, phone.open(&sent.encs[0]).unwrap()), (id, n.to_string()));
    }
}

/// The next request for keys, over acks.
async fn fetch(conn: &mut Conn) -> (String, FetchKeys) {
    loop {
        match conn.next().await {
            ClientStanza::Ack(_) => {}
            ClientStanza::Request { id, request: ClientRequest::FetchKeys(fetch), .. } => return (id, fetch),
            other => panic!("no fetch of keys: {other:?}"),
        }
    }
}

/// A message lost its session before it was written, and no keys come for another. They come for the next message.
#[tokio::test]
async fn who_waits_for_keys_is_not_overtaken() {
    let mut server = Server::new();
    let client = server.client();
    let (conn, phone) = acquainted(&mut server, &client).await;
    drop(conn);
    client.closed().await;
    let first = client.send_text(&phone.jid, "first").await.unwrap();
    let (connected, mut conn) = tokio::join!(client.connect(), async {
        let mut conn = server.accept().await;
        conn.send(&Success::at(now()).to_node(&conn.profile)).await;
        let announcement = Notification::identity_changed("n-1", now(), phone.jid.clone());
        conn.send(&announcement.to_node(&conn.profile)).await;
        let activation = conn.stanza().await.unwrap();
        assert!(conn.serve(&activation).await);
        conn
    });
    connected.unwrap();
    let (asked, _) = fetch(&mut conn).await;
    conn.send(&IqError::new(IqErrorCode::ServiceUnavailable).to_node(&asked)).await;
    let (mut reinstalled, to) = (phone.reinstalled(), phone.jid.clone());
    let (second, ()) = tokio::join!(client.send_text(&to, "second"), async {
        let (asked, keys) = fetch(&mut conn).await;
        let node = keys.reply_node(&vec![reinstalled.fetched()], &asked, &conn.profile);
        conn.send(&node).await;
    });
    for (id, text) in [(first, "first"), (second.unwrap(), "second")] {
        let sent = message(&mut conn).await;
        assert_eq!((sent.id, reinstalled.open(&sent.encs[0]).unwrap().as_str()), (id, text));
    }
}

#[tokio::test]
async fn a_stranger_who_is_nobody_fails_the_message_once_there_is_a_connection() {
    use landbridge::stanza::keys::FetchedUser;
    let mut server = Server::new();
    let client = server.client();
    let phone = Phone::new(BOB);
    let id = client.send_text(&phone.jid, "anybody?").await.unwrap();
    let mut conn = server.connect(&client).await;
    let ClientStanza::Request { id: asked, request: ClientRequest::FetchKeys(request), .. } =
        conn.next().await
    else {
        panic!("no fetch of keys")
    };
    let nobody = FetchedUser { jid: phone.jid.clone(), bundle: Err(IqError::new(IqErrorCode::ItemNotFound)) };
    conn.send(&request.reply_node(&vec![nobody], &asked, &conn.profile)).await;
    assert_eq!(client.wait_for(&phone.jid, &id, OutState::Sent).await.unwrap(), OutState::Failed);
}

#[tokio::test]
async fn an_announcement_that_comes_after_the_message_costs_no_session() {
    let mut server = Server::new();
    let client = server.client();
    let (mut conn, phone) = acquainted(&mut server, &client).await;
    let mut events = client.events();
    let mut reinstalled = phone.reinstalled();
    let upload = conn.uploads[0].clone();
    reinstalled.begin(
        upload.registration,
        upload.identity,
        upload.signed_prekey,
        upload.prekeys.last().copied(),
    );
    conn.send(&reinstalled.message("B1", "it is me").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "it is me");
    assert!(matches!(conn.next().await, ClientStanza::Receipt(_)));
    announce(&mut conn, &phone, "n-1").await;
    // No fetch: the session of the message is there still.
    client.send_text(&phone.jid, "so I see").await.unwrap();
    assert_eq!(reinstalled.open(&message(&mut conn).await.encs[0]).unwrap(), "so I see");
}

//! Enlistment over HTTP, tokens, blocking, deletion, keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use landbridge::stanza::ack::AckClass;
use landbridge::stanza::blocklist::{BlockAction, BlockedUser, Blocklist, GetBlocklist};
use landbridge::stanza::codes::IqErrorCode;
use landbridge::stanza::keys::{KeyDigest, SignedPreKey, UploadKeys};
use landbridge::stanza::notification::{BlocklistChange, Notification, NotificationEvent};
use landbridge::stanza::profile::EnlistmentForm;
use landbridge::stanza::stream::{FailureReason, LoginFailure};
use landbridge::stanza::{ClientRequest, ClientStanza, IqError, Profile, Request, server_jid};
use landbridge::store::{ClientStore, MemoryStore, SqliteStore};
use landbridge::transport::{HttpClient, TcpTransport};
use landbridge::wire::Jid;
use landbridge::{
    Client, Clock, Error, FixedToken, Freshness, HttpTokenSource, Reaction, TokenError, TokenSource,
};
use support::partner::{Counting, OK, http, refusal};
use support::{Conn, OWN, Phone, Server, enlisted_store, now, text};

fn client(url: &str, store: impl ClientStore + 'static, tokens: impl TokenSource + 'static) -> Client {
    Client::builder()
        .store(store)
        .transport(TcpTransport::new("127.0.0.1:1").unwrap())
        .enlistment_url(url)
        .token_source(tokens)
        .build()
        .unwrap()
}

#[tokio::test]
async fn enlisting_keeps_the_keys_first_and_repeats_the_same_request() {
    let lost = (StatusCode::SERVICE_UNAVAILABLE, "");
    let (_server, url, seen) = http([lost, OK]).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alice.db");
    let client = client(&url, SqliteStore::open(&path).unwrap(), FixedToken::new("t"));
    assert_eq!(client.address().await.unwrap(), None);
    let own = client.enlist("alice", 1).await.unwrap();
    assert_eq!(own.to_string(), OWN);
    assert_eq!(client.address().await.unwrap(), Some(own.clone()));
    // A repeat asks nobody.
    assert_eq!(client.enlist("alice", 1).await.unwrap(), own);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
    for field in
        ["authkey=", "e_ident=", "e_skey_sig=", "integrator_id=1", "user_identifier=alice", "token=t"]
    {
        assert!(seen[0].contains(field), "{field}");
    }
    for (identifier, integrator) in [("bob", 1), ("alice", 2)] {
        assert!(matches!(client.enlist(identifier, integrator).await, Err(Error::OtherAccount)));
    }
    for (identifier, integrator) in [("", 1), ("alice", 0), ("alice", 1000)] {
        assert!(matches!(client.enlist(identifier, integrator).await, Err(Error::BadIdentity { .. })));
    }
}

#[tokio::test]
async fn a_bad_token_is_replaced_once() {
    let bad = refusal(r#"{"reason":"bad_token","status":"fail"}"#);
    let tokens = Counting::default();
    let (_server, url, seen) = http([bad, OK]).await;
    client(&url, MemoryStore::new(), tokens.clone()).enlist("alice", 1).await.unwrap();
    assert_eq!(*tokens.0.lock().unwrap(), [Freshness::MayBeCached, Freshness::New]);
    assert!(seen.lock().unwrap()[1].contains("token=token-2"));

    let (_server, url, seen) = http([bad, bad]).await;
    let error = client(&url, MemoryStore::new(), tokens).enlist("alice", 1).await.unwrap_err();
    assert!(matches!(error, Error::EnlistmentRefused { .. }), "{error:?}");
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let cases = [
        (refusal(r#"{"reason":"bad_integrator","status":"fail"}"#), "enlistment_refused", Reaction::GiveUp),
        (
            refusal(r#"{"reason":"too_recent","status":"fail","retry_after":900}"#),
            "enlistment_refused",
            Reaction::RetryAfter(std::time::Duration::from_secs(900)),
        ),
        (refusal(r#"{"login":"2-7@interop","status":"ok"}"#), "enlistment_protocol", Reaction::GiveUp),
        (refusal("<html>"), "enlistment_protocol", Reaction::GiveUp),
        ((StatusCode::FOUND, ""), "enlistment_protocol", Reaction::GiveUp),
    ];
    for (answer, code, reaction) in cases {
        let (_server, url, seen) = http([answer]).await;
        let client = client(&url, MemoryStore::new(), FixedToken::new("t"));
        let error = client.enlist("alice", 1).await.unwrap_err();
        assert_eq!((error.code(), error.reaction()), (code, reaction), "{answer:?}");
        assert_eq!(seen.lock().unwrap().len(), 1);
        assert_eq!(client.address().await.unwrap(), None);
        assert!(matches!(client.connect().await, Err(Error::NotEnlisted)));
    }
}

#[tokio::test]
async fn the_form_and_the_waits_are_those_of_the_profile() {
    let mut profile = Profile::default();
    profile.enlistment.form = EnlistmentForm::V103;
    profile.enlistment.version_field = "version of it".to_owned();
    profile.login.protocol_version = 3;
    profile.enlistment.retry_after_s = 120;
    profile.enlistment.retry_after_max_s = 300;
    for (answer, wait) in [
        (r#"{"reason":"too_recent","status":"fail"}"#, 120),
        (r#"{"reason":"too_recent","status":"fail","retry_after":900}"#, 300),
    ] {
        let (_server, url, seen) = http([refusal(answer)]).await;
        let client = Client::builder()
            .store(MemoryStore::new())
            .transport(TcpTransport::new("127.0.0.1:1").unwrap())
            .profile(profile.clone())
            .enlistment_url(url)
            .token_source(FixedToken::new("t"))
            .build()
            .unwrap();
        let error = client.enlist("alice", 1).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(wait)));
        let seen = seen.lock().unwrap();
        assert!(!seen[0].contains("user_identifier="), "{seen:?}");
        assert!(
            seen[0].ends_with("&version%20of%20it=3") || seen[0].ends_with("&version+of+it=3"),
            "{seen:?}"
        );
    }
}

struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn tokens_of_the_partner_are_kept_until_shortly_before_their_end() {
    let (_server, url, seen) = http([
        (StatusCode::OK, r#"{"token":"one","expires_in":3600}"#),
        (StatusCode::OK, r#"{"token":"two","expires_in":3600}"#),
        (StatusCode::OK, r#"{"token":"three","expires_in":3600}"#),
        (StatusCode::UNAUTHORIZED, ""),
        (StatusCode::SERVICE_UNAVAILABLE, ""),
        (StatusCode::OK, "{}"),
    ])
    .await;
    let clock = Arc::new(SetClock(AtomicU64::new(1_000)));
    let http = HttpClient::builder().build().unwrap();
    let source =
        HttpTokenSource::with_clock(http, url, "session-of-alice", Arc::clone(&clock) as Arc<dyn Clock>);
    let get = async |freshness| source.token(freshness).await.map(|token| token.as_str().to_owned());
    assert_eq!(get(Freshness::MayBeCached).await.unwrap(), "one");
    clock.0.store(1_000 + 3_299, Ordering::SeqCst);
    assert_eq!(get(Freshness::MayBeCached).await.unwrap(), "one");
    clock.0.store(1_000 + 3_301, Ordering::SeqCst);
    assert_eq!(get(Freshness::MayBeCached).await.unwrap(), "two");
    assert_eq!(get(Freshness::New).await.unwrap(), "three");
    assert!(matches!(get(Freshness::New).await, Err(TokenError::Denied { status: 401 })));
    assert!(matches!(get(Freshness::New).await, Err(TokenError::Unavailable { status: 503, .. })));
    assert!(matches!(get(Freshness::New).await, Err(TokenError::Malformed { .. })));
    assert!(seen.lock().unwrap().iter().all(|seen| seen == "Bearer session-of-alice{}"));
    assert!(!format!("{source:?}").contains("session-of-alice"));
}

/// The next request of the client that a test answers by itself.
async fn request(conn: &mut Conn) -> (String, ClientRequest) {
    match conn.next().await {
        ClientStanza::Request { id, request, .. } => (id, request),
        other => panic!("no request: {other:?}"),
    }
}

fn list(dhash: &str, jids: &[&Jid]) -> Blocklist {
    let items = jids.iter().map(|jid| BlockedUser { jid: (*jid).clone(), t: None }).collect();
    Blocklist { dhash: Some(dhash.to_owned()), items }
}

#[tokio::test]
async fn blocking_follows_the_server_and_hides_what_the_blocked_send() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new("14155551001");
    phone.meet(&conn.uploads[0]);
    let (bob, profile) = (phone.jid.clone(), Profile::default());

    let (blocked, ()) = tokio::join!(client.block(&bob), async {
        // Somebody else has changed the list meanwhile.
        let (id, _) = request(&mut conn).await;
        conn.blocklist = list("h1", &[]);
        conn.send(&IqError::new(IqErrorCode::Conflict).to_node(&id)).await;
        let (id, ClientRequest::UpdateBlocklist(update)) = request(&mut conn).await else { panic!() };
        assert_eq!((update.action, update.dhash.as_deref()), (BlockAction::Block, Some("h1")));
        let node = update.reply_node(&Some(list("h2", &[&bob])), &id, &profile);
        conn.send(&node).await;
    });
    blocked.unwrap();

    let mut events = client.events();
    conn.send(&phone.message("B1", "let me in").to_node(&profile)).await;
    let ClientStanza::Ack(ack) = conn.next().await else { panic!() };
    assert_eq!((ack.class, ack.id.as_str(), ack.error), (AckClass::Message, "B1", None));

    // Another party takes the block back.
    let change = BlocklistChange {
        dhash: Some("h3".into()),
        prev_dhash: Some("h2".into()),
        items: vec![(bob.clone(), BlockAction::Unblock)],
    };
    let event = NotificationEvent::Blocklist(change);
    let notification = Notification::new(server_jid(), "n-1", "account_sync", now(), event);
    conn.send(&notification.to_node(&profile)).await;
    assert!(matches!(conn.next().await, ClientStanza::Ack(_)));
    conn.send(&phone.message("B2", "thank you").to_node(&profile)).await;
    assert_eq!(text(&mut events).await, "thank you");

    conn.blocklist = list("h4", &[&bob]);
    let (found, _) = tokio::join!(client.blocklist(), async {
        let stanza = loop {
            let stanza = conn.stanza().await.unwrap();
            if matches!(&stanza, ClientStanza::Request { .. }) {
                break stanza;
            }
        };
        conn.serve(&stanza).await
    });
    assert_eq!(found.unwrap(), [bob]);
}

/// The next question for the list, which is to be answered late.
async fn question(conn: &mut Conn) -> String {
    loop {
        let stanza = conn.stanza().await.unwrap();
        if let ClientStanza::Request { id, request: ClientRequest::GetBlocklist(_), .. } = &stanza {
            return id.clone();
        }
        assert!(conn.serve(&stanza).await, "{stanza:?}");
    }
}

async fn answer(conn: &mut Conn, id: &str, list: &Blocklist) {
    let node = GetBlocklist.reply_node(list, id, &conn.profile);
    conn.send(&node).await;
}

/// What a late answer says of the list before must not make the client deaf to somebody who is blocked no more.
#[tokio::test]
async fn a_late_list_does_not_bring_a_block_back() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new("14155551001");
    phone.meet(&conn.uploads[0]);
    let (bob, profile) = (phone.jid.clone(), Profile::default());
    // The question of the login is not answered yet when the user takes the block back.
    let asked = question(&mut conn).await;
    let unblocking = tokio::spawn({
        let (client, bob) = (client.clone(), bob.clone());
        async move { client.unblock(&bob).await }
    });
    // A change that is asked for meanwhile would be unexpected here.
    for _ in 0..3 {
        conn.serve_while(client.ping()).await.unwrap();
    }
    answer(&mut conn, &asked, &list("h1", &[&bob])).await;
    let (id, ClientRequest::UpdateBlocklist(update)) = request(&mut conn).await else { panic!() };
    assert_eq!((update.action, update.dhash.as_deref()), (BlockAction::Unblock, Some("h1")));
    conn.send(&update.reply_node(&Some(list("h2", &[])), &id, &profile)).await;
    unblocking.await.unwrap().unwrap();
    let mut events = client.events();
    conn.send(&phone.message("B1", "here I am").to_node(&profile)).await;
    assert_eq!(text(&mut events).await, "here I am");

    // The same with a change by another party, which the server tells of before it answers with the list of before.
    conn.next().await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.blocklist().await }
    });
    let asked = question(&mut conn).await;
    let change = BlocklistChange {
        dhash: Some("h3".into()),
        prev_dhash: Some("h2".into()),
        items: vec![(bob.clone(), BlockAction::Block)],
    };
    let event = NotificationEvent::Blocklist(change);
    let notification = Notification::new(server_jid(), "n-1", "account_sync", now(), event);
    conn.send(&notification.to_node(&profile)).await;
    assert!(matches!(conn.next().await, ClientStanza::Ack(_)));
    answer(&mut conn, &asked, &list("h2", &[])).await;
    let asked = question(&mut conn).await;
    answer(&mut conn, &asked, &list("h3", &[&bob])).await;
    assert_eq!(asking.await.unwrap().unwrap(), [bob]);
}

#[tokio::test]
async fn deletion_wipes_keys_only_after_the_answer_and_is_asked_for_again() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let (result, ()) = tokio::join!(client.delete_account(), async {
        let (_, asked) = request(&mut conn).await;
        assert!(matches!(asked, ClientRequest::DeleteAccount(_)));
        drop(conn);
    });
    assert!(matches!(result, Err(Error::Disconnected { .. })), "{result:?}");
    assert!(matches!(client.send_text(&Jid::user("1"), "x").await, Err(Error::NotEnlisted)));

    let mut conn = server.connect(&client).await;
    let (id, asked) = request(&mut conn).await;
    let ClientRequest::DeleteAccount(delete) = asked else { panic!("{asked:?}") };
    let node = delete.reply_node(&(), &id, &conn.profile);
    conn.send(&node).await;
    conn.until_closed().await;
    client.closed().await;
    assert_eq!(client.address().await.unwrap(), None);
    assert!(matches!(client.connect().await, Err(Error::NotEnlisted)));
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_done_when_the_server_no_longer_knows_the_account() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let (result, ()) = tokio::join!(client.delete_account(), async {
        request(&mut conn).await;
        drop(conn);
    });
    assert!(result.is_err());
    let (result, ()) = tokio::join!(client.connect(), async {
        let mut conn = server.accept().await;
        conn.send(&LoginFailure::new(FailureReason::LoggedOut).to_node(&conn.profile)).await;
    });
    assert!(matches!(result, Err(Error::LoginRefused { .. })));
    assert!(matches!(client.connect().await, Err(Error::NotEnlisted)));
}

#[tokio::test]
async fn a_refused_deletion_leaves_the_account_alive() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let (result, ()) = tokio::join!(client.delete_account(), async {
        let (id, _) = request(&mut conn).await;
        conn.send(&IqError::new(IqErrorCode::NotAllowed).to_node(&id)).await;
    });
    assert!(matches!(result, Err(Error::Refused { .. })), "{result:?}");
    assert_eq!(client.address().await.unwrap(), Some(support::own()));
}

#[tokio::test]
async fn low_prekeys_are_refilled_and_a_wrong_digest_brings_new_ones() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let first = conn.uploads[0].clone();
    conn.send(&Notification::prekeys_low("n-1", now(), 4).to_node(&conn.profile)).await;
    while conn.uploads.len() < 2 {
        let stanza = conn.stanza().await.unwrap();
        conn.serve(&stanza).await;
    }
    let second = conn.uploads[1].clone();
    assert_eq!(second.prekeys.len(), 50);
    assert!(second.prekeys.iter().all(|key| !first.prekeys.iter().any(|old| old.id == key.id)));

    let check = Notification::new(server_jid(), "n-2", "encrypt", now(), NotificationEvent::CheckDigest);
    for good in [true, false] {
        let uploads = conn.uploads.len();
        conn.send(&check.to_node(&conn.profile)).await;
        let (id, ClientRequest::DigestKeys(ask)) = request_after_acks(&mut conn).await else { panic!() };
        let mut digest = digest_of(&first);
        if !good {
            digest.hash[0] ^= 1;
        }
        let node = ask.reply_node(&digest, &id, &conn.profile);
        conn.send(&node).await;
        let more = usize::from(!good);
        while conn.uploads.len() < uploads + more {
            let stanza = conn.stanza().await.unwrap();
            conn.serve(&stanza).await;
        }
        conn.serve_while(client.ping()).await.unwrap();
        assert_eq!(conn.uploads.len(), uploads + more);
    }
    // None of those that the server had: it may have given them away.
    let before = [first.prekeys, second.prekeys].concat();
    let new = &conn.uploads[2].prekeys;
    assert_eq!(new.len(), 812);
    assert!(new.iter().all(|key| before.iter().all(|old| old.id != key.id && old.value != key.value)));
}

async fn request_after_acks(conn: &mut Conn) -> (String, ClientRequest) {
    loop {
        match conn.next().await {
            ClientStanza::Request { id, request, .. } => return (id, request),
            ClientStanza::Ack(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn digest_of(upload: &UploadKeys) -> KeyDigest {
    let SignedPreKey { value, signature, .. } = upload.signed_prekey;
    let mut bytes = upload.identity.to_vec();
    bytes.extend_from_slice(&value);
    bytes.extend_from_slice(&signature);
    for key in &upload.prekeys {
        bytes.extend_from_slice(&key.value);
    }
    let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    KeyDigest {
        registration: upload.registration,
        identity: upload.identity,
        signed_prekey: upload.signed_prekey,
        prekey_ids: upload.prekeys.iter().map(|key| key.id).collect(),
        hash: hash.as_ref().try_into().unwrap(),
    }
}

#[tokio::test]
async fn the_signed_prekey_is_rotated_when_it_is_old() {
    let mut server = Server::new();
    struct Later;
    impl Clock for Later {
        fn now(&self) -> u64 {
            now() + 28 * 86_400
        }
    }
    // Certificates are judged by the same clock.
    let trust = landbridge::noise::danger::assert_verified;
    struct Anybody(fn(landbridge::noise::PublicKey) -> landbridge::noise::VerifiedServer);
    impl landbridge::noise::ServerTrust for Anybody {
        fn verify(
            &self,
            _chain: &[u8],
            key: &landbridge::noise::PublicKey,
            _now: u64,
        ) -> Result<landbridge::noise::VerifiedServer, landbridge::noise::CertificateError> {
            Ok((self.0)(*key))
        }
    }
    let client = server.builder(enlisted_store()).clock(Later).trust(Anybody(trust)).build().unwrap();
    let mut conn = server.connect(&client).await;
    let old = conn.uploads[0].signed_prekey;
    let (id, ClientRequest::RotateSignedPreKey(rotate)) = request(&mut conn).await else { panic!() };
    assert_ne!(rotate.signed_prekey.id, old.id);
    let node = rotate.reply_node(&(), &id, &conn.profile);
    conn.send(&node).await;
    // First messages under the old one still open.
    let mut events = client.events();
    let mut phone = Phone::new("14155551001");
    phone.meet(&conn.uploads[0]);
    conn.send(&phone.message("B1", "old key").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "old key");
}

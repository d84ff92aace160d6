//! Login, liveness, and every way in which a connection ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use landbridge::noise::CertificateAuthority;
use landbridge::noise::Validity;
use landbridge::stanza::ack::AckClass;
use landbridge::stanza::codes::NackCode;
use landbridge::stanza::ib::{Ib, OfflinePreview};
use landbridge::stanza::liveness::ServerPing;
use landbridge::stanza::stream::{FailureReason, LoginFailure, StreamError, Success, end_node};
use landbridge::stanza::{ClientRequest, ClientStanza, IqReply, Profile};
use landbridge::store::{ClientStore, MemoryStore, OutState};
use landbridge::wire::{Jid, Node};
use landbridge::{Direction, Ending, Error, Event, Reaction};
use support::{OWN, Server, TOKEN, enlisted_store, event, now};

#[tokio::test]
async fn the_first_login_uploads_keys_and_then_activates() {
    let mut server = Server::new();
    let client = server.client();
    let mut events = client.events();
    let connecting = client.clone();
    let connected = tokio::spawn(async move { connecting.connect().await });
    let mut conn = server.accept().await;
    assert_eq!(conn.login.account_id, 10_853_634_039_893);
    assert_eq!(conn.login.token.as_str(), Some(TOKEN));
    assert_eq!(conn.login.push_name.as_deref(), Some("Alice"));
    assert_eq!(conn.login.enable_read_receipts, Some(true));
    conn.send(&Success::at(now()).to_node(&conn.profile)).await;

    let first = conn.stanza().await.unwrap();
    let ClientStanza::Request { request: ClientRequest::UploadKeys(upload), .. } = &first else {
        panic!("{first:?}")
    };
    assert_eq!(upload.prekeys.len(), 812);
    assert_eq!(upload.registration, 4711);
    conn.serve(&first).await;
    let second = conn.stanza().await.unwrap();
    assert!(
        matches!(second, ClientStanza::Request { request: ClientRequest::SetActive(_), .. }),
        "{second:?}"
    );
    conn.serve(&second).await;
    connected.await.unwrap().unwrap();
    event(&mut events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;

    // The second login finds the keys where they are.
    let closed = tokio::spawn(async move {
        conn.until_closed().await;
    });
    client.disconnect().await;
    closed.await.unwrap();
    let conn = server.connect(&client).await;
    assert!(conn.uploads.is_empty());
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_repeated_with_the_same_keys() {
    let mut server = Server::new();
    let client = server.client();
    let connecting = client.clone();
    let connected = tokio::spawn(async move { connecting.connect().await });
    let mut conn = server.accept().await;
    conn.send(&Success::at(now()).to_node(&conn.profile)).await;
    let lost = conn.stanza().await.unwrap();
    let ClientStanza::Request { request: ClientRequest::UploadKeys(lost), .. } = lost else { panic!() };
    drop(conn);
    assert!(matches!(connected.await.unwrap(), Err(Error::Disconnected { .. })));
    let conn = server.connect(&client).await;
    assert_eq!(conn.uploads, vec![*lost]);
}

#[tokio::test]
async fn what_needs_a_login_or_a_connection_says_so() {
    let server = Server::new();
    let stranger = server.builder(MemoryStore::new()).build().unwrap();
    assert!(matches!(stranger.connect().await, Err(Error::NotEnlisted)));
    let client = server.client();
    assert!(matches!(client.ping().await, Err(Error::NotConnected)));
    let kept = client.send_text(&Jid::user("1"), "x").await.unwrap();
    assert_eq!(client.message_state(&Jid::user("1"), &kept).await.unwrap(), Some(OutState::Pending));
    assert!(matches!(stranger.send_text(&Jid::user("1"), "x").await, Err(Error::NotEnlisted)));
    assert!(matches!(client.send_text(&Jid::user("1"), "").await, Err(Error::Content { .. })));
    assert!(matches!(client.send_text(&Jid::group("1"), "x").await, Err(Error::BadAddress { .. })));
    assert!(client.closed().await.is_none());
    let bad_root = server.builder(enlisted_store()).root_key("beef").build();
    assert!(matches!(bad_root, Err(Error::Setup { .. })));
    let nothing = landbridge::Client::builder().build().unwrap_err();
    assert_eq!((nothing.code(), nothing.reaction()), ("setup", Reaction::FixRequest));
}

#[tokio::test]
async fn a_connection_is_made_once_and_a_dropped_attempt_leaves_no_trace() {
    let mut server = Server::new();
    let client = server.client();
    {
        let attempt = client.connect();
        let mut attempt = std::pin::pin!(attempt);
        tokio::select! {
            biased;
            _ = attempt.as_mut() => panic!("nobody has answered"),
            stream = server.stream() => drop(stream),
        }
    }
    let _conn = server.connect(&client).await;
    assert!(matches!(client.connect().await, Err(Error::AlreadyConnected)));
}

#[tokio::test]
async fn each_refused_login_has_its_reaction() {
    let temporary = LoginFailure { expire: Some(90), ..LoginFailure::new(FailureReason::TemporaryBan) };
    let cases = [
        (LoginFailure::new(FailureReason::TokenExpired), Reaction::NewToken),
        (LoginFailure::new(FailureReason::TokenInvalid), Reaction::NewToken),
        (LoginFailure::new(FailureReason::ClientOutdated), Reaction::GiveUp),
        (LoginFailure::new(FailureReason::Banned), Reaction::GiveUp),
        (LoginFailure::new(FailureReason::ServiceUnavailable), Reaction::RetryAfter(Duration::from_secs(1))),
        (temporary, Reaction::RetryAfter(Duration::from_secs(90))),
        (LoginFailure::default(), Reaction::GiveUp),
    ];
    let mut server = Server::new();
    let client = server.client();
    for (failure, reaction) in cases {
        let answer = failure.to_node(&Profile::default());
        let (result, ()) = tokio::join!(client.connect(), async {
            let mut conn = server.accept().await;
            conn.send(&answer).await;
        });
        let error = result.unwrap_err();
        assert_eq!(error.reaction(), reaction, "{failure:?}");
        let Error::LoginRefused { failure: found, .. } = error else { panic!("{error:?}") };
        assert_eq!(*found, failure);
    }
    assert_eq!(client.failed_logins(), 7);
    server.connect(&client).await;
    assert_eq!(client.failed_logins(), 0);
}

#[tokio::test]
async fn a_forgotten_account_does_not_log_in_again_before_it_is_enlisted_anew() {
    for reason in [FailureReason::LoggedOut, FailureReason::NotFound] {
        let mut server = Server::new();
        let client = server.client();
        let mut events = client.events();
        let (result, ()) = tokio::join!(client.connect(), async {
            let mut conn = server.accept().await;
            conn.send(&LoginFailure::new(reason).to_node(&Profile::default())).await;
        });
        assert!(
            matches!(result, Err(Error::LoginRefused { reaction: Reaction::Reenlist, .. })),
            "{result:?}"
        );
        let address = event(&mut events, |event| match event {
            Event::MustReenlist { address } => Some(address.to_string()),
            _ => None,
        });
        assert_eq!(address.await, OWN);
        let again = client.connect().await.unwrap_err();
        assert_eq!((again.code(), again.reaction()), ("enlistment_lapsed", Reaction::Reenlist));
    }
}

#[tokio::test]
async fn a_server_with_another_root_gets_no_login() {
    let mut server = Server::new();
    let mut rng = rand::rng();
    let other = CertificateAuthority::generate(Validity::new(now() - 9, now() + 9), &mut rng);
    let client = server.builder(enlisted_store()).trust(other.trust()).build().unwrap();
    let task = tokio::spawn(async move { client.connect().await });
    // The server waits for a login that never comes.
    let accepted = tokio::spawn(async move { server.accept().await.login });
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Handshake { .. }), "{error:?}");
    assert_eq!(error.reaction(), Reaction::GiveUp);
    assert!(error.chain().contains("certificates are refused"), "{}", error.chain());
    assert!(accepted.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn silence_in_the_handshake_and_after_it_has_a_limit() {
    let mut server = Server::new();
    let client = server.client();
    let (result, _stream) = tokio::join!(client.connect(), server.stream());
    assert!(matches!(result, Err(Error::TimedOut { what: "server's hello", .. })), "{result:?}");
    let (result, _conn) = tokio::join!(client.connect(), server.accept());
    assert!(matches!(result, Err(Error::TimedOut { what: "answer to the login", .. })), "{result:?}");
}

#[tokio::test]
async fn nonsense_in_the_handshake_is_named() {
    let mut server = Server::new();
    let client = server.client();
    for (bytes, what) in
        [(&b"\x00\x00\x03abc"[..], "handshake"), (b"\xff\xff\xff", "disconnected"), (b"", "closed_early")]
    {
        let (result, ()) = tokio::join!(client.connect(), async {
            let mut stream = server.stream().await;
            tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await.unwrap();
        });
        assert_eq!(result.unwrap_err().code(), what);
    }
    server.connect(&client).await;
}

#[tokio::test]
async fn frames_that_cannot_be_end_the_connection_by_name() {
    let mut server = Server::new();
    let client = server.client();
    for case in 0..4 {
        let mut conn = server.connect(&client).await;
        let serving = async {
            match case {
                0 => conn.send_bytes(b"\x00\x00\x20not a sealed frame, but 32 bytes").await,
                1 => conn.send_payload(b"\x00\xf8\x05\x01").await,
                2 => conn.send_payload(b"\x02zlib?").await,
                _ => conn.send_bytes(b"\x00\x00\x02ab").await,
            }
            conn.until_closed().await
        };
        let (ending, _rest) = tokio::join!(client.closed(), serving);
        let ending = ending.unwrap();
        match case {
            0 | 3 => assert!(matches!(&*ending, Ending::Open { .. }), "{ending:?}"),
            _ => assert!(matches!(&*ending, Ending::Decode { .. }), "{ending:?}"),
        }
        assert_eq!(ending.reaction(), Reaction::RetryAfter(Duration::from_secs(1)));
    }
}

#[tokio::test]
async fn stream_errors_and_ends_are_told_apart() {
    let cases = [
        (StreamError::Restart, Reaction::RetryAfter(Duration::ZERO)),
        (StreamError::Replaced, Reaction::AskUser),
        (StreamError::Removed { code: None }, Reaction::Reenlist),
        (StreamError::Token { code: 413 }, Reaction::NewToken),
        (StreamError::Server { code: 503 }, Reaction::RetryAfter(Duration::from_secs(1))),
    ];
    let mut server = Server::new();
    for (error, reaction) in cases {
        let client = server.client();
        let mut events = client.events();
        let mut conn = server.connect(&client).await;
        let node = error.to_node(&conn.profile);
        let (ending, ()) = tokio::join!(client.closed(), async { conn.send(&node).await });
        assert_eq!(ending.unwrap().reaction(), reaction, "{error:?}");
        let told = event(&mut events, |event| match event {
            Event::Disconnected { ending, .. } => Some(Arc::clone(ending)),
            _ => None,
        });
        assert!(matches!(&*told.await, Ending::StreamError { error: found } if *found == error));
    }
    let client = server.client();
    let mut conn = server.connect(&client).await;
    // A missed ack is no end by itself.
    let unacked = StreamError::Unacked { class: Some("message".into()), kind: None, id: Some("X".into()) };
    conn.send(&unacked.to_node(&conn.profile)).await;
    ping(&client, &mut conn).await;
    let (ending, ()) = tokio::join!(client.closed(), async { conn.send(&end_node()).await });
    assert!(matches!(&*ending.unwrap(), Ending::ServerEnded));
}

async fn conn_next(conn: &mut support::Conn) -> ClientStanza {
    loop {
        let stanza = conn.stanza().await.unwrap();
        if matches!(&stanza, ClientStanza::Request { request: ClientRequest::Ping(_), .. }) {
            return stanza;
        }
        conn.serve(&stanza).await;
    }
}

#[tokio::test]
async fn disconnecting_ends_the_stream_in_order() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let (rest, ()) = tokio::join!(conn.until_closed(), client.disconnect());
    assert_eq!(rest.last(), Some(&ClientStanza::End));
    drop(client);

    let client = server.client();
    let mut conn = server.connect(&client).await;
    drop(client);
    assert_eq!(conn.until_closed().await.last(), Some(&ClientStanza::End));
}

/// A socket that is closed while the server still writes resets the connection, and the server may lose what it has not
/// read yet: receipts among it.
#[tokio::test]
async fn disconnecting_waits_until_the_server_has_heard_the_last_words() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let leaving = tokio::spawn(async move { client.disconnect().await });
    while let Some(stanza) = conn.stanza().await {
        conn.serve(&stanza).await;
    }
    // On this one thread, all that is not waited for is done by now.
    for _ in 0..100 {
        conn.send(&ServerPing::new("late").to_node(&conn.profile)).await;
        tokio::task::yield_now().await;
    }
    assert!(!leaving.is_finished(), "the server has not closed");
    drop(conn);
    leaving.await.unwrap();
}

#[tokio::test]
async fn requests_end_with_the_connection() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let (result, ()) = tokio::join!(client.ping(), async {
        conn_next(&mut conn).await;
        drop(conn);
    });
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }), "{error:?}");
    assert!(error.chain().contains("closed the connection"), "{}", error.chain());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_no_longer_answers_is_given_up() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let deaf = async { while conn.stanza().await.is_some() {} };
    let (ending, ()) = tokio::join!(client.closed(), deaf);
    let ending = ending.unwrap();
    assert!(matches!(&*ending, Ending::PingTimeout { after } if after.as_secs() == 20), "{ending:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_kept_alive() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let begun = tokio::time::Instant::now();
    for _ in 0..5 {
        let ping = conn_next(&mut conn).await;
        conn.serve(&ping).await;
    }
    let each = begun.elapsed() / 5;
    assert!(each >= Duration::from_secs(14) && each <= Duration::from_secs(31), "{each:?}");
    ping(&client, &mut conn).await;
}

/// A ping and its answer: when it is there, all that was sent before has been processed.
async fn ping(client: &landbridge::Client, conn: &mut support::Conn) {
    let pong = conn.serve_while(client.ping()).await;
    assert!(pong.unwrap().server_time.is_some());
}

#[tokio::test]
async fn the_server_is_answered_whatever_it_asks() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    conn.send(&ServerPing::new("sp-1").to_node(&conn.profile)).await;
    let ClientStanza::Reply(IqReply { id, error, .. }) = conn.next().await else { panic!() };
    assert_eq!((id.as_str(), error), ("sp-1", None));

    let unknown = Node::new("iq")
        .attr("id", "u-1")
        .attr("type", "get")
        .attr("xmlns", "no:such")
        .attr("from", Jid::server("s.whatsapp.net"));
    conn.send(&unknown).await;
    let ClientStanza::Reply(IqReply { id, error, .. }) = conn.next().await else { panic!() };
    assert_eq!((id.as_str(), error.unwrap().code.number()), ("u-1", 501));

    let from = Jid::user("14155551001");
    for (node, class, error) in [
        (Node::new("surprise").attr("id", "s-1").attr("from", &from), "surprise", Some(NackCode::UnknownTag)),
        (Node::new("call").attr("id", "s-1").attr("from", &from), "call", None),
        (Node::new("message").attr("id", "s-1").attr("from", &from), "message", Some(NackCode::Parsing)),
        (
            Node::new("receipt").attr("id", "s-1").attr("from", &from).attr("t", "soon"),
            "receipt",
            Some(NackCode::Parsing),
        ),
        (
            Node::new("notification")
                .attr("id", "s-1")
                .attr("from", &from)
                .attr("type", "odd")
                .attr("t", "1"),
            "notification",
            None,
        ),
    ] {
        conn.send(&node).await;
        let ClientStanza::Ack(ack) = conn.next().await else { panic!("{class}") };
        assert_eq!((ack.id.as_str(), ack.class.as_str(), ack.error), ("s-1", class, error));
        assert_eq!(ack.to, from);
        assert_eq!(ack.kind.is_some(), ack.class == AckClass::Notification);
    }
    // What has no id is owed nothing.
    conn.send(&Node::new("surprise")).await;
    conn.send(&Node::new("ack").attr("id", "zzz").attr("class", "message").attr("from", &from)).await;
    ping(&client, &mut conn).await;
}

#[tokio::test]
async fn the_mailbox_is_asked_for_in_batches() {
    let mut server = Server::new();
    let mut profile = Profile::default();
    profile.mailbox.batch = Some(2);
    let client = server.builder(enlisted_store()).profile(profile).build().unwrap();
    let mut events = client.events();
    let mut conn = server.connect(&client).await;
    let preview = Ib::OfflinePreview(OfflinePreview { count: 3, message: 2, ..OfflinePreview::default() });
    conn.send(&preview.to_node(&conn.profile)).await;
    for n in 0..3_u32 {
        let node = Node::new("notification")
            .attr("id", format!("n-{n}"))
            .attr("from", Jid::server("s.whatsapp.net"))
            .attr("type", "psa")
            .attr("t", "1")
            .attr("offline", n);
        conn.send(&node).await;
        assert!(matches!(conn.next().await, ClientStanza::Ack(_)));
    }
    conn.send(&Ib::Offline { count: 3 }.to_node(&conn.profile)).await;
    let delivered = event(&mut events, |event| match event {
        Event::MailboxEmpty { delivered } => Some(*delivered),
        _ => None,
    });
    assert_eq!(delivered.await, 3);
    ping(&client, &mut conn).await;
    assert_eq!(conn.batches, [2, 2]);
}

#[tokio::test]
async fn routing_bytes_go_before_the_next_header_and_are_forgotten_when_they_do_not_help() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    assert_eq!(conn.intro.routing(), None);
    conn.send(&Ib::EdgeRouting { routing_info: b"fra-3".to_vec() }.to_node(&conn.profile)).await;
    ping(&client, &mut conn).await;
    let ((), _rest) = tokio::join!(client.disconnect(), conn.until_closed());
    for routing in [Some(&b"fra-3"[..]), Some(b"fra-3"), None] {
        let (result, intro) = tokio::join!(client.connect(), async { server.accept().await.intro });
        assert!(result.is_err());
        assert_eq!(intro.routing(), routing);
    }
}

#[tokio::test]
async fn every_stanza_can_be_traced_with_its_size() {
    let mut server = Server::new();
    let traced = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&traced);
    let client = server
        .builder(enlisted_store())
        .trace(move |stanza| sink.lock().unwrap().push(stanza))
        .build()
        .unwrap();
    let mut conn = server.connect(&client).await;
    ping(&client, &mut conn).await;
    let traced = traced.lock().unwrap();
    let success = traced.iter().find(|stanza| stanza.tag == "success").unwrap();
    assert_eq!(success.direction, Direction::In);
    let ping = traced.iter().find(|stanza| stanza.xml.contains("w:p")).unwrap();
    assert_eq!(ping.direction, Direction::Out);
    let pong =
        traced.iter().find(|stanza| stanza.direction == Direction::In && stanza.id == ping.id).unwrap();
    // Prefix and tag alone are 19 bytes.
    assert!(ping.wire_bytes > 19 && pong.wire_bytes > 19);
    assert!(ping.xml.starts_with("<iq "), "{}", ping.xml);
    assert!(!traced.iter().any(|stanza| stanza.xml.contains(TOKEN)));
}

#[tokio::test]
async fn the_store_is_as_it_was_after_a_hostile_connection() {
    let mut server = Server::new();
    let mut store = enlisted_store();
    let own = store.begin().unwrap().account().unwrap().unwrap();
    assert_eq!(own.enlistment.login(), Some(OWN));
    let client = server.builder(store.clone()).build().unwrap();
    let (result, ()) = tokio::join!(client.connect(), async {
        let mut conn = server.accept().await;
        conn.send_payload(b"\x00\xf8\x00").await;
    });
    assert!(matches!(result, Err(Error::Disconnected { .. })));
    assert_eq!(client.address().await.unwrap(), Some(support::own()));
    server.connect(&client).await;
}

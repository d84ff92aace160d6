//! Staying connected: what each end of a connection leads to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::time::Duration;

use landbridge::stanza::stream::{FailureReason, LoginFailure, StreamError, Success, end_node};
use landbridge::stanza::{ClientRequest, ClientStanza};
use landbridge::{Event, Freshness, Reaction};
use support::partner::{Counting, OK, http, refusal};
use support::{Server, enlisted_store, event, now};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn run_reconnects_with_the_table_of_reactions() {
    tokio::time::pause();
    let mut server = Server::new();
    let tokens = Counting::default();
    let client = server.builder(enlisted_store()).token_source(tokens.clone()).build().unwrap();
    let mut events = client.events();
    let runner = client.clone();
    let run = tokio::spawn(async move { runner.run().await });

    let mut conn = server.active().await;
    conn.send(&StreamError::Restart.to_node(&conn.profile)).await;
    conn.until_closed().await;
    let mut conn = server.accept().await;
    conn.send(&LoginFailure::new(FailureReason::TokenExpired).to_node(&conn.profile)).await;
    let conn = server.active().await;
    assert_eq!(conn.login.token.as_str(), Some("token-3"));
    drop(conn);
    let mut conn = server.active().await;
    let waited = event(&mut events, |event| match event {
        Event::Reconnecting { after, because } if because.code() == "disconnected" => Some(*after),
        _ => None,
    });
    assert!(waited.await <= Duration::from_secs(1));
    conn.send(&StreamError::Replaced.to_node(&conn.profile)).await;
    let error = run.await.unwrap();
    assert_eq!(error.reaction(), Reaction::AskUser);
    let asked = tokens.0.lock().unwrap().clone();
    assert_eq!(asked[1..3], [Freshness::MayBeCached, Freshness::New]);
}

#[tokio::test]
async fn run_enlists_again_when_the_account_is_forgotten() {
    let (_http, url, seen) = http([refusal(r#"{"login":"1-777@interop","status":"ok"}"#), OK]).await;
    let mut server = Server::new();
    let client = server.builder(enlisted_store()).enlistment_url(url).build().unwrap();
    let runner = client.clone();
    let run = tokio::spawn(async move { runner.run().await });
    let mut conn = server.active().await;
    let uploaded = conn.uploads[0].clone();
    conn.send(&end_node()).await;
    conn.until_closed().await;
    let mut conn = server.accept().await;
    conn.send(&LoginFailure::new(FailureReason::LoggedOut).to_node(&conn.profile)).await;
    // A new account number, and new keys: the server may have given away the old ones.
    let mut conn = server.accept().await;
    assert_eq!(conn.login.account_id, 777);
    conn.send(&Success::at(now()).to_node(&conn.profile)).await;
    let upload = conn.stanza().await.unwrap();
    let ClientStanza::Request { request: ClientRequest::UploadKeys(again), .. } = &upload else {
        panic!("{upload:?}")
    };
    assert_eq!((again.identity, again.prekeys.len()), (uploaded.identity, uploaded.prekeys.len()));
    assert!(again.prekeys.iter().all(|key| uploaded.prekeys.iter().all(|old| old.id != key.id)));
    assert_eq!(seen.lock().unwrap().len(), 1);
    // Not twice in an hour.
    conn.send(&StreamError::Removed { code: None }.to_node(&conn.profile)).await;
    let error = run.await.unwrap();
    assert_eq!(error.reaction(), Reaction::Reenlist);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn run_ends_when_the_application_disconnects() {
    let mut server = Server::new();
    let client = server.client();
    let events = client.events();
    let runner = client.clone();
    let run = tokio::spawn(async move { runner.run().await });
    let mut conn = server.active().await;
    let mut connected = events;
    conn.serve_while(event(&mut connected, |event| matches!(event, Event::Connected { .. }).then_some(())))
        .await;
    let ((), _rest) = tokio::join!(client.disconnect(), conn.until_closed());
    assert_eq!(run.await.unwrap().code(), "disconnected");
}

#[tokio::test]
async fn run_gives_up_on_a_server_of_another_protocol() {
    tokio::time::pause();
    let mut server = Server::new();
    let client = server.client();
    let run = tokio::spawn(async move { client.run().await });
    for _ in 0..3 {
        let mut stream = server.stream().await;
        stream.write_all(b"\x00\x00\x03abc").await.unwrap();
    }
    assert_eq!(run.await.unwrap().code(), "handshake");
}

#[tokio::test]
async fn run_takes_three_silent_closes_for_a_bad_token() {
    tokio::time::pause();
    let mut server = Server::new();
    let tokens = Counting::default();
    let client = server.builder(enlisted_store()).token_source(tokens.clone()).build().unwrap();
    let _run = tokio::spawn(async move { client.run().await });
    for _ in 0..3 {
        drop(server.accept().await);
    }
    server.active().await;
    let asked = tokens.0.lock().unwrap().clone();
    assert_eq!(asked[2..], [Freshness::MayBeCached, Freshness::New]);
}

#[tokio::test]
async fn a_push_ends_the_wait() {
    tokio::time::pause();
    let mut server = Server::new();
    let client = server.client();
    let mut events = client.events();
    let runner = client.clone();
    let _run = tokio::spawn(async move { runner.run().await });
    let banned = LoginFailure { expire: Some(86_400), ..LoginFailure::new(FailureReason::TemporaryBan) };
    let mut conn = server.accept().await;
    conn.send(&banned.to_node(&conn.profile)).await;
    let after = event(&mut events, |event| match event {
        Event::Reconnecting { after, .. } => Some(*after),
        _ => None,
    });
    assert_eq!(after.await, Duration::from_secs(86_400));
    tokio::task::yield_now().await;
    let begun = tokio::time::Instant::now();
    client.wake();
    server.active().await;
    assert!(begun.elapsed() < Duration::from_secs(60));
}

//! Who writes at the moment, in virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::time::Duration;

use landbridge::stanza::ClientStanza;
use landbridge::stanza::chatstate::{ChatState, ChatStateIn};
use landbridge::stanza::presence::{Availability, PresenceOut};
use landbridge::wire::Jid;
use landbridge::{Client, Event, Events};
use support::{Conn, Phone, Server, event};
use tokio::time::{Instant, advance};

const BOB: &str = "14155551001";

/// The next thing that is told about typing, and how many seconds after `since`.
async fn told(conn: &mut Conn, since: Instant) -> (ChatState, u64) {
    match conn.next().await {
        ClientStanza::ChatState(told) => {
            assert_eq!(told.to, Jid::user(BOB));
            (told.state, since.elapsed().as_secs())
        }
        other => panic!("{other:?}"),
    }
}

async fn typing(events: &mut Events) -> ChatState {
    let state = |event: &Event| match event {
        Event::Typing { from, state } => {
            assert_eq!(*from, Jid::user(BOB));
            Some(*state)
        }
        _ => None,
    };
    event(events, state).await
}

async fn world() -> (Server, Client, Conn, Events) {
    tokio::time::pause();
    let mut server = Server::new();
    let client = server.client();
    let events = client.events();
    let conn = server.connect(&client).await;
    (server, client, conn, events)
}

async fn type_for(client: &Client, seconds: u64) {
    for _ in 0..seconds * 2 {
        client.set_typing(&Jid::user(BOB), ChatState::Composing).await.unwrap();
        advance(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn keystrokes_are_told_now_and_then_and_rest_ends_them() {
    let (_server, client, mut conn, _events) = world().await;
    let start = Instant::now();
    let (typed, heard) = tokio::join!(type_for(&client, 22), async {
        [told(&mut conn, start).await, told(&mut conn, start).await, told(&mut conn, start).await]
    });
    let () = typed;
    let composing = ChatState::Composing;
    assert_eq!(heard, [(composing, 0), (composing, 10), (composing, 20)], "every ten seconds at most");
    // The last keystroke was half a second ago.
    let rest = Instant::now();
    assert_eq!(told(&mut conn, rest).await, (ChatState::Paused, 4));
    // To stop twice is to stop once; then it begins anew, at once.
    client.set_typing(&Jid::user(BOB), ChatState::Paused).await.unwrap();
    client.set_typing(&Jid::user(BOB), ChatState::Composing).await.unwrap();
    assert_eq!(told(&mut conn, Instant::now()).await, (composing, 0));
    client.set_typing(&Jid::user(BOB), ChatState::Paused).await.unwrap();
    assert_eq!(told(&mut conn, Instant::now()).await, (ChatState::Paused, 0));
}

#[tokio::test]
async fn a_recording_goes_on_until_it_is_ended() {
    let (_server, client, mut conn, _events) = world().await;
    let start = Instant::now();
    client.set_typing(&Jid::user(BOB), ChatState::Composing).await.unwrap();
    client.set_typing(&Jid::user(BOB), ChatState::Recording).await.unwrap();
    assert_eq!(told(&mut conn, start).await, (ChatState::Composing, 0));
    for seconds in [0, 10, 20, 30] {
        assert_eq!(told(&mut conn, start).await, (ChatState::Recording, seconds));
    }
    client.set_typing(&Jid::user(BOB), ChatState::Paused).await.unwrap();
    assert_eq!(told(&mut conn, start).await, (ChatState::Paused, 30));
}

#[tokio::test]
async fn sending_ends_typing_and_reacting_does_not() {
    let (_server, client, mut conn, mut events) = world().await;
    let mut phone = Phone::new(BOB);
    phone.meet(&conn.uploads[0]);
    conn.send(&phone.message("B1", "hello").to_node(&conn.profile)).await;
    assert_eq!(support::text(&mut events).await, "hello");
    conn.next().await;

    client.set_typing(&phone.jid, ChatState::Composing).await.unwrap();
    assert_eq!(told(&mut conn, Instant::now()).await.0, ChatState::Composing);
    client.react(&phone.jid, &"B1".parse().unwrap(), "👍").await.unwrap();
    assert!(matches!(conn.next().await, ClientStanza::Message(_)));
    client.send_text(&phone.jid, "hello to you").await.unwrap();
    let mut both = [conn.next().await, conn.next().await];
    both.sort_by_key(|stanza| matches!(stanza, ClientStanza::Message(_)));
    let [ClientStanza::ChatState(paused), ClientStanza::Message(_)] = &both else { panic!("{both:?}") };
    assert_eq!(paused.state, ChatState::Paused);
    // Without having typed, there is nothing to be ended.
    client.send_text(&phone.jid, "and again").await.unwrap();
    assert!(matches!(conn.next().await, ClientStanza::Message(_)));
}

fn peer(conn: &Conn, state: ChatState) -> landbridge::wire::Node {
    ChatStateIn { from: Jid::user(BOB), participant: None, state }.to_node(&conn.profile)
}

#[tokio::test]
async fn a_peer_of_whom_nothing_more_is_heard_has_stopped() {
    let (_server, _client, mut conn, mut events) = world().await;
    let start = Instant::now();
    conn.send(&peer(&conn, ChatState::Composing)).await;
    assert_eq!(typing(&mut events).await, ChatState::Composing);
    // Said again, it is no news, and lasts from then.
    advance(Duration::from_secs(10)).await;
    conn.send(&peer(&conn, ChatState::Composing)).await;
    // The server hears pings meanwhile.
    let stopped = conn.serve_while(typing(&mut events)).await;
    assert_eq!((stopped, start.elapsed().as_secs()), (ChatState::Paused, 35));

    // It says so itself; saying it twice is saying it once.
    for state in [ChatState::Recording, ChatState::Paused, ChatState::Paused, ChatState::Composing] {
        conn.send(&peer(&conn, state)).await;
    }
    for state in [ChatState::Recording, ChatState::Paused, ChatState::Composing] {
        assert_eq!(typing(&mut events).await, state);
    }
    // Its message says it, too, and comes after that.
    let mut phone = Phone::new(BOB);
    phone.meet(&conn.uploads[0]);
    conn.send(&phone.message("B1", "there").to_node(&conn.profile)).await;
    assert_eq!(typing(&mut events).await, ChatState::Paused);
    assert_eq!(support::text(&mut events).await, "there");
}

#[tokio::test]
async fn without_a_connection_nobody_types() {
    let (mut server, client, mut conn, mut events) = world().await;
    conn.send(&peer(&conn, ChatState::Composing)).await;
    assert_eq!(typing(&mut events).await, ChatState::Composing);
    client.set_typing(&Jid::user(BOB), ChatState::Composing).await.unwrap();
    told(&mut conn, Instant::now()).await;
    drop(conn);
    let mut stopped = None;
    loop {
        match events.next().await.unwrap() {
            Event::Typing { state, .. } => stopped = Some(state),
            Event::Disconnected { .. } => break,
            _ => {}
        }
    }
    assert_eq!(stopped, Some(ChatState::Paused), "before the end of the connection is told");
    let refused = client.set_typing(&Jid::user(BOB), ChatState::Composing).await.unwrap_err();
    assert_eq!(refused.code(), "not_connected");
    // Nothing of it comes later.
    let mut conn = server.connect(&client).await;
    let ((), rest) = tokio::join!(client.disconnect(), conn.until_closed());
    assert_eq!(rest, [ClientStanza::End]);
}

/// What the next login says about presence.
async fn presence(conn: &mut Conn) -> PresenceOut {
    loop {
        let stanza = conn.stanza().await.unwrap();
        if let ClientStanza::Presence(presence) = stanza {
            return presence;
        }
        conn.serve(&stanza).await;
    }
}

#[tokio::test]
async fn the_server_is_told_whether_the_app_is_in_front() {
    let (mut server, client, mut conn, _events) = world().await;
    let name = Some("Alice".to_owned());
    assert_eq!(presence(&mut conn).await, PresenceOut::Available { name: name.clone() });
    client.set_presence(Availability::Unavailable).await.unwrap();
    assert_eq!(presence(&mut conn).await, PresenceOut::Unavailable { name: name.clone() });
    drop(conn);
    client.closed().await;
    client.set_presence(Availability::Available).await.unwrap();
    // Who comes for the mailbox alone is not there.
    let (fetched, conn) = tokio::join!(client.fetch_once(Duration::from_secs(60)), async {
        let mut conn = server.active().await;
        assert_eq!(presence(&mut conn).await, PresenceOut::Unavailable { name: name.clone() });
        let empty = landbridge::stanza::ib::Ib::Offline { count: 0 };
        conn.send(&empty.to_node(&conn.profile)).await;
        conn.until_closed().await;
        conn
    });
    assert!(fetched.unwrap().caught_up);
    drop(conn);
    let mut conn = server.connect(&client).await;
    assert_eq!(presence(&mut conn).await, PresenceOut::Available { name });
}

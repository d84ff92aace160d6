//! The table of reconnecting, row by row where a row has more to it than a wait; see also `run.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use landbridge::enlist::jwt::Token;
use landbridge::stanza::stream::{FailureReason, LoginFailure, StreamError, Success, end_node};
use landbridge::stanza::{ClientRequest, ClientStanza};
use landbridge::store::{ClientStore, MemoryStore, StoreError, StoreTx};
use landbridge::{Cause, Client, Clock, Error, Event, Events, Freshness, Reaction, TokenError, TokenSource};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use support::partner::{http, refusal};
use support::{Conn, OWN, Phone, Server, enlisted_store, event, now, text};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A client that stays connected.
fn running(client: &Client) -> JoinHandle<Error> {
    let client = client.clone();
    tokio::spawn(async move { client.run().await })
}

/// What the next end of a connection is said to be.
async fn ended(events: &mut Events) -> (Cause, bool) {
    event(events, |event| match event {
        Event::Disconnected { cause, will_retry, at, .. } => {
            assert!(*at + 5 >= now());
            Some((*cause, *will_retry))
        }
        _ => None,
    })
    .await
}

async fn waits(events: &mut Events) -> Duration {
    event(events, |event| match event {
        Event::Reconnecting { after, .. } => Some(*after),
        _ => None,
    })
    .await
}

/// The next connection, once the client knows that it has it.
async fn up(server: &mut Server, events: &mut Events) -> Conn {
    let mut conn = server.active().await;
    let connected = event(events, |event| matches!(event, Event::Connected { .. }).then_some(()));
    conn.serve_while(connected).await;
    conn
}

async fn give_up(conn: &mut Conn, error: &StreamError) {
    conn.send(&error.to_node(&conn.profile)).await;
    conn.until_closed().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_with_its_row_and_whether_the_client_comes_back() {
    let mut server = Server::new();
    let client = server.client();
    let mut events = client.events();
    // Nobody runs it: it does not come back.
    let mut conn = server.connect(&client).await;
    give_up(&mut conn, &StreamError::Server { code: 503 }).await;
    assert_eq!(ended(&mut events).await, (Cause::ServerTrouble, false));
    let run = running(&client);
    let mut conn = up(&mut server, &mut events).await;
    give_up(&mut conn, &StreamError::Server { code: 503 }).await;
    assert_eq!(ended(&mut events).await, (Cause::ServerTrouble, true));
    drop(up(&mut server, &mut events).await);
    assert_eq!(ended(&mut events).await, (Cause::Broken, true));
    let mut conn = up(&mut server, &mut events).await;
    give_up(&mut conn, &StreamError::Replaced).await;
    assert_eq!(ended(&mut events).await, (Cause::Replaced, false));
    assert_eq!(run.await.unwrap().reaction(), Reaction::AskUser);
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_back_after_a_replacement_unless_it_was_its_own_late_login() {
    let mut server = Server::new();
    let client = server.client();
    let mut events = client.events();
    let run = running(&client);
    // A login that the server has and does not answer in time: the client gives it up.
    let late = server.accept().await;
    waits(&mut events).await;
    let mut conn = up(&mut server, &mut events).await;
    // The server acts upon it at last, which pushes the newer connection out.
    give_up(&mut conn, &StreamError::Replaced).await;
    assert_eq!(ended(&mut events).await, (Cause::ReplacedByOurselves, true));
    let mut conn = up(&mut server, &mut events).await;
    // Once is all that it explains.
    give_up(&mut conn, &StreamError::Replaced).await;
    assert_eq!(ended(&mut events).await, (Cause::Replaced, false));
    assert_eq!(run.await.unwrap().reaction(), Reaction::AskUser);
    drop(late);
}

#[tokio::test(start_paused = true)]
async fn a_login_from_long_ago_explains_nothing() {
    let mut server = Server::new();
    let client = server.client();
    let mut events = client.events();
    let run = running(&client);
    let _late = server.accept().await;
    waits(&mut events).await;
    let mut conn = up(&mut server, &mut events).await;
    conn.serve_while(tokio::time::sleep(Duration::from_secs(180))).await;
    give_up(&mut conn, &StreamError::Replaced).await;
    assert_eq!(ended(&mut events).await, (Cause::Replaced, false));
    run.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_wait_doubles_counts_five_steps_for_429_and_begins_anew_after_30_stable_seconds() {
    let mut server = Server::new();
    let rng = StdRng::seed_from_u64(7);
    let client = server.builder(enlisted_store()).rng(rng).build().unwrap();
    let mut events = client.events();
    let _run = running(&client);
    let mut longest = Duration::ZERO;
    for step in 0..9 {
        let bound = Duration::from_secs((1 << step).min(300));
        drop(server.active().await);
        let after = waits(&mut events).await;
        assert!(after <= bound, "{after:?} in step {step}");
        longest = longest.max(after);
    }
    assert!(longest > Duration::from_secs(30), "{longest:?}: the bound does not grow");
    // 30 seconds of life set it back.
    let mut conn = up(&mut server, &mut events).await;
    conn.serve_while(tokio::time::sleep(Duration::from_secs(31))).await;
    drop(conn);
    assert!(waits(&mut events).await <= Duration::from_secs(1));
    let mut conn = up(&mut server, &mut events).await;
    conn.serve_while(tokio::time::sleep(Duration::from_secs(31))).await;
    give_up(&mut conn, &StreamError::RateLimited).await;
    let first = waits(&mut events).await;
    assert!(first <= Duration::from_secs(32));
    let mut conn = up(&mut server, &mut events).await;
    give_up(&mut conn, &StreamError::RateLimited).await;
    let second = waits(&mut events).await;
    assert!(second <= Duration::from_secs(300));
    assert!(first.max(second) > Duration::from_secs(2), "{first:?}, {second:?}: no steps were added");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_network_tries_the_connection_or_ends_the_wait() {
    let mut server = Server::new();
    let client = server.client();
    let mut events = client.events();
    let _run = running(&client);
    let mut conn = up(&mut server, &mut events).await;
    let begun = Instant::now();
    client.network_changed();
    // A ping at once. The network behind the connection is gone, so nobody answers.
    loop {
        match conn.stanza().await.unwrap() {
            ClientStanza::Request { request: ClientRequest::Ping(_), .. } => break,
            other => assert!(conn.serve(&other).await, "{other:?}"),
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(ended(&mut events).await, (Cause::PingTimeout, true));
    assert!(begun.elapsed() <= Duration::from_secs(21));

    let banned = LoginFailure { expire: Some(86_400), ..LoginFailure::new(FailureReason::TemporaryBan) };
    let mut conn = server.accept().await;
    conn.send(&banned.to_node(&conn.profile)).await;
    loop {
        if waits(&mut events).await == Duration::from_secs(86_400) {
            break;
        }
    }
    tokio::task::yield_now().await;
    let begun = Instant::now();
    client.network_changed();
    server.active().await;
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// Unix time that goes with the timer.
#[derive(Clone)]
struct TimerClock(Instant, u64);

impl Clock for TimerClock {
    fn now(&self) -> u64 {
        self.1 + self.0.elapsed().as_secs()
    }
}

/// Tokens of an hour each, as long as the partner's server is there.
#[derive(Clone)]
struct Hourly {
    clock: TimerClock,
    asked: Arc<Mutex<Vec<u64>>>,
    kept: Arc<Mutex<Option<(Token, u64)>>>,
}

#[async_trait]
impl TokenSource for Hourly {
    async fn token(&self, freshness: Freshness) -> Result<Token, TokenError> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap();
        if let (Some((token, ends)), Freshness::MayBeCached) = (&*kept, freshness)
            && now + 300 < *ends
        {
            return Ok(token.clone());
        }
        self.asked.lock().unwrap().push(now);
        if self.asked.lock().unwrap().len() == 2 {
            return Err(TokenError::Unavailable { status: 503, retry_after: None });
        }
        // {"exp":…} in base64url, by hand: three bytes at a time.
        let claims = format!("{{\"exp\":{}}}", now + 3_600);
        let token = Token::new(format!("e30.{}.c2ln", base64url(claims.as_bytes())));
        *kept = Some((token.clone(), now + 3_600));
        Ok(token)
    }
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let padded = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let number = padded.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[usize::try_from(number >> (18 - 6 * digit) & 63).unwrap()]));
        }
    }
    text
}

#[tokio::test(start_paused = true)]
async fn the_token_is_renewed_before_its_end_while_the_connection_lives() {
    let mut server = Server::new();
    let start = now();
    let clock = TimerClock(Instant::now(), start);
    let tokens = Hourly { clock: clock.clone(), asked: Arc::default(), kept: Arc::default() };
    let client =
        server.builder(enlisted_store()).clock(clock.clone()).token_source(tokens.clone()).build().unwrap();
    let mut conn = server.connect(&client).await;
    conn.serve_while(tokio::time::sleep(Duration::from_secs(7_000))).await;
    let asked: Vec<u64> = tokens.asked.lock().unwrap().iter().map(|at| at - start).collect();
    // At the login; five minutes before the end, when the partner's server was not there; a minute later; an hour on.
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert_eq!(asked[0], 0);
    assert!((3_300..3_310).contains(&asked[1]), "{asked:?}");
    assert!((asked[1] + 60..asked[1] + 70).contains(&asked[2]), "{asked:?}");
    assert!((asked[2] + 3_300..asked[2] + 3_310).contains(&asked[3]), "{asked:?}");
    // The connection was not touched by any of it.
    conn.serve_while(client.ping()).await.unwrap();
}

/// A store that outlives its client.
#[derive(Clone)]
struct Disk(Arc<Mutex<MemoryStore>>);

struct Kept {
    store: MemoryStore,
    disk: Disk,
}

impl ClientStore for Kept {
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
        *self.disk.0.lock().unwrap() = self.store.clone();
        self.store.begin()
    }
}

impl Disk {
    fn open(&self) -> Kept {
        Kept { store: self.0.lock().unwrap().clone(), disk: self.clone() }
    }
}

#[tokio::test]
async fn after_30_days_one_call_enlists_anew_and_keys_sessions_and_messages_stay() {
    let (_http, url, seen) = http([refusal(r#"{"login":"1-777@interop","status":"ok"}"#)]).await;
    let mut server = Server::new();
    let disk = Disk(Arc::new(Mutex::new(enlisted_store())));
    let client = server.builder(disk.open()).enlistment_url(url.clone()).build().unwrap();
    let mut conn = server.connect(&client).await;
    let before = client.own_keys().await.unwrap();
    let mut phone = Phone::new("14155551001");
    phone.meet(&conn.uploads[0]);
    let mut events = client.events();
    conn.send(&phone.message("B1", "before").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "before");
    conn.send(&end_node()).await;
    conn.until_closed().await;
    client.closed().await;
    // Written while away: it goes out after all.
    let waiting = client.send_text(&phone.jid, "still here").await.unwrap();
    let (refused, ()) = tokio::join!(client.connect(), async {
        let mut conn = server.accept().await;
        conn.send(&LoginFailure::new(FailureReason::LoggedOut).to_node(&conn.profile)).await;
    });
    assert_eq!(refused.unwrap_err().reaction(), Reaction::Reenlist);
    client.own_keys().await.unwrap();
    drop(client);

    // The process dies here. The next one knows where it stands.
    let client = server.builder(disk.open()).enlistment_url(url).build().unwrap();
    let mut events = client.events();
    assert_eq!(client.connect().await.unwrap_err().code(), "enlistment_lapsed");
    assert_eq!(client.reenlist().await.unwrap().to_string(), "1-777@interop");
    let told = event(&mut events, |event| match event {
        Event::Reenlisted { address } => Some(address.to_string()),
        _ => None,
    });
    assert_eq!(told.await, "1-777@interop");
    assert_eq!(seen.lock().unwrap().len(), 1);
    let after = client.own_keys().await.unwrap();
    assert_eq!((after.identity, after.registration_id), (before.identity, before.registration_id));
    assert_eq!(
        (after.to_upload, after.one_time),
        (0, before.one_time - 1),
        "the server may have given them away before it forgot them"
    );
    let mut conn = server.connect(&client).await;
    assert_eq!(conn.login.account_id, 777);
    assert_eq!(conn.uploads.len(), 1, "new keys go first");
    loop {
        match conn.next().await {
            ClientStanza::Message(message) => {
                assert_eq!(
                    (&message.id, phone.open(&message.encs[0]).unwrap()),
                    (&waiting, "still here".into())
                );
                break;
            }
            // The receipt of what was read may still be owed.
            ClientStanza::Receipt(_) => {}
            other => panic!("{other:?}"),
        }
    }
    conn.send(&phone.message("B2", "after").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "after");
}

#[tokio::test(start_paused = true)]
async fn run_goes_on_where_the_enlistment_lapsed_and_waits_out_a_partner_that_is_away() {
    use axum::http::StatusCode;
    tokio::time::resume();
    let busy = (StatusCode::SERVICE_UNAVAILABLE, "");
    let answers = [refusal(r#"{"login":"1-777@interop","status":"ok"}"#)];
    let (_http, url, seen) = http([busy].into_iter().chain(answers)).await;
    let mut server = Server::new();
    let mut store = enlisted_store();
    let mut tx = store.begin().unwrap();
    tx.set_enlistment(&landbridge::store::Enlistment::Lapsed { login: OWN.to_owned(), at: now() }).unwrap();
    tx.commit().unwrap();
    let client = server.builder(store).enlistment_url(url).build().unwrap();
    let run = running(&client);
    let mut conn = server.accept().await;
    assert_eq!(conn.login.account_id, 777);
    assert_eq!(seen.lock().unwrap().len(), 2);
    conn.send(&Success::at(now()).to_node(&conn.profile)).await;
    run.abort();
}

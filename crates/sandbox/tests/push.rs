//! Pushes, from the mailbox to a partner's server, by the sandbox's time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode, Version};
use http_body_util::channel::Channel;
use landbridge_sandbox::events::{EventKind, PushExchange};
use landbridge_sandbox::{PushReason, PushState, Pushing, SandboxConfig, SandboxError, UserPushes};
use landbridge_stanza::chatstate::ChatState;
use landbridge_wire::Jid;
use support::chat::Peer;
use support::partner::{Got, Receiver};
use support::*;
use tempfile::TempDir;

const NUMBER: &str = "14155551001";

/// A sandbox with a phone, a partner and its user alice.
struct Town {
    world: World,
    partner: Receiver,
    /// Position in the journal up to which everything was waited for.
    seen: u64,
}

impl Town {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut SandboxConfig)) -> Self {
        let partner = Receiver::start().await;
        let mut config = config();
        config.partners = vec![(INTEGRATOR, partner.base.clone())];
        change(&mut config);
        let world = World::with(config).await;
        world.sandbox.handle().create_phone(NUMBER, "Joe").unwrap();
        world.enlist("alice");
        Self { world, partner, seen: 0 }
    }

    fn write(&self, text: &str) {
        self.world.sandbox.handle().phone_send_text(NUMBER, "alice", text).unwrap();
    }

    /// The next exchange of the journal.
    async fn exchange(&mut self) -> PushExchange {
        let event =
            self.world.sandbox.handle().wait_for(self.seen, |e| matches!(e.kind, EventKind::Push(_))).await;
        self.seen = event.seq;
        match event.kind {
            EventKind::Push(exchange) => *exchange,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for what is planned behind an exchange.
    async fn plan(&mut self) -> (PushReason, u64) {
        let wanted = |kind: &EventKind| match kind {
            EventKind::PushPlanned { why, due } => Some((*why, *due)),
            _ => None,
        };
        let event = self.world.sandbox.handle().wait_for(self.seen, |e| wanted(&e.kind).is_some()).await;
        self.seen = event.seq;
        wanted(&event.kind).unwrap()
    }

    /// Waits for a plan, and lets the time for it come. Gives why, after how many seconds, and what came of it.
    async fn step(&mut self) -> (PushReason, u64, PushExchange) {
        let (why, due) = self.plan().await;
        let wait = due - self.world.now();
        self.world.sandbox.handle().advance_clock(wait).unwrap();
        let exchange = self.exchange().await;
        assert_eq!(exchange.why, why);
        (why, wait, exchange)
    }

    /// Lets what was sent come to its end: the exchange is in the journal a moment before what follows from it.
    async fn settle(&self) {
        let sending = |push: &UserPushes| push.state == PushState::Sending;
        while self.world.sandbox.handle().pushes().pushes.iter().any(sending) {
            tokio::task::yield_now().await;
        }
    }

    fn report(&self) -> UserPushes {
        let report = self.world.sandbox.handle().pushes();
        report.pushes.into_iter().find(|push| push.to == "alice").unwrap()
    }

    fn journal(&self) -> String {
        self.world.events().iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect()
    }
}

fn sha256(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn mail_for_who_is_away_reaches_the_partner_at_once() {
    let mut town = Town::new().await;
    town.world.sandbox.handle().phone_type(NUMBER, "alice", ChatState::Paused).unwrap();
    assert_eq!(town.world.sandbox.handle().pushes().pushes, [], "typing is no activity");
    town.write("nobody but alice may read this");
    let got = town.partner.next().await;
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", "/whatsapp/push"));
    assert_eq!((got.version, got.body.as_str()), (Version::HTTP_11, r#"{"to":"alice"}"#));
    assert_eq!(got.headers["content-type"], "application/json");
    assert!(got.is_believed(&town.world.sandbox, &town.partner.base).await);
    assert!(!got.is_believed(&town.world.sandbox, "https://other.example").await);
    let exchange = town.exchange().await;
    assert_eq!((exchange.status, exchange.why, exchange.attempt), (Some(200), PushReason::Activity, 1));
    assert_eq!((exchange.token_sha256, exchange.body_sha256), (sha256(got.bearer()), sha256(&got.body)));
    let journal = town.journal();
    assert!(!journal.contains(got.bearer()) && !journal.contains("may read this"), "{journal}");
    // Further mail waits for its time, and so does the reminder for it.
    assert_eq!(town.plan().await, (PushReason::Reminder, NOW + 3_600));
    town.write("and this");
    town.write("and that");
    let waiting = town.report();
    assert_eq!((waiting.state, waiting.due, waiting.tries), (PushState::Waiting, Some(NOW + 30), 0));
    assert_eq!(waiting.last.unwrap().status, Some(200));
    town.world.sandbox.handle().advance_clock(29).unwrap();
    assert_eq!(town.report().state, PushState::Waiting);
    town.world.sandbox.handle().advance_clock(1).unwrap();
    let second = town.partner.next().await;
    assert_eq!(
        (second.body, second.headers["authorization"].clone()),
        (got.body, got.headers["authorization"].clone())
    );
    town.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn while_mail_waits_the_partner_hears_of_it_three_times_more() {
    let mut town = Town::new().await;
    town.write("wake up");
    assert_eq!(town.exchange().await.why, PushReason::Activity);
    for hours in [1, 5, 18] {
        let (why, waited, exchange) = town.step().await;
        assert_eq!((why, waited, exchange.status), (PushReason::Reminder, hours * 3_600, Some(200)));
    }
    assert_eq!(town.partner.waiting(), 4);
    // A day later the last word is said.
    town.settle().await;
    assert_eq!(town.report().state, PushState::Idle);
    town.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn who_connects_hears_nothing_more_and_receipts_and_identities_are_activity() {
    let mut town = Town::new().await;
    let handle = town.world.sandbox.handle().clone();
    let joe = Jid::user(NUMBER);
    let mut alice = Peer::new(&town.world, "bob").await;
    // A receipt that comes while the user is away.
    handle.phone_go_offline(NUMBER).unwrap();
    alice.send(&joe, "are you there?").await;
    alice.ack().await;
    drop(alice.client);
    let gone = |kind: &EventKind| matches!(kind, EventKind::Disconnected { .. });
    town.world.wait(|event| gone(&event.kind)).await;
    assert_eq!(handle.pushes().pushes, []);
    handle.phone_come_online(NUMBER).unwrap();
    assert_eq!(town.partner.next().await.body, r#"{"to":"bob"}"#);
    assert_eq!(town.exchange().await.status, Some(200));
    // Another identity, half a minute later.
    town.plan().await;
    handle.advance_clock(60).unwrap();
    handle.phone_reinstall(NUMBER).unwrap();
    assert_eq!(town.partner.next().await.body, r#"{"to":"bob"}"#);
    assert_eq!(
        (town.exchange().await.why, town.plan().await.0),
        (PushReason::Activity, PushReason::Reminder)
    );
    // From the login on there is nothing to say.
    let mut account = alice.account;
    let client = town.world.log_in(&mut account).await;
    let bob = || handle.pushes().pushes.into_iter().find(|push| push.to == "bob").unwrap();
    assert_eq!(bob().state, PushState::Idle);
    handle.phone_send_text(NUMBER, "bob", "here I am again").unwrap();
    assert_eq!(bob().state, PushState::Idle);
    // What was not taken when the connection ends is told after it.
    let since = handle.last_event();
    drop(client);
    handle.wait_for(since, |event| gone(&event.kind)).await;
    handle.advance_clock(60).unwrap();
    assert_eq!(town.partner.next().await.body, r#"{"to":"bob"}"#);
    assert_eq!(town.partner.waiting(), 0);
    town.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn every_answer_leads_to_what_the_table_says() {
    let mut town = Town::new().await;
    // Answers without a further try, each with what the report says of it.
    for (status, outcome, remarks) in [
        (200, "taken", 0),
        (204, "taken, though not with 200", 1),
        (302, "a redirect, which is not followed", 1),
        (400, "refused for good", 0),
        (403, "refused for good", 0),
        (404, "refused for good", 0),
        (410, "refused for good", 0),
        (418, "refused for good", 0),
    ] {
        town.partner.always(status);
        let since = town.world.sandbox.handle().last_event();
        town.world.sandbox.handle().push("alice").unwrap();
        let exchange = town.exchange().await;
        assert_eq!((exchange.status, exchange.attempt), (Some(status), 1));
        town.settle().await;
        let last = town.report().last.unwrap();
        assert_eq!((last.status, last.outcome.as_str()), (Some(status), outcome));
        let unusual = |kind: &EventKind| matches!(kind, EventKind::Unusual { rule, .. } if rule.section == "partner-server 3");
        let events = town.world.sandbox.handle().events(since);
        assert_eq!(events.iter().filter(|event| unusual(&event.kind)).count(), remarks, "{status}");
    }
    // Answers that are worth a further try, which comes after a second.
    for status in [408, 425, 429, 500, 502, 503, 504] {
        town.partner.always(status);
        town.world.sandbox.handle().push("alice").unwrap();
        assert_eq!(town.exchange().await.status, Some(status));
        town.partner.always(200);
        let (_, waited, exchange) = town.step().await;
        assert!((1..=2).contains(&waited), "{status}: {waited} s");
        assert_eq!((exchange.status, exchange.attempt), (Some(200), 2));
    }
    // A partner that names a time is left alone until then, and up to a quarter of an hour.
    for (after, waited) in [("0", 0), ("7", 7), ("900", 900), ("9999", 900), ("soon", 1)] {
        town.partner.then((StatusCode::SERVICE_UNAVAILABLE, [("retry-after", after)]));
        town.world.sandbox.handle().push("alice").unwrap();
        let exchange = town.exchange().await;
        assert_eq!(exchange.retry_after, after.parse().ok());
        let (_, took, exchange) = town.step().await;
        assert!((waited..=waited + 1).contains(&took), "{after}: {took} s");
        assert_eq!(exchange.status, Some(200));
    }
    // A date is counted from that of the answer, whatever clock either side has.
    let dates = [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:51:37 GMT")];
    town.partner.then((StatusCode::SERVICE_UNAVAILABLE, dates));
    town.world.sandbox.handle().push("alice").unwrap();
    assert_eq!(town.exchange().await.retry_after, Some(120));
    town.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_partner_that_is_down_is_tried_for_a_quarter_of_an_hour() {
    let partner_is_gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut town = Town::with(|config| config.partners = vec![(INTEGRATOR, partner_is_gone)]).await;
    town.write("is anybody there?");
    let first = town.exchange().await;
    assert!(first.status.is_none() && first.failure.unwrap().contains("no connection to 127.0.0.1"));
    let begun = town.world.now();
    let mut tries = 1;
    loop {
        let (why, due) = town.plan().await;
        if why == PushReason::Reminder {
            assert_eq!(due, begun + 3_600);
            break;
        }
        let handle = town.world.sandbox.handle();
        handle.advance_clock(due - handle.clock().now()).unwrap();
        tries += 1;
        assert_eq!(town.exchange().await.attempt, tries);
        assert!(town.world.now() <= begun + 902);
    }
    assert!((16..=22).contains(&tries), "{tries} tries");
    let gave_up = |kind: &EventKind| matches!(kind, EventKind::PushGivenUp { tries: made } if *made == tries);
    town.world.wait(|event| gave_up(&event.kind)).await;
    town.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_bearer_that_is_not_believed_is_replaced_once_and_at_once() {
    let mut town = Town::new().await;
    let handle = town.world.sandbox.handle().clone();
    handle.push("alice").unwrap();
    let first = town.partner.next().await;
    town.exchange().await;
    handle.advance_clock(100).unwrap();
    town.partner.then(StatusCode::UNAUTHORIZED);
    handle.push("alice").unwrap();
    let (old, new) = (town.partner.next().await, town.partner.next().await);
    assert_eq!(old.bearer(), first.bearer());
    assert_ne!(new.bearer(), first.bearer());
    assert!(new.is_believed(&town.world.sandbox, &town.partner.base).await);
    for status in [401, 200] {
        let exchange = town.exchange().await;
        assert_eq!((exchange.status, exchange.attempt), (Some(status), 1));
    }
    // A partner that believes nothing is asked no third time.
    town.partner.always(401);
    handle.push("alice").unwrap();
    for _ in 0..2 {
        assert_eq!(town.exchange().await.status, Some(401));
    }
    town.settle().await;
    assert_eq!(town.report().last.unwrap().outcome, "refused, with a fresh bearer, too");
    town.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_bearer_is_used_for_four_fifths_of_its_life_and_dies_with_its_key() {
    let mut town = Town::new().await;
    let handle = town.world.sandbox.handle().clone();
    let push = async |town: &mut Town| -> Got {
        town.world.sandbox.handle().push("alice").unwrap();
        let got = town.partner.next().await;
        assert_eq!(town.exchange().await.status, Some(200));
        assert!(got.is_believed(&town.world.sandbox, &town.partner.base).await);
        got
    };
    let first = push(&mut town).await;
    handle.advance_clock(2_879).unwrap();
    assert_eq!(push(&mut town).await.bearer(), first.bearer());
    handle.advance_clock(1).unwrap();
    let second = push(&mut town).await;
    assert_ne!(second.bearer(), first.bearer());
    // The keys move on: what comes is signed by the new one, and what has come is still believed.
    let header = |got: &Got| got.bearer().split('.').next().unwrap().to_owned();
    let mut before = second;
    for _ in 0..2 {
        handle.rotate_push_keys().await.unwrap();
        let after = push(&mut town).await;
        assert_ne!(header(&after), header(&before));
        assert!(before.is_believed(&town.world.sandbox, &town.partner.base).await);
        before = after;
    }
    // A clock that was set back makes no token of the future.
    handle.set_clock_back(300);
    assert_ne!(push(&mut town).await.bearer(), before.bearer());
    town.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_partner_in_trouble_gets_a_probe_every_half_minute() {
    let mut town = Town::with(|config| config.profile.push.breaker_failures = 6).await;
    let handle = town.world.sandbox.handle().clone();
    town.partner.always(500);
    for n in 0..9 {
        town.world.enlist(&format!("user{n}"));
        handle.phone_send_text(NUMBER, &format!("user{n}"), "hello").unwrap();
    }
    let breaker = |kind: &EventKind| match kind {
        EventKind::PushBreaker { integrator: INTEGRATOR, open } => Some(*open),
        _ => None,
    };
    let opened = town.world.wait(|event| breaker(&event.kind).is_some()).await;
    assert_eq!(breaker(&opened.kind), Some(true));
    for _ in 0..9 {
        town.exchange().await;
    }
    town.settle().await;
    town.partner.waiting();
    let report = handle.pushes().partners;
    assert_eq!((report[0].failures, report[0].probe), (9, Some(NOW + 30)));
    handle.advance_clock(29).unwrap();
    for _ in 0..3 {
        handle.advance_clock(1).unwrap();
        let exchange = town.exchange().await;
        assert_eq!((exchange.status, exchange.attempt > 1), (Some(500), true));
        town.settle().await;
        assert_eq!(town.partner.waiting(), 1);
        handle.advance_clock(29).unwrap();
    }
    // It is back: everybody's turn has come.
    town.partner.always(200);
    handle.advance_clock(1).unwrap();
    for _ in 0..9 {
        assert_eq!(town.exchange().await.status, Some(200));
    }
    let events = town.world.events();
    let changes: Vec<_> = events.iter().filter_map(|event| breaker(&event.kind)).collect();
    assert_eq!(changes, [true, false]);
    town.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn http_2_is_a_setting_and_none_is_one_too() {
    let mut town = Town::with(|config| config.pushing = Pushing::Http2).await;
    town.write("twice as new");
    assert_eq!(town.partner.next().await.version, Version::HTTP_2);
    assert_eq!(serde_json::to_value(town.exchange().await).unwrap()["version"], "HTTP/2");
    town.world.sandbox.shutdown().await;

    let town = Town::with(|config| config.pushing = Pushing::Off).await;
    town.write("unheard");
    let handle = town.world.sandbox.handle();
    assert_eq!(handle.pushes().pushes, []);
    assert!(matches!(handle.push("alice"), Err(SandboxError::NoPushes)));
    town.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn by_hand_it_goes_for_users_of_partners_alone() {
    let mut town = Town::new().await;
    let handle = town.world.sandbox.handle().clone();
    assert!(matches!(handle.push(NUMBER), Err(SandboxError::NoPushes)));
    assert!(matches!(handle.push("nobody"), Err(SandboxError::NoSuchUser)));
    // Whether mail waits or not, and without regard to the pace.
    for _ in 0..3 {
        handle.push("alice").unwrap();
        assert_eq!(
            (town.exchange().await.why, town.partner.next().await.body.as_str()),
            (PushReason::ByHand, r#"{"to":"alice"}"#)
        );
    }
    town.world.sandbox.shutdown().await;
}

impl Town {
    /// Stops the sandbox and starts one over the same data, whose clock is at the beginning again.
    async fn restart(&mut self, dir: &TempDir, change: impl FnOnce(&mut SandboxConfig)) {
        let mut config = config().data_dir(dir.path());
        config.partners = vec![(INTEGRATOR, self.partner.base.clone())];
        change(&mut config);
        let fresh =
            World::with(SandboxConfig { partners: config.partners.clone(), ..SandboxConfig::default() });
        std::mem::replace(&mut self.world, fresh.await).sandbox.shutdown().await;
        let between = std::mem::replace(&mut self.world, World::with(config).await);
        between.sandbox.shutdown().await;
        self.seen = 0;
    }

    fn stands(&self) -> (PushState, Option<PushReason>, Option<u64>, u32) {
        let report = self.report();
        (report.state, report.why, report.due, report.tries)
    }
}

async fn kept() -> (TempDir, Town) {
    let dir = tempfile::tempdir().unwrap();
    let town = Town::with(|config| config.data_dir = Some(dir.path().to_owned())).await;
    (dir, town)
}

#[tokio::test]
async fn a_restart_neither_forgets_a_push_nor_repeats_one() {
    let (dir, mut town) = kept().await;
    town.write("for the next life");
    town.plan().await;
    // It was told, and the reminder is due when it would have been.
    town.restart(&dir, |_| {}).await;
    assert_eq!(town.stands(), (PushState::Waiting, Some(PushReason::Reminder), Some(NOW + 3_600), 0));
    // What came within half a minute waits for its time, and not longer for the restart.
    town.write("once more");
    assert_eq!(town.stands(), (PushState::Waiting, Some(PushReason::Activity), Some(NOW + 30), 0));
    town.restart(&dir, |_| {}).await;
    assert_eq!(town.stands(), (PushState::Waiting, Some(PushReason::Activity), Some(NOW + 30), 0));
    assert_eq!(town.partner.waiting(), 1);
    town.partner.then((StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "100")]));
    town.world.sandbox.handle().advance_clock(30).unwrap();
    assert_eq!(town.exchange().await.attempt, 1);
    town.plan().await;
    // The clock of the next run is 30 seconds behind: the wait stays as long as it was.
    town.restart(&dir, |_| {}).await;
    assert_eq!(town.stands(), (PushState::Waiting, Some(PushReason::Activity), Some(NOW + 100), 1));
    town.world.sandbox.handle().advance_clock(100).unwrap();
    let second = town.exchange().await;
    assert_eq!((second.attempt, second.status), (2, Some(200)));
    assert_eq!(town.partner.waiting(), 2);
    // 31 days later nobody is enlisted.
    town.plan().await;
    town.world.sandbox.handle().advance_clock(31 * 86_400).unwrap();
    assert_eq!(town.world.sandbox.handle().pushes().pushes, []);
    town.restart(&dir, |_| {}).await;
    assert_eq!(town.world.sandbox.handle().pushes().pushes, []);
    town.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn mail_that_no_plan_has_thought_of_is_told_by_the_next_run() {
    let (dir, mut town) = kept().await;
    town.write("told at once");
    town.plan().await;
    town.restart(&dir, |config| config.pushing = Pushing::Off).await;
    town.write("while nobody pushes");
    town.restart(&dir, |_| {}).await;
    assert_eq!(town.stands(), (PushState::Waiting, Some(PushReason::Activity), Some(NOW + 30), 0));
    assert_eq!(town.partner.waiting(), 1);
    town.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_push_that_is_under_way_when_the_sandbox_stops_comes_to_its_end() {
    let (dir, mut town) = kept().await;
    let (end, body) = Channel::<Bytes>::new(1);
    town.partner.then(Response::new(Body::new(body)));
    town.write("just in time");
    town.partner.next().await;
    let ending = async {
        tokio::task::yield_now().await;
        drop(end);
    };
    tokio::join!(town.restart(&dir, |_| {}), ending);
    assert_eq!(town.stands(), (PushState::Waiting, Some(PushReason::Reminder), Some(NOW + 3_600), 0));
    town.world.sandbox.shutdown().await;
}

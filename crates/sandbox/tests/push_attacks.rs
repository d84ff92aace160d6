//! Pushes to a partner that means harm, and pushes that are wrong on purpose.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::header::LOCATION;
use axum::http::{StatusCode, Version};
use landbridge_sandbox::events::{EventKind, PushExchange};
use landbridge_sandbox::faults::{Fault, Probability};
use landbridge_sandbox::{FaultTimes, PushReason};
use support::partner::Receiver;
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A world whose partner is at this address, with a user.
async fn world(base: &str) -> World {
    let mut config = config();
    config.partners = vec![(INTEGRATOR, base.to_owned())];
    config.profile.push.timeout_s = 1;
    config.fault_times = FaultTimes { push: Duration::from_millis(50), ..FaultTimes::default() };
    let world = World::with(config).await;
    world.enlist("alice");
    world
}

fn push(world: &World) {
    world.sandbox.handle().push("alice").unwrap();
}

/// Exchange number `nth` of the journal, from 0.
async fn exchange(world: &World, nth: usize) -> PushExchange {
    let mut left = nth;
    let event = world
        .wait(|event| {
            let found = matches!(event.kind, EventKind::Push(_)) && left == 0;
            left -= usize::from(matches!(event.kind, EventKind::Push(_)) && left > 0);
            found
        })
        .await;
    match event.kind {
        EventKind::Push(exchange) => *exchange,
        other => panic!("{other:?}"),
    }
}

/// A server that does to every connection what it likes, once the head of a request has come; it counts requests for
/// pushes.
async fn hostile<F: Future<Output = ()> + Send + 'static>(
    act: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (act, count) = (Arc::new(act), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (act, count) = (Arc::clone(&act), Arc::clone(&count));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"}") {
                    match socket.read_buf(&mut head).await {
                        Ok(1..) if !head.starts_with(b"GET") => {}
                        _ => return,
                    }
                }
                count.fetch_add(1, Ordering::SeqCst);
                act(socket).await;
            });
        }
    });
    (base, counted)
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let (inside, called) = hostile(async |_| {}).await;
    let mut partner = Receiver::start().await;
    let world = world(&partner.base).await;
    for status in [301, 302, 303, 307, 308] {
        let status = StatusCode::from_u16(status).unwrap();
        partner.then((status, [(LOCATION, format!("{inside}/latest/meta-data"))]));
        push(&world);
        partner.next().await;
    }
    assert_eq!(exchange(&world, 4).await.status, Some(308));
    assert_eq!((called.load(Ordering::SeqCst), partner.waiting()), (0, 0));
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_body_without_an_end_is_not_read_to_it() {
    let written = Arc::new(AtomicUsize::new(0));
    let (count, piece) = (Arc::clone(&written), vec![b'x'; 64 * 1024]);
    let (base, _) = hostile(move |mut socket| {
        let (count, piece) = (Arc::clone(&count), piece.clone());
        async move {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
            socket.write_all(head.as_bytes()).await.unwrap();
            while socket.write_all(&piece).await.is_ok() {
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    let world = world(&base).await;
    push(&world);
    let exchange = exchange(&world, 0).await;
    // What it said in the head counts. Some megabytes lie in the buffers of the two sockets; nobody has read them.
    assert_eq!((exchange.status, exchange.failure), (Some(200), None));
    assert!(written.load(Ordering::SeqCst) < 32 * 1024 * 1024);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn who_answers_too_slowly_or_too_much_has_not_answered() {
    // A byte of a header field at a time.
    let drip = async |mut socket: TcpStream| {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ").await;
        while socket.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let silence = async |mut socket: TcpStream| {
        let _ = socket.read(&mut [0]).await;
    };
    let flood = async |mut socket: TcpStream| {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while socket.write_all(b"x-more: and more of it\r\n").await.is_ok() {}
    };
    let nonsense = async |mut socket: TcpStream| {
        let _ = socket.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").await;
    };
    let bases =
        [hostile(drip).await.0, hostile(silence).await.0, hostile(flood).await.0, hostile(nonsense).await.0];
    for (base, why) in bases.iter().zip(["within 1000 ms", "within 1000 ms", "broke off", "broke off"]) {
        let world = world(base).await;
        push(&world);
        let exchange = exchange(&world, 0).await;
        let failure = exchange.failure.unwrap();
        assert!(exchange.status.is_none() && failure.contains(why), "{failure}");
        let planned =
            |kind: &EventKind| matches!(kind, EventKind::PushPlanned { why: PushReason::ByHand, .. });
        world.wait(|event| planned(&event.kind)).await;
        world.sandbox.shutdown().await;
    }
}

#[tokio::test]
async fn a_slow_body_behind_a_good_status_is_left_alone() {
    let (base, called) = hostile(async |mut socket: TcpStream| {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n").await;
        let _ = socket.read(&mut [0]).await;
    })
    .await;
    let world = world(&base).await;
    push(&world);
    assert_eq!((exchange(&world, 0).await.status, called.load(Ordering::SeqCst)), (Some(200), 1));
    world.sandbox.shutdown().await;
}

fn once(world: &World, fault: Fault) {
    world.sandbox.handle().set_fault(fault, Probability::ALWAYS, Some(1));
}

/// How often a fault is in the journal.
fn injected(world: &World, fault: Fault) -> usize {
    let is = |kind: &EventKind| matches!(kind, EventKind::FaultInjected { fault: name, .. } if *name == fault.name());
    world.events().iter().filter(|event| is(&event.kind)).count()
}

#[tokio::test]
async fn tokens_that_must_not_count() {
    for fault in [Fault::PushExpired, Fault::PushAudience] {
        let mut partner = Receiver::start().await;
        let world = world(&partner.base).await;
        // A partner that looks refuses it, and gets a good one at once.
        once(&world, fault);
        partner.then(StatusCode::UNAUTHORIZED);
        push(&world);
        let (bad, good) = (partner.next().await, partner.next().await);
        assert!(!bad.is_believed(&world.sandbox, &partner.base).await, "{fault}");
        assert!(good.is_believed(&world.sandbox, &partner.base).await);
        exchange(&world, 1).await;
        assert_eq!((injected(&world, fault), world.broken()), (1, vec![]));
        // One that does not look is told.
        once(&world, fault);
        push(&world);
        partner.next().await;
        let broken = world.wait(|event| matches!(event.kind, EventKind::Broken { .. })).await;
        let EventKind::Broken { rule, detail } = broken.kind else { panic!() };
        assert_eq!(rule.section, "partner-server 3");
        assert!(detail.contains(fault.name()) && detail.contains("200"), "{detail}");
        assert_eq!(partner.waiting(), 0);
        world.sandbox.shutdown().await;
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_a_minute_is_believed() {
    let mut partner = Receiver::start().await;
    let world = world(&partner.base).await;
    world.sandbox.handle().set_fault(Fault::PushClock, Probability::ALWAYS, None);
    let mut tokens = std::collections::HashSet::new();
    for _ in 0..20 {
        push(&world);
        let got = partner.next().await;
        assert!(got.is_believed(&world.sandbox, &partner.base).await);
        tokens.insert(got.bearer().to_owned());
    }
    assert!(tokens.len() > 10, "the clock is always wrong by the same");
    // A partner without leeway is told of it.
    partner.then(StatusCode::UNAUTHORIZED);
    push(&world);
    world.wait(|event| matches!(&event.kind, EventKind::Unusual { detail, .. } if detail.contains("60 are allowed"))).await;
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn the_same_push_twice_one_for_nobody_and_one_for_who_is_here() {
    let mut partner = Receiver::start().await;
    let world = world(&partner.base).await;
    once(&world, Fault::PushTwice);
    push(&world);
    let (first, second) = (partner.next().await, partner.next().await);
    assert_eq!(
        (first.body, first.headers["authorization"].clone()),
        (second.body, second.headers["authorization"].clone())
    );
    once(&world, Fault::PushUnknown);
    push(&world);
    let bodies = [partner.next().await.body, partner.next().await.body];
    assert!(bodies.iter().any(|body| body.starts_with(r#"{"to":"nobody-"#)), "{bodies:?}");
    assert!(bodies.iter().any(|body| body == r#"{"to":"alice"}"#), "{bodies:?}");
    once(&world, Fault::PushConnected);
    let mut bob = world.enlist("bob");
    let _client = world.log_in(&mut bob).await;
    assert_eq!(partner.next().await.body, r#"{"to":"bob"}"#);
    for fault in [Fault::PushTwice, Fault::PushUnknown, Fault::PushConnected] {
        assert_eq!(injected(&world, fault), 1, "{fault}");
    }
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn another_version_of_http_and_a_partner_that_speaks_one_alone() {
    let mut partner = Receiver::start().await;
    let town = world(&partner.base).await;
    once(&town, Fault::PushVersion);
    push(&town);
    assert_eq!(partner.next().await.version, Version::HTTP_2);
    exchange(&town, 0).await;
    push(&town);
    assert_eq!(partner.next().await.version, Version::HTTP_11);
    town.sandbox.shutdown().await;
    let (base, _) = hostile(async |mut socket: TcpStream| {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let town = world(&base).await;
    once(&town, Fault::PushVersion);
    push(&town);
    assert!(exchange(&town, 0).await.failure.is_some());
    assert_eq!(exchange(&town, 1).await.status, Some(200));
    let unusual =
        |kind: &EventKind| matches!(kind, EventKind::Unusual { rule, .. } if rule.section == "SEED");
    town.wait(|event| unusual(&event.kind)).await;
    town.sandbox.shutdown().await;
}

#[tokio::test]
async fn connections_that_break_are_tried_again() {
    let mut partner = Receiver::start().await;
    let world = world(&partner.base).await;
    for (n, (fault, acted)) in
        [(Fault::PushBrokenBefore, 0), (Fault::PushBrokenAfter, 1)].into_iter().enumerate()
    {
        once(&world, fault);
        push(&world);
        let first = exchange(&world, 2 * n).await;
        assert_eq!(first.failure.as_deref(), Some("the sandbox broke the connection"), "{fault}");
        world
            .wait(|event| {
                event.seq > 0
                    && injected(&world, fault) == 1
                    && matches!(event.kind, EventKind::PushPlanned { .. })
            })
            .await;
        assert_eq!(partner.waiting(), acted, "{fault}");
        let since = world.sandbox.handle().last_event();
        world.sandbox.handle().advance_clock(2).unwrap();
        assert_eq!(partner.next().await.body, r#"{"to":"alice"}"#);
        world.sandbox.handle().wait_for(since, |event| matches!(event.kind, EventKind::Push(_))).await;
        assert_eq!(exchange(&world, 2 * n + 1).await.status, Some(200));
    }
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn late_ones_come_and_one_lets_another_go_first() {
    let mut partner = Receiver::start().await;
    let world = world(&partner.base).await;
    world.enlist("bob");
    once(&world, Fault::PushLate);
    push(&world);
    assert_eq!(partner.next().await.body, r#"{"to":"alice"}"#);
    exchange(&world, 0).await;
    // Nobody else comes: it goes all the same.
    once(&world, Fault::PushReordered);
    push(&world);
    assert_eq!(partner.next().await.body, r#"{"to":"alice"}"#);
    exchange(&world, 1).await;
    // Somebody does.
    let mut config = config();
    config.partners = vec![(INTEGRATOR, partner.base.clone())];
    config.fault_times = FaultTimes { push: Duration::from_secs(3_600), ..FaultTimes::default() };
    let patient = World::with(config).await;
    patient.enlist("alice");
    patient.enlist("bob");
    once(&patient, Fault::PushReordered);
    push(&patient);
    patient
        .wait(|event| matches!(event.kind, EventKind::FaultInjected { fault: "push-reordered", .. }))
        .await;
    patient.sandbox.handle().push("bob").unwrap();
    let order = [partner.next().await.body, partner.next().await.body];
    assert_eq!(order, [r#"{"to":"bob"}"#, r#"{"to":"alice"}"#]);
    for world in [world, patient] {
        world.sandbox.shutdown().await;
    }
}

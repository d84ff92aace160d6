//! Two servers over one store: a push at one, a stream at the other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::sync::Arc;

use common::whatsapp::{Hand, WhatsApp};
use common::{ALICE, Events, send, until};
use landbridge_partner::store::SqliteStore;
use landbridge_partner::wake::{LocalSwitchboard, Switchboard};
use landbridge_partner::{Partner, PartnerConfig};

struct Pair {
    whatsapp: WhatsApp,
    a: Partner,
    b: Partner,
}

impl Pair {
    /// A clock that stands: nothing becomes due by waiting.
    async fn start() -> Self {
        let whatsapp = WhatsApp::with(Hand::at(1_800_000_000)).await;
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        let switchboard = LocalSwitchboard::new();
        let start = async |switchboard: LocalSwitchboard| {
            let config = PartnerConfig { base_url: Some("http://partner".to_owned()), ..whatsapp.config() };
            Partner::builder(config)
                .clock(whatsapp.hand.clock())
                .store(Arc::clone(&store) as _)
                .switchboard(Arc::new(switchboard) as Arc<dyn Switchboard>)
                .start()
                .await
                .unwrap()
        };
        let (a, b) = (start(switchboard.join()).await, start(switchboard).await);
        Self { whatsapp, a, b }
    }
}

async fn count(partner: &Partner, line: &str) -> u64 {
    let text = send(partner.admin_addr(), "GET /metrics", &[], "").await.body;
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_push_reaches_a_stream_at_the_other_server() {
    let Pair { whatsapp, a, b } = Pair::start().await;
    let mut events = Events::open(b.addr(), ALICE, "device=phone").await;
    assert_eq!(whatsapp.push(&a, "alice").await.status, 200);
    assert_eq!(events.next().await.len(), 22);
    // The server that holds the stream may be the one that is pushed at.
    whatsapp.hand.advance(60);
    assert_eq!(whatsapp.push(&b, "alice").await.status, 200);
    events.next().await;
}

#[tokio::test]
async fn who_is_connected_at_the_other_server_is_left_alone() {
    let Pair { whatsapp, a, b } = Pair::start().await;
    let connected = "landbridge_push_received_total{result=\"connected\"}";
    let events = Events::open(b.addr(), ALICE, "device=phone&chat=connected").await;
    assert_eq!(whatsapp.push(&a, "alice").await.status, 200);
    assert_eq!(count(&a, connected).await, 1);
    drop(events);
    until("the stream's end is known", async || {
        whatsapp.push(&a, "alice").await;
        count(&a, "landbridge_push_received_total{result=\"queued\"}").await == 1
    })
    .await;
}

#[tokio::test]
async fn a_device_has_one_stream_wherever_it_opens_it() {
    let Pair { whatsapp, a, b } = Pair::start().await;
    let first = Events::open(a.addr(), ALICE, "device=phone&chat=connected").await;
    let mut second = Events::open(b.addr(), ALICE, "device=phone").await;
    assert!(first.ended().await, "the stream has moved");
    assert_eq!(whatsapp.push(&a, "alice").await.status, 200);
    second.next().await;
    let other = Events::open(a.addr(), ALICE, "device=desk").await;
    let bearer = [("Authorization", "Bearer session-of-alice")];
    assert_eq!(send(a.addr(), "DELETE /v1/me", &bearer, "").await.status, 202);
    assert!(other.ended().await && second.ended().await, "a user who leaves leaves everywhere");
}

#[tokio::test]
async fn what_waits_at_the_one_goes_out_by_the_other() {
    let Pair { whatsapp, a, b } = Pair::start().await;
    drop(Events::open(b.addr(), ALICE, "device=phone").await);
    let tried = "landbridge_wake_sent_total{kind=\"socket\",result=\"retry\"}";
    until("an attempt in vain", async || {
        whatsapp.hand.advance(60);
        assert_eq!(whatsapp.push(&a, "alice").await.status, 200);
        count(&a, tried).await + count(&b, tried).await > 0
    })
    .await;
    // The clock stands: only the stream's opening makes it due.
    Events::open(b.addr(), ALICE, "device=phone").await.next().await;
    b.shutdown().await;
    whatsapp.hand.advance(60);
    let mut events = Events::open(a.addr(), ALICE, "device=phone").await;
    assert_eq!(whatsapp.push(&a, "alice").await.status, 200);
    events.next().await;
}

//! Whole round trips: client → TCP, Noise → sandbox → phone (decrypts, stores, receipts), and an answer back, with a real
//! SQLite file on the client's side. Prints round trips per second and their times.
//!
//! `cargo run --release --package landbridge-cli --example round_trips [COUNT]`

use std::error::Error;
use std::time::{Duration, Instant};

use landbridge::noise::PinnedRoot;
use landbridge::store::{OutState, SqliteStore};
use landbridge::transport::HttpClient;
use landbridge::wire::Jid;
use landbridge::{Client, Event, Events, HttpTokenSource};
use landbridge_partner::{Partner, PartnerConfig};
use landbridge_sandbox::{RateLimits, Sandbox, SandboxConfig};

const PHONE: &str = "14155551001";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(2_000), |count| count.parse())?;
    let partner = Partner::start(PartnerConfig {
        addr: ([127, 0, 0, 1], 0).into(),
        admin_addr: ([127, 0, 0, 1], 0).into(),
        dev_users: [("session".to_owned(), "alice".to_owned())].into(),
        insecure_dev_auth: true,
        ..PartnerConfig::default()
    })
    .await?;
    let config = SandboxConfig { rate_limits: RateLimits::Off, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config.partner(1, partner.base_url())).await?;
    sandbox.handle().create_phone(PHONE, "Joe")?;
    let dir = tempfile::tempdir()?;
    let client = Client::builder()
        .store(SqliteStore::open(dir.path().join("client.db"))?)
        .endpoint(sandbox.chat_addr().to_string())
        .enlistment_url(sandbox.enlist_url())
        .trust(PinnedRoot::new(sandbox.root_key()))
        .token_source(HttpTokenSource::new(
            HttpClient::builder().build()?,
            format!("{}/v1/token", partner.base_url()),
            "session",
        ))
        .build()?;
    let mut events = client.events();
    let alice = client.enlist("alice", 1).await?.to_string();
    client.connect().await?;
    let phone = Jid::user(PHONE);

    let mut pings = Vec::with_capacity(count);
    for _ in 0..count {
        pings.push(client.ping().await?.time);
    }
    report("ping (Noise and stanzas only)", &mut pings);

    let mut trips = Vec::with_capacity(count);
    for n in 0..count {
        let start = Instant::now();
        let id = client.send_text(&phone, &format!("question {n}")).await?;
        delivered(&mut events, id.as_str()).await?;
        sandbox.handle().phone_send_text(PHONE, &alice, &format!("answer {n}"))?;
        received(&mut events).await?;
        trips.push(start.elapsed());
    }
    report("message out with its receipt, and one back", &mut trips);

    client.disconnect().await;
    sandbox.shutdown().await;
    partner.shutdown().await;
    Ok(())
}

async fn delivered(events: &mut Events, wanted: &str) -> Result<(), &'static str> {
    while let Some(event) = events.next().await {
        if let Event::MessageState { id, state, .. } = event
            && id.as_str() == wanted
            && state >= OutState::Delivered
        {
            return Ok(());
        }
    }
    Err("the events ended")
}

async fn received(events: &mut Events) -> Result<(), &'static str> {
    while let Some(event) = events.next().await {
        if let Event::Message(_) = event {
            return Ok(());
        }
    }
    Err("the events ended")
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!(
        "{what}: {:.0} per second one after the other; p50 {:.2} ms, p99 {:.2} ms ({} of them)",
        times.len() as f64 / total.as_secs_f64(),
        at(0.5).as_secs_f64() * 1e3,
        at(0.99).as_secs_f64() * 1e3,
        times.len()
    );
}

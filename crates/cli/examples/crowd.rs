//! Many clients at once: all connect, the server goes away and comes back, and pairs write to each other as fast as they
//! can. Clients keep their state in memory; the sandbox is real, with its database on the disk, and all bytes go over TCP.
//!
//! `cargo run --release --package landbridge-cli --example crowd [CLIENTS [PAIRS [MESSAGES]]]`

use std::error::Error;
use std::time::{Duration, Instant};

use landbridge::noise::PinnedRoot;
use landbridge::store::{MemoryStore, OutState};
use landbridge::transport::HttpClient;
use landbridge::wire::Jid;
use landbridge::{Client, Event, Events, HttpTokenSource};
use landbridge_partner::{Partner, PartnerConfig};
use landbridge_sandbox::{RateLimits, Sandbox, SandboxConfig};
use tokio::task::JoinSet;

type Failed = Box<dyn Error + Send + Sync>;

/// Clients that are enlisted at a time.
const ENLISTING: usize = 32;

/// One of the crowd.
struct Member {
    number: usize,
    client: Client,
    events: Events,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<usize>());
    let mut next = |default| numbers.next().unwrap_or(Ok(default));
    let (clients, pairs, messages) = (next(2_000)?, next(100)?, next(100)?);

    let partner = Partner::start(PartnerConfig {
        addr: ([127, 0, 0, 1], 0).into(),
        admin_addr: ([127, 0, 0, 1], 0).into(),
        dev_users: (0..clients).map(|n| (format!("session{n}"), format!("user{n}"))).collect(),
        insecure_dev_auth: true,
        ..PartnerConfig::default()
    })
    .await?;
    let dir = tempfile::tempdir()?;
    let config = SandboxConfig { rate_limits: RateLimits::Off, ..SandboxConfig::default() };
    let mut config = config.partner(1, partner.base_url()).data_dir(dir.path());
    let sandbox = Sandbox::start(config.clone()).await?;
    (config.chat_addr, config.http_addr) = (sandbox.chat_addr(), sandbox.http_addr());

    let start = Instant::now();
    let crowd = enlist(clients, &sandbox, &partner).await?;
    println!("{clients} clients enlisted in {:.1} s", start.elapsed().as_secs_f64());

    let start = Instant::now();
    for member in &crowd {
        let client = member.client.clone();
        tokio::spawn(async move { client.run().await });
    }
    let (crowd, mut times) = connected(crowd, start).await?;
    report("first login, keys uploaded, from the start of all", &mut times);

    sandbox.shutdown().await;
    let sandbox = Sandbox::start(config).await?;
    let (crowd, mut times) = connected(crowd, Instant::now()).await?;
    report("back after the server had gone, from its return", &mut times);

    write(crowd, pairs.min(clients), messages, &sandbox).await?;
    sandbox.shutdown().await;
    partner.shutdown().await;
    Ok(())
}

async fn enlist(clients: usize, sandbox: &Sandbox, partner: &Partner) -> Result<Vec<Member>, Failed> {
    let mut crowd = Vec::with_capacity(clients);
    let mut enlisting = JoinSet::new();
    for number in 0..clients {
        if enlisting.len() == ENLISTING
            && let Some(member) = enlisting.join_next().await
        {
            crowd.push(member??);
        }
        let client = Client::builder()
            .store(MemoryStore::new())
            .endpoint(sandbox.chat_addr().to_string())
            .enlistment_url(sandbox.enlist_url())
            .trust(PinnedRoot::new(sandbox.root_key()))
            .token_source(HttpTokenSource::new(
                HttpClient::builder().build()?,
                format!("{}/v1/token", partner.base_url()),
                &format!("session{number}"),
            ))
            .build()?;
        enlisting.spawn(async move {
            client.enlist(&format!("user{number}"), 1).await?;
            let events = client.events();
            Ok::<_, Failed>(Member { number, client, events })
        });
    }
    while let Some(member) = enlisting.join_next().await {
        crowd.push(member??);
    }
    Ok(crowd)
}

/// Waits until everybody is connected; how long each took since `start`.
async fn connected(crowd: Vec<Member>, start: Instant) -> Result<(Vec<Member>, Vec<Duration>), Failed> {
    let mut waiting = JoinSet::new();
    for mut member in crowd {
        waiting.spawn(async move {
            while let Some(event) = member.events.next().await {
                if let Event::Connected { .. } = event {
                    return Ok((member, start.elapsed()));
                }
            }
            Err::<_, Failed>("the events ended".into())
        });
    }
    let mut back = Vec::new();
    while let Some(member) = waiting.join_next().await {
        back.push(member??);
    }
    Ok(back.into_iter().unzip())
}

/// Each pair: a message out with its receipt, and one back, one after the other; all pairs at once.
async fn write(crowd: Vec<Member>, pairs: usize, messages: usize, sandbox: &Sandbox) -> Result<(), Failed> {
    let start = Instant::now();
    let mut writing = JoinSet::new();
    for mut member in crowd.into_iter().take(pairs) {
        let handle = sandbox.handle().clone();
        writing.spawn(async move {
            let number = format!("1415556{:04}", member.number);
            handle.create_phone(&number, "somebody")?;
            let own = member.client.address().await?.ok_or("not enlisted")?.to_string();
            let phone = Jid::user(&number);
            let mut times = Vec::with_capacity(messages);
            for n in 0..messages {
                let begun = Instant::now();
                let id = member.client.send_text(&phone, &format!("question {n}")).await?;
                member.client.wait_for(&phone, &id, OutState::Delivered).await?;
                handle.phone_send_text(&number, &own, &format!("answer {n}"))?;
                while !matches!(member.events.next().await.ok_or("the events ended")?, Event::Message(_)) {}
                times.push(begun.elapsed());
            }
            Ok::<_, Failed>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = writing.join_next().await {
        times.extend(done??);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{pairs} pairs at once: {:.0} messages/s, receipts not counted, in {seconds:.1} s",
        2.0 * times.len() as f64 / seconds
    );
    report("a message out with its receipt and one back, all pairs at once", &mut times);
    Ok(())
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times.get(index).or(times.last()).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    println!(
        "{what}: p50 {:.1} ms, p99 {:.1} ms, last {:.1} ms ({} of them)",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
}

//! `landbridge partner` as processes over PostgreSQL, an S3 store and NATS, which are processes, too: servers are killed at random
//! under load and started elsewhere, and are stopped in order one after the other while others take over. Nothing
//! that was acknowledged is lost, and an orderly restart fails no request.
//!
//! `LANDBRIDGE_KILLS` says how many kills there are, `LANDBRIDGE_SEED` when; both are printed. It needs engines that are not Rust
//! crates, and runs where `LANDBRIDGE_TEST_MODE` is `grown`: in the leg `services`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

#[path = "../../../partner/tests/common/mod.rs"]
mod common;
mod http;
mod load;
mod servers;

use std::sync::Arc;

use common::whatsapp::WhatsApp;
use landbridge_localservices::s3::serve_if_asked;
use load::Load;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use servers::{Engines, Told};

/// Servers that run at once.
const SERVERS: usize = 2;
/// Answers between two kills or restarts, at most.
const ANSWERS: usize = 40;

fn main() {
    serve_if_asked().unwrap();
    if std::env::var_os("LANDBRIDGE_TEST_MODE").is_none() {
        println!("grown: left to `cargo xtask test services`");
    } else if std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .all(|name| "grown".contains(&*name))
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(run());
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

async fn run() {
    let kills = setting("LANDBRIDGE_KILLS").unwrap_or(4);
    let seed = setting("LANDBRIDGE_SEED").unwrap_or_else(rand::random);
    println!("grown: LANDBRIDGE_KILLS={kills} LANDBRIDGE_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let whatsapp = WhatsApp::start().await;
    let engines = tokio::task::block_in_place(|| Engines::start(&whatsapp.keys.url));
    // The first is told by a file, the others by the environment or by flags: it is the same.
    let servers = vec![engines.server(Told::File), engines.server(Told::Environment)];
    let load = Arc::new(Load::start(whatsapp, servers.iter().map(|server| server.addr).collect()).await);
    let workers = load.work(&mut rng);
    let mut servers = servers;

    for n in 0..kills {
        load.answered(rng.random_range(1..ANSWERS)).await;
        let victim = rng.random_range(0..SERVERS);
        servers[victim].kill();
        load.answered(rng.random_range(1..ANSWERS)).await;
        servers[victim] = engines.server(if n % 2 == 0 { Told::Flags } else { Told::File });
        load.moved(victim, servers[victim].addr);
    }
    let (after_kills, broken) = (load.failures(), load.broken());

    for _ in 0..SERVERS * 2 {
        load.answered(ANSWERS).await;
        let successor = engines.server(Told::File);
        let old = std::mem::replace(&mut servers[0], successor);
        // As a balancer does: the new one first, then the old one is asked to stop and says itself that it is not ready.
        load.moved(0, servers[0].addr);
        let stopped = tokio::task::spawn_blocking(move || old.terminate());
        load.answered(ANSWERS).await;
        let status = stopped.await.unwrap();
        assert_eq!(status.code(), Some(0), "a server did not end in order");
        servers.rotate_left(1);
        load.replaced(servers.iter().map(|server| server.addr).collect());
    }
    let (failed, broken) = (load.failures() - after_kills, load.broken() - broken);

    workers.stop().await;
    load.settle().await;
    println!(
        "grown: {kills} kills, {} orderly restarts with {failed} failed and {broken} broken requests; {load}",
        SERVERS * 2
    );
    assert_eq!(failed, 0, "an orderly restart failed requests: {:?}", load.last_failures());
    load.check();
}

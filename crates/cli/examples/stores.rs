//! What a client keeps: SQLite bytes and memory for each session, SQLite bytes for each message, and how long a full mailbox
//! takes to drain. Prints figures.
//!
//! `cargo run --release --package landbridge-cli --example stores [SESSIONS [MESSAGES]]`

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use landbridge::noise::PinnedRoot;
use landbridge::signal::{Address, IdentityKeyPair, PreKeyBundle, SignedPreKey, TrustPolicy, process_bundle};
use landbridge::store::{ClientStore, MemoryStore, SqliteStore};
use landbridge::transport::HttpClient;
use landbridge::{Client, ClientBuilder, HttpTokenSource};
use landbridge_partner::{Partner, PartnerConfig};
use landbridge_sandbox::{RateLimits, Sandbox, SandboxConfig};

const PHONE: &str = "14155551001";
/// Sessions that are begun in one transaction.
const AT_ONCE: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<usize>());
    let mut next = |default| numbers.next().unwrap_or(Ok(default));
    let (sessions, messages) = (next(10_000)?, next(10_000)?);
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
    let path = dir.path().join("client.db");

    let client = builder(&sandbox, &partner)?.store(SqliteStore::open(&path)?).build()?;
    client.enlist("alice", 1).await?;
    drop(client);
    let before = size(&path)?;
    begin_sessions(&mut SqliteStore::open(&path)?, sessions)?;
    let each = (size(&path)? - before) as f64 / sessions as f64;
    println!("{sessions} sessions in SQLite: {each:.0} bytes each");

    let resident_before = resident()?;
    let mut memory = enlisted_memory()?;
    begin_sessions(&mut memory, sessions)?;
    let each = resident()?.saturating_sub(resident_before) as f64 / sessions as f64;
    println!("{sessions} sessions in a store in memory: {each:.0} bytes of resident memory each");
    drop(memory);

    // Each run enlists the user with keys of its own; the older ones are forgotten.
    drain("SQLite", SqliteStore::open(dir.path().join("mail.db"))?, messages, &sandbox, &partner).await?;
    let each = size(&dir.path().join("mail.db"))? as f64 / messages as f64;
    println!("{messages} messages of about 20 bytes in SQLite: {each:.0} bytes each, everything included");
    drain("memory", MemoryStore::new(), messages, &sandbox, &partner).await?;
    sandbox.shutdown().await;
    partner.shutdown().await;
    Ok(())
}

fn builder(sandbox: &Sandbox, partner: &Partner) -> Result<ClientBuilder, Box<dyn Error>> {
    Ok(Client::builder()
        .endpoint(sandbox.chat_addr().to_string())
        .enlistment_url(sandbox.enlist_url())
        .trust(PinnedRoot::new(sandbox.root_key()))
        .token_source(HttpTokenSource::new(
            HttpClient::builder().build()?,
            format!("{}/v1/token", partner.base_url()),
            "session",
        )))
}

/// A store with the keys that a session needs.
fn enlisted_memory() -> Result<MemoryStore, Box<dyn Error>> {
    use landbridge::store::{Account, Enlistment};
    let mut store = MemoryStore::new();
    let mut rng = rand::rng();
    let mut tx = store.begin()?;
    tx.create_account(&Account {
        identity: IdentityKeyPair::generate(&mut rng),
        registration_id: 1,
        noise_static: landbridge::noise::PrivateKey::generate(&mut rng),
        integrator: 1,
        identifier: "alice".to_owned(),
        enlistment: Enlistment::Prepared,
    })?;
    tx.commit()?;
    Ok(store)
}

fn begin_sessions(store: &mut dyn ClientStore, sessions: usize) -> Result<(), Box<dyn Error>> {
    let mut rng = rand::rng();
    for batch in 0..sessions.div_ceil(AT_ONCE) {
        let mut tx = store.begin()?;
        for number in 0..AT_ONCE {
            let identity = IdentityKeyPair::generate(&mut rng);
            let signed = SignedPreKey::generate(1.try_into()?, &identity, &mut rng);
            let bundle = PreKeyBundle {
                registration_id: 1,
                identity: *identity.public(),
                signed_prekey: signed.public(),
                prekey: None,
            };
            let peer = Address::new(format!("1415{batch:04}{number:04}"), 0);
            let _new = process_bundle(tx.as_signal_store(), &peer, &bundle, TrustPolicy::Accept, &mut rng)?;
            landbridge::signal::encrypt(tx.as_signal_store(), &peer, b"hello", TrustPolicy::Accept)?;
        }
        tx.commit()?;
    }
    Ok(())
}

async fn drain(
    what: &str,
    store: impl ClientStore + 'static,
    messages: usize,
    sandbox: &Sandbox,
    partner: &Partner,
) -> Result<(), Box<dyn Error>> {
    let client = builder(sandbox, partner)?.store(store).build()?;
    let own = client.enlist("alice", 1).await?.to_string();
    client.connect().await?;
    client.disconnect().await;
    for n in 0..messages {
        sandbox.handle().phone_send_text(PHONE, &own, &format!("message number {n}"))?;
    }
    let start = Instant::now();
    let fetched = client.fetch_once(Duration::from_secs(600)).await?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{messages} messages drained into {what} in {seconds:.2} s, login included: {:.0} a second, caught up: {}",
        messages as f64 / seconds,
        fetched.caught_up
    );
    Ok(())
}

/// Bytes of a database and its log.
fn size(path: &Path) -> Result<u64, std::io::Error> {
    let log = path.with_extension("db-wal");
    Ok(std::fs::metadata(path)?.len() + std::fs::metadata(log).map_or(0, |log| log.len()))
}

/// Resident memory of this process in bytes.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
}

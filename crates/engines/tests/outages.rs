//! PostgreSQL, the object store and NATS, each a process of its own, get SIGKILL and come back while two servers are under load
//! every answer is a success or "come back later", and nothing that was acknowledged is lost.
//!
//! `LANDBRIDGE_OUTAGES` says how many kills there are, `LANDBRIDGE_SEED` which; both are printed. What is killed when, and what is
//! asked, follows from the seed; how requests interleave does not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

#[path = "../../partner/tests/common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use common::whatsapp::WhatsApp;
use landbridge_engines::{
    NatsConfig, NatsSwitchboard, ObjectBlobs, ObjectsConfig, PostgresConfig, PostgresStore,
};
use landbridge_localservices::s3::{ACCESS_KEY, BUCKET, S3Process, SECRET_KEY, serve_if_asked};
use landbridge_localservices::{Fsync, Nats, Postgres};
use landbridge_partner::media::MediaConfig;
use landbridge_partner::store::{Users as _, WakeTargets as _};
use landbridge_partner::wake::{Delivery, WakeKind, WakeOutcome, WakeSender, WakeTarget};
use landbridge_partner::{Partner, PartnerConfig};
use landbridge_transport::HttpClient;
use landbridge_transport::http_client::Method;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Requests that are under way at once.
const WORKERS: usize = 8;
/// Requests before a kill, during an outage, and after it.
const PHASES: [usize; 3] = [24, 16, 8];
/// Users who hold a stream; the others are woken by a provider.
const STREAMS: usize = 4;
/// Seconds for which a delivery that was taken is nobody else's, and a little.
const LEASE: u64 = 31;

const SERVICES: [&str; 3] = ["PostgreSQL", "object store", "NATS"];

/// When each user was woken last.
#[derive(Clone, Default)]
struct Woken(Arc<Mutex<HashMap<String, Instant>>>);

impl Woken {
    fn note(&self, user: &str) {
        self.0.lock().unwrap().insert(user.to_owned(), Instant::now());
    }

    fn since(&self, user: &str, asked: Instant) -> bool {
        self.0.lock().unwrap().get(user).is_some_and(|woken| *woken >= asked)
    }
}

/// A provider that is always there.
struct Provider(Woken);

#[async_trait]
impl WakeSender for Provider {
    fn kind(&self) -> WakeKind {
        WakeKind::Fcm
    }

    async fn send(&self, delivery: &Delivery) -> WakeOutcome {
        self.0.note(&delivery.user_id);
        WakeOutcome::Sent
    }
}

/// What was answered.
#[derive(Default)]
struct Ledger {
    /// User, and when the last push that was accepted was sent.
    pushes: HashMap<String, Instant>,
    pushed: u64,
    /// Reference and digest.
    uploads: Vec<(String, Vec<u8>)>,
    served: u64,
    put_off: u64,
    /// Transfers of a file that broke off, visibly.
    cut: u64,
    /// What should not have been answered.
    wrong: Vec<String>,
}

struct World {
    whatsapp: WhatsApp,
    servers: [Partner; 2],
    http: HttpClient,
    woken: Woken,
    users: usize,
    next_user: AtomicUsize,
    ledger: Mutex<Ledger>,
    permits: Semaphore,
    answers: watch::Sender<usize>,
}

struct Services {
    postgres: Postgres,
    s3: S3Process,
    nats: Nats,
    _secret: tempfile::NamedTempFile,
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

async fn start(users: usize) -> (Services, World) {
    let (postgres, s3, nats) = tokio::task::block_in_place(|| {
        (Postgres::start(Fsync::On).unwrap(), S3Process::start().unwrap(), Nats::start().unwrap())
    });
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), SECRET_KEY).unwrap();
    let services = Services { postgres, s3, nats, _secret: secret };
    let whatsapp = WhatsApp::start().await;
    let woken = Woken::default();
    let servers = [server(&services, &whatsapp, &woken).await, server(&services, &whatsapp, &woken).await];
    register(&services, users).await;
    let world = World {
        whatsapp,
        servers,
        http: HttpClient::builder().build().unwrap(),
        woken,
        users,
        next_user: AtomicUsize::new(0),
        ledger: Mutex::default(),
        permits: Semaphore::new(0),
        answers: watch::Sender::new(0),
    };
    (services, world)
}

async fn server(services: &Services, whatsapp: &WhatsApp, woken: &Woken) -> Partner {
    let sessions = (0..STREAMS).map(|n| (format!("session-{n}"), format!("stream{n}")));
    let config = PartnerConfig {
        base_url: Some("http://partner".to_owned()),
        dev_users: sessions.chain([("uploader".to_owned(), "uploader".to_owned())]).collect(),
        // An upload that an outage cut short takes one of the user's places until its lease ends, a minute later.
        media: MediaConfig { parallel: u32::MAX, ..MediaConfig::default() },
        ..whatsapp.config()
    };
    let url = services.postgres.url();
    let store = PostgresStore::open(&PostgresConfig { pool: 4, ..PostgresConfig::new(url) }).await.unwrap();
    let blobs = ObjectBlobs::open(&ObjectsConfig {
        bucket: BUCKET.to_owned(),
        endpoint: Some(services.s3.endpoint()),
        access_key_id: Some(ACCESS_KEY.to_owned()),
        secret_access_key_file: Some(services._secret.path().to_owned()),
        allow_http: true,
        patience_seconds: 1,
        ..ObjectsConfig::default()
    })
    .unwrap();
    let nats = NatsConfig { url: services.nats.url(), alive_seconds: 1, ..NatsConfig::default() };
    Partner::builder(config)
        .clock(whatsapp.hand.clock())
        .store(Arc::new(store))
        .blobs(Arc::new(blobs))
        .switchboard(Arc::new(NatsSwitchboard::new(nats).await.unwrap()))
        .wake_sender(Arc::new(Provider(woken.clone())))
        .start()
        .await
        .unwrap()
}

/// Makes the users known, each with a device.
async fn register(services: &Services, users: usize) {
    let store = PostgresStore::open(&PostgresConfig::new(services.postgres.url())).await.unwrap();
    let target = WakeTarget::Fcm { token: "token".to_owned() };
    for n in 0..users {
        let user = format!("user{n}");
        store.remember_user(&user, &user, 1).await.unwrap();
        store.put_target(&user, "phone", &target, 1).await.unwrap();
    }
}

impl World {
    /// Works off what is permitted.
    async fn work(self: Arc<Self>, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        while let Ok(permit) = self.permits.acquire().await {
            permit.forget();
            match rng.random_range(0..10) {
                0 | 1 => self.upload(&mut rng).await,
                2 => self.fetch(&mut rng).await,
                3 => self.push(&format!("stream{}", rng.random_range(0..STREAMS)), &mut rng).await,
                _ => {
                    let n = self.next_user.fetch_add(1, Ordering::Relaxed) % self.users;
                    self.push(&format!("user{n}"), &mut rng).await;
                }
            }
            self.answers.send_modify(|answers| *answers += 1);
        }
    }

    fn any(&self, rng: &mut StdRng) -> &Partner {
        &self.servers[rng.random_range(0..2)]
    }

    async fn push(&self, user: &str, rng: &mut StdRng) {
        let asked = Instant::now();
        let answer = self.whatsapp.push(self.any(rng), user).await;
        let mut ledger = self.ledger.lock().unwrap();
        match answer.status {
            200 => {
                ledger.pushed += 1;
                let last = ledger.pushes.entry(user.to_owned()).or_insert(asked);
                *last = asked.max(*last);
            }
            503 if answer.header("retry-after").is_some() => ledger.put_off += 1,
            _ => ledger.wrong.push(format!("push: {answer:?}")),
        }
    }

    async fn upload(&self, rng: &mut StdRng) {
        // 10 bytes more than whole blocks: a media file's length.
        let mut bytes = vec![0; 16 * rng.random_range(1..4000) + 10];
        rng.fill(bytes.as_mut_slice());
        let digest = digest(&bytes);
        let name = BASE64_URL_SAFE_NO_PAD.encode(&digest);
        let url = format!("http://{}/v1/media/by-hash/{name}", self.any(rng).addr());
        let headers = [("authorization", "Bearer uploader"), ("content-type", "application/octet-stream")];
        let answer = self.http.request(Method::PUT, &url, &headers, bytes).await;
        let mut ledger = self.ledger.lock().unwrap();
        match answer {
            Ok(answer) if matches!(answer.status.as_u16(), 200 | 201) => {
                let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                ledger.uploads.push((json["storage_reference"].as_str().unwrap().to_owned(), digest));
            }
            Ok(answer) if answer.status == 503 && answer.header("retry-after").is_some() => {
                ledger.put_off += 1;
            }
            Ok(answer) => {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                ledger.wrong.push(format!("upload: {} {body}", answer.status));
            }
            Err(failed) => ledger.wrong.push(format!("upload: {failed:?}")),
        }
    }

    async fn fetch(&self, rng: &mut StdRng) {
        let uploads = self.ledger.lock().unwrap().uploads.clone();
        if uploads.is_empty() {
            return;
        }
        let (reference, digest) = &uploads[rng.random_range(0..uploads.len())];
        self.fetch_from(self.any(rng).addr(), reference, digest).await;
    }

    async fn fetch_from(&self, addr: SocketAddr, reference: &str, expected: &[u8]) {
        let answer = self.http.get(&format!("http://{addr}/{reference}"), &[]).await;
        let mut ledger = self.ledger.lock().unwrap();
        match answer {
            Ok(answer) if answer.status == 200 && digest(&answer.body) == expected => ledger.served += 1,
            Ok(answer) if answer.status == 503 && answer.header("retry-after").is_some() => {
                ledger.put_off += 1;
            }
            Ok(answer) => {
                ledger.wrong.push(format!("fetch: {} of {} bytes", answer.status, answer.body.len()))
            }
            Err(_) => ledger.cut += 1,
        }
    }

    /// Lets the workers do so many more.
    fn permit(&self, granted: &mut usize, n: usize) {
        *granted += n;
        self.permits.add_permits(n);
    }

    async fn answered(&self, n: usize) {
        self.answers.subscribe().wait_for(|answers| *answers >= n).await.unwrap();
    }

    /// Holds a stream of a user, and opens it again whenever it ends, as a device does.
    async fn listen(self: Arc<Self>, n: usize) {
        let user = format!("stream{n}");
        for turn in n.. {
            let request = format!(
                "GET /v1/wake?device=phone HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer session-{n}\r\n\r\n"
            );
            let mut stream = TcpStream::connect(self.servers[turn % 2].addr()).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let (mut seen, mut buffer) = (String::new(), [0; 4096]);
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
                if seen.contains("event: wake\n") {
                    self.woken.note(&user);
                    seen.clear();
                }
                if seen.starts_with("HTTP/1.1 503") {
                    // A device that is told to come back later waits; here, a moment.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    break;
                }
            }
        }
    }

    fn not_woken(&self) -> Vec<String> {
        let ledger = self.ledger.lock().unwrap();
        let pushes = ledger.pushes.iter();
        pushes
            .filter(|(user, asked)| !self.woken.since(user, **asked))
            .map(|(user, _)| user.clone())
            .collect()
    }

    /// Waits until every accepted push has led to a wake-up.
    async fn all_woken(&self) {
        self.whatsapp.hand.advance(LEASE);
        common::until("everybody was woken whose push was accepted", async || {
            // Time has been moved; a push for somebody makes each server look at it.
            self.whatsapp.hand.advance(6);
            for server in &self.servers {
                self.whatsapp.push(server, "user0").await;
            }
            self.not_woken().is_empty()
        })
        .await;
    }
}

impl Services {
    /// Each is a process, and gets SIGKILL.
    fn kill(&self, service: usize, rng: &mut StdRng) {
        tokio::task::block_in_place(|| match service {
            0 => self.postgres.kill().unwrap(),
            1 => self.s3.kill().unwrap(),
            // What is in it may be lost at any time, its store included.
            _ if rng.random() => self.nats.kill_with_store().unwrap(),
            _ => self.nats.kill().unwrap(),
        });
    }

    fn restart(&self, service: usize) {
        tokio::task::block_in_place(|| match service {
            0 => self.postgres.restart().unwrap(),
            1 => self.s3.restart().unwrap(),
            _ => self.nats.restart().unwrap(),
        });
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn main() {
    serve_if_asked().unwrap();
    if std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).all(|name| "outages".contains(&*name)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(nothing_acknowledged_is_lost());
    }
}

async fn nothing_acknowledged_is_lost() {
    let kills = usize::try_from(setting("LANDBRIDGE_OUTAGES").unwrap_or(6)).unwrap();
    let seed = setting("LANDBRIDGE_SEED").unwrap_or_else(rand::random);
    println!("outages: {kills} kills, seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (services, world) = start(kills * PHASES.iter().sum::<usize>()).await;
    let world = Arc::new(world);
    let (mut workers, mut listeners) = (JoinSet::new(), JoinSet::new());
    for n in 0..STREAMS {
        listeners.spawn(Arc::clone(&world).listen(n));
    }
    for _ in 0..WORKERS {
        workers.spawn(Arc::clone(&world).work(rng.random()));
    }
    let (mut granted, mut killed, mut order) = (0, [0; 3], [0, 1, 2]);
    for n in 0..kills {
        if n % 3 == 0 {
            order.shuffle(&mut rng);
        }
        let service = order[n % 3];
        world.permit(&mut granted, PHASES[0]);
        world.answered(granted - rng.random_range(0..PHASES[0])).await;
        services.kill(service, &mut rng);
        killed[service] += 1;
        world.permit(&mut granted, PHASES[1]);
        world.answered(granted - rng.random_range(0..PHASES[1])).await;
        services.restart(service);
        world.permit(&mut granted, PHASES[2]);
        world.answered(granted).await;
    }
    world.all_woken().await;
    let uploads = world.ledger.lock().unwrap().uploads.clone();
    world.ledger.lock().unwrap().served = 0;
    for (reference, digest) in &uploads {
        for server in &world.servers {
            world.fetch_from(server.addr(), reference, digest).await;
        }
    }
    world.permits.close();
    let ledger = world.ledger.lock().unwrap();
    for (service, times) in SERVICES.iter().zip(killed) {
        println!("outages: {service} killed {times} times");
    }
    println!(
        "outages: {granted} requests; {} pushes accepted and all led to wake-ups; {} uploads accepted and all served; {} put off; {} transfers cut",
        ledger.pushed,
        uploads.len(),
        ledger.put_off,
        ledger.cut
    );
    assert_eq!(ledger.wrong, Vec::<String>::new());
    assert_eq!(ledger.served, 2 * uploads.len() as u64, "an upload is not served");
    assert!(ledger.pushed > 0 && !uploads.is_empty());
}

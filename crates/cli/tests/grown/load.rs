//! What is asked of the servers, and the ledger of what they acknowledged.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::common::hosting::{hash, sha256};
use crate::common::whatsapp::WhatsApp;
use crate::http::{Outcome, call};
use crate::servers::BASE_URL;

/// Users who hold a stream.
pub(crate) const STREAMS: usize = 4;
/// The session of whoever sends files.
pub(crate) const UPLOADER: &str = "session-of-uploader";
/// Requests that are under way at once.
const WORKERS: usize = 6;
/// How often somebody who is not answered asks another server.
const ATTEMPTS: usize = 4;

pub(crate) fn session(n: usize) -> String {
    format!("session-{n}")
}

#[derive(Default)]
struct Ledger {
    /// User, and when the last push that was accepted was sent.
    pushes: HashMap<usize, Instant>,
    /// When each was woken last.
    woken: HashMap<usize, Instant>,
    pushed: u64,
    /// Reference and digest.
    uploads: Vec<(String, Vec<u8>)>,
    served: u64,
    /// Requests that no server answered well.
    failures: Vec<String>,
    /// Answers that must not be, whatever is killed.
    wrong: Vec<String>,
    repeated: u64,
    /// Of them, those that a server had taken.
    broken: u64,
}

pub(crate) struct Load {
    whatsapp: WhatsApp,
    servers: Mutex<Vec<SocketAddr>>,
    ledger: Mutex<Ledger>,
    answers: watch::Sender<usize>,
    turn: AtomicUsize,
    over: AtomicBool,
}

/// Whoever asks, and whoever listens.
pub(crate) struct Workers(JoinSet<()>, JoinSet<()>, Arc<Load>);

impl Workers {
    /// Lets them finish what they began. Streams stay open.
    pub(crate) async fn stop(mut self) {
        self.2.over.store(true, Ordering::SeqCst);
        while let Some(ended) = self.0.join_next().await {
            ended.unwrap();
        }
        self.1.detach_all();
    }
}

impl Load {
    pub(crate) async fn start(whatsapp: WhatsApp, servers: Vec<SocketAddr>) -> Self {
        let load = Self {
            whatsapp,
            servers: Mutex::new(servers),
            ledger: Mutex::default(),
            answers: watch::Sender::new(0),
            turn: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        };
        for n in 0..STREAMS {
            let line = "PUT /v1/wake-targets/phone";
            let target = br#"{"kind":"socket"}"#;
            let answer = call(load.server(), line, &session(n), "application/json", target).await;
            let Outcome::Answered(answer, _) = answer else { panic!("no answer") };
            assert_eq!(answer.status, 204, "{answer:?}");
        }
        load
    }

    pub(crate) fn work(self: &Arc<Self>, rng: &mut StdRng) -> Workers {
        let (mut workers, mut listeners) = (JoinSet::new(), JoinSet::new());
        for n in 0..STREAMS {
            listeners.spawn(Arc::clone(self).listen(n));
        }
        for _ in 0..WORKERS {
            workers.spawn(Arc::clone(self).ask(StdRng::seed_from_u64(rng.random())));
        }
        Workers(workers, listeners, Arc::clone(self))
    }

    /// The next one in turn, as a balancer chooses.
    fn server(&self) -> SocketAddr {
        let servers = self.servers.lock().unwrap();
        servers[self.turn.fetch_add(1, Ordering::Relaxed) % servers.len()]
    }

    pub(crate) fn moved(&self, which: usize, addr: SocketAddr) {
        self.servers.lock().unwrap()[which] = addr;
    }

    pub(crate) fn replaced(&self, servers: Vec<SocketAddr>) {
        *self.servers.lock().unwrap() = servers;
    }

    /// Waits for so many more answers.
    pub(crate) async fn answered(&self, n: usize) {
        let mut answers = self.answers.subscribe();
        let goal = *answers.borrow() + n;
        answers.wait_for(|answers| *answers >= goal).await.unwrap();
    }

    pub(crate) fn failures(&self) -> usize {
        self.ledger.lock().unwrap().failures.len()
    }

    /// Requests that were begun and not answered.
    pub(crate) fn broken(&self) -> u64 {
        self.ledger.lock().unwrap().broken
    }

    pub(crate) fn last_failures(&self) -> Vec<String> {
        self.ledger.lock().unwrap().failures.iter().rev().take(5).cloned().collect()
    }

    async fn ask(self: Arc<Self>, mut rng: StdRng) {
        while !self.over.load(Ordering::SeqCst) {
            match rng.random_range(0..10) {
                0 | 1 => self.upload(&mut rng).await,
                2 | 3 => self.fetch(&mut rng).await,
                4 => self.token().await,
                _ => self.push(rng.random_range(0..STREAMS)).await,
            }
            self.answers.send_modify(|answers| *answers += 1);
        }
    }

    /// Asks one server, and another one if the first does not answer. All of these calls may be repeated.
    async fn call(&self, line: &str, bearer: &str, kind: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match call(self.server(), line, bearer, kind, body).await {
                Outcome::Answered(answer, body) if answer.status < 300 => return Some((answer.status, body)),
                Outcome::Answered(answer, _) => last = format!("{} {}", answer.status, answer.body),
                Outcome::Refused => last = "refused".to_owned(),
                Outcome::Broken => {
                    self.ledger.lock().unwrap().broken += 1;
                    last = "broken off".to_owned();
                }
            }
            let mut ledger = self.ledger.lock().unwrap();
            let line = line.split('/').take(4).collect::<Vec<_>>().join("/");
            if last.starts_with("503") {
                ledger.failures.push(format!("{line}: {last}"));
                return None;
            }
            if last.starts_with(['4', '5']) {
                ledger.wrong.push(format!("{line}: {last}"));
                return None;
            }
            ledger.repeated += 1;
        }
        self.ledger.lock().unwrap().failures.push(format!("{line}: {last}"));
        None
    }

    async fn push(&self, user: usize) {
        let (asked, body) = (Instant::now(), format!("{{\"to\":\"stream{user}\"}}"));
        let bearer = self.whatsapp.bearer_for(BASE_URL);
        if self.call("POST /push", &bearer, "application/json", body.as_bytes()).await.is_some() {
            let mut ledger = self.ledger.lock().unwrap();
            let last = ledger.pushes.entry(user).or_insert(asked);
            *last = asked.max(*last);
            ledger.pushed += 1;
        }
    }

    async fn token(&self) {
        let token = self.call("GET /v1/me", UPLOADER, "application/json", b"").await;
        if let Some((_, body)) = token {
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(json["identifier"], "uploader");
        }
    }

    async fn upload(&self, rng: &mut StdRng) {
        let mut bytes = vec![0; rng.random_range(2..20_000) * 16 + 10];
        rng.fill_bytes(&mut bytes);
        let line = format!("PUT /v1/media/by-hash/{}", hash(&bytes));
        let stored = self.call(&line, UPLOADER, "application/octet-stream", &bytes).await;
        if let Some((_, body)) = stored {
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let reference = json["storage_reference"].as_str().unwrap().to_owned();
            self.ledger.lock().unwrap().uploads.push((reference, sha256(&bytes)));
        }
    }

    async fn fetch(&self, rng: &mut StdRng) {
        let known = self.ledger.lock().unwrap().uploads.clone();
        if known.is_empty() {
            return;
        }
        let (reference, digest) = &known[rng.random_range(0..known.len())];
        self.fetch_one(reference, digest).await;
    }

    async fn fetch_one(&self, reference: &str, digest: &[u8]) {
        if let Some((_, body)) = self.call(&format!("GET /{reference}"), UPLOADER, "text/plain", b"").await {
            let mut ledger = self.ledger.lock().unwrap();
            if sha256(&body) == digest {
                ledger.served += 1;
            } else {
                ledger.wrong.push(format!("{} other bytes", body.len()));
            }
        }
    }

    /// Holds a stream of a user, and opens it again at another server whenever it ends, as a device does.
    async fn listen(self: Arc<Self>, n: usize) {
        loop {
            let request = format!(
                "GET /v1/wake?device=phone HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {}\r\n\r\n",
                session(n)
            );
            let Ok(mut stream) = TcpStream::connect(self.server()).await else { continue };
            let (mut seen, mut buffer) = (String::new(), [0; 4096]);
            let _ = stream.write_all(request.as_bytes()).await;
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
                if seen.contains("event: wake\n") {
                    self.ledger.lock().unwrap().woken.insert(n, Instant::now());
                    seen.clear();
                }
            }
        }
    }

    fn not_woken(&self) -> usize {
        let ledger = self.ledger.lock().unwrap();
        let woken =
            |user: &usize, asked: &Instant| ledger.woken.get(user).is_some_and(|woken| woken >= asked);
        ledger.pushes.iter().filter(|(user, asked)| !woken(user, asked)).count()
    }

    /// Waits until everybody was woken whose push was accepted: what a killed server had taken is free again after 30 s. Then
    /// fetches every file that was accepted.
    pub(crate) async fn settle(&self) {
        let waiting = async {
            while self.not_woken() > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(120), waiting).await;
        assert!(waited.is_ok(), "{} users were never woken", self.not_woken());
        let uploads = self.ledger.lock().unwrap().uploads.clone();
        self.ledger.lock().unwrap().served = 0;
        for (reference, digest) in &uploads {
            self.fetch_one(reference, digest).await;
        }
    }

    pub(crate) fn check(&self) {
        let ledger = self.ledger.lock().unwrap();
        assert_eq!(ledger.wrong, Vec::<String>::new());
        assert_eq!(ledger.served, ledger.uploads.len() as u64, "an acknowledged upload is not served");
        assert!(ledger.pushed > 0 && !ledger.uploads.is_empty());
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ledger = self.ledger.lock().unwrap();
        write!(
            f,
            "{} answers; {} pushes accepted and all led to wake-ups, {} uploads accepted and all served; {} requests repeated \
             at another server, {} not answered by any while one was dead",
            *self.answers.borrow(),
            ledger.pushed,
            ledger.uploads.len(),
            ledger.repeated,
            ledger.failures.len()
        )
    }
}

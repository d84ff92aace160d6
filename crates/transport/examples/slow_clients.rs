//! 10,000 clients that say nothing and 5,000 that say a byte every 5 seconds, and what the others notice of it.
//!
//! ```sh
//! cargo run --release -p landbridge-transport --all-features --example slow_clients
//! cargo run --release -p landbridge-transport --all-features --example slow_clients -- 1000 500
//! ```
//!
//! Server, crowd and others are three processes; the crowd has many addresses. Everything has its default limits. On a
//! machine that does other things meanwhile, compare the figures of a run with each other.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot go on stops"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use landbridge_transport::HttpClient;
use landbridge_transport::http_server::{Certificates, HttpLimits, TlsVersions, listen, serve, serve_tls};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// Requests of the others before the crowd comes.
const BEFORE: usize = 400;
/// How many of the crowd connect at once.
const AT_ONCE: usize = 256;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["server", directory] => server(Some(Path::new(directory))).await,
        ["server"] => server(None).await,
        ["crowd", addr, silent, dripping] => {
            crowd(addr.parse().unwrap(), silent.parse().unwrap(), dripping.parse().unwrap()).await;
        }
        [silent, dripping] => measure(silent, dripping).await,
        _ => measure("10000", "5000").await,
    }
}

async fn server(certificates: Option<&Path>) {
    let router = Router::new().route("/", get(|| async { "hello" }));
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let (limits, forever) = (HttpLimits::default(), std::future::pending());
    let server = match certificates {
        None => serve(listener, router, limits, forever).unwrap(),
        Some(directory) => {
            let (chain, key) = (directory.join("chain.pem"), directory.join("key.pem"));
            let certificates = Certificates::load(chain, key, TlsVersions::Tls13).unwrap();
            serve_tls(listener, certificates, router, limits, forever).unwrap()
        }
    };
    println!("{}", server.local_addr());
    server.wait().await;
}

/// One client; gives for how long it was connected.
async fn slow(server: SocketAddr, number: u32, drips: bool) -> Duration {
    let socket = TcpSocket::new_v4().unwrap();
    let [_, a, b, c] = (number / 200).to_be_bytes();
    socket.bind((Ipv4Addr::new(127, a + 1, b, c + 1), 0).into()).unwrap();
    let (mut reading, mut writing) = socket.connect(server).await.unwrap().into_split();
    let begun = Instant::now();
    let reading = async { while let Ok(1..) = reading.read(&mut [0; 64]).await {} };
    let dripping = async {
        for byte in b"GET / HTTP/1.1\r\nHost: slow\r\n" {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = dripping, if drips => {}
    }
    begun.elapsed()
}

async fn crowd(server: SocketAddr, silent: u32, dripping: u32) {
    let (mut clients, mut times) = (JoinSet::new(), Vec::new());
    let begun = Instant::now();
    for number in 0..silent + dripping {
        // Both kinds mixed.
        let drips = number * dripping / (silent + dripping) != (number + 1) * dripping / (silent + dripping);
        clients.spawn(slow(server, number, drips));
        if number as usize % AT_ONCE == AT_ONCE - 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let came = begun.elapsed();
    while let Some(time) = clients.join_next().await {
        times.push(time.unwrap());
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64();
    println!(
        "crowd: {} connected within {:.1} s, cut after {:.2} s (median), {:.2} s (p99), {:.2} s (last)",
        times.len(),
        came.as_secs_f64(),
        at(50),
        at(99),
        at(100),
    );
}

fn child(args: &[&str]) -> (Child, tokio::io::Lines<BufReader<tokio::process::ChildStdout>>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command.args(args).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// Memory of a process now, in MiB, and its processor time so far.
fn cost(process: &Child) -> (f64, Duration) {
    let read =
        |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", process.id().unwrap())).unwrap();
    let status = read("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    let stat = read("stat");
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    (kib / 1024.0, Duration::from_millis(10 * ticks))
}

/// Others: in turn on a connection that is kept, and on new ones.
struct Others<'a> {
    kept: HttpClient,
    root: Option<&'a [u8]>,
    url: String,
    kept_times: Vec<Duration>,
    new_times: Vec<Duration>,
}

fn client(root: Option<&[u8]>) -> HttpClient {
    let builder = HttpClient::builder();
    root.map_or(builder.clone(), |root| builder.extra_root(root)).build().unwrap()
}

impl Others<'_> {
    async fn ask(&mut self) {
        let fresh = client(self.root);
        for (http, times) in [(&self.kept, &mut self.kept_times), (&fresh, &mut self.new_times)] {
            let begun = Instant::now();
            assert_eq!(http.get(&self.url, &[]).await.unwrap().status, 200);
            times.push(begun.elapsed());
        }
    }

    fn tell(&mut self, when: &str) {
        let figures = [("kept", &mut self.kept_times), ("new", &mut self.new_times)].map(|(kind, times)| {
            times.sort_unstable();
            let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
            let figures = format!("{kind} connection {:.2} ms (median) {:.2} ms (p99)", at(50), at(99));
            let count = times.len();
            times.clear();
            (figures, count)
        });
        println!("others {when}: {}; {}; {} requests of each", figures[0].0, figures[1].0, figures[0].1);
    }
}

async fn measure(silent: &str, dripping: &str) {
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(directory.path().join("chain.pem"), certificate.pem()).unwrap();
    std::fs::write(directory.path().join("key.pem"), key.serialize_pem()).unwrap();
    let place = directory.path().to_str().unwrap();
    let plain: (&str, &[&str], Option<&[u8]>) = ("http", &["server"], None);
    for (scheme, args, root) in [plain, ("https", &["server", place], Some(certificate.der().as_ref()))] {
        let (process, mut lines) = child(args);
        let addr: SocketAddr = lines.next_line().await.unwrap().unwrap().parse().unwrap();
        println!("{scheme}: {silent} silent clients, {dripping} with a byte every 5 s");
        let url = format!("{scheme}://localhost:{}/", addr.port());
        let mut others =
            Others { kept: client(root), root, url, kept_times: Vec::new(), new_times: Vec::new() };
        for _ in 0..BEFORE {
            others.ask().await;
        }
        others.tell("before");
        let (memory, computed) = cost(&process);
        let (_crowd, mut said) = child(&["crowd", &addr.to_string(), silent, dripping]);
        let mut over = std::pin::pin!(said.next_line());
        let mut peak = memory;
        let verdict = loop {
            tokio::select! {
                line = &mut over => break line.unwrap().unwrap(),
                () = async {
                    others.ask().await;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                } => peak = peak.max(cost(&process).0),
            }
        };
        others.tell("during");
        println!("{verdict}");
        let (after, all) = cost(&process);
        println!(
            "server: {memory:.0} MiB before, {peak:.0} MiB at most, {after:.0} MiB after; {} ms of processor\n",
            (all - computed).as_millis()
        );
        for _ in 0..BEFORE {
            others.ask().await;
        }
        others.tell("after");
    }
}

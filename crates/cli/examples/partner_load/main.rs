//! What a partner server does in a second and what it takes for it, beside nginx on the same machine and in the same run.
//!
//! Both are processes of their own; load comes from this one, over loopback and without TLS. Since all share the
//! machine's cores, what is compared is work per second of the *server's* processor time. The load is closed (every
//! connection asks again when it is answered) for rates, and open (requests at fixed times, counted from when they were
//! due) for delays.
//!
//! With a few users, most pushes find their user's wake-up waiting already; a part with many users has nearly each push
//! written.
//!
//! The last part puts one and then two servers over the same PostgreSQL and NATS.
//!
//! `cargo xtask bench partner`, or after a release build of the program:
//! `cargo run --release --package landbridge-cli --example partner_load [SECONDS [GIB]]`

mod load;
mod many;
mod media;
mod servers;
mod several;

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use landbridge_enlist::jwks::{self, KeySet};
use landbridge_enlist::jwt::{self, Claims, Profile, RsaSigner, Verifier};
use landbridge_enlist::{UserIdentifier, generate_rsa_pem};

use crate::load::{Http, Load};
use crate::servers::{Nginx, Partner, Process, Settings};

pub(crate) type Failed = Box<dyn Error + Send + Sync>;

/// Users whom pushes and tokens are for.
const USERS: usize = 2_000;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let seconds = Duration::from_secs(args.next().unwrap_or(Ok(10))?);
    let gib = args.next().unwrap_or(Ok(4))?;

    let signer = RsaSigner::from_pkcs8_pem(&generate_rsa_pem(&mut rand::rng())?)?;
    let keys = servers::serve_keys(jwks::to_json([signer.public_key()])).await?;
    let dir = tempfile::tempdir()?;
    let users = servers::Users::Table(USERS);
    let alone = Settings { dir: dir.path(), keys_url: &keys, users, engines: "", base_url: None };
    let partner = Partner::start(alone).await?;
    let nginx = Nginx::start(dir.path()).await?;

    let bearer = jwt::issue(&signer, &Claims::push(partner.base_url.as_str(), now()))?;
    let (sign, verify) = (signs(&signer)?, verifies(&signer, bearer.as_str(), &partner.base_url)?);
    println!("one core alone: {sign:.0} RSA signatures/s, {verify:.0} verifications of a bearer/s\n");

    // Users become known with their first token.
    let token = |n: u64| {
        let session = format!("Bearer session{}", n % USERS as u64);
        post("/v1/token", &session, "{}".to_owned())
    };
    load::run(partner.addr, Load::Count(USERS as u64), Http::One, token).await?;

    println!(
        "| what | asked of | HTTP | requests/s | server's µs each | each second of its core | p50, p99 at half the rate |"
    );
    println!("|---|---|---|---|---|---|---|");
    let bearer: &'static str = format!("Bearer {}", bearer.as_str()).leak();
    let push = |n: u64| post("/push", bearer, format!("{{\"to\":\"user{}\"}}", n % USERS as u64));
    for http in [Http::One, Http::Two] {
        let ours = row("push", &partner.process, partner.addr, http, seconds, push).await?;
        let theirs = row("static 200", &nginx.process, nginx.addr(http), http, seconds, push).await?;
        println!("|  | ours of nginx |  |  |  | **{:.2}** |  |", ours / theirs);
    }
    many::rows(dir.path(), &keys, &signer, seconds).await?;
    for http in [Http::One, Http::Two] {
        let ours = row("token", &partner.process, partner.addr, http, seconds, token).await?;
        println!("|  | ours of the signatures |  |  |  | **{:.2}** |  |", ours / sign);
    }
    println!();
    media::compare(&partner, &nginx, seconds).await?;
    media::memory(&partner, gib << 30).await?;
    drop((partner, nginx));
    several::compare(dir.path(), &keys, &signer, seconds).await
}

/// Measures one call, prints its row, gives requests per second of the server's processor time.
async fn row(
    what: &str,
    process: &Process,
    addr: std::net::SocketAddr,
    http: Http,
    seconds: Duration,
    request: impl Fn(u64) -> Result<Request<Full<Bytes>>, Failed> + Copy + Send + Sync + 'static,
) -> Result<f64, Failed> {
    load::run(addr, Load::Time(seconds / 5), http, request).await?;
    let before = process.cpu()?;
    let closed = load::run(addr, Load::Time(seconds), http, request).await?;
    let each = (process.cpu()? - before).as_secs_f64() / closed.count as f64;
    let rate = closed.count as f64 / closed.took.as_secs_f64();
    let open = load::run(addr, Load::Rate { per_second: rate / 2.0, lasts: seconds }, http, request).await?;
    println!(
        "| {what} | {} | {http} | {rate:.0} | {:.1} | {:.0} | {:.2} ms, {:.2} ms |",
        process.name,
        each * 1e6,
        1.0 / each,
        open.quantile(0.5).as_secs_f64() * 1e3,
        open.quantile(0.99).as_secs_f64() * 1e3,
    );
    Ok(1.0 / each)
}

fn post(path: &str, authorization: &str, body: String) -> Result<Request<Full<Bytes>>, Failed> {
    let request = Request::post(path)
        .header("host", "partner")
        .header("authorization", authorization)
        .header("content-type", "application/json");
    Ok(request.body(Full::from(body))?)
}

/// Signatures of a user's token in a second of one core.
fn signs(signer: &RsaSigner) -> Result<f64, Failed> {
    let user = UserIdentifier::new("user1")?;
    per_second(|| {
        let claims = Claims::user("http://partner", &user, now(), &mut rand::rng());
        black_box(jwt::issue(signer, &claims)?);
        Ok(())
    })
}

fn verifies(signer: &RsaSigner, bearer: &str, audience: &str) -> Result<f64, Failed> {
    let verifier = Verifier::new(Profile::push_bearer(audience));
    let keys = KeySet::parse(jwks::to_json([signer.public_key()]).as_bytes())?.set;
    per_second(|| {
        let opened = verifier.open(bearer)?;
        let key = keys.get(opened.kid());
        black_box(verifier.verify(&opened, jwt::PUSH_ISSUER, key, now())?);
        Ok(())
    })
}

/// Per second of this thread's processor time.
fn per_second(mut work: impl FnMut() -> Result<(), Failed>) -> Result<f64, Failed> {
    let (start, begun, mut count) = (Instant::now(), thread_time()?, 0_u32);
    while start.elapsed() < Duration::from_secs(2) {
        work()?;
        count += 1;
    }
    Ok(f64::from(count) / (thread_time()? - begun).as_secs_f64())
}

fn thread_time() -> Result<Duration, Failed> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(times.split(' ').next().unwrap_or_default().parse()?))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

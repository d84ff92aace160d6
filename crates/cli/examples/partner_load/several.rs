//! One server, and two, over the same PostgreSQL and NATS.

use std::path::Path;
use std::time::Duration;

use landbridge_enlist::jwt::{self, Claims, RsaSigner};
use landbridge_localservices::{Nats, Postgres};

use crate::load::{self, Http, Load};
use crate::servers::{Partner, Settings, Users};
use crate::{Failed, USERS, now, post};

/// What all servers say that they are, as behind a balancer.
const BASE_URL: &str = "http://partner.test";

pub(crate) async fn compare(
    dir: &Path,
    keys: &str,
    signer: &RsaSigner,
    seconds: Duration,
) -> Result<(), Failed> {
    let postgres = Postgres::start(landbridge_localservices::Fsync::On)?;
    let nats = Nats::start()?;
    let seal = dir.join("seal.key");
    std::fs::write(&seal, "kOq0bVY1mxZOEJmmTnHvAG6vK2FGLBOnp2OIQMnVPRA=\n")?;
    #[cfg(unix)]
    std::fs::set_permissions(&seal, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let engines = format!(
        "[partner.postgres]\nurl = \"{}\"\npool = 16\nseal_key_file = \"{}\"\n[partner.nats]\nurl = \"{}\"\n",
        postgres.database()?,
        seal.display(),
        nats.url()
    );
    let settings = Settings {
        dir,
        keys_url: keys,
        users: Users::Table(USERS),
        engines: &engines,
        base_url: Some(BASE_URL),
    };
    let bearer = jwt::issue(signer, &Claims::push(BASE_URL, now()))?;
    let bearer: &'static str = format!("Bearer {}", bearer.as_str()).leak();
    let token = |n: u64| post("/v1/token", &format!("Bearer session{}", n % USERS as u64), "{}".to_owned());
    let push = |n: u64| post("/push", bearer, format!("{{\"to\":\"user{}\"}}", n % USERS as u64));

    println!(
        "\n| pushes over PostgreSQL and NATS, HTTP/1.1 | pushes/s | servers' µs each | p50, p99 at half the rate |"
    );
    println!("|---|---|---|---|");
    let mut servers: Vec<Partner> = Vec::new();
    for name in ["one server", "two servers"] {
        servers.push(Partner::start(Settings { ..settings }).await?);
        let cpu = || servers.iter().map(|server| server.process.cpu()).sum::<Result<Duration, Failed>>();
        for server in &servers {
            load::run(server.addr, Load::Count(USERS as u64), Http::One, token).await?;
        }
        let before = cpu()?;
        let closed = on_all(&servers, Load::Time(seconds), push).await?;
        let (count, rate) = closed.iter().fold((0, 0.0), |(count, rate), outcome| {
            (count + outcome.count, rate + outcome.count as f64 / outcome.took.as_secs_f64())
        });
        let each = (cpu()? - before).as_secs_f64() / count as f64;
        let per_second = rate / 2.0 / servers.len() as f64;
        let open = on_all(&servers, Load::Rate { per_second, lasts: seconds }, push).await?;
        let worst =
            |q| open.iter().map(|outcome| outcome.quantile(q)).max().unwrap_or_default().as_secs_f64() * 1e3;
        println!("| {name} | {rate:.0} | {:.1} | {:.2} ms, {:.2} ms |", each * 1e6, worst(0.5), worst(0.99));
    }
    Ok(())
}

/// The same load on each of them at once.
async fn on_all(
    servers: &[Partner],
    load: Load,
    request: impl Fn(u64) -> Result<hyper::Request<http_body_util::Full<bytes::Bytes>>, Failed>
    + Copy
    + Send
    + Sync
    + 'static,
) -> Result<Vec<load::Outcome>, Failed> {
    let at_once = 64 / servers.len();
    let runs = servers.iter().map(|server| load::run_with(server.addr, load, Http::One, at_once, request));
    futures_util::future::try_join_all(runs).await
}

//! Pushes for so many users that hardly any finds its user's wake-up waiting: each is written.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use landbridge_enlist::jwt::{self, Claims, RsaSigner};
use landbridge_partner::{Clock, FRONT_HEADER, FrontWord, TrustedFront};

use crate::load::{self, Http, Load};
use crate::servers::{Partner, Settings, Users};
use crate::{Failed, now, post, row};

/// More than are pushed for within a window of 5 s.
const USERS: u64 = 200_000;
/// Has no divisor in common with them: one after the other, in an order that no index likes.
const STEP: u64 = 104_729;

pub(crate) async fn rows(
    dir: &Path,
    keys_url: &str,
    signer: &RsaSigner,
    seconds: Duration,
) -> Result<(), Failed> {
    let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let key = dir.join("front.key");
    std::fs::write(&key, &secret)?;
    #[cfg(unix)]
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let front: &'static TrustedFront = Box::leak(Box::new(
        TrustedFront::new(secret.as_bytes(), Clock::system()).ok_or("the key is too short")?,
    ));
    let users = Users::Front(&key);
    let partner = Partner::start(Settings { dir, keys_url, users, engines: "", base_url: None }).await?;
    // Users become known by what they do; the device goes again.
    for method in ["PUT", "DELETE"] {
        load::run(partner.addr, Load::Count(USERS), Http::One, move |n| device(front, method, n)).await?;
    }
    let bearer = jwt::issue(signer, &Claims::push(partner.base_url.as_str(), now()))?;
    let bearer: &'static str = format!("Bearer {}", bearer.as_str()).leak();
    let push = move |n: u64| post("/push", bearer, format!("{{\"to\":\"user{}\"}}", n * STEP % USERS));
    for http in [Http::One, Http::Two] {
        row("push, each written", &partner.process, partner.addr, http, seconds, push).await?;
    }
    Ok(())
}

fn device(front: &TrustedFront, method: &str, n: u64) -> Result<Request<Full<Bytes>>, Failed> {
    let user_id = format!("user{n}");
    let word = FrontWord { identifier: user_id.clone(), user_id, opted_in: true, exp: now() + 50 };
    let request = Request::builder()
        .method(method)
        .uri("/v1/wake-targets/phone")
        .header("host", "partner")
        .header(FRONT_HEADER, front.sign(&word))
        .header("content-type", "application/json");
    let body = if method == "PUT" { "{\"kind\":\"socket\"}" } else { "" };
    Ok(request.body(Full::from(body))?)
}

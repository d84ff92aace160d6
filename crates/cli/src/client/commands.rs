//! The commands that do one thing and end.

use landbridge::OneTimeKey;
use serde_json::json;

use super::Style;
use super::open::{Opener, failure, user};
use crate::failure::Failure;
use crate::output;

/// Whom the command is about.
#[derive(Debug, clap::Args)]
pub(super) struct Peer {
    /// A phone number, or an address
    #[arg(value_name = "USER")]
    pub(super) user: String,
}

/// `keys`
#[derive(Debug, clap::Args)]
pub(super) struct Keys {
    /// Fetch and check the keys of this user instead; each time uses up one of theirs
    #[arg(long, value_name = "USER")]
    of: Option<String>,
}

pub(super) async fn enlist(opener: &Opener, style: Style) -> Result<(), Failure> {
    let settings = &opener.settings;
    let identifier = settings.need(&settings.remembered.identifier, "--identifier")?;
    let integrator = *settings.need(&settings.remembered.integrator, "--integrator")?;
    // Asked for before anything is made.
    settings.need(&settings.remembered.chat, "--chat")?;
    settings.need(&settings.remembered.token_url, "--token-url")?;
    settings.need(&settings.remembered.session, "--session")?;
    settings.make_directory()?;
    let client = opener.build(opener.store()?)?;
    let address = client.enlist(identifier, integrator).await.map_err(failure)?;
    settings.remember()?;
    match style {
        Style::Json => output::json(&json!({ "login": address.to_string(), "identifier": identifier })),
        Style::Text => output::line(&format!("{identifier} is {address}")),
    }
}

pub(super) async fn ping(opener: &Opener, style: Style) -> Result<(), Failure> {
    let client = opener.connect().await?;
    let trip = client.ping().await.map_err(failure)?;
    client.disconnect().await;
    let ms = trip.time.as_secs_f64() * 1000.0;
    match style {
        Style::Json => output::json(&json!({ "ms": ms, "server_time": trip.server_time })),
        Style::Text => output::line(&format!("answer after {ms:.2} ms")),
    }
}

pub(super) async fn keys(keys: Keys, opener: &Opener, style: Style) -> Result<(), Failure> {
    match keys.of {
        Some(of) => peer_keys(&of, opener, style).await,
        None => own_keys(opener, style).await,
    }
}

async fn peer_keys(of: &str, opener: &Opener, style: Style) -> Result<(), Failure> {
    let of = user(of)?;
    let client = opener.connect().await?;
    let keys = client.fetch_keys(&of).await.map_err(failure)?;
    client.disconnect().await;
    let identity = hex::encode(keys.identity.as_bytes());
    let one_time = match keys.one_time {
        OneTimeKey::Used => "one was used for this session",
        OneTimeKey::Exhausted => "none left",
    };
    match style {
        Style::Json => output::json(&json!({
            "user": of.to_string(),
            "identity": identity,
            "registration_id": keys.registration_id,
            "one_time_key": keys.one_time == OneTimeKey::Used,
        })),
        Style::Text => output::line(&format!(
            "{of}\n  identity         {identity}\n  registration id  {}\n  signed prekey    signature verified\n  one-time prekey  {one_time}",
            keys.registration_id,
        )),
    }
}

/// Connects, which uploads what is missing, asks the server, and then reads the books.
async fn own_keys(opener: &Opener, style: Style) -> Result<(), Failure> {
    let client = opener.connect().await?;
    let left = client.one_time_keys_left().await.map_err(failure)?;
    client.disconnect().await;
    let keys = client.own_keys().await.map_err(failure)?;
    let login = client.address().await.map_err(failure)?.map(|login| login.to_string()).unwrap_or_default();
    let identity = hex::encode(keys.identity.as_bytes());
    match style {
        Style::Json => output::json(&json!({
            "login": login,
            "identity": identity,
            "registration_id": keys.registration_id,
            "signed_prekey_id": keys.signed_prekey,
            "signed_prekey_made_at": keys.signed_prekey_made_at,
            "old_signed_prekeys": keys.old_signed_prekeys,
            "prekeys": keys.one_time,
            "prekeys_at_server": left,
            "prekeys_to_upload": keys.to_upload,
            "prekeys_used": keys.used,
        })),
        Style::Text => output::line(&format!(
            "{login}\n  identity          {identity}\n  registration id   {}\n  signed prekey     {}, and {} older\n  one-time prekeys  {} stored, {left} at the server, {} not uploaded, {} used",
            keys.registration_id,
            keys.signed_prekey,
            keys.old_signed_prekeys,
            keys.one_time,
            keys.to_upload,
            keys.used,
        )),
    }
}

pub(super) async fn block(peer: &Peer, opener: &Opener, style: Style) -> Result<(), Failure> {
    let user = user(&peer.user)?;
    let client = opener.connect().await?;
    client.block(&user).await.map_err(failure)?;
    client.disconnect().await;
    match style {
        Style::Json => output::json(&json!({ "user": user.to_string(), "blocked": true })),
        Style::Text => output::line(&format!("{user} is blocked")),
    }
}

pub(super) async fn unblock(peer: &Peer, opener: &Opener, style: Style) -> Result<(), Failure> {
    let user = user(&peer.user)?;
    let client = opener.connect().await?;
    client.unblock(&user).await.map_err(failure)?;
    client.disconnect().await;
    match style {
        Style::Json => output::json(&json!({ "user": user.to_string(), "blocked": false })),
        Style::Text => output::line(&format!("{user} is no longer blocked")),
    }
}

pub(super) async fn blocklist(opener: &Opener, style: Style) -> Result<(), Failure> {
    let client = opener.connect().await?;
    let blocked = client.blocklist().await.map_err(failure)?;
    client.disconnect().await;
    let blocked: Vec<String> = blocked.iter().map(ToString::to_string).collect();
    match style {
        Style::Json => output::json(&json!({ "blocked": blocked })),
        Style::Text if blocked.is_empty() => output::line("nobody is blocked"),
        Style::Text => output::line(&blocked.join("\n")),
    }
}

pub(super) async fn delete(opener: &Opener, style: Style) -> Result<(), Failure> {
    let client = opener.connect().await?;
    client.delete_account().await.map_err(failure)?;
    match style {
        Style::Json => output::json(&json!({ "deleted": true })),
        Style::Text => output::line("the account is deleted and its keys are gone; messages stay"),
    }
}

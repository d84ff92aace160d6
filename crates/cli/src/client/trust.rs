//! Safety numbers, verifying, and accepting a new identity.

use landbridge::wire::Jid;
use landbridge::{Client, Comparison, Error, SafetyNumber, Sending, Verification};
use serde_json::json;

use super::Style;
use super::commands::Peer;
use super::open::{Opener, failure, user};
use crate::failure::Failure;
use crate::output;

/// `verify`
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// A phone number, or an address
    #[arg(value_name = "USER")]
    user: String,
    /// The 60 digits as the other side reads them out; spaces do not matter
    #[arg(long, value_name = "DIGITS", required_unless_present = "scanned", conflicts_with = "scanned")]
    digits: Option<String>,
    /// The bytes of the code on the other side's screen, in hex
    #[arg(long, value_name = "HEX")]
    scanned: Option<String>,
}

/// The number, with a connection only if it needs one. The client is connected then, and not otherwise.
async fn number(client: &Client, peer: &Jid) -> Result<SafetyNumber, Failure> {
    match client.safety_number(peer).await {
        Err(Error::NotConnected) => {}
        other => return other.map_err(failure),
    }
    client.connect().await.map_err(failure)?;
    client.safety_number(peer).await.map_err(failure)
}

/// Twelve groups of five.
fn grouped(digits: &str) -> String {
    let digits: Vec<char> = digits.chars().collect();
    let groups: Vec<String> = digits.chunks(5).map(|group| group.iter().collect()).collect();
    let lines: Vec<String> = groups.chunks(4).map(|line| line.join(" ")).collect();
    lines.join("\n  ")
}

const fn word(verification: Verification) -> &'static str {
    match verification {
        Verification::NotVerified => "not verified",
        Verification::Verified => "verified",
        Verification::WasVerified => "another one was verified before",
    }
}

pub(super) async fn safety_number(peer: &Peer, opener: &Opener, style: Style) -> Result<(), Failure> {
    let peer = user(&peer.user)?;
    let client = opener.client()?;
    let number = number(&client, &peer).await?;
    let trust = client.peer_trust(&peer).await.map_err(failure)?;
    client.disconnect().await;
    let held = matches!(trust.sending, Sending::Held { .. });
    match style {
        Style::Json => output::json(&json!({
            "user": peer.to_string(),
            "digits": number.digits(),
            "scannable": hex::encode(number.scannable()),
            "identity": hex::encode(number.identity().as_bytes()),
            "verified": trust.verification == Verification::Verified,
            "was_verified": trust.verification == Verification::WasVerified,
            "held": held,
        })),
        Style::Text => output::line(&format!(
            "{peer}\n  {}\n  {}{}",
            grouped(&number.digits()),
            word(trust.verification),
            if held { "; messages are held until `landbridge client accept`" } else { "" },
        )),
    }
}

pub(super) async fn verify(verify: &Verify, opener: &Opener, style: Style) -> Result<(), Failure> {
    let peer = user(&verify.user)?;
    let client = opener.client()?;
    let number = number(&client, &peer).await?;
    if !matches(&number, verify)? {
        client.disconnect().await;
        return Err(Failure::runtime(format!(
            "this is not the number of {peer}: compare again, and beware if it differs still"
        )));
    }
    client.mark_verified(&number).await.map_err(failure)?;
    client.disconnect().await;
    match style {
        Style::Json => output::json(&json!({ "user": peer.to_string(), "verified": true })),
        Style::Text => output::line(&format!("{peer} is verified")),
    }
}

fn matches(number: &SafetyNumber, verify: &Verify) -> Result<bool, Failure> {
    if let Some(scanned) = &verify.scanned {
        let scanned = hex::decode(scanned).map_err(|_| Failure::usage("the --scanned code is no hex"))?;
        let compared = number.compare(&scanned).map_err(|error| Failure::from_error(&error))?;
        return Ok(compared == Comparison::Match);
    }
    let typed = verify.digits.as_deref().unwrap_or_default();
    let digits: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() != 60 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::usage("the --digits are not 60 digits"));
    }
    Ok(digits == number.digits())
}

pub(super) async fn unverify(peer: &Peer, opener: &Opener, style: Style) -> Result<(), Failure> {
    let peer = user(&peer.user)?;
    opener.client()?.mark_unverified(&peer).await.map_err(failure)?;
    match style {
        Style::Json => output::json(&json!({ "user": peer.to_string(), "verified": false })),
        Style::Text => output::line(&format!("{peer} is not verified")),
    }
}

pub(super) async fn accept(peer: &Peer, opener: &Opener, style: Style) -> Result<(), Failure> {
    let peer = user(&peer.user)?;
    opener.client()?.accept_identity(&peer).await.map_err(failure)?;
    match style {
        Style::Json => output::json(&json!({ "user": peer.to_string(), "held": false })),
        Style::Text => output::line(&format!(
            "the identity of {peer} is accepted; what was held goes out with the next command that connects"
        )),
    }
}

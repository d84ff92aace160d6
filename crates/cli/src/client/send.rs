//! `send`: one text or file, and how far its message has got.

use std::time::Duration;

use clap::ValueEnum;
use landbridge::Client;
use landbridge::stanza::MessageId;
use landbridge::store::OutState;
use landbridge::wire::Jid;
use serde_json::json;

use super::Style;
use super::file::{self, FileArgs};
use super::open::{Opener, failure, user};
use crate::failure::Failure;
use crate::output;

/// How far a message must get before the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wait {
    /// Accepted by the server
    Sent,
    /// On the recipient's device
    Delivered,
    /// Read by the recipient
    Read,
}

/// `send`
#[derive(Debug, clap::Args)]
pub(super) struct Send {
    /// A phone number, or an address
    #[arg(long, value_name = "USER")]
    to: String,
    /// The text
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    text: Option<String>,
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    patience: Patience,
}

/// How long a command that sends stays.
#[derive(Debug, clap::Args)]
pub(super) struct Patience {
    /// How far the message must get before the command ends
    #[arg(long, value_name = "STATE", default_value = "sent")]
    wait: Wait,
    /// How many seconds to wait for that
    #[arg(long, value_name = "SECS", default_value_t = 30)]
    timeout: u64,
}

pub(super) async fn run(send: Send, opener: &Opener, style: Style) -> Result<(), Failure> {
    let to = user(&send.to)?;
    let Some(text) = &send.text else {
        return file::send(&send.file, &to, opener, &send.patience, style).await;
    };
    let client = opener.connect().await?;
    let id = client.send_text(&to, text).await.map_err(failure)?;
    report(client, &to, &id, &send.patience, style).await
}

/// Waits until a message has got as far as asked, disconnects and says so.
pub(super) async fn report(
    client: Client,
    to: &Jid,
    id: &MessageId,
    patience: &Patience,
    style: Style,
) -> Result<(), Failure> {
    let state = settle(client, to, id, patience).await?;
    match style {
        Style::Json => {
            output::json(&json!({ "id": id.to_string(), "to": to.to_string(), "state": name(state) }))
        }
        Style::Text => output::line(&format!("message {id} to {to} is {}", name(state))),
    }
}

/// Waits until a message has got as far as asked, and disconnects.
pub(super) async fn settle(
    client: Client,
    to: &Jid,
    id: &MessageId,
    patience: &Patience,
) -> Result<OutState, Failure> {
    let goal = match patience.wait {
        Wait::Sent => OutState::Sent,
        Wait::Delivered => OutState::Delivered,
        Wait::Read => OutState::Read,
    };
    let limit = Duration::from_secs(patience.timeout);
    let waited = tokio::time::timeout(limit, reach(&client, to, id, goal)).await;
    let state = client.message_state(to, id).await.map_err(failure)?.unwrap_or(OutState::Pending);
    client.disconnect().await;
    match waited {
        Ok(outcome) => outcome.map(|()| state),
        Err(_) => Err(Failure::runtime(format!(
            "message {id} to {to} is stored and {} after {} s; it goes on by itself with the next command that connects",
            name(state),
            patience.timeout
        ))),
    }
}

pub(super) fn name(state: OutState) -> &'static str {
    match state {
        OutState::Pending => "pending",
        OutState::Sent => "sent",
        OutState::Failed => "failed",
        OutState::Delivered => "delivered",
        OutState::Read => "read",
        OutState::Played => "played",
    }
}

/// Waits for the message, as long as the connection lives.
async fn reach(client: &Client, to: &Jid, id: &MessageId, goal: OutState) -> Result<(), Failure> {
    tokio::select! {
        biased;
        reached = client.wait_for(to, id, goal) => match reached.map_err(failure)? {
            OutState::Failed => {
                let why = client.why_failed(to, id).await.map_err(failure)?;
                let why = why.map_or_else(|| "it is not said why".to_owned(), |why| why.to_string());
                Err(Failure::runtime(format!("message {id} to {to} has failed: {why}")))
            }
            _ => Ok(()),
        },
        ending = client.closed() => {
            let why = ending.map_or_else(|| "the connection is gone".to_owned(), |ending| ending.to_string());
            Err(Failure::runtime(format!("{why}; message {id} to {to} is stored and goes on with the next command that connects")))
        }
    }
}

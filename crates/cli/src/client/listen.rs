//! `listen`: messages as they come.

use std::time::Duration;

use landbridge::{Event, Events, ReceivedMessage};
use serde_json::json;

use super::Style;
use super::open::{Opener, failure};
use crate::failure::Failure;
use crate::output;
use crate::shutdown::Shutdown;

/// `listen`
#[derive(Debug, clap::Args)]
pub(super) struct Listen {
    /// End after this many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End after this many seconds
    #[arg(long = "for", value_name = "SECS")]
    seconds: Option<u64>,
}

pub(super) async fn run(
    listen: Listen,
    opener: &Opener,
    style: Style,
    mut shutdown: Shutdown,
) -> Result<(), Failure> {
    let client = opener.client()?;
    let mut events = client.events();
    let deadline = async {
        match listen.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        error = client.run() => Err(failure(error)),
        printed = print(&mut events, listen.count, style) => printed,
        () = deadline => Ok(()),
        () = shutdown.requested() => Ok(()),
    };
    client.disconnect().await;
    confirm_last(events).await;
    outcome
}

/// Prints messages until there were enough.
async fn print(events: &mut Events, count: Option<u64>, style: Style) -> Result<(), Failure> {
    let mut printed = 0;
    while count.is_none_or(|count| printed < count) {
        match events.next().await {
            Some(Event::Message(message)) => {
                print_message(&message, style)?;
                printed += 1;
            }
            Some(event) => note(&event),
            None => return Err(Failure::runtime("the client ended; start it again")),
        }
    }
    Ok(())
}

/// A message counts as taken when the next event is asked for. Disconnecting has made one, so this ends at once.
async fn confirm_last(mut events: Events) {
    let _ = tokio::time::timeout(Duration::from_secs(2), events.next()).await;
}

fn print_message(message: &ReceivedMessage, style: Style) -> Result<(), Failure> {
    match style {
        Style::Json => output::json(&json!({
            "from": message.sender.to_string(),
            "chat": message.chat.to_string(),
            "id": message.id.to_string(),
            "t": message.t,
            "notify": message.notify,
            "kind": message.content.kind().as_str(),
            "text": message.text(),
        })),
        Style::Text => {
            let name = message.notify.as_deref().unwrap_or_default();
            let text =
                message.text().map_or_else(|| format!("[{}]", message.content.kind().as_str()), printable);
            output::line(&format!("{} {}: {text}", message.sender, printable(name)))
        }
    }
}

/// A peer's text on one line, with nothing that a terminal would obey.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\n' {
                '⏎'
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// What a person at the terminal may want to know goes to standard error.
fn note(event: &Event) {
    match event {
        Event::IdentityChanged { peer, sending, .. } => {
            eprintln!("the security code of {peer} has changed");
            if matches!(sending, landbridge::Sending::Held { .. }) {
                eprintln!("messages to {peer} are held until `landbridge client accept {peer}`");
            }
        }
        Event::MustReenlist { address } => eprintln!("{address} is no longer enlisted"),
        Event::Reenlisted { address } => eprintln!("enlisted anew as {address}"),
        Event::Undecryptable { chat, asked, .. } => {
            eprintln!("a message from {chat} cannot be decrypted; asked for it again ({asked})");
        }
        Event::Disconnected { ending, .. } => tracing::info!(%ending, "disconnected"),
        Event::Reconnecting { after, because } => {
            tracing::warn!(after_s = after.as_secs(), because = because.chain(), "connecting again");
        }
        Event::StoreFailed { error } => tracing::error!(error = error.chain(), "the store failed"),
        other => tracing::debug!(event = ?other),
    }
}

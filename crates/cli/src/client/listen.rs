//! `listen`: messages and what is done to them, as they come.

use std::path::PathBuf;
use std::time::Duration;

use landbridge::media::Files;
use landbridge::stanza::chatstate::ChatState;
use landbridge::wire::Jid;
use landbridge::{Arrival, Event, Events, ReceivedEdit, ReceivedMessage, ReceivedReaction, ReceivedRevoke};
use serde_json::json;

use super::Style;
use super::chat::author;
use super::file::note_outbox;
use super::open::{Opener, failure};
use super::save::Saver;
use crate::failure::{Failure, with_causes};
use crate::output;
use crate::shutdown::Shutdown;

/// `listen`
#[derive(Debug, clap::Args)]
pub(super) struct Listen {
    /// End after this many messages, reactions, edits and revokes
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End after this many seconds
    #[arg(long = "for", value_name = "SECS")]
    seconds: Option<u64>,
    /// Fetch the files of messages into this directory
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

pub(super) async fn run(
    listen: Listen,
    opener: &Opener,
    style: Style,
    mut shutdown: Shutdown,
) -> Result<(), Failure> {
    let client = opener.client()?;
    let saver = match &listen.save {
        Some(directory) => Some(Saver::new(opener.files(client.clone())?, directory)?),
        None => None,
    };
    note_outbox(&Files::new(client.clone())).await?;
    let mut events = client.events();
    let deadline = async {
        match listen.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        error = client.run() => Err(failure(error)),
        printed = print(&mut events, listen.count, saver.as_ref(), style) => printed,
        () = deadline => Ok(()),
        () = shutdown.requested() => Ok(()),
    };
    client.disconnect().await;
    confirm_last(events).await;
    outcome
}

/// Prints messages until there were enough. A message's file is there before the message counts as taken.
async fn print(
    events: &mut Events,
    count: Option<u64>,
    saver: Option<&Saver>,
    style: Style,
) -> Result<(), Failure> {
    let mut printed = 0;
    while count.is_none_or(|count| printed < count) {
        match events.next().await {
            Some(event) => {
                match &event {
                    Event::Message(message) => {
                        print_message(message, style)?;
                        if let Some(saver) = saver {
                            saver.save(message, style).await?;
                        }
                    }
                    Event::Reaction(reaction) => print_reaction(reaction, style)?,
                    Event::Edited(edit) => print_edit(edit, style)?,
                    Event::Revoked(revoke) => print_revoke(revoke, style)?,
                    Event::Typing { from, state } => {
                        print_typing(from, *state, style)?;
                        continue;
                    }
                    other => {
                        note(other);
                        continue;
                    }
                }
                printed += 1;
            }
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
            "event": "message",
            "from": message.sender.to_string(),
            "chat": message.chat.to_string(),
            "id": message.id.to_string(),
            "t": message.t,
            "notify": message.notify,
            "kind": message.content.kind().as_str(),
            "text": message.text(),
            "recovered": message.arrival == Arrival::Recovered,
        })),
        Style::Text => {
            let name = message.notify.as_deref().unwrap_or_default();
            let text =
                message.text().map_or_else(|| format!("[{}]", message.content.kind().as_str()), printable);
            output::line(&format!("{} {}: {text}", message.sender, printable(name)))
        }
    }
}

fn print_reaction(reaction: &ReceivedReaction, style: Style) -> Result<(), Failure> {
    let ReceivedReaction { chat, sender, target, emoji, t, .. } = reaction;
    match (style, emoji) {
        (Style::Json, _) => output::json(&json!({
            "event": "reaction",
            "from": sender.to_string(),
            "chat": chat.to_string(),
            "target": target.id.to_string(),
            "target_author": author(&target.author),
            "emoji": emoji,
            "t": t,
        })),
        (Style::Text, Some(emoji)) => {
            output::line(&format!("{sender} reacts to {}: {}", target.id, printable(emoji)))
        }
        (Style::Text, None) => output::line(&format!("{sender} takes the reaction to {} back", target.id)),
    }
}

fn print_edit(edit: &ReceivedEdit, style: Style) -> Result<(), Failure> {
    let ReceivedEdit { chat, sender, target, content, t, .. } = edit;
    let text = content.shown_text().unwrap_or_default();
    match style {
        Style::Json => output::json(&json!({
            "event": "edited",
            "from": sender.to_string(),
            "chat": chat.to_string(),
            "target": target.id.to_string(),
            "text": text,
            "t": t,
        })),
        Style::Text => output::line(&format!("{sender} edits {}: {}", target.id, printable(text))),
    }
}

fn print_revoke(revoke: &ReceivedRevoke, style: Style) -> Result<(), Failure> {
    let ReceivedRevoke { chat, sender, target, t, .. } = revoke;
    match style {
        Style::Json => output::json(&json!({
            "event": "revoked",
            "from": sender.to_string(),
            "chat": chat.to_string(),
            "target": target.id.to_string(),
            "t": t,
        })),
        Style::Text => output::line(&format!("{sender} takes {} back", target.id)),
    }
}

/// Passes by, so a person sees it beside the messages and not among them.
fn print_typing(from: &Jid, state: ChatState, style: Style) -> Result<(), Failure> {
    let word = match state {
        ChatState::Composing => "composing",
        ChatState::Recording => "recording",
        ChatState::Paused => "paused",
    };
    match style {
        Style::Json => output::json(&json!({ "event": "typing", "from": from.to_string(), "state": word })),
        Style::Text => {
            eprintln!("{from}: {word}");
            Ok(())
        }
    }
}

/// A peer's text on one line, with nothing that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
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
        Event::FileProgress { to, id, bytes, of } if bytes == of => {
            eprintln!("the file of message {id} to {to} is at the partner's server");
        }
        Event::FileWaits { to, id, because } => {
            eprintln!("the file of message {id} to {to} is tried again later: {}", with_causes(&**because));
        }
        Event::FileFailed { to, id, because } => {
            eprintln!("the file of message {id} to {to} is not sent: {}", with_causes(&**because));
        }
        Event::Disconnected { ending, .. } => tracing::info!(%ending, "disconnected"),
        Event::Reconnecting { after, because } => {
            tracing::warn!(after_s = after.as_secs(), because = because.chain(), "connecting again");
        }
        Event::StoreFailed { error } => tracing::error!(error = error.chain(), "the store failed"),
        other => tracing::debug!(event = ?other),
    }
}

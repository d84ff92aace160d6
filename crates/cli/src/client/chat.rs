//! Commands about messages that are there: answers, reactions, edits, revokes, receipts; and typing.

use std::time::Duration;

use landbridge::stanza::MessageId;
use landbridge::stanza::chatstate::ChatState;
use landbridge::wire::Jid;
use landbridge::{Author, Body, QuotedMessage, StoredMessage};
use serde_json::{Value, json};

use super::Style;
use super::listen::printable;
use super::open::{Opener, failure, user};
use super::send::{Patience, name, report};
use crate::failure::Failure;
use crate::output;

/// A message of a chat.
#[derive(Debug, clap::Args)]
pub(super) struct About {
    /// The other side of the chat: a phone number, or an address
    #[arg(long, value_name = "USER")]
    to: String,
    /// The message's id
    #[arg(long, value_name = "ID")]
    id: String,
    #[command(flatten)]
    patience: Patience,
}

impl About {
    fn parse(&self) -> Result<(Jid, MessageId), Failure> {
        Ok((user(&self.to)?, message_id(&self.id)?))
    }
}

fn message_id(text: &str) -> Result<MessageId, Failure> {
    text.parse().map_err(|_| Failure::usage(format!("{text:?} is no message id: it has 1 to 128 bytes")))
}

/// `reply`
#[derive(Debug, clap::Args)]
pub(super) struct Reply {
    #[command(flatten)]
    about: About,
    /// The answer
    #[arg(long)]
    text: String,
}

/// `react`
#[derive(Debug, clap::Args)]
pub(super) struct React {
    #[command(flatten)]
    about: About,
    /// One emoji
    #[arg(long)]
    emoji: String,
}

/// `edit`
#[derive(Debug, clap::Args)]
pub(super) struct Edit {
    #[command(flatten)]
    about: About,
    /// The new text
    #[arg(long)]
    text: String,
}

/// `read`
#[derive(Debug, clap::Args)]
pub(super) struct Read {
    /// The other side of the chat: a phone number, or an address
    #[arg(long, value_name = "USER")]
    to: String,
    /// Say that they were played
    #[arg(long)]
    played: bool,
    /// The messages' ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

/// `typing`
#[derive(Debug, clap::Args)]
pub(super) struct Typing {
    /// The other side of the chat: a phone number, or an address
    #[arg(long, value_name = "USER")]
    to: String,
    /// Show that the user records
    #[arg(long)]
    recording: bool,
    /// For this many seconds
    #[arg(long = "for", value_name = "SECS", default_value_t = 3)]
    seconds: u64,
}

pub(super) async fn reply(reply: Reply, opener: &Opener, style: Style) -> Result<(), Failure> {
    let (to, id) = reply.about.parse()?;
    let client = opener.connect().await?;
    let sent = client.reply(&to, &id, &reply.text).await.map_err(failure)?;
    report(client, &to, &sent, &reply.about.patience, style).await
}

pub(super) async fn react(react: React, opener: &Opener, style: Style) -> Result<(), Failure> {
    let (to, id) = react.about.parse()?;
    let client = opener.connect().await?;
    let sent = client.react(&to, &id, &react.emoji).await.map_err(failure)?;
    report(client, &to, &sent, &react.about.patience, style).await
}

pub(super) async fn unreact(about: About, opener: &Opener, style: Style) -> Result<(), Failure> {
    let (to, id) = about.parse()?;
    let client = opener.connect().await?;
    let sent = client.unreact(&to, &id).await.map_err(failure)?;
    report(client, &to, &sent, &about.patience, style).await
}

pub(super) async fn revoke(about: About, opener: &Opener, style: Style) -> Result<(), Failure> {
    let (to, id) = about.parse()?;
    let client = opener.connect().await?;
    let sent = client.revoke(&to, &id).await.map_err(failure)?;
    report(client, &to, &sent, &about.patience, style).await
}

pub(super) async fn edit(edit: Edit, opener: &Opener, style: Style) -> Result<(), Failure> {
    let (to, id) = edit.about.parse()?;
    let client = opener.connect().await?;
    let sent = client.edit(&to, &id, &edit.text).await.map_err(failure)?;
    report(client, &to, &sent, &edit.about.patience, style).await
}

pub(super) async fn read(read: Read, opener: &Opener, style: Style) -> Result<(), Failure> {
    let to = user(&read.to)?;
    let ids = read.ids.iter().map(|id| message_id(id)).collect::<Result<Vec<_>, _>>()?;
    let client = opener.connect().await?;
    let marked = match read.played {
        true => client.mark_played(&to, &ids).await,
        false => client.mark_read(&to, &ids).await,
    };
    marked.map_err(failure)?;
    client.receipts_written().await.map_err(failure)?;
    client.disconnect().await;
    let word = if read.played { "played" } else { "read" };
    match style {
        Style::Json => output::json(&json!({ "to": to.to_string(), "receipt": word, "ids": read.ids })),
        Style::Text => output::line(&format!("{to} is told that {} were {word}", read.ids.join(", "))),
    }
}

pub(super) async fn typing(typing: Typing, opener: &Opener, style: Style) -> Result<(), Failure> {
    let to = user(&typing.to)?;
    let state = if typing.recording { ChatState::Recording } else { ChatState::Composing };
    let client = opener.connect().await?;
    for _ in 0..typing.seconds {
        // As often as somebody who writes slowly.
        client.set_typing(&to, state).await.map_err(failure)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    client.set_typing(&to, ChatState::Paused).await.map_err(failure)?;
    client.disconnect().await;
    match style {
        Style::Json => output::json(&json!({ "to": to.to_string(), "seconds": typing.seconds })),
        Style::Text => output::line(&format!("{to} was shown it for {} s", typing.seconds)),
    }
}

pub(super) async fn show(about: About, opener: &Opener, style: Style) -> Result<(), Failure> {
    let (chat, id) = about.parse()?;
    let client = opener.client()?;
    let message = client.message(&chat, &id).await.map_err(failure)?;
    let message =
        message.ok_or_else(|| Failure::runtime(format!("there is no message {id} in this chat")))?;
    match style {
        Style::Json => output::json(&as_json(&message)),
        Style::Text => output::line(&as_text(&message)),
    }
}

/// Whose something is.
pub(super) fn author(author: &Author) -> String {
    match author {
        Author::Own => "own".to_owned(),
        Author::Peer(jid) => jid.to_string(),
    }
}

fn as_json(message: &StoredMessage) -> Value {
    let reactions: Vec<_> = message
        .reactions
        .iter()
        .map(|reaction| json!({ "from": author(&reaction.sender), "emoji": reaction.emoji }))
        .collect();
    json!({
        "chat": message.chat.to_string(),
        "author": author(&message.author),
        "id": message.id.to_string(),
        "t": message.t,
        "body": body_word(&message.body),
        "text": message.body.text(),
        "edited_ms": message.edited_ms,
        "reactions": reactions,
        "quoted": message.quoted.as_deref().map(quoted),
        "state": message.state.map(name),
    })
}

fn quoted(quoted: &QuotedMessage) -> Value {
    match quoted {
        QuotedMessage::Known { message, body } => json!({
            "id": message.id.to_string(),
            "author": author(&message.author),
            "body": body_word(body),
            "text": body.text(),
        }),
        QuotedMessage::Claimed { id, author, .. } => {
            json!({ "id": id.to_string(), "author": author.to_string(), "body": "claimed" })
        }
        _ => Value::Null,
    }
}

fn body_word(body: &Body) -> &'static str {
    match body {
        Body::Content(content) => content.kind().as_str(),
        Body::Revoked { .. } => "revoked",
        Body::Forgotten => "forgotten",
        Body::Undecryptable { .. } => "undecryptable",
        _ => "unknown",
    }
}

fn as_text(message: &StoredMessage) -> String {
    let body = message.body.text().map_or_else(|| format!("[{}]", body_word(&message.body)), printable);
    let mut line = format!("{} {}: {body}", author(&message.author), message.id);
    if message.edited_ms.is_some() {
        line.push_str(" (edited)");
    }
    if let Some(state) = message.state {
        line.push_str(&format!(" ({})", name(state)));
    }
    for reaction in &message.reactions {
        line.push_str(&format!("\n  {} {}", author(&reaction.sender), printable(&reaction.emoji)));
    }
    line
}

//! Contents that are about another message: replies, reactions, taking back, editing. Which message is meant is looked up in
//! the store, by chat and author, so that nothing goes out that the other side would refuse.

use std::sync::Arc;

use landbridge_proto::content::{self, Content, Context, Kind, Quote};
use landbridge_proto::message::{Message, MessageKey};
use landbridge_stanza::MessageId;
use landbridge_store::{MessageKey as StoredKey, StoreTx};
use landbridge_wire::Jid;

use super::cipher::chat_of;
use super::recipient;
use crate::client::Inner;
use crate::error::Error;

/// A stored message of the chat.
struct Target {
    /// Ours.
    own: bool,
    /// The account's own address.
    account: String,
    /// When it was made, in unix seconds; of ours alone.
    created_at: u64,
    /// What it says, unless that was wiped.
    content: Option<Content>,
}

/// What is to be done to the target.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Relation<'a> {
    Reply { text: &'a str },
    React { emoji: &'a str },
    Unreact,
    Revoke,
    Edit { text: &'a str },
}

pub(crate) async fn send(
    inner: &Arc<Inner>,
    to: &Jid,
    id: &MessageId,
    relation: Relation<'_>,
) -> Result<MessageId, Error> {
    let to = recipient(inner, to)?;
    let target = find(inner, &to, id).await?;
    let message = build(inner, &to, id, relation, &target)?;
    super::send(inner, &to, &message).await
}

async fn find(inner: &Arc<Inner>, to: &Jid, id: &MessageId) -> Result<Target, Error> {
    let (chat, id, limits) = (chat_of(to), id.as_str().to_owned(), Arc::clone(&inner.content_limits));
    let step = move |tx: &mut dyn StoreTx| {
        let account = tx.account()?.and_then(|account| account.enlistment.login().map(str::to_owned));
        let account = account.ok_or(Error::NotEnlisted)?;
        let (own, created_at, plaintext) = match tx.message(&StoredKey::direct(chat.as_str(), id.as_str()))? {
            Some(entry) => (false, 0, entry.message.plaintext),
            None => match tx.outgoing(&chat, &id)? {
                Some(entry) => (true, entry.message.created_at, entry.message.plaintext),
                None => return Err(Error::NoSuchMessage),
            },
        };
        let context = if own { Context::direct(&account, &chat) } else { Context::direct(&chat, &account) };
        let content = match plaintext.is_empty() {
            true => None,
            false => content::decode(&plaintext, &context, &limits).ok(),
        };
        Ok(Target { own, account, created_at, content })
    };
    inner.vault.read(step).await
}

fn build(
    inner: &Inner,
    to: &Jid,
    id: &MessageId,
    relation: Relation<'_>,
    target: &Target,
) -> Result<Message, Error> {
    let refused = |what| Err(Error::Content { what });
    let (chat, now) = (chat_of(to), inner.clock.now());
    let now_ms = i64::try_from(now.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let key = match target.own {
        true => MessageKey::own(chat.as_str(), id.as_str()),
        false => MessageKey::theirs(chat.as_str(), id.as_str()),
    };
    match relation {
        Relation::Reply { text: "" } | Relation::Edit { text: "" } => refused("the text is empty"),
        Relation::Reply { text } | Relation::Edit { text }
            if text.chars().count() > inner.profile.content.max_text_chars =>
        {
            refused("the text is too long")
        }
        Relation::Reply { text } => {
            let Some(quoted) = &target.content else { return refused("what it answers is no longer stored") };
            let author = if target.own { &target.account } else { &chat };
            let quote = Quote { id: id.as_str(), author, message: quoted.message() };
            Ok(content::reply(content::text(text), &quote))
        }
        Relation::React { emoji: "" } => refused("the reaction is empty"),
        Relation::React { emoji } => {
            let message = content::react(key, emoji, now_ms);
            // By the rule that the other side will go by.
            let bytes = prost::Message::encode_to_vec(&message);
            let read =
                content::decode(&bytes, &Context::direct(&target.account, &chat), &inner.content_limits);
            match read.is_ok_and(|read| read.verdict() == content::Verdict::Accept) {
                true => Ok(message),
                false => refused("the reaction is not one emoji"),
            }
        }
        Relation::Unreact => Ok(content::unreact(key, now_ms)),
        Relation::Revoke | Relation::Edit { .. } if !target.own => {
            refused("only its author may take a message back or edit it")
        }
        Relation::Revoke => Ok(content::revoke(key)),
        Relation::Edit { .. }
            if now > target.created_at.saturating_add(inner.profile.content.edit_sent_s) =>
        {
            refused("it is too late to edit the message")
        }
        Relation::Edit { text } => match &target.content {
            Some(content) if content.kind() != Kind::Text => refused("only a text can be edited"),
            _ => Ok(content::edit(key, content::text(text), now_ms)),
        },
    }
}

/// Whether a received content would take back or edit a message of ours, which only we may do (V14).
pub(crate) fn meddles(tx: &dyn StoreTx, chat: &str, content: &Content) -> Result<bool, Error> {
    let target = content.target().and_then(|key| key.id.as_deref());
    let (Kind::Revoke | Kind::Edit, Some(id)) = (content.kind(), target) else { return Ok(false) };
    Ok(tx.message(&StoredKey::direct(chat, id))?.is_none() && tx.outgoing(chat, id)?.is_some())
}

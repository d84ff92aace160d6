//! Contents that are about another message: replies, reactions, taking back, editing. Which message is meant is looked up in
//! the store, by chat and author, so that nothing goes out that the other side would refuse.

use std::sync::Arc;

use landbridge_proto::content::{self, Content, Context, Kind, Quote};
use landbridge_proto::message::{Message, MessageKey};
use landbridge_stanza::MessageId;
use landbridge_store::{Relation, RelationKind, StoreTx, Target};
use landbridge_wire::Jid;

use super::cipher::chat_of;
use super::present::{self, Reader};
use super::recipient;
use crate::client::Inner;
use crate::error::Error;

/// A stored message of the chat.
struct Found {
    target: Target,
    /// The account's own address.
    account: String,
    /// When it was made, in unix seconds; by the own clock if it is ours.
    t: u64,
    /// What it says now, unless that was wiped.
    content: Option<Content>,
    revoked: bool,
    /// The greatest time of what we have done to it so far.
    latest_ms: Option<i64>,
}

/// What is to be done to the target.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act<'a> {
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
    act: Act<'_>,
) -> Result<MessageId, Error> {
    let to = recipient(inner, to)?;
    let found = find(inner, &to, id).await?;
    let at_ms = next_ms(inner.clock.now(), found.latest_ms);
    let message = build(inner, &to, id, act, &found, at_ms)?;
    let own = MessageId::generate(&mut inner.rng.fork());
    let relation = relation(act, &message, found.target, at_ms, own.as_str());
    let beside = relation.map_or(super::Beside::Nothing, super::Beside::Relation);
    super::send_as(inner, &to, own, &message, beside).await
}

async fn find(inner: &Arc<Inner>, to: &Jid, id: &MessageId) -> Result<Found, Error> {
    let (chat, id, limits) = (chat_of(to), id.as_str().to_owned(), Arc::clone(&inner.content_limits));
    let step = move |tx: &mut dyn StoreTx| {
        let account = tx.account()?.and_then(|account| account.enlistment.login().map(str::to_owned));
        let account = account.ok_or(Error::NotEnlisted)?;
        let known = present::find(tx, &chat, &id)?.ok_or(Error::NoSuchMessage)?;
        let ours = known.relations.iter().filter(|relation| relation.sender.is_none());
        Ok(Found {
            t: known.t,
            latest_ms: ours.map(|relation| relation.at_ms).max(),
            revoked: known.done(RelationKind::Revoke).is_some(),
            content: known.content(&Reader { own: &account, limits: &limits }),
            target: known.target,
            account,
        })
    };
    inner.vault.read(step).await
}

/// The newest counts on the other side, so a time is never less than the one before, whatever the clock does.
fn next_ms(now: u64, latest: Option<i64>) -> i64 {
    let now = i64::try_from(now.saturating_mul(1_000)).unwrap_or(i64::MAX);
    latest.map_or(now, |latest| now.max(latest.saturating_add(1)))
}

fn build(
    inner: &Inner,
    to: &Jid,
    id: &MessageId,
    act: Act<'_>,
    found: &Found,
    at_ms: i64,
) -> Result<Message, Error> {
    let refused = |what| Err(Error::Content { what });
    let (chat, now, own) = (chat_of(to), inner.clock.now(), found.target.author.is_none());
    let key = match own {
        true => MessageKey::own(chat.as_str(), id.as_str()),
        false => MessageKey::theirs(chat.as_str(), id.as_str()),
    };
    match act {
        Act::Reply { text: "" } | Act::Edit { text: "" } => refused("the text is empty"),
        Act::Reply { text } | Act::Edit { text }
            if text.chars().count() > inner.profile.content.max_text_chars =>
        {
            refused("the text is too long")
        }
        // Said once more, in case the first time was not heard.
        Act::Revoke if own => Ok(content::revoke(key)),
        _ if found.revoked => refused("the message that it is about was taken back"),
        Act::Reply { text } => {
            let Some(quoted) = &found.content else { return refused("what it answers is no longer stored") };
            let author = if own { &found.account } else { &chat };
            let quote = Quote { id: id.as_str(), author, message: quoted.message() };
            Ok(content::reply(content::text(text), &quote))
        }
        Act::React { emoji: "" } => refused("the reaction is empty"),
        Act::React { emoji } => {
            let message = content::react(key, emoji, at_ms);
            // By the rule that the other side will go by.
            let bytes = prost::Message::encode_to_vec(&message);
            let read =
                content::decode(&bytes, &Context::direct(&found.account, &chat), &inner.content_limits);
            match read.is_ok_and(|read| read.verdict() == content::Verdict::Accept) {
                true => Ok(message),
                false => refused("the reaction is not one emoji"),
            }
        }
        Act::Unreact => Ok(content::unreact(key, at_ms)),
        Act::Revoke | Act::Edit { .. } if !own => {
            refused("only its author may take a message back or edit it")
        }
        Act::Revoke => Ok(content::revoke(key)),
        Act::Edit { .. } if now > found.t.saturating_add(inner.profile.content.edit_sent_s) => {
            refused("it is too late to edit the message")
        }
        Act::Edit { text } => match &found.content {
            Some(content) if content.kind() != Kind::Text => refused("only a text can be edited"),
            _ => Ok(content::edit(key, content::text(text), at_ms)),
        },
    }
}

/// What the store is to keep of it, beside the message.
fn relation(act: Act<'_>, message: &Message, target: Target, at_ms: i64, id: &str) -> Option<Relation> {
    let (kind, content) = match act {
        Act::Reply { .. } => return None,
        Act::React { emoji } => (RelationKind::Reaction, emoji.as_bytes().to_vec()),
        Act::Unreact => (RelationKind::Reaction, Vec::new()),
        Act::Revoke => (RelationKind::Revoke, Vec::new()),
        Act::Edit { .. } => (RelationKind::Edit, prost::Message::encode_to_vec(message)),
    };
    // The time of making is known when it is stored.
    Some(Relation { target, kind, sender: None, id: id.to_owned(), at_ms, t: 0, content })
}

//! One message from end to end: every stanza, decision and retry, without its text.

use std::collections::BTreeMap;
use std::sync::Arc;

use landbridge_stanza::MessageId;
use landbridge_store::{
    ClientStore, MessageKey, OutState, OwedClass, Seen, StoreTx, TrailEntry, Undecryptable,
};
use landbridge_wire::Jid;

use crate::client::{Client, Inner};
use crate::error::Error;

/// What is known of one message: where it stands, and how it got there. It names the peer and holds no text and no key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The chat.
    pub chat: Jid,
    /// The message.
    pub id: MessageId,
    /// Where it stands now.
    pub standing: Standing,
    /// What happened, oldest first. Bounded by number and age: see [`TrailEntry`].
    pub trail: Vec<TrailEntry>,
}

/// Where a message stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// One of ours.
    Sent {
        /// How far it has got.
        state: OutState,
        /// Why it failed, if it did.
        failure: Option<String>,
        /// How many requests to send it again were answered.
        retries: u32,
    },
    /// One of theirs, opened and stored.
    Received {
        /// Whether the application has taken it.
        taken: bool,
        /// Whether its delivery receipt still waits to be written.
        receipt_owed: bool,
    },
    /// One of theirs that has not been opened yet.
    Undecryptable {
        /// How many different copies failed.
        failures: u32,
        /// How often the sender was asked for it.
        asked: u32,
        /// Why the last copy failed.
        reason: String,
    },
    /// It is not stored: it was refused, or its sender is blocked.
    NotStored,
}

impl Client {
    /// All that is known of the messages with this id: one explanation for each chat in which it occurs, none if nothing is known.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn explain(&self, id: &MessageId) -> Result<Vec<Explanation>, Error> {
        explain(&self.inner, id.clone()).await
    }
}

async fn explain(inner: &Arc<Inner>, id: MessageId) -> Result<Vec<Explanation>, Error> {
    inner.vault.read(move |tx| look(tx, &id)).await
}

/// As [`Client::explain`], from a store that no client has open.
///
/// # Errors
///
/// [`Error::Store`].
pub fn explain_offline(store: &mut dyn ClientStore, id: &MessageId) -> Result<Vec<Explanation>, Error> {
    look(&mut *store.begin()?, id)
}

fn look(tx: &mut dyn StoreTx, id: &MessageId) -> Result<Vec<Explanation>, Error> {
    let mut chats: BTreeMap<String, Vec<TrailEntry>> = BTreeMap::new();
    for entry in tx.trail(id.as_str())? {
        chats.entry(entry.chat.clone()).or_default().push(entry);
    }
    let mut explanations = Vec::new();
    for (chat, trail) in chats {
        // Only addresses were noted, so they read.
        let Ok(jid) = chat.parse::<Jid>() else { continue };
        let standing = standing(tx, &chat, id.as_str())?;
        explanations.push(Explanation { chat: jid, id: id.clone(), standing, trail });
    }
    Ok(explanations)
}

fn standing(tx: &mut dyn StoreTx, chat: &str, id: &str) -> Result<Standing, Error> {
    if let Some(entry) = tx.outgoing(chat, id)? {
        return Ok(Standing::Sent { state: entry.state, failure: entry.failure, retries: entry.retries });
    }
    let key = MessageKey::direct(chat, id);
    if let Some(entry) = tx.message(&key)? {
        let owed = tx.owed(usize::MAX)?;
        let receipt_owed = owed.iter().any(|owed| {
            let answer = &owed.answer;
            answer.class == OwedClass::Delivery && answer.to == chat && answer.id == id
        });
        return Ok(Standing::Received { taken: entry.confirmed, receipt_owed });
    }
    Ok(match tx.seen(&key)? {
        Seen::Undecryptable(Undecryptable { failures, asked, reason, .. }) => {
            Standing::Undecryptable { failures, asked, reason }
        }
        _ => Standing::NotStored,
    })
}

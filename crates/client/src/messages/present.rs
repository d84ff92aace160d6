//! What a stored message says now, after all that was done to it.

use landbridge_proto::content::{self, Content, Context, Kind};
use landbridge_stanza::MessageId;
use landbridge_store::{
    InboxEntry, MessageKey as StoredKey, OutState, Relation, RelationKind, Seen, StoreTx, Target,
};
use landbridge_wire::Jid;
use prost::Message as _;

use crate::error::Error;
use crate::event::Event;
use crate::message::{
    Author, Body, MessageReaction, MessageRef, QuotedMessage, ReceivedEdit, ReceivedReaction, ReceivedRevoke,
    StoredMessage,
};

/// Whose eyes a message is read with.
pub(crate) struct Reader<'a> {
    /// The account's own address.
    pub(crate) own: &'a str,
    pub(crate) limits: &'a content::Limits,
}

/// A message of the store.
pub(crate) struct Known {
    pub(crate) target: Target,
    /// Received: the server's time. Sent: when it was made. In unix seconds.
    pub(crate) t: u64,
    /// Empty once it was wiped or forgotten.
    plaintext: Vec<u8>,
    pub(crate) state: Option<OutState>,
    /// What has been done to it, and counts.
    pub(crate) relations: Vec<Relation>,
}

impl Known {
    /// A message of this account.
    pub(crate) fn own(tx: &dyn StoreTx, chat: &str, id: &str) -> Result<Option<Self>, Error> {
        let Some(entry) = tx.outgoing(chat, id)? else { return Ok(None) };
        let target = Target::own(chat, id);
        let relations = tx.relations(&target)?;
        let (t, plaintext) = (entry.message.created_at, entry.message.plaintext);
        Ok(Some(Self { target, t, plaintext, state: Some(entry.state), relations }))
    }

    /// A message of somebody else.
    pub(crate) fn theirs(tx: &dyn StoreTx, key: &StoredKey) -> Result<Option<Self>, Error> {
        match tx.message(key)? {
            Some(entry) if is_shown(&entry) => {
                let StoredKey { chat, sender, id } = key.clone();
                let target = Target { chat, author: Some(sender), id };
                let relations = tx.relations(&target)?;
                let message = entry.message;
                Ok(Some(Self { target, t: message.t, plaintext: message.plaintext, state: None, relations }))
            }
            _ => Ok(None),
        }
    }

    /// What was done to it last, of this kind.
    pub(crate) fn done(&self, kind: RelationKind) -> Option<&Relation> {
        self.relations.iter().filter(|relation| relation.kind == kind).max_by_key(|relation| relation.at_ms)
    }

    /// What it said at first; `None` once that is wiped or forgotten.
    pub(crate) fn original(&self, reader: &Reader<'_>) -> Option<Content> {
        self.read(&self.plaintext, reader)
    }

    /// What it says now.
    pub(crate) fn content(&self, reader: &Reader<'_>) -> Option<Content> {
        let original = self.original(reader)?;
        let Some(edit) = self.done(RelationKind::Edit) else { return Some(original) };
        let edit = self.read(&edit.content, reader)?;
        let amended = content::amend(original.message(), edit.edited()?)?;
        self.read(&amended.encode_to_vec(), reader)
    }

    /// A content of its author; none of an empty plaintext, which is what wiping leaves.
    fn read(&self, plaintext: &[u8], reader: &Reader<'_>) -> Option<Content> {
        if plaintext.is_empty() {
            return None;
        }
        let (from, to) = match &self.target.author {
            Some(author) => (author.as_str(), reader.own),
            None => (reader.own, self.target.chat.as_str()),
        };
        content::decode(plaintext, &Context::direct(from, to), reader.limits).ok()
    }

    fn body(&self, reader: &Reader<'_>) -> Body {
        match self.done(RelationKind::Revoke) {
            Some(revoke) => Body::Revoked { t: revoke.t },
            None => self.content(reader).map_or(Body::Forgotten, |content| Body::Content(Box::new(content))),
        }
    }

    fn reactions(&self) -> Vec<MessageReaction> {
        let reactions = self.relations.iter().filter(|relation| relation.kind == RelationKind::Reaction);
        let reactions = reactions.filter_map(|relation| {
            let sender = author(relation.sender.as_deref())?;
            Some(MessageReaction { sender, emoji: emoji(relation)?, at_ms: relation.at_ms })
        });
        reactions.collect()
    }
}

/// Whether a message is one that the application shows: no reaction, edit or revoke, and nothing that is never shown.
fn is_shown(entry: &InboxEntry) -> bool {
    let hidden = [
        Kind::Reaction,
        Kind::ReactionRevoke,
        Kind::Edit,
        Kind::Revoke,
        Kind::SenderKey,
        Kind::UnknownProtocol,
    ];
    !hidden.iter().any(|kind| kind.as_str() == entry.message.kind)
}

/// The emoji of a reaction; none if it was taken back.
fn emoji(relation: &Relation) -> Option<String> {
    String::from_utf8(relation.content.clone()).ok().filter(|emoji| !emoji.is_empty())
}

fn author(address: Option<&str>) -> Option<Author> {
    match address {
        None => Some(Author::Own),
        Some(address) => address.parse().ok().map(Author::Peer),
    }
}

fn reference(target: &Target) -> Option<MessageRef> {
    let id = MessageId::try_from(target.id.clone()).ok()?;
    Some(MessageRef { author: author(target.author.as_deref())?, id })
}

/// The event of something that was received and done to a message. `None` if it no longer reads.
pub(crate) fn event(
    tx: &dyn StoreTx,
    seq: u64,
    relation: &Relation,
    reader: &Reader<'_>,
) -> Result<Option<Event>, Error> {
    let names = (
        relation.target.chat.parse::<Jid>().ok(),
        relation.sender.as_deref().and_then(|sender| sender.parse::<Jid>().ok()),
        reference(&relation.target),
    );
    let (Some(chat), Some(sender), Some(target)) = names else { return Ok(None) };
    let t = relation.t;
    Ok(match relation.kind {
        RelationKind::Reaction => {
            let emoji = emoji(relation);
            let reaction = ReceivedReaction { seq, chat, sender, target, emoji, t };
            Some(Event::Reaction(Box::new(reaction)))
        }
        RelationKind::Revoke => {
            Some(Event::Revoked(Box::new(ReceivedRevoke { seq, chat, sender, target, t })))
        }
        RelationKind::Edit => {
            let content = known(tx, &relation.target)?.and_then(|known| known.content(reader));
            content.map(|content| {
                Event::Edited(Box::new(ReceivedEdit { seq, chat, sender, target, content, t }))
            })
        }
    })
}

fn known(tx: &dyn StoreTx, target: &Target) -> Result<Option<Known>, Error> {
    match &target.author {
        None => Known::own(tx, &target.chat, &target.id),
        Some(author) => {
            let (chat, sender, id) = (target.chat.clone(), author.clone(), target.id.clone());
            Known::theirs(tx, &StoredKey { chat, sender, id })
        }
    }
}

/// A message of a one-to-one chat, of either side. Ids of this account go first, so that a peer who uses one of them again
/// hides none of ours.
pub(crate) fn find(tx: &dyn StoreTx, chat: &str, id: &str) -> Result<Option<Known>, Error> {
    match Known::own(tx, chat, id)? {
        Some(known) => Ok(Some(known)),
        None => Known::theirs(tx, &StoredKey::direct(chat, id)),
    }
}

/// One message with all that belongs to it.
pub(crate) fn message(
    tx: &dyn StoreTx,
    chat: &Jid,
    id: &MessageId,
    reader: &Reader<'_>,
) -> Result<Option<StoredMessage>, Error> {
    let name = chat.to_string();
    let Some(known) = find(tx, &name, id.as_str())? else {
        return undecryptable(tx, chat, id);
    };
    let Some(author) = author(known.target.author.as_deref()) else { return Ok(None) };
    let body = known.body(reader);
    let quoted = match &body {
        Body::Content(content) => quoted(tx, &name, content, reader)?,
        _ => None,
    };
    let edited = known.done(RelationKind::Edit).map(|edit| edit.at_ms);
    Ok(Some(StoredMessage {
        chat: chat.clone(),
        author,
        id: id.clone(),
        t: known.t,
        edited_ms: edited,
        reactions: known.reactions(),
        quoted: quoted.map(Box::new),
        state: known.state,
        body,
    }))
}

fn undecryptable(tx: &dyn StoreTx, chat: &Jid, id: &MessageId) -> Result<Option<StoredMessage>, Error> {
    let key = StoredKey::direct(chat.to_string(), id.as_str());
    let Seen::Undecryptable(record) = tx.seen(&key)? else { return Ok(None) };
    Ok(Some(StoredMessage {
        chat: chat.clone(),
        author: Author::Peer(chat.clone()),
        id: id.clone(),
        t: record.t,
        body: Body::Undecryptable { asked: record.asked },
        edited_ms: None,
        reactions: Vec::new(),
        quoted: None,
        state: None,
    }))
}

/// What a content answers: from the store if it is known there, else as the writer claims (V16).
fn quoted(
    tx: &dyn StoreTx,
    chat: &str,
    content: &Content,
    reader: &Reader<'_>,
) -> Result<Option<QuotedMessage>, Error> {
    let Some(context) = content.context_info() else { return Ok(None) };
    let id = context.stanza_id.clone().and_then(|id| MessageId::try_from(id).ok());
    let claimed = context.participant.as_deref().and_then(|author| author.parse::<Jid>().ok());
    let (Some(id), Some(author)) = (id, claimed) else { return Ok(None) };
    if let Some(known) = find(tx, chat, id.as_str())?
        && let Some(message) = reference(&known.target)
    {
        return Ok(Some(QuotedMessage::Known { message, body: known.body(reader) }));
    }
    let message = context.quoted_message.clone();
    Ok(Some(QuotedMessage::Claimed { id, author, message }))
}

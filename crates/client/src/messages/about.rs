//! Received messages that are about others: reactions, edits, revokes. What they are about is looked up by id in their own chat;
//! who wrote it decides who may edit it or take it back, whatever the message claims (V14). One whose message has not come
//! yet waits for it.

use landbridge_proto::content::{self, Content, Context, Kind};
use landbridge_store::{
    InboxEntry, MessageKey as StoredKey, Related, Relation, RelationKind, StoreTx, TrailStep,
};

use super::present::{self, Known, Reader};
use super::receive::Receiver;
use crate::error::Error;
use crate::event::Event;

/// What a message wants to do to another.
struct About<'a> {
    kind: RelationKind,
    id: &'a str,
    /// The sender says that it wrote that message.
    claimed: bool,
    content: &'a Content,
}

impl<'a> About<'a> {
    fn of(content: &'a Content) -> Option<Self> {
        let kind = match content.kind() {
            Kind::Reaction | Kind::ReactionRevoke => RelationKind::Reaction,
            Kind::Edit => RelationKind::Edit,
            Kind::Revoke => RelationKind::Revoke,
            _ => return None,
        };
        let key = content.target()?;
        let claimed = key.from_me.unwrap_or(false);
        Some(Self { kind, id: key.id.as_deref()?, claimed, content })
    }

    fn bytes(&self) -> Vec<u8> {
        match self.kind {
            RelationKind::Reaction => self.content.reaction().unwrap_or_default().as_bytes().to_vec(),
            RelationKind::Edit => self.content.raw().to_vec(),
            RelationKind::Revoke => Vec::new(),
        }
    }
}

/// What comes of it.
enum Outcome {
    /// It counts.
    Done(Relation),
    /// The message that it is about is not known.
    Unknown,
    /// It does nothing, and why.
    Void(&'static str),
}

impl Receiver {
    /// Takes a stored message that is about another. Whether it was one.
    pub(super) fn relate(
        &mut self,
        tx: &mut dyn StoreTx,
        seq: u64,
        content: &Content,
    ) -> Result<bool, Error> {
        let Some(about) = About::of(content) else { return Ok(false) };
        let id = about.id.to_owned();
        match self.settle(tx, &self.key, self.message.t, &about)? {
            Outcome::Done(relation) => self.tell(tx, seq, &relation)?,
            Outcome::Void(why) => {
                self.not_shown(tx, &self.key.id, why)?;
                tx.discard(seq)?;
            }
            Outcome::Unknown => {
                self.not_shown(tx, &self.key.id, "the message that it is about has not come yet")?;
                tx.set_aside(seq, &id, self.profile.content.waiting_per_chat)?;
            }
        }
        Ok(true)
    }

    /// A message has come: what has waited for it is done now, in the order in which it came. Gives the events of that, and whether
    /// the message is still there to be shown.
    pub(super) fn release(&mut self, tx: &mut dyn StoreTx) -> Result<(Vec<Event>, bool), Error> {
        let oldest = self.notice.now.saturating_sub(u64::from(self.profile.content.waiting_days) * 86_400);
        let (mut events, mut shown) = (Vec::new(), true);
        for InboxEntry { seq, message, .. } in tx.waiting(&self.key.chat, &self.key.id)? {
            let context = Context::direct(&message.key.sender, &self.own);
            let content = content::decode(&message.plaintext, &context, &self.limits).ok();
            let outcome = match content.as_ref().and_then(About::of) {
                Some(about) if message.t >= oldest => self.settle(tx, &message.key, message.t, &about)?,
                _ => Outcome::Void("it has waited too long"),
            };
            let Outcome::Done(relation) = outcome else {
                if let Outcome::Void(why) = outcome {
                    self.not_shown(tx, &message.key.id, why)?;
                }
                tx.discard(seq)?;
                continue;
            };
            shown &= relation.kind != RelationKind::Revoke;
            if let Some(seq) = tx.release(seq)? {
                events.extend(present::event(tx, seq, &relation, &self.reader())?);
            }
        }
        Ok((events, shown))
    }

    fn reader(&self) -> Reader<'_> {
        Reader { own: &self.own, limits: &self.limits }
    }

    fn tell(&mut self, tx: &dyn StoreTx, seq: u64, relation: &Relation) -> Result<(), Error> {
        let event = present::event(tx, seq, relation, &self.reader())?;
        self.events.extend(event);
        Ok(())
    }

    fn not_shown(&self, tx: &mut dyn StoreTx, id: &str, why: &'static str) -> Result<(), Error> {
        let step = TrailStep::NotShown { reason: why.to_owned() };
        Ok(tx.note(&self.key.chat, id, self.notice.now, &step)?)
    }

    fn settle(
        &self,
        tx: &mut dyn StoreTx,
        from: &StoredKey,
        t: u64,
        about: &About<'_>,
    ) -> Result<Outcome, Error> {
        let key = StoredKey { id: about.id.to_owned(), ..from.clone() };
        let theirs = Known::theirs(tx, &key)?;
        let own = Known::own(tx, &from.chat, about.id)?;
        let target = match (about.kind, theirs, own) {
            // Should the same id be on both sides, the claim decides between them.
            (RelationKind::Reaction, Some(theirs), Some(own)) => {
                if about.claimed {
                    theirs
                } else {
                    own
                }
            }
            (RelationKind::Reaction, None, Some(own)) => own,
            (_, Some(theirs), _) => theirs,
            // Ours to edit or take back, not theirs.
            (_, None, Some(_)) => return Ok(Outcome::Void("it is about a message of somebody else")),
            // It is there, and is nothing that anybody could see.
            (_, None, None) if tx.message(&key)?.is_some() => {
                return Ok(Outcome::Void("it is about something that is not shown"));
            }
            (_, None, None) => return Ok(Outcome::Unknown),
        };
        if target.done(RelationKind::Revoke).is_some() {
            return Ok(Outcome::Void("the message that it is about was taken back"));
        }
        if about.kind == RelationKind::Edit && !self.may_edit(&target, t, about) {
            return Ok(Outcome::Void("an edit that is too late, or of what cannot be edited"));
        }
        let relation = Relation {
            target: target.target,
            kind: about.kind,
            sender: Some(from.sender.clone()),
            id: from.id.clone(),
            at_ms: at_ms(about, t),
            t,
            content: about.bytes(),
        };
        Ok(match tx.relate(&relation)? {
            Related::Newest => Outcome::Done(relation),
            Related::Older => Outcome::Void("a newer one counts"),
        })
    }

    /// In time by the server's clock, and words for words (V15).
    fn may_edit(&self, target: &Known, t: u64, about: &About<'_>) -> bool {
        let until = target.t.saturating_add(self.profile.content.edit_received_s);
        let amended = target
            .original(&self.reader())
            .and_then(|original| content::amend(original.message(), about.content.edited()?));
        t <= until && amended.is_some()
    }
}

/// A revoke carries no time of its own.
fn at_ms(about: &About<'_>, t: u64) -> i64 {
    let by_server = i64::try_from(t.saturating_mul(1_000)).unwrap_or(i64::MAX);
    about.content.sender_timestamp_ms().unwrap_or(by_server)
}

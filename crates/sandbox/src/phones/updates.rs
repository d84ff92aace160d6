//! What the server says about messages sent, keys, identities and the block list.

use landbridge_stanza::{
    ReplyError, Request,
    ack::{AckClass, AckIn},
    blocklist::{BlockAction, Blocklist, GetBlocklist, UpdateBlocklist},
    codes::{IqErrorCode, MessageReaction},
    iq::IqReply,
    notification::{BlocklistChange, Notification, NotificationEvent},
    receipt::{ReceiptIn, ReceiptType},
};
use landbridge_store::{Advanced, BlockChange, Noted, Progress, Recrypt, Sighting};
use landbridge_wire::{Jid, NodeRef};

use super::phone::{Asked, address};
use super::send::each_pending;
use super::step::Plan;
use super::{MessageState, Output, Phone, PhoneError};

/// Receipts owed that an ack of the server is looked up in.
const OWED: usize = 1_000;
/// How often a change of the block list is tried when the list has changed meanwhile.
const BLOCK_ATTEMPTS: u8 = 3;

impl Phone {
    /// The server has taken, or refused, a message or a receipt.
    pub(super) fn acked(&mut self, ack: &AckIn, now: u64) -> Result<Vec<Output>, PhoneError> {
        let peer = ack.from.clone().without_device();
        match ack.class {
            AckClass::Message => {}
            AckClass::Receipt => return self.settle(&peer, &ack.id),
            _ => return Ok(Vec::new()),
        }
        let Some(error) = ack.error else {
            return self.advance(&peer, [ack.id.as_str()], Progress::Sent, ack.t.unwrap_or(now));
        };
        if error.reaction() == MessageReaction::Retry {
            // It stays pending, and goes again as the same bytes.
            self.again = true;
            return Ok(Vec::new());
        }
        let reason = format!("ack error {error}");
        self.advance(&peer, [ack.id.as_str()], Progress::Failed { reason: &reason }, now)
    }

    /// The server has a receipt: it is no longer owed.
    fn settle(&mut self, peer: &Jid, id: &str) -> Result<Vec<Output>, PhoneError> {
        let to = peer.to_string();
        self.step(|_, tx| {
            let owed = tx.owed(OWED)?;
            let done = owed.iter().filter(|entry| entry.answer.to == to && entry.answer.id == id);
            let done: Vec<_> = done.map(|entry| entry.seq).collect();
            if !done.is_empty() {
                tx.settle(&done)?;
            }
            Ok(Plan::default())
        })
    }

    /// Somebody says how far messages have got.
    pub(super) fn receipt(
        &mut self,
        stanza: NodeRef<'_>,
        receipt: &ReceiptIn,
        now: u64,
    ) -> Result<Vec<Output>, PhoneError> {
        let heard = Output::Heard {
            from: receipt.from.clone(),
            id: receipt.id.to_string(),
            kind: receipt.kind.to_string(),
        };
        if let Some(retry) = &receipt.retry {
            let out = self.retry_asked(stanza, receipt, retry, now)?;
            return Ok([heard].into_iter().chain(out).collect());
        }
        let progress = match receipt.kind {
            ReceiptType::Delivered | ReceiptType::Inactive => Some(Progress::Delivered),
            ReceiptType::Read => Some(Progress::Read),
            ReceiptType::Played => Some(Progress::Played),
            _ => None,
        };
        let peer = receipt.from.clone().without_device();
        let mut out = vec![];
        if let Some(progress) = progress {
            let ids = receipt.ids().map(|id| id.as_str());
            out = self.advance(&peer, ids, progress, receipt.t.unwrap_or(now))?;
        }
        out.push(heard);
        out.extend(self.ack(stanza, None));
        Ok(out)
    }

    fn advance<'i>(
        &mut self,
        peer: &Jid,
        ids: impl IntoIterator<Item = &'i str>,
        progress: Progress<'_>,
        at: u64,
    ) -> Result<Vec<Output>, PhoneError> {
        let to = peer.to_string();
        let mut moved = Vec::new();
        self.step(|_, tx| {
            for id in ids {
                if let Advanced::To { .. } = tx.advance(&to, id, progress, at)? {
                    moved.push((id, MessageState::from(progress.state())));
                }
            }
            Ok(Plan::default())
        })?;
        let failure = match progress {
            Progress::Failed { reason } => Some(reason.to_owned()),
            _ => None,
        };
        let mut show = |(id, state)| self.advanced(peer, id, state, at, failure.clone());
        Ok(moved.into_iter().map(&mut show).collect())
    }

    pub(super) fn notification(
        &mut self,
        notification: &Notification,
        now: u64,
    ) -> Result<Vec<Output>, PhoneError> {
        let ack = Output::Send(notification.ack().to_node(&self.profile));
        let mut out = match &notification.event {
            NotificationEvent::PreKeysLow { .. } => self.upload(self.profile.keys.refill_batch)?,
            NotificationEvent::CheckDigest => self.offer_anew()?,
            NotificationEvent::IdentityChanged { .. } => {
                self.identity_changed(notification.from.clone().without_device(), &notification.id, now)?
            }
            NotificationEvent::Blocklist(change) => self.blocklist_changed(change)?,
            _ => Vec::new(),
        };
        out.push(ack);
        Ok(out)
    }

    /// The server doubts its view of the keys. A new batch heals every difference.
    fn offer_anew(&mut self) -> Result<Vec<Output>, PhoneError> {
        self.forget_uploads()?;
        self.upload(self.profile.keys.first_batch)
    }

    /// A peer has a new identity: the session goes, what was not acked is encrypted anew for the new one.
    fn identity_changed(&mut self, peer: Jid, told: &str, now: u64) -> Result<Vec<Output>, PhoneError> {
        self.changed.insert(peer.clone());
        let mut waits = false;
        let out = self.step(|_, tx| {
            let (address, to) = (address(&peer), peer.to_string());
            let old = tx.remote_identity(&address)?;
            tx.delete_session(&address)?;
            let mut plan = Plan::default();
            let told = Sighting::Notification(told);
            if let Noted::New { .. } = tx.note_identity_change(&to, old.as_ref(), told, now)? {
                plan.out.push(Output::IdentityChanged { peer: peer.clone(), old, new: None });
            }
            let mut pending = Vec::new();
            each_pending(tx, |entry| {
                pending.extend((entry.message.recipient == to).then_some(entry.message.id));
                Ok(())
            })?;
            for id in &pending {
                tx.replace_stanza(&to, id, &[], Recrypt::NewIdentity)?;
            }
            waits = !pending.is_empty();
            plan.fetch.extend(waits.then(|| peer.clone()));
            Ok(plan)
        })?;
        if waits {
            self.waiting.insert(peer);
        }
        Ok(out)
    }

    fn blocklist_changed(&mut self, change: &BlocklistChange) -> Result<Vec<Output>, PhoneError> {
        let known = self.store.begin()?.blocklist_hash()?;
        if change.prev_dhash != known || change.items.is_empty() {
            return Ok(vec![self.ask_for_blocklist(None)]);
        }
        self.step(|_, tx| {
            for (jid, action) in &change.items {
                tx.change_block(&jid.to_string(), block_change(*action), change.dhash.as_deref())?;
            }
            Ok(Plan::default())
        })
    }

    /// The answer to a request of the phone.
    pub(super) fn replied(
        &mut self,
        stanza: NodeRef<'_>,
        reply: &IqReply,
        now: u64,
    ) -> Result<Vec<Output>, PhoneError> {
        // An answer that is late, or to an earlier connection.
        let Some(asked) = self.asked.remove(&reply.id) else { return Ok(Vec::new()) };
        match asked {
            Asked::Active => Ok(Vec::new()),
            Asked::Upload(ids, signed) => {
                if reply.error.is_none() {
                    self.uploaded(&ids, signed)?;
                }
                Ok(Vec::new())
            }
            Asked::Bundle(peer) => self.bundle(peer, stanza, now),
            Asked::Blocklist(then) => {
                let Ok(list) = GetBlocklist::parse_reply(stanza, &self.profile) else {
                    return Ok(Vec::new());
                };
                let mut out = self.take_blocklist(&list)?;
                if let Some((jid, action, attempt)) = then {
                    out.push(self.ask_to_block(jid, action, attempt)?);
                }
                Ok(out)
            }
            Asked::Block(jid, action, attempt) => self.blocked(stanza, jid, action, attempt),
        }
    }

    fn take_blocklist(&mut self, list: &Blocklist) -> Result<Vec<Output>, PhoneError> {
        let jids: Vec<_> = list.items.iter().map(|item| item.jid.to_string()).collect();
        self.step(|_, tx| {
            tx.replace_blocklist(&jids, list.dhash.as_deref())?;
            Ok(Plan::default())
        })
    }

    fn blocked(
        &mut self,
        stanza: NodeRef<'_>,
        jid: Jid,
        action: BlockAction,
        attempt: u8,
    ) -> Result<Vec<Output>, PhoneError> {
        match UpdateBlocklist::parse_reply(stanza, &self.profile) {
            Ok(Some(list)) => self.take_blocklist(&list),
            Ok(None) => {
                self.step(|_, tx| {
                    tx.change_block(&jid.to_string(), block_change(action), None)?;
                    Ok(Plan::default())
                })?;
                Ok(vec![self.ask_for_blocklist(None)])
            }
            Err(ReplyError::Refused(error))
                if error.code == IqErrorCode::Conflict && attempt < BLOCK_ATTEMPTS =>
            {
                // The list has changed meanwhile: fetch it, and change that one.
                Ok(vec![self.ask_for_blocklist(Some((jid, action, attempt + 1)))])
            }
            Err(_) => Ok(Vec::new()),
        }
    }
}

fn block_change(action: BlockAction) -> BlockChange {
    match action {
        BlockAction::Block => BlockChange::Block,
        BlockAction::Unblock => BlockChange::Unblock,
    }
}

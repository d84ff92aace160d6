//! Messages sent: encrypted, stored, and only then given to the router.

use std::collections::BTreeSet;

use landbridge_proto::content;
use landbridge_proto::message::Message;
use landbridge_proto::padding::pad;
use landbridge_signal::{CiphertextKind, PreKeyBundle, TrustPolicy, encrypt};
use landbridge_stanza::{
    MessageId, ReplyError, Request,
    codes::IqReaction,
    keys::{FetchKeys, FetchReason, FetchUser, FetchedUser},
    message::{DecryptFail, Edit, Enc, EncType, MessageOut, MessageType},
};
use landbridge_store::{OutboxEntry, OutboxMessage, Progress, Recrypt, StoreTx};
use landbridge_wire::{Jid, Node, NodeRef};
use prost::Message as _;

use super::phone::{Asked, address, decode, encode, message_id};
use super::retry::resend_none;
use super::step::{Desk, Plan};
use super::{Direction, MessageState, Output, Phone, PhoneError, PhoneMessage, PhoneReceipt, keys};

/// Messages that are looked through at a time.
const PAGE: usize = 256;
/// Receipts that are sent again after a connect at most.
const OWED: usize = 1_000;

/// What an answer to a retry receipt repeats of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Again {
    pub(super) count: u8,
    pub(super) t: u64,
}

impl Phone {
    /// Writes a text. Without a session it first asks for the recipient's keys; the message follows when they come, and
    /// behind it what was written meanwhile.
    ///
    /// # Errors
    /// [`PhoneError`]; then nothing was sent.
    pub(crate) fn send_text(
        &mut self,
        to: &Jid,
        text: &str,
        now: u64,
    ) -> Result<(MessageId, Vec<Output>), PhoneError> {
        self.check_text(text)?;
        self.send(to, &content::text(text), now)
    }

    pub(super) fn check_text(&self, text: &str) -> Result<(), PhoneError> {
        let (got, max) = (text.chars().count(), self.limits.text_chars);
        if got == 0 || got > max { Err(PhoneError::Text { got, max }) } else { Ok(()) }
    }

    /// Sends any content, also one that breaks rules: it is up to the other side to say so.
    ///
    /// # Errors
    /// [`PhoneError`]; then nothing was sent.
    pub(crate) fn send(
        &mut self,
        to: &Jid,
        content: &Message,
        now: u64,
    ) -> Result<(MessageId, Vec<Output>), PhoneError> {
        let id = MessageId::generate(&mut *self.rng);
        let out = self.send_as(to, &id, content, now)?;
        Ok((id, out))
    }

    /// As [`send`](Self::send), under an id that was drawn before.
    pub(super) fn send_as(
        &mut self,
        to: &Jid,
        id: &MessageId,
        content: &Message,
        now: u64,
    ) -> Result<Vec<Output>, PhoneError> {
        self.check_peer(to)?;
        let plaintext = content.encode_to_vec();
        let (from, peer) = (self.jid.to_string(), to.to_string());
        let judged = content::decode(&plaintext, &content::Context::direct(&from, &peer), &self.limits)?;
        let line = PhoneMessage::new(Direction::Sent, to, id.as_str(), now).with_content(&judged);
        let (queued, mut waits) = (self.waiting.contains(to), false);
        let out = self.step(|desk, tx| {
            waits = queued || !has_session(tx, to)?;
            let mut plan = Plan::default();
            let mut stanza = Vec::new();
            if waits {
                plan.fetch.push(to.clone());
            } else {
                let node = desk.seal(tx, to, id, &plaintext, None)?;
                stanza = encode(&node)?;
                plan.out.push(Output::Send(node));
            }
            tx.enqueue(&OutboxMessage {
                id: id.to_string(),
                recipient: peer,
                kind: line.kind.clone(),
                plaintext,
                stanza,
                created_at: now,
            })?;
            desk.remember(tx, &line)?;
            Ok(plan)
        })?;
        if waits {
            self.waiting.insert(to.clone());
        }
        self.screen.push(line);
        Ok(out)
    }

    /// Asks for the keys of a peer, unless that is done already.
    pub(super) fn fetch(&mut self, peer: Jid) -> Option<Output> {
        if self.asked.values().any(|asked| matches!(asked, Asked::Bundle(other) if *other == peer)) {
            return None;
        }
        let reason = match self.changed.contains(&peer) {
            true => FetchReason::IdentityChanged,
            false => FetchReason::NoSession,
        };
        let request = FetchKeys { users: vec![FetchUser { jid: peer.clone(), reason }] };
        let id = self.ask(Asked::Bundle(peer));
        Some(Output::Send(request.to_node(&id, &self.profile)))
    }

    /// What was not acked goes again, in order and as the same bytes; what was never encrypted asks for keys; receipts that
    /// were not acked go again. [`connect`](Self::connect) does this, too.
    ///
    /// # Errors
    /// [`PhoneError`] if the store fails.
    pub(crate) fn send_again(&mut self) -> Result<Vec<Output>, PhoneError> {
        let mut waiting = BTreeSet::new();
        let out = self.step(|_, tx| {
            let mut plan = Plan::default();
            each_pending(tx, |entry| {
                if entry.message.stanza.is_empty() {
                    waiting.extend(entry.message.recipient.parse::<Jid>());
                } else {
                    plan.out.push(Output::Send(decode(&entry.message.stanza)?));
                }
                Ok(())
            })?;
            for entry in tx.owed(OWED)? {
                plan.out.push(Output::Send(decode(&entry.answer.stanza)?));
            }
            plan.fetch = waiting.iter().cloned().collect();
            Ok(plan)
        })?;
        self.waiting = waiting;
        self.again = false;
        Ok(out)
    }

    /// The answer to a fetch has come.
    pub(super) fn bundle(
        &mut self,
        peer: Jid,
        stanza: NodeRef<'_>,
        now: u64,
    ) -> Result<Vec<Output>, PhoneError> {
        let bundle = match self.fetched(&peer, stanza) {
            Fetched::Bundle(bundle) => Ok(bundle),
            Fetched::None(why) => Err(why),
            // What waits goes on waiting.
            Fetched::Later => {
                self.again = true;
                return Ok(Vec::new());
            }
        };
        let resends = self.resends.remove(&peer).unwrap_or_default();
        // The peer may have written meanwhile, and begun a session.
        let rebuild = self.changed.contains(&peer) || !resends.is_empty();
        let mut failed = Vec::new();
        let mut out = self.step(|desk, tx| {
            let mut plan = Plan::default();
            let usable = match &bundle {
                _ if !rebuild && has_session(tx, &peer)? => Ok(()),
                Ok(bundle) => match desk.begin_session(tx, &peer, bundle.as_deref(), now, &mut plan)? {
                    true => Ok(()),
                    false => Err("no keys: the bundle is not usable"),
                },
                Err(why) => Err(why.as_str()),
            };
            match usable {
                Ok(()) => {
                    desk.seal_waiting(tx, &peer, &mut plan)?;
                    desk.resend_all(tx, &peer, resends, &mut plan)?;
                }
                Err(why) => {
                    failed = fail_waiting(tx, &peer, why, now)?;
                    resend_none(resends, &mut plan);
                }
            }
            Ok(plan)
        })?;
        self.changed.remove(&peer);
        self.waiting.remove(&peer);
        self.rebuilt.insert(peer.clone(), now);
        for (id, why) in failed {
            out.push(self.advanced(&peer, &id, MessageState::Failed, now, Some(why)));
        }
        Ok(out)
    }

    /// What the answer to a fetch says about a peer.
    fn fetched(&self, peer: &Jid, stanza: NodeRef<'_>) -> Fetched {
        let users = FetchKeys::parse_reply(stanza, &self.profile);
        match users.map(|users| users.into_iter().find(|user| user.jid == *peer)) {
            Ok(Some(FetchedUser { bundle: Ok(bundle), .. })) => {
                Fetched::Bundle(keys::bundle(&bundle).map(Box::new))
            }
            Ok(Some(FetchedUser { bundle: Err(error), .. })) | Err(ReplyError::Refused(error)) => {
                match error.code.reaction() {
                    IqReaction::Wait | IqReaction::RetryThrice => Fetched::Later,
                    _ => Fetched::None(format!("no keys: {error}")),
                }
            }
            Ok(None) => Fetched::None("no keys: the answer does not name the user".to_owned()),
            Err(error) => Fetched::None(format!("no keys: {error}")),
        }
    }

    /// A message has got further in the store: shows it.
    pub(super) fn advanced(
        &mut self,
        peer: &Jid,
        id: &str,
        state: MessageState,
        t: u64,
        failure: Option<String>,
    ) -> Output {
        let to = peer.to_string();
        self.screen.update(Direction::Sent, &to, id, |line| {
            line.state = state;
            line.failure.clone_from(&failure);
        });
        Output::Receipt(PhoneReceipt { to, id: id.to_owned(), state, t, failure })
    }
}

/// What came of a fetch.
enum Fetched {
    /// A bundle; `None` inside if a key id is out of range.
    Bundle(Option<Box<PreKeyBundle>>),
    /// No keys, for good; why.
    None(String),
    /// None now.
    Later,
}

impl Desk<'_> {
    /// Encrypts a content in the current session; the ratchet moves in `tx`.
    pub(super) fn seal(
        &mut self,
        tx: &mut dyn StoreTx,
        to: &Jid,
        id: &MessageId,
        plaintext: &[u8],
        again: Option<Again>,
    ) -> Result<Node, PhoneError> {
        let content: Message = landbridge_proto::parse(plaintext, &self.limits.parse)?;
        let outer = content::outer(&content);
        let spoiled = self.spoiled.remove(id.as_str()).filter(|_| again.is_none());
        let padded = match spoiled {
            Some(garbage) => garbage.plaintext(plaintext, self.rng),
            None => {
                let mut padded = plaintext.to_vec();
                pad(&mut padded, self.rng);
                padded
            }
        };
        let mut sealed = encrypt(tx.as_signal_store(), &address(to), &padded, TrustPolicy::Accept)
            .map_err(PhoneError::Encrypt)?;
        if let Some(garbage) = spoiled {
            garbage.damage(&mut sealed.bytes);
        }
        let kind = match sealed.kind {
            CiphertextKind::PreKey => EncType::PreKey,
            CiphertextKind::Message => EncType::Message,
        };
        let enc = Enc {
            mediatype: outer.mediatype.map(Into::into),
            decrypt_fail: outer.decrypt_fail.map_or(DecryptFail::Show, |_| DecryptFail::Hide),
            count: again.map(|again| again.count),
            ..Enc::new(kind, sealed.bytes)
        };
        let message = MessageOut {
            edit: outer.edit.and_then(|edit| edit.parse().ok()).map(|edit: u16| Edit::from(edit)),
            t: again.map(|again| again.t),
            ..MessageOut::new(to.clone(), id.clone(), MessageType::from(outer.stanza_type), enc)
        };
        Ok(message.to_node(self.profile))
    }

    /// Encrypts what waited for a session, in order.
    fn seal_waiting(&mut self, tx: &mut dyn StoreTx, peer: &Jid, plan: &mut Plan) -> Result<(), PhoneError> {
        for OutboxEntry { message, .. } in unsealed(tx, peer)? {
            let node = self.seal(tx, peer, &message_id(&message.id)?, &message.plaintext, None)?;
            tx.replace_stanza(&message.recipient, &message.id, &encode(&node)?, Recrypt::NewIdentity)?;
            plan.out.push(Output::Send(node));
        }
        Ok(())
    }
}

fn has_session(tx: &dyn StoreTx, peer: &Jid) -> Result<bool, PhoneError> {
    Ok(tx.load_session(&address(peer))?.is_some_and(|record| record.has_current()))
}

/// Calls `visit` for each message that the server has not acked, in order.
pub(super) fn each_pending(
    tx: &dyn StoreTx,
    mut visit: impl FnMut(OutboxEntry) -> Result<(), PhoneError>,
) -> Result<(), PhoneError> {
    let mut after = 0;
    loop {
        let page = tx.pending(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        for entry in page {
            visit(entry)?;
        }
    }
}

/// The messages to a peer that wait for a session, in order.
fn unsealed(tx: &dyn StoreTx, peer: &Jid) -> Result<Vec<OutboxEntry>, PhoneError> {
    let (to, mut found) = (peer.to_string(), Vec::new());
    each_pending(tx, |entry| {
        if entry.message.recipient == to && entry.message.stanza.is_empty() {
            found.push(entry);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Gives up the messages that wait for a session. Returns which, and why.
fn fail_waiting(
    tx: &mut dyn StoreTx,
    peer: &Jid,
    why: &str,
    now: u64,
) -> Result<Vec<(String, String)>, PhoneError> {
    let mut failed = Vec::new();
    for OutboxEntry { message, .. } in unsealed(tx, peer)? {
        tx.advance(&message.recipient, &message.id, Progress::Failed { reason: why }, now)?;
        failed.push((message.id, why.to_owned()));
    }
    Ok(failed)
}

//! Receiving: the message and the advanced ratchet are stored in one step, and only then is the receipt sent.

use landbridge_proto::content::{self, Content, Context, Verdict};
use landbridge_proto::padding;
use landbridge_signal::{Advice, CiphertextKind, Decrypted, IdentityChange, TrustPolicy, decrypt};
use landbridge_stanza::Inbound;
use landbridge_stanza::ack::AckOut;
use landbridge_stanza::codes::NackCode;
use landbridge_stanza::message::{Enc, EncType, MessageContent, MessageIn};
use landbridge_stanza::notification::{Notification, NotificationEvent};
use landbridge_stanza::receipt::{ReceiptIn, ReceiptOut, ReceiptType};
use landbridge_store::{InboxMessage, MessageKey, Progress, Seen, StoreTx};
use landbridge_wire::Node;

use super::PhoneError;
use super::phone::{Inner, Phone, address};
use crate::db::Entry;
use crate::events::{EventKind, Rule};
use crate::state::{State, chain, lock};

impl Phone {
    /// The oldest stanza in the mailbox.
    pub(super) fn next_mail(&self, state: &State) -> Option<Entry> {
        match state.db.read(|tx| tx.mail(self.session.user, 0, 1)) {
            Ok(mail) => mail.into_iter().next(),
            Err(error) => {
                state.internal("a phone's mailbox cannot be read", &error);
                None
            }
        }
    }

    /// Takes a stanza and answers it. One that the phone chokes on is refused, so that it does not come for ever.
    pub(super) fn take(&self, state: &State, entry: Entry) {
        let stanza = entry.stanza;
        let answers = match self.act(state, &stanza) {
            Ok(answers) => answers,
            Err(error) => {
                state.internal("a phone could not take a stanza", &error);
                AckOut::answering(stanza.view(), Some(NackCode::DatabaseFailed))
                    .map(|ack| ack.to_node(state.profile()))
                    .into_iter()
                    .collect()
            }
        };
        for answer in answers {
            self.say(state, &answer);
        }
    }

    fn act(&self, state: &State, stanza: &Node) -> Result<Vec<Node>, PhoneError> {
        let profile = state.profile();
        let nack = |code| {
            let ack = AckOut::answering(stanza.view(), Some(code));
            Ok(ack.map(|ack| ack.to_node(profile)).into_iter().collect())
        };
        match Inbound::from_node(stanza.view(), profile) {
            Ok(Inbound::Message(message)) => self.message(state, &message, stanza),
            Ok(Inbound::Receipt(receipt)) => self.receipt(state, &receipt, stanza),
            Ok(Inbound::Notification(notification)) => self.notification(state, &notification),
            Ok(_) => nack(NackCode::UnknownTag),
            Err(error) => {
                state.broken(Some(self.session.connection), Some(&self.session.jid), Rule::STANZA, error.to_string());
                nack(NackCode::Parsing)
            }
        }
    }

    fn message(&self, state: &State, message: &MessageIn, stanza: &Node) -> Result<Vec<Node>, PhoneError> {
        let profile = state.profile();
        let delivered = || vec![ReceiptOut::delivered(message.from.clone(), message.id.clone()).to_node(profile)];
        let ack = |error| {
            let ack = AckOut::answering(stanza.view(), error);
            ack.map(|ack| ack.to_node(profile)).into_iter().collect::<Vec<_>>()
        };
        let MessageContent::Encrypted(encs) = &message.content else { return Ok(ack(None)) };
        let Some((enc, kind)) = encs.iter().find_map(pairwise) else { return Ok(ack(Some(NackCode::UnknownType))) };
        if enc.version != Enc::VERSION {
            return Ok(ack(Some(NackCode::InvalidProtobuf)));
        }
        let key = MessageKey::direct(message.from.to_string(), message.id.as_str());
        let mut inner = lock(&self.inner);
        match inner.store.begin()?.seen(&key)? {
            Seen::Stored => return Ok(delivered()),
            // The same unreadable copy again: it was asked for already.
            Seen::Undecryptable(known) if u32::from(enc.count.unwrap_or(0)) <= known.last_count => {
                return Ok(ack(None));
            }
            _ => {}
        }
        let (peer, mut rng) = (address(&message.from), state.rng());
        let mut tx = inner.store.begin()?;
        let opened =
            decrypt(tx.as_signal_store(), &peer, kind, &enc.ciphertext, TrustPolicy::Accept, &mut rng);
        match opened {
            Ok(opened) => {
                let verdict = self.keep(state, tx, message, kind, opened)?;
                Ok(if verdict == Verdict::Reject { ack(Some(NackCode::InvalidProtobuf)) } else { delivered() })
            }
            Err(error) => {
                drop(tx);
                let detail = format!("message {} of {}: {}", message.id, message.from, chain(&error));
                state.broken(Some(self.session.connection), Some(&message.from), Rule::DECRYPT, detail);
                match error.advice() {
                    Advice::Drop => Ok(ack(Some(NackCode::CounterUsed))),
                    Advice::Repair | Advice::AskUser => Ok(ack(Some(NackCode::Unhandled))),
                    _ => {
                        let mut answers: Vec<_> =
                            self.ask_again(state, &mut inner, message, enc, &error)?.into_iter().collect();
                        answers.extend(ack(None));
                        Ok(answers)
                    }
                }
            }
        }
    }

    /// Judges an opened message and stores it with the advanced ratchet.
    fn keep(
        &self,
        state: &State,
        mut tx: Box<dyn StoreTx + '_>,
        message: &MessageIn,
        kind: CiphertextKind,
        opened: Decrypted,
    ) -> Result<Verdict, PhoneError> {
        let (sender, own) = (message.from.to_string(), self.session.jid.to_string());
        if let IdentityChange::Changed { old } = opened.identity {
            let new = tx.remote_identity(&address(&message.from))?;
            tx.note_identity_change(&sender, Some(&old), new.as_ref(), state.now())?;
        }
        let broken = |rule, detail: String| {
            let detail = format!("message {} of {}: {detail}", message.id, message.from);
            state.broken(Some(self.session.connection), Some(&message.from), rule, detail);
        };
        let (plaintext, content): (Vec<u8>, Option<Content>) = match padding::unpad(&opened.plaintext) {
            Err(error) => {
                broken(Rule::PADDING, error.to_string());
                (opened.plaintext, None)
            }
            Ok(plaintext) => {
                let decoded = content::decode(plaintext, &Context::direct(&sender, &own), &content::Limits::default());
                match decoded {
                    Ok(content) => (plaintext.to_vec(), Some(content)),
                    Err(error) => {
                        broken(Rule::CONTENT, chain(&error));
                        (plaintext.to_vec(), None)
                    }
                }
            }
        };
        for finding in content.iter().flat_map(|content| content.findings()) {
            broken(Rule::CONTENT, format!("{finding:?}"));
        }
        let verdict = content.as_ref().map_or(Verdict::Reject, Content::verdict);
        let what = content.as_ref().map_or("unreadable", |content| content.kind().as_str());
        tx.store_message(&InboxMessage {
            key: MessageKey::direct(sender.clone(), message.id.as_str()),
            t: message.t,
            kind: what.to_owned(),
            plaintext,
            notify: message.notify.clone(),
        })?;
        tx.commit()?;
        let event = EventKind::PhoneReceived {
            from: sender,
            id: message.id.to_string(),
            kind: what.to_owned(),
            verdict: verdict.as_str(),
            enc: kind.as_str(),
            prekey: opened.used_prekey.map(|id| id.get()),
        };
        state.note(Some(self.session.connection), Some(&self.session.jid), event);
        Ok(verdict)
    }

    fn receipt(&self, state: &State, receipt: &ReceiptIn, stanza: &Node) -> Result<Vec<Node>, PhoneError> {
        let mut inner = lock(&self.inner);
        let kind = EventKind::PhoneReceipt {
            from: receipt.from.to_string(),
            id: receipt.id.to_string(),
            kind: receipt.kind.to_string(),
        };
        state.note(Some(self.session.connection), Some(&self.session.jid), kind);
        let mut answers = Vec::new();
        match (&receipt.kind, &receipt.retry) {
            (ReceiptType::Delivered | ReceiptType::Inactive, _) => {
                advance(state, &mut inner, receipt, Progress::Delivered)?;
            }
            (ReceiptType::Read, _) => advance(state, &mut inner, receipt, Progress::Read)?,
            (ReceiptType::Played, _) => advance(state, &mut inner, receipt, Progress::Played)?,
            (ReceiptType::Retry, Some(retry)) => {
                answers.extend(self.answer_retry(state, &mut inner, &receipt.from, retry)?);
            }
            _ => {}
        }
        answers.extend(AckOut::answering(stanza.view(), None).map(|ack| ack.to_node(state.profile())));
        Ok(answers)
    }

    fn notification(&self, state: &State, notification: &Notification) -> Result<Vec<Node>, PhoneError> {
        match &notification.event {
            NotificationEvent::PreKeysLow { .. } => self.upload(state)?,
            NotificationEvent::IdentityChanged { .. } => {
                let mut inner = lock(&self.inner);
                let mut tx = inner.store.begin()?;
                let peer = address(&notification.from);
                let old = tx.remote_identity(&peer)?;
                tx.delete_session(&peer)?;
                tx.note_identity_change(&notification.from.to_string(), old.as_ref(), None, state.now())?;
                tx.commit()?;
            }
            _ => {}
        }
        Ok(vec![notification.ack().to_node(state.profile())])
    }
}

fn advance(
    state: &State,
    inner: &mut Inner,
    receipt: &ReceiptIn,
    progress: Progress<'_>,
) -> Result<(), PhoneError> {
    let mut tx = inner.store.begin()?;
    for id in receipt.ids() {
        tx.advance(&receipt.from.to_string(), id.as_str(), progress, receipt.t.unwrap_or_else(|| state.now()))?;
    }
    tx.commit()?;
    Ok(())
}

fn pairwise(enc: &Enc) -> Option<(&Enc, CiphertextKind)> {
    match enc.kind {
        EncType::PreKey => Some((enc, CiphertextKind::PreKey)),
        EncType::Message => Some((enc, CiphertextKind::Message)),
        _ => None,
    }
}

//! Receipts and acks: what a client has taken leaves its mailbox; receipts go on to who wrote the messages.

use landbridge_stanza::ack::{AckClass, AckIn, AckOut};
use landbridge_stanza::receipt::{ReceiptIn, ReceiptOut, ReceiptType};
use landbridge_stanza::stream::StreamError;

use super::Session;
use super::dispatch::{Finish, Outcome};
use crate::SandboxError;
use crate::db::{MailClass, User};
use crate::events::{EventKind, Rule};
use crate::state::State;

impl State {
    pub(super) fn receipt(&self, who: &Session, receipt: ReceiptOut) -> Result<Outcome, SandboxError> {
        let most = self.profile().receipts.ids_per_receipt;
        let ids = receipt.ids().count();
        if ids > most {
            let detail = format!("a receipt with {ids} ids");
            self.broken(Some(who.connection), Some(&who.jid), Rule::RECEIPT_COUNT, detail);
            return Ok(Outcome {
                finish: Some(Finish::Error(StreamError::SchemaRefused)),
                ..Outcome::default()
            });
        }
        let now = self.now();
        let ack = AckIn {
            class: AckClass::Receipt,
            kind: (receipt.kind != ReceiptType::Delivered).then(|| receipt.kind.to_string()),
            participant: receipt.participant.clone(),
            ..AckIn::message(receipt.id.as_str(), receipt.to.clone(), now)
        };
        let mut outcome = Outcome::reply(ack.to_node(self.profile()));
        let author = self.live_user(&receipt.to)?;
        // An undecryptable message stays until its ack.
        if !is_retry(&receipt.kind) {
            outcome.taken = self.take_messages(who, &receipt)?;
        }
        if let Some(author) = author {
            self.forward(who, &author, receipt)?;
        }
        Ok(outcome)
    }

    fn take_messages(&self, who: &Session, receipt: &ReceiptOut) -> Result<Vec<i64>, SandboxError> {
        let taken = self.db.write(|tx| {
            let mut taken = Vec::new();
            for id in receipt.ids() {
                let seqs = tx.take_mail(who.user, MailClass::Message, &receipt.to, id.as_str())?;
                taken.extend(seqs.into_iter().map(|seq| (seq, id.to_string())));
            }
            Ok(taken)
        })?;
        Ok(taken
            .into_iter()
            .map(|(seq, id)| {
                let kind = EventKind::Taken { class: MailClass::Message.as_str().to_owned(), id };
                self.note(Some(who.connection), Some(&who.jid), kind);
                seq
            })
            .collect())
    }

    /// Passes a receipt on, once per message and kind.
    fn forward(&self, who: &Session, author: &User, mut receipt: ReceiptOut) -> Result<(), SandboxError> {
        let (to, kind) = (author.jid.to_string(), receipt.kind.to_string());
        match receipt.kind {
            ReceiptType::Delivered | ReceiptType::Read | ReceiptType::Played => {}
            ReceiptType::Retry => {
                let most = self.profile().receipts.retries_answered;
                let count = receipt.retry.as_ref().map_or(0, |retry| retry.count);
                if !(1..=most).contains(&count) {
                    let detail = format!("a message is asked for with count {count}");
                    self.broken(Some(who.connection), Some(&who.jid), Rule::RETRY_COUNT, detail);
                    return Ok(());
                }
            }
            _ => {
                let detail = format!("a receipt of type `{kind}` is not passed on");
                self.note(
                    Some(who.connection),
                    Some(&who.jid),
                    EventKind::Unusual { rule: Rule::RECEIPT_ID, detail },
                );
                return Ok(());
            }
        }
        let now = self.now();
        let count = receipt.retry.as_ref().map_or(0, |retry| retry.count);
        let forwarded = self.db.write(|tx| {
            let mut fresh = Vec::new();
            let mut strangers = 0;
            for id in receipt.ids() {
                if !tx.was_sent(&author.jid, &who.jid, id.as_str())? {
                    strangers += 1;
                } else if tx.pass_receipt(&who.jid, &author.jid, (&kind, id.as_str(), count), now)? {
                    // A client repeats its receipt when a message is delivered again; its author hears of it once.
                    fresh.push(id.clone());
                }
            }
            let blocked = tx.has_blocked(author.id, &who.jid)? || tx.has_blocked(who.user, &author.jid)?;
            let mut fresh = fresh.into_iter();
            let first = fresh.next();
            if let (Some(first), false) = (&first, blocked) {
                receipt.id = first.clone();
                receipt.more_ids = fresh.collect();
                let stanza = ReceiptIn::forwarding(receipt, who.jid.clone(), now).to_node(self.profile());
                tx.post(author.id, MailClass::Receipt, &stanza, now)?;
            }
            Ok((first.filter(|_| !blocked), strangers))
        })?;
        let (first, strangers) = forwarded;
        if strangers > 0 {
            let detail = format!("{strangers} ids of the receipt name no message of {to}");
            self.broken(Some(who.connection), Some(&who.jid), Rule::RECEIPT_ID, detail);
        }
        if let Some(id) = first {
            self.news(author);
            let kind = EventKind::ReceiptForwarded { to, id: id.to_string(), kind };
            self.note(Some(who.connection), Some(&who.jid), kind);
        }
        Ok(())
    }

    pub(super) fn ack(&self, who: &Session, ack: &AckOut) -> Result<Outcome, SandboxError> {
        let class = match ack.class {
            AckClass::Message => MailClass::Message,
            AckClass::Receipt => MailClass::Receipt,
            AckClass::Notification => MailClass::Notification,
            _ => return Ok(Outcome::default()),
        };
        // What is asked for again, and what asks again, comes under the same id: an ack is for the one sent first, since
        // the client may not have seen the other yet.
        let sent = self.router.last_delivered(who.user);
        let taken = self.db.write(|tx| {
            let take = |kind| tx.take_oldest_mail(who.user, (class, kind), &ack.to, &ack.id, sent);
            if class == MailClass::Receipt {
                // A delivered and a read receipt of one message have the same id; the type tells them apart.
                let exact = take(Some(ack.kind.as_deref().unwrap_or_default()))?;
                if !exact.is_empty() {
                    return Ok(exact);
                }
            }
            take(None)
        })?;
        let id = ack.id.clone();
        let kind = match (ack.error, taken.is_empty()) {
            (Some(code), _) => EventKind::nacked(&id, code),
            (None, false) => EventKind::Taken { class: class.as_str().to_owned(), id },
            (None, true) => {
                let detail =
                    format!("nothing of class {} with this id and address waits for an ack", class.as_str());
                EventKind::Unusual { rule: Rule::ACK_ID, detail }
            }
        };
        self.note(Some(who.connection), Some(&who.jid), kind);
        Ok(Outcome { taken, ..Outcome::default() })
    }
}

fn is_retry(kind: &ReceiptType) -> bool {
    matches!(kind, ReceiptType::Retry | ReceiptType::EncRekeyRetry)
}

//! A message comes: decrypt it, store it, owe the receipt, all in one transaction; only then receipt and event.

use std::sync::Arc;

use landbridge_proto::content::{self, Content, Context, Verdict};
use landbridge_proto::padding;
use landbridge_signal::{Advice, CiphertextKind, DecryptError, Decrypted, IdentityChange, TrustPolicy};
use landbridge_stanza::ack::{AckClass, AckOut};
use landbridge_stanza::codes::{NackCode, RetryReason};
use landbridge_stanza::message::{DecryptFail, Enc, EncType, MessageContent, MessageIn};
use landbridge_stanza::receipt::ReceiptOut;
use landbridge_stanza::{MessageId, Profile};
use landbridge_store::{
    InboxMessage, MessageKey, OwedAnswer, OwedClass, Seen, Sighting, StoreTx, Stored, TrailStep,
};
use landbridge_wire::{EncodeOptions, Jid};
use rand::rngs::StdRng;

use super::cipher::{address, chat_of, store_failed};
use super::flood::Care;
use super::retry;
use crate::error::Error;
use crate::event::Event;
use crate::message::{Arrival, ReceivedMessage};
use crate::receipts::owed_answer;
use crate::session::Session;
use crate::trust::Notice;

/// Copies of one message that are tried; an honest sender makes one.
const MAX_COPIES: usize = 4;

/// All that one message needs on its way into the store.
pub(super) struct Receiver {
    pub(super) message: MessageIn,
    pub(super) key: MessageKey,
    pub(super) own: String,
    pub(super) profile: Arc<Profile>,
    pub(super) options: EncodeOptions,
    pub(super) rng: StdRng,
    pub(super) limits: Arc<content::Limits>,
    pub(super) notice: Notice,
    pub(super) events: Vec<Event>,
    care: Care,
    opening: Opening,
}

/// What became of the attempt to open the message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// There was none.
    None,
    Opened,
    Failed,
}

/// Why a message is asked for again.
pub(super) enum Why {
    Error(DecryptError),
    /// Too many before it did not open, so it was not tried.
    Flood,
}

impl Why {
    fn advice(&self) -> Advice {
        match self {
            Self::Error(error) => error.advice(),
            Self::Flood => Advice::AskAgain,
        }
    }

    pub(super) fn reason(&self) -> RetryReason {
        match self {
            Self::Error(error) => retry::reason(error),
            Self::Flood => RetryReason::Unknown,
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Flood => f.write_str("too many messages before it did not open"),
        }
    }
}

pub(crate) async fn message(session: &Arc<Session>, message: MessageIn) -> Result<(), Error> {
    let inner = &session.inner;
    let (chat, notice) = (chat_of(&message.from), Notice::new(inner));
    let receiver = Receiver {
        care: inner.floods.care(&chat, notice.now),
        opening: Opening::None,
        key: MessageKey::direct(chat.as_str(), message.id.as_str()),
        message,
        own: session.own.to_string(),
        profile: Arc::clone(&inner.profile),
        options: inner.encode_options,
        rng: inner.rng.fork(),
        limits: Arc::clone(&inner.content_limits),
        notice,
        events: Vec::new(),
    };
    let told = Arc::clone(session);
    let tell = move |(_, events): &mut (_, Vec<Event>)| {
        for event in events.drain(..) {
            if let Event::Message(message) = &event {
                told.peer_has_written(&message.chat);
            }
            told.inner.events.push(event);
        }
    };
    let (opening, _told) = inner.vault.write_and_tell(move |tx| receiver.receive(tx), tell).await?;
    session.owed_news.notify_one();
    match opening {
        Opening::None => {}
        Opening::Opened => inner.floods.opened(&chat),
        Opening::Failed => {
            // Without the address: nothing in a log names a person.
            if let Some(count) = inner.floods.failed(&chat, notice.now) {
                tracing::warn!(count, "messages of a peer do not open");
            }
        }
    }
    Ok(())
}

impl Receiver {
    fn receive(mut self, tx: &mut dyn StoreTx) -> Result<(Opening, Vec<Event>), Error> {
        let from = &self.message.from;
        let direct =
            (from.is_user() || from.is_lid() || from.is_interop()) && self.message.participant.is_none();
        if !direct {
            // Groups are not spoken here yet; the server must not send it for ever.
            self.owe_ack(tx, Some(NackCode::Unhandled))?;
        } else if tx.is_blocked(&self.key.chat)? {
            self.note(tx, &TrailStep::Blocked)?;
            self.owe_ack(tx, None)?;
        } else {
            match tx.seen(&self.key)? {
                Seen::Stored => {
                    self.note(tx, &TrailStep::Duplicate)?;
                    self.owe_delivery(tx)?;
                }
                Seen::Never | Seen::Undecryptable(_) => self.open(tx)?,
            }
        }
        Ok((self.opening, self.events))
    }

    fn open(&mut self, tx: &mut dyn StoreTx) -> Result<(), Error> {
        let encs = match &self.message.content {
            MessageContent::Encrypted(encs) => encs.clone(),
            MessageContent::Unavailable { .. } => {
                self.note(tx, &TrailStep::Unavailable)?;
                self.events.push(Event::Unavailable { chat: self.chat(), id: self.message.id.clone() });
                return self.owe_ack(tx, None);
            }
        };
        if encs.iter().any(|enc| enc.version != Enc::VERSION) {
            return self.owe_ack(tx, Some(NackCode::InvalidProtobuf));
        }
        let pairwise = encs.iter().filter_map(|enc| kind_of(enc).map(|kind| (enc, kind))).take(MAX_COPIES);
        if let (true, Some(latest)) = (self.care != Care::Try, encs.iter().max_by_key(|enc| enc.count)) {
            return self.failed(tx, Why::Flood, latest);
        }
        let mut failure = None;
        for (enc, kind) in pairwise {
            // Several copies hold the same content: the first that opens wins.
            match self.decrypt(tx, kind, &enc.ciphertext) {
                Ok(opened) => {
                    self.opening = Opening::Opened;
                    return self.opened(tx, opened);
                }
                Err(error) => failure = Some((error, enc)),
            }
        }
        match failure {
            Some((error, enc)) => self.failed(tx, Why::Error(error), enc),
            None => self.owe_ack(tx, Some(NackCode::UnknownType)),
        }
    }

    fn decrypt(
        &mut self,
        tx: &mut dyn StoreTx,
        kind: CiphertextKind,
        ciphertext: &[u8],
    ) -> Result<Decrypted, DecryptError> {
        let from = address(&self.message.from);
        let policy = TrustPolicy::Accept;
        landbridge_signal::decrypt(tx.as_signal_store(), &from, kind, ciphertext, policy, &mut self.rng)
    }

    fn opened(&mut self, tx: &mut dyn StoreTx, opened: Decrypted) -> Result<(), Error> {
        self.note_identity(tx, opened.identity)?;
        let sender = self.key.sender.clone();
        let own = self.own.clone();
        let context = Context::direct(&sender, &own);
        let content = padding::unpad(&opened.plaintext)
            .ok()
            .and_then(|plain| content::decode(plain, &context, &self.limits).ok());
        // Readable for nobody, now or later: refused by name. The ratchet has moved on, and that is kept.
        let Some(content) = content else { return self.owe_ack(tx, Some(NackCode::InvalidProtobuf)) };
        let stored = tx.store_message(&InboxMessage {
            key: self.key.clone(),
            t: self.message.t,
            kind: content.kind().as_str().to_owned(),
            plaintext: content.raw().to_vec(),
            notify: self.message.notify.clone(),
        })?;
        let (seq, arrival) = match stored {
            Stored::New { seq } => (seq, Arrival::Direct),
            Stored::Recovered { seq } => (seq, Arrival::Recovered),
            Stored::Duplicate => return self.owe_delivery(tx),
        };
        let kind = content.kind().as_str().to_owned();
        let step = match stored {
            Stored::Recovered { .. } => TrailStep::Recovered { kind },
            _ => TrailStep::Stored { kind },
        };
        self.note(tx, &step)?;
        match content.verdict() {
            Verdict::Accept | Verdict::Placeholder => {
                if !self.relate(tx, seq, &content)? {
                    self.show(tx, seq, arrival, content)?;
                }
                self.owe_delivery(tx)
            }
            // Nothing to show: it is done with.
            Verdict::Silent => {
                self.note(tx, &TrailStep::NotShown { reason: "there is nothing to show".to_owned() })?;
                tx.confirm(seq)?;
                self.owe_delivery(tx)
            }
            Verdict::Reject => {
                tx.confirm(seq)?;
                self.owe_ack(tx, Some(NackCode::InvalidProtobuf))
            }
        }
    }

    /// A message to be shown, and then what has waited for it. One that was taken back before it came is not shown.
    fn show(
        &mut self,
        tx: &mut dyn StoreTx,
        seq: u64,
        arrival: Arrival,
        content: Content,
    ) -> Result<(), Error> {
        let (released, shown) = self.release(tx)?;
        if shown {
            self.events.push(Event::Message(Box::new(ReceivedMessage {
                seq,
                chat: self.chat(),
                sender: self.chat(),
                id: self.message.id.clone(),
                t: self.message.t,
                notify: self.message.notify.clone(),
                arrival,
                content,
            })));
        }
        self.events.extend(released);
        Ok(())
    }

    fn failed(&mut self, tx: &mut dyn StoreTx, why: Why, enc: &Enc) -> Result<(), Error> {
        let count = enc.count.unwrap_or(0);
        match why.advice() {
            Advice::Drop => {
                self.note(tx, &TrailStep::DecryptFailed { reason: why.to_string() })?;
                return self.owe_ack(tx, Some(NackCode::CounterUsed));
            }
            Advice::Repair => {
                return Err(match why {
                    Why::Error(DecryptError::Store(source)) => store_failed(source),
                    Why::Flood => return Ok(()),
                    Why::Error(other) => Error::Store {
                        source: landbridge_store::StoreError::Record {
                            what: "session",
                            source: Some(other.into()),
                        },
                    },
                });
            }
            _ => {}
        }
        self.opening = Opening::Failed;
        if self.care == Care::Ack {
            return self.owe_ack(tx, None);
        }
        let before = match tx.seen(&self.key)? {
            Seen::Undecryptable(before) => Some(before),
            _ => None,
        };
        let reason = why.to_string();
        let record = tx.record_failure(&self.key, self.message.t, u32::from(count), &reason)?;
        let replay = before.is_some_and(|before| before.failures == record.failures);
        let may_ask = why.advice() == Advice::AskAgain;
        let limit = u32::from(self.profile.receipts.retries_sent);
        let asked = if may_ask && !replay && record.asked < limit {
            tx.count_retry(&self.key)?
        } else {
            record.asked
        };
        // A replay of the same copy, or one failure too many, asks for nothing new; the last request is repeated for
        // the replay, since the server would not send it again had it seen that.
        if replay {
            self.note(tx, &TrailStep::Duplicate)?;
        } else {
            self.note(tx, &TrailStep::DecryptFailed { reason: reason.clone() })?;
        }
        if asked > record.asked {
            self.note(tx, &TrailStep::RetryRequested { count: u64::from(asked) })?;
        } else if !replay {
            let reason = if may_ask { "often enough" } else { "asking again would not help" };
            self.note(tx, &TrailStep::NotAsked { reason: reason.to_owned() })?;
        }
        if may_ask && asked > 0 && (asked > record.asked || replay) {
            let form = match (&why, replay) {
                (Why::Flood, _) => retry::Form::Bare,
                (_, true) => retry::Form::Repeat,
                (_, false) => retry::Form::First,
            };
            let receipt = retry::request(self, tx, &why, asked, form)?;
            self.owe_receipt(tx, OwedClass::Retry, &receipt)?;
        }
        self.owe_ack(tx, None)?;
        // No placeholder for what would not be shown as a message either.
        if !replay && enc.decrypt_fail != DecryptFail::Hide {
            self.events.push(Event::Undecryptable {
                chat: self.chat(),
                id: self.message.id.clone(),
                asked,
                reason,
            });
        }
        Ok(())
    }

    fn note_identity(&mut self, tx: &mut dyn StoreTx, change: IdentityChange) -> Result<(), Error> {
        let IdentityChange::Changed { old } = change else { return Ok(()) };
        // It is stored: the message has shown it.
        let Some(new) = tx.remote_identity(&address(&self.message.from)).map_err(store_failed)? else {
            return Ok(());
        };
        let (event, _) = self.notice.changed(tx, &self.chat(), Some(&old), Sighting::Key(&new))?;
        self.events.extend(event);
        Ok(())
    }

    fn chat(&self) -> Jid {
        self.message.from.clone().without_device()
    }

    fn owe_delivery(&self, tx: &mut dyn StoreTx) -> Result<(), Error> {
        let mut receipt = ReceiptOut::delivered(self.message.from.clone(), self.message.id.clone());
        receipt.recipient.clone_from(&self.message.recipient);
        self.owe_receipt(tx, OwedClass::Delivery, &receipt)
    }

    fn owe_receipt(&self, tx: &mut dyn StoreTx, class: OwedClass, receipt: &ReceiptOut) -> Result<(), Error> {
        let node = receipt.to_node(&self.profile);
        self.owe(tx, owed_answer(&self.options, class, &receipt.to, None, receipt.id.as_str(), &node)?)
    }

    fn note(&self, tx: &mut dyn StoreTx, step: &TrailStep) -> Result<(), Error> {
        Ok(tx.note(&self.key.chat, &self.key.id, self.notice.now, step)?)
    }

    fn owe_ack(&self, tx: &mut dyn StoreTx, error: Option<NackCode>) -> Result<(), Error> {
        if let Some(code) = error {
            self.note(tx, &TrailStep::Refused { code: u64::from(code.number()) })?;
        }
        let ack = ack_of(&self.message, error);
        let node = ack.to_node(&self.profile);
        let participant = ack.participant.as_ref();
        self.owe(tx, owed_answer(&self.options, OwedClass::Ack, &ack.to, participant, &ack.id, &node)?)
    }

    fn owe(&self, tx: &mut dyn StoreTx, answer: OwedAnswer) -> Result<(), Error> {
        tx.owe(&answer)?;
        Ok(())
    }
}

fn ack_of(message: &MessageIn, error: Option<NackCode>) -> AckOut {
    AckOut {
        id: message_id(&message.id),
        class: AckClass::Message,
        to: message.from.clone(),
        participant: message.participant.clone(),
        recipient: message.recipient.clone(),
        kind: None,
        error,
        failure_reason: None,
    }
}

fn message_id(id: &MessageId) -> String {
    id.as_str().to_owned()
}

fn kind_of(enc: &Enc) -> Option<CiphertextKind> {
    match enc.kind {
        EncType::PreKey => Some(CiphertextKind::PreKey),
        EncType::Message => Some(CiphertextKind::Message),
        _ => None,
    }
}

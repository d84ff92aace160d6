//! Receipts and acks: those that come, and those that are owed.

use std::sync::Arc;

use landbridge_stanza::MessageId;
use landbridge_stanza::ack::AckOut;
use landbridge_stanza::receipt::{ReceiptIn, ReceiptOut, ReceiptType};
use landbridge_store::{OutState, OwedAnswer, OwedClass, OwedEntry, StoreTx, TrailStep};
use landbridge_wire::{EncodeOptions, Jid, Node, encode_payload};

use crate::client::{Inner, ReadReceipts};
use crate::error::Error;
use crate::event::Event;
use crate::messages::cipher::chat_of;
use crate::messages::outbox::{Moved, advance};
use crate::messages::retry::RetryJob;
use crate::session::Session;

/// Answers read from the store at a time.
const PAGE: usize = 256;

/// An answer for the book of what is owed.
pub(crate) fn owed_answer(
    options: &EncodeOptions,
    class: OwedClass,
    to: &Jid,
    participant: Option<&Jid>,
    id: &str,
    node: &Node,
) -> Result<OwedAnswer, Error> {
    Ok(OwedAnswer {
        class,
        to: to.to_string(),
        participant: participant.map(Jid::to_string),
        id: match class {
            OwedClass::Ack => ack_name(id, node),
            _ => id.to_owned(),
        },
        stanza: encode_payload(node, options)?,
    })
}

/// What an owed ack goes by. The id alone would not do: a message's delivered and its read receipt have the same one, and
/// each is waited for.
fn ack_name(id: &str, node: &Node) -> String {
    let view = node.view();
    let (class, kind) = (view.attr_str("class"), view.attr_str("type"));
    format!("{id} {} {}", class.unwrap_or_default(), kind.unwrap_or_default())
}

pub(crate) fn owe(
    inner: &Inner,
    class: OwedClass,
    to: &Jid,
    participant: Option<&Jid>,
    id: &str,
    node: &Node,
) -> Result<OwedAnswer, Error> {
    owed_answer(&inner.encode_options, class, to, participant, id, node)
}

/// Writes what is owed, as long as the session lives. An answer is forgotten once it is written, not before.
pub(crate) async fn run(session: Arc<Session>) -> Result<(), Error> {
    loop {
        let owed = session.inner.vault.read(|tx| tx.owed(PAGE).map_err(Error::from)).await?;
        if owed.is_empty() {
            session.owed_news.notified().await;
            continue;
        }
        let mut stanzas = merge(&session.inner, owed.clone())?;
        let last = stanzas.pop();
        for stanza in stanzas {
            session.queue(stanza).await?;
        }
        if let Some(last) = last {
            session.write(last).await?;
        }
        let now = session.inner.clock.now();
        session.inner.vault.write(move |tx| settle(tx, &owed, now)).await?;
        session.owed_settled.notify_waiters();
    }
}

/// Forgets what was written. An answer that was replaced meanwhile, such as a retry receipt by one with a higher count, is
/// still owed.
fn settle(tx: &mut dyn StoreTx, written: &[OwedEntry], now: u64) -> Result<(), Error> {
    let owed = tx.owed(written.len())?;
    let same: Vec<_> = written.iter().filter(|entry| owed.contains(entry)).collect();
    for OwedEntry { answer, .. } in &same {
        let step = TrailStep::Answered { class: answer.class };
        let ids: Vec<&str> = match (answer.class, answer.id.split_once(' ')) {
            // Acks of receipts and notifications answer no message.
            (OwedClass::Ack, Some((id, "message "))) => vec![id],
            (OwedClass::Ack, _) => Vec::new(),
            // A list goes by the ids of all its messages.
            _ => answer.id.split(' ').collect(),
        };
        let chat = answer.to.parse::<Jid>().map_or_else(|_| answer.to.clone(), |to| chat_of(&to));
        for id in ids {
            tx.note(&chat, id, now, &step)?;
        }
    }
    let seqs: Vec<u64> = same.iter().map(|entry| entry.seq).collect();
    Ok(tx.settle(&seqs)?)
}

/// The stanzas of some answers, in order. Delivery receipts of one chat become one list.
fn merge(inner: &Inner, owed: Vec<OwedEntry>) -> Result<Vec<Vec<u8>>, Error> {
    let most = inner.profile.receipts.ids_per_receipt.max(1);
    let mut stanzas = Vec::new();
    let mut list: Option<(OwedAnswer, Vec<MessageId>)> = None;
    for OwedEntry { answer, .. } in owed {
        let id = MessageId::try_from(answer.id.clone()).ok();
        if let (Some((first, more)), Some(id)) = (&mut list, &id)
            && answer.class == OwedClass::Delivery
            && answer.to == first.to
            && answer.participant == first.participant
            && more.len() + 1 < most
        {
            more.push(id.clone());
            continue;
        }
        if let Some(full) = list.take() {
            stanzas.push(list_stanza(inner, full)?);
        }
        if answer.class == OwedClass::Delivery && id.is_some() {
            list = Some((answer, Vec::new()));
        } else {
            stanzas.push(answer.stanza);
        }
    }
    if let Some(rest) = list {
        stanzas.push(list_stanza(inner, rest)?);
    }
    Ok(stanzas)
}

fn list_stanza(inner: &Inner, (first, more): (OwedAnswer, Vec<MessageId>)) -> Result<Vec<u8>, Error> {
    let parsed = (first.to.parse::<Jid>(), MessageId::try_from(first.id.clone()));
    let (Ok(to), Ok(id), false) = (parsed.0, parsed.1, more.is_empty()) else { return Ok(first.stanza) };
    let mut receipt = ReceiptOut::delivered(to, id);
    receipt.participant = first.participant.as_deref().and_then(|jid| jid.parse().ok());
    receipt.more_ids = more;
    Ok(receipt.to_node(&inner.profile).into_payload(&inner.encode_options)?)
}

/// A receipt for messages of ours.
pub(crate) async fn received(session: &Arc<Session>, receipt: ReceiptIn, node: &Node) -> Result<(), Error> {
    let inner = &session.inner;
    let Some(ack) = AckOut::answering(node.view(), None) else { return Ok(()) };
    if let Some(request) = receipt.retry {
        let job = RetryJob { from: receipt.from, retry: request, ack };
        // If there are too many, the server keeps this one and repeats it.
        if session.retries.try_send(job).is_err() {
            tracing::warn!("too many retry requests wait; one is left to the server");
        }
        return Ok(());
    }
    let state = match receipt.kind {
        ReceiptType::Delivered | ReceiptType::Inactive => Some(OutState::Delivered),
        ReceiptType::Read => Some(OutState::Read),
        ReceiptType::Played => Some(OutState::Played),
        _ => None,
    };
    let at = receipt.t.unwrap_or_else(|| inner.clock.now());
    let owed =
        owe(inner, OwedClass::Ack, &ack.to, ack.participant.as_ref(), &ack.id, &ack.to_node(&inner.profile))?;
    let ids: Vec<MessageId> = receipt.ids().cloned().collect();
    let (from, chat) = (receipt.from.clone().without_device(), chat_of(&receipt.from));
    let now = inner.clock.now();
    let step = move |tx: &mut dyn StoreTx| {
        let mut moved = Vec::new();
        if let Some(state) = state {
            for id in ids {
                if advance(tx, &chat, id.as_str(), &Moved::To(state), at)? {
                    crate::trail::moved(tx, &chat, id.as_str(), now, &Moved::To(state))?;
                    moved.push((id, state));
                }
            }
        }
        tx.owe(&owed)?;
        Ok::<_, Error>(moved)
    };
    let queue = Arc::clone(inner);
    let tell = move |moved: &mut Vec<(MessageId, OutState)>| {
        for (id, state) in moved.drain(..) {
            queue.events.push(Event::MessageState { to: from.clone(), id, state, at, failure: None });
        }
    };
    inner.vault.write_and_tell(step, tell).await?;
    session.owed_news.notify_one();
    Ok(())
}

/// What the user has done with messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    Read,
    Played,
}

impl Mark {
    fn class(self) -> OwedClass {
        match self {
            Self::Read => OwedClass::Read,
            Self::Played => OwedClass::Played,
        }
    }

    fn receipt(self, to: Jid, id: MessageId, t: u64) -> ReceiptOut {
        match self {
            Self::Read => ReceiptOut::read(to, id, t),
            Self::Played => ReceiptOut::played(to, id, t),
        }
    }
}

/// Owes the author a receipt for some messages, in lists as long as the profile allows.
pub(crate) async fn mark(inner: &Arc<Inner>, chat: &Jid, ids: &[MessageId], mark: Mark) -> Result<(), Error> {
    if inner.read_receipts == ReadReceipts::Withhold {
        return Ok(());
    }
    let chat = chat.clone().without_device();
    let now = inner.clock.now();
    let mut owed = Vec::new();
    for list in ids.chunks(inner.profile.receipts.ids_per_receipt.max(1)) {
        let Some((first, more)) = list.split_first() else { continue };
        let mut receipt = mark.receipt(chat.clone(), first.clone(), now);
        receipt.more_ids = more.to_vec();
        // Named after all of them: a receipt for some of the same messages must not take the place of this one.
        let name = list.iter().map(MessageId::as_str).collect::<Vec<_>>().join(" ");
        owed.push(owe(inner, mark.class(), &chat, None, &name, &receipt.to_node(&inner.profile))?);
    }
    let step = move |tx: &mut dyn StoreTx| {
        for answer in &owed {
            tx.owe(answer)?;
        }
        Ok::<_, Error>(())
    };
    inner.vault.write(step).await?;
    inner.poke_owed();
    Ok(())
}

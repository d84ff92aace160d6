//! Retries, both ways: asking for what did not open, and encrypting anew what the other side could not open.

use landbridge_signal::{BundleError, DecryptError, PreKeyBundle, TrustPolicy, process_bundle};
use landbridge_stanza::{
    MessageId,
    codes::RetryReason,
    message::Enc,
    receipt::{ReceiptIn, ReceiptOut},
    retry::Retry,
};
use landbridge_store::{OutState, OutboxEntry, OwedAnswer, OwedClass, Recrypt, Seen, StoreTx};
use landbridge_wire::{Jid, Node, NodeRef};

use super::phone::{address, decode, encode, message_id};
use super::receive::Arrival;
use super::send::Again;
use super::step::{Desk, Plan};
use super::{Output, Phone, PhoneError, Trouble, keys};
use crate::events::Rule;

/// Answers owed that are looked through for one to repeat.
const OWED: usize = 1_000;

/// A retry receipt that waits for the asker's bundle.
#[derive(Debug)]
pub(super) struct Resend {
    /// The message.
    id: String,
    /// What the answer says about the request.
    again: Again,
    /// The ack of the receipt, owed once the answer is stored.
    ack: Option<Output>,
}

/// How the journal names a message that did not open.
pub(super) fn failure_code(error: &DecryptError) -> &'static str {
    match error {
        DecryptError::NoSession { .. } => "no_session",
        DecryptError::NoPreKey { .. } => "no_prekey",
        DecryptError::NoSignedPreKey { .. } => "no_signed_prekey",
        DecryptError::InvalidKey(_) | DecryptError::LowOrderKey(_) => "invalid_key",
        DecryptError::TooFar { .. } => "too_far",
        DecryptError::Duplicate { .. } => "duplicate",
        DecryptError::UntrustedIdentity { .. } => "untrusted_identity",
        DecryptError::LegacyVersion { .. } | DecryptError::UnknownVersion { .. } => "unknown_version",
        DecryptError::NoSessionFits { .. } => "bad_mac",
        _ => "invalid_message",
    }
}

fn reason(error: &DecryptError) -> RetryReason {
    match failure_code(error) {
        "no_session" => RetryReason::NoSession,
        "no_prekey" | "no_signed_prekey" => RetryReason::InvalidKeyId,
        "invalid_key" => RetryReason::InvalidKey,
        "too_far" => RetryReason::FutureMessage,
        "bad_mac" => RetryReason::BadMac,
        _ => RetryReason::InvalidMessage,
    }
}

impl Desk<'_> {
    /// A message did not open: ask for it again, unless that was done often enough.
    pub(super) fn ask_again(
        &mut self,
        tx: &mut dyn StoreTx,
        arrival: &Arrival<'_>,
        encs: &[Enc],
        error: &DecryptError,
    ) -> Result<Plan, PhoneError> {
        let copy = encs.iter().filter_map(|enc| enc.count).max().map_or(0, u32::from);
        if let Seen::Undecryptable(known) = tx.seen(&arrival.key)?
            && copy <= known.last_count
        {
            // The same copy again: it counts once, and gets the same answer.
            let asked = owed_retry(tx, arrival)?.map(Output::Send);
            return Ok(Plan::of(asked.into_iter().chain(self.ack(arrival, None))));
        }
        let code = failure_code(error);
        let failed = tx.record_failure(&arrival.key, arrival.message.t, copy, code)?;
        let mut plan = Plan::default();
        if failed.asked < u32::from(self.profile.receipts.retries_sent) {
            plan.out.push(Output::Send(self.retry(tx, arrival, reason(error))?));
        }
        plan.out.extend(self.ack(arrival, None));
        let line = arrival.placeholder(code);
        self.remember(tx, &line)?;
        plan.line = Some(line);
        Ok(plan)
    }

    fn retry(
        &mut self,
        tx: &mut dyn StoreTx,
        arrival: &Arrival<'_>,
        error: RetryReason,
    ) -> Result<Node, PhoneError> {
        let count = u8::try_from(tx.count_retry(&arrival.key)?).unwrap_or(u8::MAX);
        let message = (&arrival.message.id, arrival.message.t);
        self.retry_receipt(tx, &arrival.message.from, message, count, Some(error))
    }

    /// The receipt that asks for a message, given by id and time, for the `count`-th time. It is owed from now on.
    pub(super) fn retry_receipt(
        &mut self,
        tx: &mut dyn StoreTx,
        from: &Jid,
        (id, t): (&MessageId, u64),
        count: u8,
        error: Option<RetryReason>,
    ) -> Result<Node, PhoneError> {
        self.asked_again.insert((from.clone().without_device(), id.to_string()), count);
        let rules = &self.profile.receipts;
        let session = tx.load_session(&address(from))?.is_some_and(|record| record.has_current());
        let with_keys = count >= rules.keys_from_count || (rules.keys_without_session && !session);
        let retry = Retry {
            id: id.clone(),
            t,
            count,
            error,
            registration: tx.registration_id()?,
            keys: if with_keys { Some(keys::retry_keys(tx, self.rng)?) } else { None },
        };
        let node = ReceiptOut::retry(from.clone(), retry).to_node(self.profile);
        tx.owe(&OwedAnswer {
            class: OwedClass::Retry,
            to: from.clone().without_device().to_string(),
            participant: None,
            id: id.to_string(),
            stanza: encode(&node)?,
        })?;
        Ok(node)
    }

    /// Makes a session of a bundle. `false`: it cannot be used, and the plan says why.
    pub(super) fn begin_session(
        &mut self,
        tx: &mut dyn StoreTx,
        peer: &Jid,
        bundle: Option<&PreKeyBundle>,
        now: u64,
        plan: &mut Plan,
    ) -> Result<bool, PhoneError> {
        let wrong = |code, detail: String| {
            let peer = peer.clone();
            Output::Trouble(Trouble { peer, id: None, rule: Rule::KEYS_SIGNATURE, code, detail })
        };
        let Some(bundle) = bundle else {
            plan.out.push(wrong("key_id", "a key id is out of range".to_owned()));
            return Ok(false);
        };
        let store = tx.as_signal_store();
        match process_bundle(store, &address(peer), bundle, TrustPolicy::Accept, self.rng) {
            Ok(change) => {
                plan.out.extend(self.notice(tx, peer, change, now)?);
                Ok(true)
            }
            Err(BundleError::Store(error)) => Err(error.into()),
            Err(error) => {
                plan.out.push(wrong("bundle", error.to_string()));
                Ok(false)
            }
        }
    }

    /// What to do about a retry receipt, and what of it must wait for a bundle.
    fn answer_retry(
        &mut self,
        tx: &mut dyn StoreTx,
        asked: &Asked<'_>,
        ack: Option<Output>,
    ) -> Result<(Plan, Option<Resend>), PhoneError> {
        let Asked { peer, retry, fresh, now } = asked;
        let most = self.profile.receipts.retries_answered;
        let refused = |trouble: Option<Output>, ack: Option<Output>| {
            Ok((Plan::of(trouble.into_iter().chain(ack)), None))
        };
        // Only who was sent the message may ask for it: nobody else has one of this id here.
        let Some(entry) = tx.outgoing(&peer.to_string(), retry.id.as_str())? else {
            return refused(Some(asked.trouble("unknown", "there is no such message")), ack);
        };
        if retry.count == 0 || retry.count > most || entry.retries >= u32::from(most) {
            return refused(Some(asked.trouble("count", "asked too often")), ack);
        }
        if entry.message.plaintext.is_empty() {
            return refused(None, ack);
        }
        let mut plan = Plan::default();
        if entry.state >= OutState::Delivered {
            plan.out.push(asked.trouble("delivered", "the message was delivered before"));
        }
        let address = address(peer);
        let mut session = tx.load_session(&address)?.and_then(|record| record.info());
        if session.as_ref().is_some_and(|info| info.remote_registration_id != retry.registration) {
            tx.delete_session(&address)?;
            session = None;
        }
        let again = Again { count: retry.count, t: retry.t };
        if let (Some(answer), Some(_)) = (answered(&entry, retry.count)?, &session) {
            // The request has come before. Another session from the same keys would make the first answer unreadable.
            return Ok((Plan::of([Output::Send(answer)].into_iter().chain(ack)), None));
        }
        if let Some(new) = &retry.keys {
            let bundle = keys::retry_bundle(retry, new);
            if !self.begin_session(tx, peer, bundle.as_ref(), *now, &mut plan)? {
                plan.out.extend(ack);
                return Ok((plan, None));
            }
        } else if session.is_none() || (retry.count >= 2 && !fresh) {
            plan.fetch.push(peer.clone());
            return Ok((plan, Some(Resend { id: retry.id.to_string(), again, ack })));
        }
        plan.out.push(self.resend(tx, peer, &entry, again)?);
        plan.out.extend(ack);
        Ok((plan, None))
    }

    /// Encrypts a message anew, under its old id.
    fn resend(
        &mut self,
        tx: &mut dyn StoreTx,
        peer: &Jid,
        entry: &OutboxEntry,
        again: Again,
    ) -> Result<Output, PhoneError> {
        let id = &entry.message.id;
        let node = self.seal(tx, peer, &message_id(id)?, &entry.message.plaintext, Some(again))?;
        tx.replace_stanza(&entry.message.recipient, id, &encode(&node)?, Recrypt::Retry)?;
        Ok(Output::Send(node))
    }

    /// Answers the retry receipts that waited for a session.
    pub(super) fn resend_all(
        &mut self,
        tx: &mut dyn StoreTx,
        peer: &Jid,
        resends: Vec<Resend>,
        plan: &mut Plan,
    ) -> Result<(), PhoneError> {
        for Resend { id, again, ack } in resends {
            if let Some(entry) = tx.outgoing(&peer.to_string(), &id)? {
                plan.out.push(self.resend(tx, peer, &entry, again)?);
            }
            plan.out.extend(ack);
        }
        Ok(())
    }
}

/// Gives up the retry receipts that waited for a session: they are acked, and that is all.
pub(super) fn resend_none(resends: Vec<Resend>, plan: &mut Plan) {
    plan.out.extend(resends.into_iter().filter_map(|resend| resend.ack));
}

/// The answer to a request of this count, or of a higher one, if there was one.
fn answered(entry: &OutboxEntry, count: u8) -> Result<Option<Node>, PhoneError> {
    if entry.message.stanza.is_empty() {
        return Ok(None);
    }
    let stanza = decode(&entry.message.stanza)?;
    let last = stanza.view().child("enc").and_then(|enc| enc.attr_str("count")?.parse::<u8>().ok());
    Ok(last.filter(|last| *last >= count).map(|_| stanza))
}

/// The retry receipt that is owed for a message, if the server has not acked it.
fn owed_retry(tx: &dyn StoreTx, arrival: &Arrival<'_>) -> Result<Option<Node>, PhoneError> {
    let owed = tx.owed(OWED)?;
    let mine = owed.iter().map(|entry| &entry.answer).find(|answer| {
        answer.class == OwedClass::Retry && answer.to == arrival.key.chat && answer.id == arrival.key.id
    });
    mine.map(|answer| decode(&answer.stanza)).transpose()
}

/// Somebody's request for a message.
struct Asked<'a> {
    peer: Jid,
    retry: &'a Retry,
    /// The session was rebuilt so lately that it is not rebuilt again.
    fresh: bool,
    now: u64,
}

impl Asked<'_> {
    fn trouble(&self, code: &'static str, detail: &str) -> Output {
        let (peer, id) = (self.peer.clone(), Some(self.retry.id.to_string()));
        Output::Trouble(Trouble { peer, id, rule: Rule::RETRY_COUNT, code, detail: detail.to_owned() })
    }
}

impl Phone {
    /// The other side could not open a message.
    pub(super) fn retry_asked(
        &mut self,
        stanza: NodeRef<'_>,
        receipt: &ReceiptIn,
        retry: &Retry,
        now: u64,
    ) -> Result<Vec<Output>, PhoneError> {
        let peer = receipt.from.clone().without_device();
        let every = self.profile.receipts.rebuild_every_s;
        let fresh = self.rebuilt.get(&peer).is_some_and(|at| now.saturating_sub(*at) < every);
        let asked = Asked { peer, retry, fresh, now };
        let (ack, mut waits) = (self.ack(stanza, None), None);
        let out = self.step(|desk, tx| {
            let (plan, resend) = desk.answer_retry(tx, &asked, ack)?;
            waits = resend;
            Ok(plan)
        })?;
        if let Some(waits) = waits {
            self.resends.entry(asked.peer).or_default().push(waits);
        }
        Ok(out)
    }
}

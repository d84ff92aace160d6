//! Messages received: opened, judged, stored, and only then acknowledged.

use landbridge_proto::content::{self, Content, Context, Kind, Verdict};
use landbridge_proto::padding::unpad;
use landbridge_signal::{Address, Advice, CiphertextKind, DecryptError, Decrypted, TrustPolicy, decrypt};
use landbridge_stanza::{
    ack::AckOut,
    codes::NackCode,
    message::{Enc, EncType, MessageContent, MessageIn},
    receipt::ReceiptOut,
};
use landbridge_store::{InboxMessage, MessageKey, Seen, StoreTx};
use landbridge_wire::{Jid, NodeRef};

use super::phone::address;
use super::step::{Desk, Plan};
use super::{Direction, MessageState, Output, Phone, PhoneError, PhoneMessage, Trouble};
use crate::events::Rule;

/// What is stored as the kind of a message that was refused, so that a replay is refused again.
const REJECTED: &str = "rejected";
/// What the journal calls a content that is none.
const UNREADABLE: &str = "unreadable";

/// A message on its way through the phone.
pub(super) struct Arrival<'a> {
    pub(super) stanza: NodeRef<'a>,
    pub(super) message: &'a MessageIn,
    pub(super) peer: Jid,
    pub(super) key: MessageKey,
    pub(super) address: Address,
    pub(super) now: u64,
}

impl Arrival<'_> {
    pub(super) fn trouble(&self, rule: Rule, code: &'static str, detail: impl Into<String>) -> Output {
        let (peer, id) = (self.peer.clone(), Some(self.key.id.clone()));
        Output::Trouble(Trouble { peer, id, rule, code, detail: detail.into() })
    }

    fn line(&self) -> PhoneMessage {
        let line = PhoneMessage::new(Direction::Received, &self.peer, &self.key.id, self.message.t);
        PhoneMessage { notify: self.message.notify.clone(), ..line }
    }

    /// The line of a message that waits to be sent again.
    pub(super) fn placeholder(&self, code: &str) -> PhoneMessage {
        PhoneMessage { state: MessageState::Waiting, failure: Some(code.to_owned()), ..self.line() }
    }
}

/// What became of the copies of a message.
enum Opened<'e> {
    /// This one opened.
    Content(&'e Enc, Decrypted),
    /// None did; why the last one did not.
    Failed(DecryptError),
    /// There was none that a phone could try.
    Foreign(&'static str),
}

impl Phone {
    pub(super) fn message(
        &mut self,
        stanza: NodeRef<'_>,
        message: &MessageIn,
        now: u64,
    ) -> Result<Vec<Output>, PhoneError> {
        let peer = message.from.clone().without_device();
        let key = MessageKey::direct(peer.to_string(), message.id.as_str());
        let arrival = Arrival { stanza, key, address: address(&peer), peer, message, now };
        self.step(|desk, tx| desk.message(tx, &arrival))
    }
}

impl Desk<'_> {
    fn message(&mut self, tx: &mut dyn StoreTx, arrival: &Arrival<'_>) -> Result<Plan, PhoneError> {
        if arrival.peer.is_group() || arrival.message.participant.is_some() {
            // Test phones are in no groups.
            return Ok(Plan::of(self.ack(arrival, Some(NackCode::Unhandled))));
        }
        if tx.is_blocked(&arrival.key.chat)? {
            return Ok(Plan::of(self.ack(arrival, None)));
        }
        if tx.seen(&arrival.key)? == Seen::Stored {
            let refused = tx.message(&arrival.key)?.is_some_and(|entry| entry.message.kind == REJECTED);
            return Ok(Plan::of(if refused {
                self.ack(arrival, Some(NackCode::InvalidProtobuf))
            } else {
                Some(self.delivered(arrival))
            }));
        }
        let encs = match &arrival.message.content {
            MessageContent::Encrypted(encs) => encs,
            MessageContent::Unavailable { .. } => return self.unavailable(tx, arrival),
        };
        match self.open(tx, &arrival.address, encs) {
            Opened::Content(enc, opened) => self.opened(tx, arrival, enc, &opened),
            Opened::Failed(error) => self.unopened(tx, arrival, encs, error),
            Opened::Foreign(why) => {
                let trouble = arrival.trouble(Rule::MESSAGE_VERSION, "enc", why);
                Ok(Plan::of([trouble].into_iter().chain(self.ack(arrival, Some(NackCode::InvalidProtobuf)))))
            }
        }
    }

    /// Tries the copies in order; the first that opens wins.
    fn open<'e>(&mut self, tx: &mut dyn StoreTx, from: &Address, encs: &'e [Enc]) -> Opened<'e> {
        let mut result = Opened::Foreign("no copy is for a pair of devices");
        for enc in encs {
            let kind = match enc.kind {
                EncType::PreKey => CiphertextKind::PreKey,
                EncType::Message => CiphertextKind::Message,
                _ => continue,
            };
            if enc.version != Enc::VERSION {
                result = Opened::Foreign("the copy is not of version 2");
                continue;
            }
            let store = tx.as_signal_store();
            match decrypt(store, from, kind, &enc.ciphertext, TrustPolicy::Accept, self.rng) {
                Ok(opened) => return Opened::Content(enc, opened),
                Err(error) => result = Opened::Failed(error),
            }
        }
        result
    }

    /// The message opened. The ratchet has moved in `tx`: whatever the content is, it is stored.
    fn opened(
        &mut self,
        tx: &mut dyn StoreTx,
        arrival: &Arrival<'_>,
        enc: &Enc,
        opened: &Decrypted,
    ) -> Result<Plan, PhoneError> {
        let mut plan = Plan::of(self.notice(tx, &arrival.peer, opened.identity, arrival.now)?);
        let journal = |kind, verdict: Verdict| Output::Opened {
            from: arrival.peer.clone(),
            id: arrival.key.id.clone(),
            kind,
            verdict: verdict.as_str(),
            enc: if enc.kind == EncType::PreKey { "pkmsg" } else { "msg" },
            prekey: opened.used_prekey.map(|id| id.get()),
        };
        let plaintext = match unpad(&opened.plaintext) {
            Ok(plaintext) => plaintext,
            Err(error) => {
                plan.out.push(journal(UNREADABLE, Verdict::Reject));
                plan.out.push(arrival.trouble(Rule::PADDING, "D1", error.to_string()));
                return self.reject(tx, arrival, &opened.plaintext, plan);
            }
        };
        let me = self.me.to_string();
        let context = Context::direct(&arrival.key.sender, &me);
        let content = match content::decode(plaintext, &context, self.limits) {
            Ok(content) => content,
            Err(error) => {
                plan.out.push(journal(UNREADABLE, Verdict::Reject));
                plan.out.push(arrival.trouble(Rule::CONTENT, error.rule().as_str(), error.to_string()));
                return self.reject(tx, arrival, plaintext, plan);
            }
        };
        for fault in content.findings() {
            plan.out.push(arrival.trouble(Rule::CONTENT, fault.rule.as_str(), fault.note));
        }
        plan.out.extend(outer_fault(arrival, enc, &content));
        let verdict = self.target_verdict(tx, arrival, &content, &mut plan)?.max(content.verdict());
        plan.out.push(journal(content.kind().as_str(), verdict));
        if verdict == Verdict::Reject {
            return self.reject(tx, arrival, plaintext, plan);
        }
        store(tx, arrival, content.kind().as_str(), plaintext)?;
        plan.out.push(self.delivered(arrival));
        let waited = self.screen.get(Direction::Received, &arrival.key.chat, &arrival.key.id).is_some();
        if verdict != Verdict::Silent || waited {
            let line = arrival.line().with_content(&content);
            self.remember(tx, &line)?;
            plan.line = Some(line);
        }
        Ok(plan)
    }

    /// The rest of V14, which needs a memory: who revokes or edits is the author of the target.
    fn target_verdict(
        &self,
        tx: &dyn StoreTx,
        arrival: &Arrival<'_>,
        content: &Content,
        plan: &mut Plan,
    ) -> Result<Verdict, PhoneError> {
        let target = content.target().and_then(|key| key.id.as_deref());
        let (Kind::Revoke | Kind::Edit, Some(id)) = (content.kind(), target) else {
            return Ok(Verdict::Accept);
        };
        let theirs = tx.seen(&MessageKey::direct(arrival.key.chat.as_str(), id))? != Seen::Never;
        if !theirs && tx.outgoing(&arrival.key.chat, id)?.is_some() {
            plan.out.push(arrival.trouble(Rule::CONTENT, "V14", "the target was written by the receiver"));
            return Ok(Verdict::Silent);
        }
        Ok(Verdict::Accept)
    }

    /// The content is none: refused, and remembered so that a replay is refused too.
    fn reject(
        &self,
        tx: &mut dyn StoreTx,
        arrival: &Arrival<'_>,
        bytes: &[u8],
        mut plan: Plan,
    ) -> Result<Plan, PhoneError> {
        store(tx, arrival, REJECTED, bytes)?;
        plan.out.extend(self.ack(arrival, Some(NackCode::InvalidProtobuf)));
        if self.screen.get(Direction::Received, &arrival.key.chat, &arrival.key.id).is_some() {
            // A placeholder stays, but no longer waits.
            plan.line = Some(PhoneMessage { failure: Some(REJECTED.to_owned()), ..arrival.line() });
        }
        Ok(plan)
    }

    /// There is nothing that could be opened, nor asked for.
    fn unavailable(&self, tx: &mut dyn StoreTx, arrival: &Arrival<'_>) -> Result<Plan, PhoneError> {
        let line = PhoneMessage { failure: Some("unavailable".to_owned()), ..arrival.line() };
        store(tx, arrival, Kind::Unsupported.as_str(), &[])?;
        self.remember(tx, &line)?;
        Ok(Plan { line: Some(line), ..Plan::of(self.ack(arrival, None)) })
    }

    /// No copy opened.
    fn unopened(
        &mut self,
        tx: &mut dyn StoreTx,
        arrival: &Arrival<'_>,
        encs: &[Enc],
        error: DecryptError,
    ) -> Result<Plan, PhoneError> {
        let error = match error {
            DecryptError::Store(error) => return Err(error.into()),
            error => error,
        };
        if matches!(error, DecryptError::DamagedRecord(_)) {
            // Sessions that cannot be read are lost: what follows asks for new ones.
            tx.delete_session(&arrival.address)?;
        }
        let code = super::retry::failure_code(&error);
        let trouble = arrival.trouble(Rule::DECRYPT, code, error.to_string());
        if error.advice() == Advice::Drop {
            // Its text was delivered before, under another id.
            let ack = self.ack(arrival, Some(NackCode::CounterUsed));
            return Ok(Plan::of([trouble].into_iter().chain(ack)));
        }
        let mut plan = self.ask_again(tx, arrival, encs, &error)?;
        plan.out.insert(0, trouble);
        Ok(plan)
    }

    pub(super) fn ack(&self, arrival: &Arrival<'_>, error: Option<NackCode>) -> Option<Output> {
        AckOut::answering(arrival.stanza, error).map(|ack| Output::Send(ack.to_node(self.profile)))
    }

    fn delivered(&self, arrival: &Arrival<'_>) -> Output {
        let mut receipt = ReceiptOut::delivered(arrival.message.from.clone(), arrival.message.id.clone());
        receipt.recipient.clone_from(&arrival.message.recipient);
        Output::Send(receipt.to_node(self.profile))
    }
}

fn store(
    tx: &mut dyn StoreTx,
    arrival: &Arrival<'_>,
    kind: &str,
    plaintext: &[u8],
) -> Result<(), PhoneError> {
    tx.store_message(&InboxMessage {
        key: arrival.key.clone(),
        t: arrival.message.t,
        kind: kind.to_owned(),
        plaintext: plaintext.to_vec(),
        notify: arrival.message.notify.clone(),
    })?;
    Ok(())
}

/// The stanza must say of the content what the content is; receivers do not go by it.
fn outer_fault(arrival: &Arrival<'_>, enc: &Enc, content: &Content) -> Option<Output> {
    if matches!(content.kind(), Kind::Unsupported | Kind::UnknownProtocol | Kind::SenderKey) {
        return None;
    }
    let due = content::outer(content.message());
    let edit = arrival.message.edit.map(|edit| edit.number().to_string());
    let (wrong, due) = if arrival.message.kind.as_str() != due.stanza_type {
        ("type", due.stanza_type)
    } else if enc.mediatype.as_deref() != due.mediatype {
        ("mediatype", due.mediatype.unwrap_or("absent"))
    } else if edit.as_deref() != due.edit {
        ("edit", due.edit.unwrap_or("absent"))
    } else {
        return None;
    };
    Some(arrival.trouble(Rule::CONTENT, "3", format!("the attribute `{wrong}` is not {due}")))
}

//! Messages: checked, stored, acked, in this order. Typing.

use landbridge_stanza::ack::AckIn;
use landbridge_stanza::chatstate::{ChatStateIn, ChatStateOut};
use landbridge_stanza::codes::MessageErrorCode;
use landbridge_stanza::message::{Enc, EncType, MessageIn, MessageOut};
use landbridge_stanza::profile::ContactFirst;
use landbridge_wire::NodeRef;

use super::Session;
use super::dispatch::Outcome;
use crate::db::{MailClass, User, UserId};
use crate::events::{EventKind, Rule};
use crate::state::{State, lock};
use crate::{RateLimits, SandboxError};

/// How many messages an account may send now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    left: u32,
    filled: u64,
}

/// What became of a message within the transaction that decided it.
enum Fate {
    Stored(u64),
    Repeated(u64),
    Discarded(u64),
}

impl State {
    pub(super) fn message(
        &self,
        who: &Session,
        message: MessageOut,
        node: NodeRef<'_>,
    ) -> Result<Outcome, SandboxError> {
        let (id, to) = (message.id.clone(), message.to.clone());
        self.look_at_habits(who, &message, node);
        let refused = |code: MessageErrorCode| {
            let ack = AckIn::message(id.as_str(), to.clone(), self.now()).refused(code);
            Ok(Outcome::reply(ack.to_node(self.profile())))
        };
        let enc = match self.check_message(&message) {
            Ok(enc) => enc.clone(),
            Err((rule, code, detail)) => {
                self.broken(Some(who.connection), Some(&who.jid), rule, detail);
                return refused(code);
            }
        };
        let magic = self.summon(&to)?;
        if let Some((magic, code)) = magic.and_then(|magic| Some((magic, magic.message_refused()?))) {
            self.magic(magic, Some(id.as_str()), format!("the message is refused with {}", code.number()));
            return refused(code);
        }
        let recipient = if to.device() == 0 { self.live_user(&to)? } else { None };
        let Some(recipient) = recipient else {
            let detail = format!("there is no user {to}");
            self.broken(Some(who.connection), Some(&who.jid), Rule::MESSAGE_TO, detail);
            return refused(MessageErrorCode::NoSuchRecipient);
        };
        if !self.may_begin(who, &recipient)? {
            self.broken(
                Some(who.connection),
                Some(&who.jid),
                Rule::MESSAGE_FIRST,
                format!("{to} was not reached"),
            );
            return refused(MessageErrorCode::ReachOutLocked);
        }
        // A repeat costs nothing: it is what a client owes after a lost ack.
        let count = enc.count.unwrap_or(0);
        let repeated = self.db.read(|tx| tx.accepted(&who.jid, &to, id.as_str(), count))?;
        if repeated.is_none() && !self.may_send(who.user) {
            self.broken(
                Some(who.connection),
                Some(&who.jid),
                Rule::MESSAGE_RATE,
                "too many messages".to_owned(),
            );
            return refused(MessageErrorCode::RateOverlimit);
        }
        let fate = self.store_message(who, &recipient, message, count)?;
        let t = self.tell(who, &recipient, id.as_str(), &enc, &fate);
        Ok(Outcome::reply(AckIn::message(id.as_str(), to, t).to_node(self.profile())))
    }

    /// What a client should not do, but what does no harm.
    fn look_at_habits(&self, who: &Session, message: &MessageOut, node: NodeRef<'_>) {
        let unusual = |rule, detail: String| {
            self.note(Some(who.connection), Some(&who.jid), EventKind::Unusual { rule, detail });
        };
        let is_answer = message.encs.iter().any(|enc| enc.count.is_some());
        for key in ["from", "notify", "t"] {
            if node.has_attr(key) && !(key == "t" && is_answer) {
                unusual(Rule::MESSAGE_SET, format!("the client's `{key}` is dropped"));
            }
        }
        if !who.is_active() {
            unusual(Rule::BEFORE_ACTIVE, "a message before <active/>".to_owned());
        }
    }

    /// The one encrypted copy of a message of two.
    fn check_message<'m>(
        &self,
        message: &'m MessageOut,
    ) -> Result<&'m Enc, (Rule, MessageErrorCode, String)> {
        if message.to.is_group() || !message.participants.is_empty() {
            let detail = "messages to groups are not served here".to_owned();
            return Err((Rule::MESSAGE_ENC, MessageErrorCode::NotAllowed, detail));
        }
        let [enc] = message.encs.as_slice() else {
            let detail = format!("the message has {} encrypted copies", message.encs.len());
            return Err((Rule::MESSAGE_ENC, MessageErrorCode::BadRequest, detail));
        };
        if !matches!(enc.kind, EncType::PreKey | EncType::Message) {
            let detail = format!("the copy is of type `{}`, not pkmsg or msg", enc.kind);
            return Err((Rule::MESSAGE_ENC, MessageErrorCode::BadRequest, detail));
        }
        if enc.version != Enc::VERSION {
            let detail = format!("the copy has v={}", enc.version);
            return Err((Rule::MESSAGE_VERSION, MessageErrorCode::SchemaRefused, detail));
        }
        Ok(enc)
    }

    fn may_begin(&self, who: &Session, recipient: &User) -> Result<bool, SandboxError> {
        match self.profile().server.contact_first {
            ContactFirst::Allowed => Ok(true),
            ContactFirst::Reached => self.db.read(|tx| tx.have_met(who.user, recipient.id)),
        }
    }

    fn may_send(&self, user: UserId) -> bool {
        if self.config.rate_limits == RateLimits::Off {
            return true;
        }
        let (now, limits) = (self.now(), &self.config.chat);
        let mut buckets = lock(&self.buckets);
        let bucket = buckets.entry(user).or_insert(Bucket { left: limits.message_burst, filled: now });
        let since = u32::try_from(now.saturating_sub(bucket.filled)).unwrap_or(u32::MAX);
        bucket.left = bucket
            .left
            .saturating_add(since.saturating_mul(limits.messages_per_second))
            .min(limits.message_burst);
        bucket.filled = now;
        match bucket.left.checked_sub(1) {
            Some(left) => {
                bucket.left = left;
                true
            }
            None => false,
        }
    }

    fn store_message(
        &self,
        who: &Session,
        recipient: &User,
        message: MessageOut,
        count: u8,
    ) -> Result<Fate, SandboxError> {
        let now = self.now();
        self.db.write(|tx| {
            let (id, to) = (message.id.to_string(), message.to.clone());
            if let Some(t) = tx.accepted(&who.jid, &to, &id, count)? {
                return Ok(Fate::Repeated(t));
            }
            tx.accept(&who.jid, &to, &id, count, now)?;
            if tx.has_blocked(recipient.id, &who.jid)? {
                return Ok(Fate::Discarded(now));
            }
            let name = tx.user_by_id(who.user)?.and_then(|sender| sender.name);
            let delivered = MessageIn::delivering(message, who.jid.clone(), now, name);
            tx.post(recipient.id, MailClass::Message, &delivered.to_node(self.profile()), now)?;
            self.hold_if_asked(tx, recipient.id)?;
            tx.met(who.user, recipient.id, now)?;
            Ok(Fate::Stored(now))
        })
    }

    fn tell(&self, who: &Session, recipient: &User, id: &str, enc: &Enc, fate: &Fate) -> u64 {
        let (id, to) = (id.to_owned(), recipient.jid.to_string());
        let (t, kind) = match *fate {
            Fate::Stored(t) => {
                self.news(recipient);
                let (enc, bytes) = (enc.kind.to_string(), enc.ciphertext.len());
                (t, EventKind::MessageStored { to, id, enc, bytes })
            }
            Fate::Repeated(t) => (t, EventKind::MessageRepeated { id }),
            Fate::Discarded(t) => (t, EventKind::MessageDiscarded { to, id }),
        };
        self.note(Some(who.connection), Some(&who.jid), kind);
        t
    }

    pub(super) fn typing(&self, who: &Session, typing: &ChatStateOut) -> Result<Outcome, SandboxError> {
        // To nobody, to who has blocked, from who is blocked: dropped silently.
        let Some(peer) = self.live_user(&typing.to)? else { return Ok(Outcome::default()) };
        let blocked = self
            .db
            .read(|tx| Ok(tx.has_blocked(peer.id, &who.jid)? || tx.has_blocked(who.user, &peer.jid)?))?;
        if !blocked {
            let stanza = ChatStateIn { from: who.jid.clone(), participant: None, state: typing.state };
            self.router.whisper(peer.id, stanza.to_node(self.profile()));
        }
        Ok(Outcome::default())
    }
}

//! The journal: what happened, and which rule was broken by whom. It never holds a secret or a text.

use std::collections::VecDeque;
use std::sync::Mutex;

use landbridge_stanza::codes::NackCode;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::push::{PushReason, PushVersion};

/// How many events are kept for those who come later.
const KEPT: usize = 10_000;
/// How many events a slow listener may lag behind.
const LAG: usize = 4_096;

/// A rule of the protocol notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// What it says.
    pub text: &'static str,
    /// Page and section.
    pub section: &'static str,
}

macro_rules! rules {
    ($($(#[$meta:meta])* $name:ident: $section:literal, $text:literal;)+) => {
        impl Rule {
            $(#[doc = $text] pub const $name: Self = Self { text: $text, section: $section };)+
        }
    };
}

rules! {
    HEADER: "noise 1", "a connection begins with the 4 header bytes, before them at most the routing pre-intro";
    FRAME: "noise 1", "a frame has at most 65,535 bytes during the handshake and 16,777,215 after it";
    HANDSHAKE: "noise 3", "the handshake is XX, IK or XXfallback with fields of their exact lengths";
    TRANSPORT: "noise 6", "frames are sealed with one counter per direction, in order";
    PAYLOAD: "wire 1, 7", "a frame holds a flags byte and exactly one stanza within the decoder's limits";
    HTTP_VERSIONS: "SEED", "a partner answers in HTTP/1.1 and in HTTP/2";
    FIRST_BYTE: "reliability 2", "a connection says something within the first seconds";
    HANDSHAKE_TIME: "noise 3", "the handshake is over within its time";
    LOGIN_PAYLOAD: "messages 5, H4", "a login of product INTEROP has an account number, a token and no username";
    LOGIN_VERSION: "noise 7", "a client states a protocol version that is still supported";
    LOGIN_TOKEN: "enlistment 7", "the token is signed by its partner, valid now and names the account's user";
    LOGIN_ACCOUNT: "noise 7", "the account is enlisted and has connected within 30 days";
    LOGIN_KEY: "noise 7", "the static key of the handshake is the enlisted authkey";
    STANZA: "stanzas 2", "a stanza has the form of its kind";
    BEFORE_ACTIVE: "stanzas 3.1", "before `<active/>` come keys and nothing else";
    UNKNOWN_STANZA: "stanzas 2", "clients send stanzas of the catalogue";
    UNKNOWN_REQUEST: "stanzas 2.1", "requests have a namespace of the catalogue";
    MESSAGE_ENC: "stanzas 4.1, 13", "a message of two has one pairwise enc";
    MESSAGE_VERSION: "stanzas 4.2", "enc has v=2";
    MESSAGE_TO: "stanzas 4.3", "a message goes to a user that exists";
    MESSAGE_RATE: "stanzas 13", "a sender stays within its limits";
    MESSAGE_FIRST: "stanzas 4.3", "who was never reached may not be written to";
    MESSAGE_SET: "stanzas 13", "from, t and notify are the server's to set";
    RECEIPT_ID: "stanzas 2.2", "a receipt is about a message of that sender";
    RECEIPT_COUNT: "stanzas 4.1", "a receipt has at most 256 ids";
    ACK_ID: "stanzas 2.2", "an ack is about a stanza that was sent";
    UNACKED: "stanzas 2.2", "what was delivered is acked within a minute";
    MAILBOX_ASK: "stanzas 7", "the client asks for its mailbox with offline_batch";
    KEYS_IDENTITY: "stanzas 5", "uploaded identity and registration id are the enlisted ones";
    KEYS_SIGNATURE: "stanzas 5", "the signed prekey is signed by the identity";
    KEYS_POINT: "enlistment 2", "keys are no low-order points";
    KEYS_COUNT: "stanzas 5", "an upload has a bounded number of one-time prekeys with ids from 1 to 16,777,215";
    BLOCK_DHASH: "stanzas 10", "a change of the block list names the list that it changes";
    BLOCK_ITEM: "stanzas 10", "a block list names other users";
    SUBSCRIBE: "stanzas 9", "presence of others is not subscribed to";
    SILENCE: "stanzas 6", "a connection is not silent for two minutes";
    RETRY_COUNT: "stanzas 4.4", "a message is asked for again five times at most";
    CONTENT: "messages 4", "content keeps the rules of its kind";
    PADDING: "messages 1, D1", "plaintext ends in N bytes of value N";
 PUSH_BEARER: "partner-server 3", "a push is believed with a bearer of WhatsApp for this partner that counts now, and with no other";
    PUSH_ANSWER: "partner-server 3", "a push that is taken is answered with 200";
    DECRYPT: "signal", "a message opens under the recipient's keys";
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Position in the journal, from 1.
    pub seq: u64,
    /// Unix seconds of the sandbox's clock.
    pub t: u64,
    /// The connection, if it belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    /// The account, as a JID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A client connected.
    Connected {
        /// Its address.
        peer: String,
    },
    /// A connection ended.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// A rule was broken.
    Broken {
        /// Which.
        rule: Rule,
        /// In which way.
        detail: String,
    },
    /// Something is unusual but allowed.
    Unusual {
        /// Which rule or habit.
        rule: Rule,
        /// In which way.
        detail: String,
    },
    /// A login was accepted.
    LoggedIn {
        /// `XX`, `IK` or `XXfallback`.
        pattern: &'static str,
        /// The protocol version that the client states.
        version: u32,
    },
    /// A login was refused.
    LoginRefused {
        /// The `reason` of the failure stanza.
        code: u16,
    },
    /// An older connection of the same account was ended.
    Replaced,
    /// A stanza went over a socket.
    Stanza {
        /// `in` or `out`, seen from the sandbox.
        direction: Direction,
        /// Size of the payload in bytes, before encryption.
        bytes: usize,
        /// Size of the frame on the wire in bytes.
        frame: usize,
        /// As XML.
        xml: String,
    },
    /// A user was enlisted, or enlisted again.
    Enlisted {
        /// What that changed.
        change: crate::Change,
    },
    /// An account was deleted, or has expired.
    Removed {
        /// Why.
        reason: &'static str,
    },
    /// The identity of the user changed; so many contacts were told.
    IdentityChanged {
        /// How many.
        contacts: usize,
    },
    /// Keys were uploaded or replaced.
    KeysStored {
        /// One-time prekeys that were new.
        added: usize,
        /// One-time prekeys now held.
        held: u32,
    },
    /// A bundle was given away.
    BundleFetched {
        /// Whose.
        of: String,
        /// Id of the one-time prekey in it.
        prekey: Option<u32>,
    },
    /// A message was stored for its recipient.
    MessageStored {
        /// The recipient.
        to: String,
        /// The message's id.
        id: String,
        /// `pkmsg` or `msg`.
        enc: String,
        /// Size of the ciphertext in bytes.
        bytes: usize,
    },
    /// A message was acked and discarded because its recipient has blocked the sender.
    MessageDiscarded {
        /// The recipient.
        to: String,
        /// The message's id.
        id: String,
    },
    /// A message with an id that was there before.
    MessageRepeated {
        /// The message's id.
        id: String,
    },
    /// A stanza of the mailbox was written to the user's connection.
    Delivered {
        /// `message`, `receipt` or `notification`.
        class: String,
        /// Its id.
        id: String,
        /// Whether it waited in the mailbox before the user came.
        offline: bool,
    },
    /// The recipient has taken a stanza; it left the mailbox.
    Taken {
        /// `message`, `receipt` or `notification`.
        class: String,
        /// Its id.
        id: String,
    },
    /// The recipient refused a message.
    Nacked {
        /// The message's id.
        id: String,
        /// Why.
        code: u16,
    },
    /// A receipt was passed on to the sender of the messages.
    ReceiptForwarded {
        /// The sender of the messages.
        to: String,
        /// First id.
        id: String,
        /// Its type; `delivery` if it has none.
        kind: String,
    },
    /// The block list changed.
    Blocklist {
        /// `block` or `unblock`.
        action: &'static str,
        /// Whom.
        whom: String,
    },
    /// A test phone has opened a message.
    PhoneReceived {
        /// Who wrote it.
        from: String,
        /// The message's id.
        id: String,
        /// What it is.
        kind: String,
        /// What the phone does with it.
        verdict: &'static str,
        /// Kind of the Signal message.
        enc: &'static str,
        /// One-time prekey that it used up.
        #[serde(skip_serializing_if = "Option::is_none")]
        prekey: Option<u32>,
    },
    /// A test phone has sent a message.
    PhoneSent {
        /// To whom.
        to: String,
        /// The message's id.
        id: String,
    },
    /// A test phone got a receipt for a message it had sent.
    PhoneReceipt {
        /// From whom.
        from: String,
        /// First id.
        id: String,
        /// Its type.
        kind: String,
    },
    /// Somebody types to a test phone, or has stopped.
    PhoneTyping {
        /// Who.
        from: String,
        /// `composing`, `recording` or `paused`.
        state: &'static str,
    },
    /// A test phone shows the security notice: the identity of somebody is another one.
    PhoneNotice {
        /// Whose.
        of: String,
        /// The identity before, 64 hex digits, if it was known.
        #[serde(skip_serializing_if = "Option::is_none")]
        old: Option<String>,
        /// The identity now, unless only a notification told of the change.
        #[serde(skip_serializing_if = "Option::is_none")]
        new: Option<String>,
    },
    /// A partner's key set was fetched, or could not be.
    KeySet {
        /// The partner.
        integrator: u16,
        /// What came of it.
        outcome: String,
    },
    /// Somebody asked for the sandbox's own key set, and got it or was told that it is the one that he has.
    KeySetServed {
        /// 200 or 304.
        status: u16,
    },
    /// A push went to a partner.
    Push(Box<PushExchange>),
    /// The media server was asked for a file.
    Media(Box<MediaExchange>),
    /// Behind an exchange, another push for the user is planned: a further try, or a reminder if mail still waits then.
    PushPlanned {
        /// Why.
        why: PushReason,
        /// When, unix seconds of the sandbox's clock.
        due: u64,
    },
    /// A push is not tried again.
    PushGivenUp {
        /// So many tries were made.
        tries: u32,
    },
    /// A partner gets nothing but probes from now on, or everything again.
    PushBreaker {
        /// The partner.
        integrator: u16,
        /// Nothing but probes.
        open: bool,
    },
    /// An enlistment was refused.
    EnlistRefused {
        /// The `reason` of the answer, or the HTTP status.
        reason: String,
        /// The check that failed, without the value that failed it.
        detail: String,
    },
    /// The sandbox did something wrong on purpose.
    FaultInjected {
        /// Name of the fault.
        fault: &'static str,
        /// Id of the stanza that it was done to.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// What exactly.
        detail: String,
    },
    /// A magic number did what it does.
    MagicNumber {
        /// The number.
        number: &'static str,
        /// Id of the stanza that it was done to.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// What exactly.
        detail: String,
    },
    /// Something inside the sandbox failed.
    Internal {
        /// What.
        detail: String,
    },
}

/// One request with a push, and its answer. The hashes tell equal ones from different ones, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PushExchange {
    /// The partner.
    pub integrator: u16,
    /// Why it was sent.
    pub why: PushReason,
    /// Which try of this push it belongs to, from 1.
    pub attempt: u32,
    /// The version of HTTP.
    pub version: PushVersion,
    /// SHA-256 of the bearer, 64 hex digits.
    pub token_sha256: String,
    /// SHA-256 of the body, 64 hex digits.
    pub body_sha256: String,
    /// The status, if there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// `Retry-After` of the answer, in seconds; a date is counted from that of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// How long it took, in milliseconds of the system's clock.
    pub millis: u64,
}

/// One request to the media server, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MediaExchange {
    /// The download path, without what opens the file.
    pub path: String,
    /// The method.
    pub method: String,
    /// Whether a part was asked for.
    pub part: bool,
    /// The partner that has the file, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrator: Option<u32>,
    /// The status.
    pub status: u16,
    /// Bytes of the body that went out.
    pub bytes: u64,
    /// Their SHA-256, 64 hex digits.
    pub body_sha256: String,
    /// Whether the body came to its end.
    pub whole: bool,
    /// How long it took, in milliseconds of the system's clock.
    pub millis: u64,
}

/// Seen from the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client.
    In,
    /// To the client.
    Out,
}

impl EventKind {
    pub(crate) fn nacked(id: &str, code: NackCode) -> Self {
        Self::Nacked { id: id.to_owned(), code: code.number() }
    }
}

/// Keeps the last events and tells listeners of new ones.
#[derive(Debug)]
pub(crate) struct Journal {
    kept: Mutex<Kept>,
    live: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    events: VecDeque<Event>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), live: broadcast::Sender::new(LAG) }
    }

    /// Appends. The lock is held while listeners are told, so that their order is the journal's.
    pub(crate) fn append(&self, t: u64, connection: Option<u64>, user: Option<String>, kind: EventKind) {
        let mut kept = crate::state::lock(&self.kept);
        kept.last += 1;
        let event = Event { seq: kept.last, t, connection, user, kind };
        trace(&event);
        if kept.events.len() == KEPT {
            kept.events.pop_front();
        }
        kept.events.push_back(event.clone());
        // Nobody listening is no failure.
        let _ = self.live.send(event);
    }

    pub(crate) fn since(&self, seq: u64) -> Vec<Event> {
        crate::state::lock(&self.kept).events.iter().filter(|event| event.seq > seq).cloned().collect()
    }

    pub(crate) fn last(&self) -> u64 {
        crate::state::lock(&self.kept).last
    }

    /// What is kept after `seq`, and a listener for what comes behind it: nothing is missed or seen twice.
    pub(crate) fn follow(&self, seq: u64) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let kept = crate::state::lock(&self.kept);
        let live = self.live.subscribe();
        (kept.events.iter().filter(|event| event.seq > seq).cloned().collect(), live)
    }
}

fn trace(event: &Event) {
    match &event.kind {
        EventKind::Broken { rule, detail } => {
            tracing::warn!(
                connection = event.connection,
                rule = rule.text,
                section = rule.section,
                "{detail}"
            );
        }
        EventKind::Internal { detail } => tracing::error!(connection = event.connection, "{detail}"),
        EventKind::Stanza { direction, bytes, xml, .. } => {
            tracing::trace!(connection = event.connection, ?direction, bytes, "{xml}");
        }
        other => tracing::debug!(connection = event.connection, user = event.user, event = ?other),
    }
}

//! What the screen of a phone shows: the last messages of all its chats, in order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use landbridge_proto::content::{self, Content, Context, Kind, Limits};
use landbridge_store::{Fact, InboxEntry, MessageKey, OutState, OutboxEntry, Seen, StoreTx};
use landbridge_wire::Jid;
use serde::{Deserialize, Serialize};

use super::PhoneError;
use super::relate::Reaction;

/// Messages that are shown; older ones are in the store alone.
const SHOWN: usize = 10_000;
/// Messages that a phone still shows after a restart.
const REMEMBERED: usize = 256;
/// Which messages those are.
const FACT: Fact = Fact::new("sandbox.screen");

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    /// To the phone.
    #[serde(rename = "in")]
    Received,
    /// From the phone.
    #[serde(rename = "out")]
    Sent,
}

/// How far a message has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// Received: it cannot be opened, and was asked for again.
    Waiting,
    /// Received and on the screen.
    Shown,
    /// Sent: not acked by the server.
    Pending,
    /// Sent: acked by the server.
    Sent,
    /// Sent: refused, or given up.
    Failed,
    /// Sent: on the recipient's device.
    Delivered,
    /// Received: the phone's user has read it. Sent: the recipient has.
    Read,
    /// Received: the phone's user has played it. Sent: the recipient has.
    Played,
}

impl From<OutState> for MessageState {
    fn from(state: OutState) -> Self {
        match state {
            OutState::Pending => Self::Pending,
            OutState::Sent => Self::Sent,
            OutState::Failed => Self::Failed,
            OutState::Delivered => Self::Delivered,
            OutState::Read => Self::Read,
            OutState::Played => Self::Played,
        }
    }
}

/// A message on the screen of a phone.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PhoneMessage {
    /// Place on the screen, from 1, growing.
    pub seq: u64,
    /// Number of the last change of this message among all changes of the phone's screen.
    pub change: u64,
    /// Which way it went.
    pub direction: Direction,
    /// The other side's address.
    pub peer: String,
    /// The message's id, unique per chat and direction.
    pub id: String,
    /// Received: the server's time. Sent: when it was made. Unix seconds.
    pub t: u64,
    /// What it is: `text`, `reaction`, …; `unsupported` for a placeholder.
    pub kind: String,
    /// The text, caption or emoji.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Id of the message that this one answers, reacts to, edits or takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// How far it has got.
    pub state: MessageState,
    /// Reactions to it: the other side's (`in`) and the phone's own (`out`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reactions: BTreeMap<Direction, Reaction>,
    /// When its author last edited it, by the author's clock, in unix milliseconds. The text is then the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_ms: Option<i64>,
    /// Its author has taken it back: the text is gone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
    /// The name that the other side shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    /// Why it failed or cannot be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Of a reaction or an edit: when it was made, by its author's clock, in unix milliseconds.
    #[serde(skip)]
    pub(super) stamp_ms: Option<i64>,
}

impl fmt::Debug for PhoneMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, change, direction, peer, id, t, kind, text, about, state, revoked, failure, .. } =
            self;
        f.debug_struct("PhoneMessage")
            .field("seq", seq)
            .field("change", change)
            .field("direction", direction)
            .field("peer", peer)
            .field("id", id)
            .field("t", t)
            .field("kind", kind)
            .field("text", &text.as_ref().map(|text| format!("[{} bytes redacted]", text.len())))
            .field("about", about)
            .field("state", state)
            .field("revoked", revoked)
            .field("failure", failure)
            .finish_non_exhaustive()
    }
}

impl PhoneMessage {
    /// A message that has no place yet.
    pub(super) fn new(direction: Direction, peer: &Jid, id: &str, t: u64) -> Self {
        Self {
            seq: 0,
            change: 0,
            direction,
            peer: peer.to_string(),
            id: id.to_owned(),
            t,
            kind: Kind::Unsupported.as_str().to_owned(),
            text: None,
            about: None,
            state: match direction {
                Direction::Received => MessageState::Shown,
                Direction::Sent => MessageState::Pending,
            },
            reactions: BTreeMap::new(),
            edited_ms: None,
            revoked: false,
            notify: None,
            failure: None,
            stamp_ms: None,
        }
    }

    /// The same with what its content says.
    pub(super) fn with_content(mut self, content: &Content) -> Self {
        self.kind = content.kind().as_str().to_owned();
        self.text = content.reaction().or(content.shown_text()).map(Into::into);
        let quoted = content.context_info().and_then(|context| context.stanza_id.as_deref());
        let target = content.target().and_then(|key| key.id.as_deref());
        self.about = target.or(quoted).map(Into::into);
        self.stamp_ms = content.sender_timestamp_ms();
        self
    }

    /// Whether the phone's user has yet to read it.
    pub(super) fn is_unread(&self) -> bool {
        self.direction == Direction::Received && self.state == MessageState::Shown
    }

    fn of_inbox(entry: &InboxEntry, me: &Jid, limits: &Limits) -> Option<Self> {
        let message = &entry.message;
        let peer: Jid = message.key.chat.parse().ok()?;
        let line = Self::new(Direction::Received, &peer, &message.key.id, message.t);
        let line = Self { notify: message.notify.clone(), ..line };
        let content =
            content::decode(&message.plaintext, &Context::direct(&message.key.chat, &me.to_string()), limits);
        Some(match content {
            Ok(content) => line.with_content(&content),
            Err(_) => line,
        })
    }

    fn of_outbox(entry: &OutboxEntry, me: &Jid, limits: &Limits) -> Option<Self> {
        let message = &entry.message;
        let peer: Jid = message.recipient.parse().ok()?;
        let line = Self {
            state: entry.state.into(),
            failure: entry.failure.clone(),
            ..Self::new(Direction::Sent, &peer, &message.id, message.created_at)
        };
        let (from, to) = (me.to_string(), message.recipient.as_str());
        Some(match content::decode(&message.plaintext, &Context::direct(&from, to), limits) {
            Ok(content) => line.with_content(&content),
            Err(_) => line,
        })
    }
}

/// The place of a message: direction, peer, id.
type Place = (Direction, String, String);

/// The screen.
#[derive(Debug, Default)]
pub(super) struct Screen {
    lines: VecDeque<PhoneMessage>,
    places: HashMap<Place, u64>,
    /// By peer and id: messages that said something about one that is not here yet.
    pub(super) early: HashMap<(String, String), Vec<u64>>,
    last_seq: u64,
    changes: u64,
}

/// What is remembered of the screen: which messages, in order. All else about them is in the store.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    last_seq: u64,
    lines: Vec<RememberedLine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RememberedLine {
    direction: Direction,
    peer: String,
    id: String,
    read: bool,
    #[serde(default)]
    played: bool,
}

impl RememberedLine {
    fn of(line: &PhoneMessage) -> Self {
        Self {
            direction: line.direction,
            peer: line.peer.clone(),
            id: line.id.clone(),
            read: line.direction == Direction::Received && line.state == MessageState::Read,
            played: line.direction == Direction::Received && line.state == MessageState::Played,
        }
    }
}

impl Screen {
    /// The screen as it was when the phone was last open.
    pub(super) fn load(tx: &dyn StoreTx, me: &Jid, limits: &Limits) -> Result<Self, PhoneError> {
        let remembered: Remembered = match tx.fact(FACT)? {
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|_| PhoneError::Incomplete { what: "readable record of its screen" })?,
            None => Remembered::default(),
        };
        let last_seq = remembered.last_seq.saturating_sub(remembered.lines.len() as u64);
        let mut screen = Self { last_seq, ..Self::default() };
        for line in &remembered.lines {
            match line.load(tx, me, limits)? {
                Some(message) => drop(screen.push(message)),
                None => screen.last_seq += 1,
            }
        }
        Ok(screen)
    }

    /// Writes down that the screen will show `line` too, before it does.
    pub(super) fn remember_with(&self, tx: &mut dyn StoreTx, line: &PhoneMessage) -> Result<(), PhoneError> {
        let skip = self.lines.len().saturating_sub(REMEMBERED - 1);
        let lines = self.lines.iter().skip(skip).chain([line]).map(RememberedLine::of).collect();
        remember(tx, &Remembered { last_seq: self.last_seq + 1, lines })
    }

    /// Writes down that the messages `ids` of `peer` will be read, or played, before they are.
    pub(super) fn remember_seen(
        &self,
        tx: &mut dyn StoreTx,
        peer: &str,
        ids: &[&str],
        seen: MessageState,
    ) -> Result<(), PhoneError> {
        let skip = self.lines.len().saturating_sub(REMEMBERED);
        let lines = self.lines.iter().skip(skip).map(|line| {
            let now = line.direction == Direction::Received
                && line.peer == peer
                && ids.iter().any(|id| *id == line.id);
            let line = RememberedLine::of(line);
            RememberedLine {
                read: line.read || (now && seen == MessageState::Read),
                played: line.played || (now && seen == MessageState::Played),
                ..line
            }
        });
        remember(tx, &Remembered { last_seq: self.last_seq, lines: lines.collect() })
    }

    /// Writes down what the screen shows, as it is.
    pub(super) fn remember(&self, tx: &mut dyn StoreTx) -> Result<(), PhoneError> {
        let skip = self.lines.len().saturating_sub(REMEMBERED);
        let lines = self.lines.iter().skip(skip).map(RememberedLine::of).collect();
        remember(tx, &Remembered { last_seq: self.last_seq, lines })
    }

    /// Shows a message. Returns it with its place.
    pub(super) fn push(&mut self, mut line: PhoneMessage) -> PhoneMessage {
        self.last_seq += 1;
        self.changes += 1;
        line.seq = self.last_seq;
        line.change = self.changes;
        if self.lines.len() == SHOWN
            && let Some(old) = self.lines.pop_front()
        {
            if let Some(about) = old.about {
                self.early.remove(&(old.peer.clone(), about));
            }
            self.places.remove(&(old.direction, old.peer, old.id));
        }
        self.places.insert((line.direction, line.peer.clone(), line.id.clone()), line.seq);
        self.lines.push_back(line.clone());
        self.relate(&line);
        line
    }

    /// Fills the placeholder of a message. What was said about it meanwhile stays.
    pub(super) fn fill(&mut self, line: PhoneMessage) -> Option<PhoneMessage> {
        let (direction, peer, id) = (line.direction, line.peer.clone(), line.id.clone());
        let filled = self.update(direction, &peer, &id, |place| {
            let reactions = std::mem::take(&mut place.reactions);
            *place = PhoneMessage { seq: place.seq, reactions, ..line };
        })?;
        self.relate(&filled);
        Some(filled)
    }

    /// Changes a message that is shown. Returns it as it is then.
    pub(super) fn update(
        &mut self,
        direction: Direction,
        peer: &str,
        id: &str,
        change: impl FnOnce(&mut PhoneMessage),
    ) -> Option<PhoneMessage> {
        let seq = *self.places.get(&(direction, peer.to_owned(), id.to_owned()))?;
        let at = self.lines.binary_search_by_key(&seq, |line| line.seq).ok()?;
        let line = self.lines.get_mut(at)?;
        change(line);
        self.changes += 1;
        line.change = self.changes;
        Some(line.clone())
    }

    /// A message that is shown.
    pub(super) fn get(&self, direction: Direction, peer: &str, id: &str) -> Option<&PhoneMessage> {
        self.at(*self.places.get(&(direction, peer.to_owned(), id.to_owned()))?)
    }

    /// The message at a place of the screen.
    pub(super) fn at(&self, seq: u64) -> Option<&PhoneMessage> {
        let at = self.lines.binary_search_by_key(&seq, |line| line.seq).ok()?;
        self.lines.get(at)
    }

    /// All messages that are shown, in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &PhoneMessage> {
        self.lines.iter()
    }

    /// The messages that have changed after change number `after`, in the order of the screen. A number that has not
    /// been reached comes from before a restart, and stands for 0.
    pub(super) fn since(&self, after: u64) -> Vec<PhoneMessage> {
        let after = if after > self.changes { 0 } else { after };
        self.lines.iter().filter(|line| line.change > after).cloned().collect()
    }

    /// How many changes there were.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }
}

fn remember(tx: &mut dyn StoreTx, what: &Remembered) -> Result<(), PhoneError> {
    let bytes = serde_json::to_vec(what)
        .map_err(|_| PhoneError::Incomplete { what: "writable record of its screen" })?;
    Ok(tx.set_fact(FACT, Some(&bytes))?)
}

impl RememberedLine {
    /// The message, if the store has it.
    fn load(&self, tx: &dyn StoreTx, me: &Jid, limits: &Limits) -> Result<Option<PhoneMessage>, PhoneError> {
        if self.direction == Direction::Sent {
            let entry = tx.outgoing(&self.peer, &self.id)?;
            return Ok(entry.and_then(|entry| PhoneMessage::of_outbox(&entry, me, limits)));
        }
        let key = MessageKey::direct(self.peer.as_str(), self.id.as_str());
        if let Some(entry) = tx.message(&key)? {
            let line = PhoneMessage::of_inbox(&entry, me, limits);
            let state = match (self.played, self.read) {
                (true, _) => MessageState::Played,
                (false, true) => MessageState::Read,
                (false, false) => MessageState::Shown,
            };
            return Ok(line.map(|line| PhoneMessage { state, ..line }));
        }
        let (Seen::Undecryptable(failed), Ok(peer)) = (tx.seen(&key)?, self.peer.parse()) else {
            return Ok(None);
        };
        let line = PhoneMessage::new(Direction::Received, &peer, &self.id, failed.t);
        Ok(Some(PhoneMessage { state: MessageState::Waiting, failure: Some(failed.reason), ..line }))
    }
}

//! Faults of a connection: what is done to its stanzas and bytes on their way out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use landbridge_stanza::stream::StreamError;
use landbridge_wire::{Jid, Node, NodeRef};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::frames::{SocketError, write_all};
use crate::faults::{Dice, Fault, stanza};
use crate::state::State;

/// A connection that is to die does so with one of so many frames.
const FRAMES: u64 = 30;
/// A split write has at most so many parts more.
const PARTS: u64 = 4;
/// Between the parts of a split write, so that they travel by themselves.
const PART_PAUSE: Duration = Duration::from_millis(1);

/// How a connection leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// In good order.
    Close,
    /// Inside a frame, without a goodbye.
    Reset,
    /// Not at all: it is there and does nothing.
    HalfOpen,
}

/// A connection's death by a fault.
#[derive(Debug)]
struct Death {
    fate: Fate,
    frame: u64,
    dice: Dice,
}

/// See the [module](self).
pub(super) struct Mischief {
    state: Arc<State>,
    connection: u64,
    user: Option<Jid>,
    death: Option<Death>,
    /// Frames sent since this began.
    frames: u64,
    /// Bytes that wait for the next write, and until when.
    held: Option<(Vec<u8>, Instant)>,
    /// Stanzas that come late.
    later: BTreeMap<(Instant, u64), Node>,
    delayed: u64,
    /// When it is decided next whether the stream ends.
    tick: Instant,
}

impl Mischief {
    pub(super) fn new(state: &Arc<State>, connection: u64, user: Option<Jid>) -> Self {
        let faults = &state.faults;
        let death = |fault, fate| {
            let mut dice = faults.roll(fault)?;
            Some(Death { fate, frame: 1 + dice.below(FRAMES), dice })
        };
        Self {
            death: death(Fault::TcpReset, Fate::Reset).or_else(|| death(Fault::TcpHalfOpen, Fate::HalfOpen)),
            connection,
            user,
            frames: 0,
            held: None,
            later: BTreeMap::new(),
            delayed: 0,
            tick: Instant::now() + state.config.fault_times.stream_end,
            state: Arc::clone(state),
        }
    }

    fn say(&self, fault: Fault, id: Option<&str>, detail: impl Into<String>) {
        self.state.injected(fault, Some(self.connection), self.user.as_ref(), id, detail);
    }

    /// The stanzas that go now; the others come [later](Self::due).
    pub(super) fn arrange(&mut self, stanzas: &[Node]) -> Vec<Node> {
        let mut now = Vec::with_capacity(stanzas.len() + 1);
        for stanza in stanzas {
            let view = stanza.view();
            if view.is("ib") {
                // The mailbox is not said to be empty while something of it is on its way.
                now.append(&mut self.messages());
            }
            if let Some(due) = self.delay(view) {
                self.delayed += 1;
                self.later.insert((due, self.delayed), stanza.clone());
                continue;
            }
            if view.is("message") {
                self.message(stanza, &mut now);
                self.repeat(stanza);
            } else {
                now.push(self.extras(stanza.clone()));
            }
        }
        if !now.is_empty()
            && let Some(mut dice) = self.state.faults.roll(Fault::StanzaUnknown)
        {
            let unknown = stanza::unknown(self.state.now(), &mut dice);
            self.say(Fault::StanzaUnknown, id(unknown.view()).as_deref(), "behind the others");
            now.push(unknown);
        }
        now
    }

    /// Until when a stanza is to wait.
    fn delay(&self, stanza: NodeRef<'_>) -> Option<Instant> {
        let times = &self.state.config.fault_times;
        let (fault, most) = if stanza.is("ack") {
            (Fault::AckLate, times.ack)
        } else if stanza.is("iq")
            && stanza.attr_str("type").is_some_and(|kind| kind != "get" && kind != "set")
        {
            (Fault::IqLate, times.iq)
        } else if stanza.is("message") {
            (Fault::MessageReordered, times.reorder)
        } else {
            return None;
        };
        let delay = self.state.faults.roll(fault)?.up_to(most);
        self.say(fault, id(stanza).as_deref(), format!("{} ms late", delay.as_millis()));
        Some(Instant::now() + delay)
    }

    fn message(&self, stanza: &Node, now: &mut Vec<Node>) {
        let view = stanza.view();
        let id = id(view);
        let (faults, id) = (&self.state.faults, id.as_deref());
        // Only what can be damaged is decided upon.
        if faults.may(Fault::Undecryptable)
            && let Some(damaged) = stanza::damaged(view, self.state.profile())
            && faults.roll(Fault::Undecryptable).is_some()
        {
            self.say(Fault::Undecryptable, id, "one byte of the ciphertext is another");
            // Once only: the ack of a second damaged copy would be taken for that of the good one.
            now.push(self.extras(damaged));
            return;
        }
        now.push(self.extras(stanza.clone()));
        if faults.roll(Fault::MessageTwice).is_some() {
            self.say(Fault::MessageTwice, id, "at once");
            now.push(stanza.clone());
        }
    }

    /// A message that begins a session comes once more, when its keys have been used.
    fn repeat(&mut self, stanza: &Node) {
        let view = stanza.view();
        let begins =
            view.child("enc").and_then(|enc| enc.attr_str("type")).is_some_and(|kind| kind == "pkmsg");
        if !begins {
            return;
        }
        let Some(mut dice) = self.state.faults.roll(Fault::PrekeyRepeated) else { return };
        let delay = dice.up_to(self.state.config.fault_times.reorder);
        self.say(Fault::PrekeyRepeated, id(view).as_deref(), format!("{} ms later", delay.as_millis()));
        self.delayed += 1;
        self.later.insert((Instant::now() + delay, self.delayed), stanza.clone());
    }

    fn extras(&self, node: Node) -> Node {
        match self.state.faults.roll(Fault::StanzaExtras) {
            Some(mut dice) => {
                let tag = node.view().tag().into_owned();
                self.say(Fault::StanzaExtras, id(node.view()).as_deref(), format!("<{tag}>"));
                stanza::with_extras(node, &mut dice)
            }
            None => node,
        }
    }

    /// The messages that come late, now.
    fn messages(&mut self) -> Vec<Node> {
        self.later.extract_if(.., |_, stanza| stanza.view().is("message")).map(|(_, stanza)| stanza).collect()
    }

    /// When [`take_due`](Self::take_due), [`take_held`](Self::take_held) or [`stream_end`](Self::stream_end) has
    /// something.
    pub(super) fn due(&self) -> Option<Instant> {
        let later = self.later.first_key_value().map(|((due, _), _)| *due);
        let held = self.held.as_ref().map(|(_, until)| *until);
        let tick = self.state.faults.may(Fault::StreamEnd).then_some(self.tick);
        [later, held, tick].into_iter().flatten().min()
    }

    /// Late stanzas whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Node> {
        let mut due = Vec::new();
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            due.push(entry.remove());
        }
        due
    }

    /// Whether bytes have waited long enough.
    pub(super) fn is_held_due(&self, now: Instant) -> bool {
        self.held.as_ref().is_some_and(|(_, until)| *until <= now)
    }

    /// The bytes that go before all others.
    pub(super) fn take_held(&mut self) -> Vec<u8> {
        self.held.take().map(|(bytes, _)| bytes).unwrap_or_default()
    }

    /// Keeps bytes for the next write, by chance. They are given back if they are to be written now.
    pub(super) fn hold(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        if bytes.is_empty() || self.state.faults.roll(Fault::TcpCoalesced).is_none() {
            return Some(bytes);
        }
        self.say(Fault::TcpCoalesced, None, format!("{} bytes wait", bytes.len()));
        self.held = Some((bytes, Instant::now() + self.state.config.fault_times.coalesced));
        None
    }

    /// A frame was sealed: `start` to the end of `bytes`. If the connection is to die with it, only what is still to be
    /// written of it stays there.
    pub(super) fn frame(&mut self, bytes: &mut Vec<u8>, start: usize) -> Option<Fate> {
        self.frames += 1;
        let frames = self.frames;
        let death = self.death.take_if(|death| death.frame == frames)?;
        let Death { fate, mut dice, .. } = death;
        match fate {
            Fate::Close => return None,
            Fate::Reset => {
                let inside = (bytes.len() - start).saturating_sub(1) as u64;
                let kept = 1 + usize::try_from(dice.below(inside)).unwrap_or(0);
                self.say(Fault::TcpReset, None, format!("after {kept} bytes of frame {frames}"));
                bytes.truncate(start + kept);
            }
            Fate::HalfOpen => {
                self.say(Fault::TcpHalfOpen, None, format!("before frame {frames}"));
                bytes.truncate(start);
            }
        }
        Some(fate)
    }

    /// Whether the stream is to end, and how.
    pub(super) fn stream_end(&mut self, now: Instant) -> Option<StreamError> {
        if now < self.tick {
            return None;
        }
        self.tick = now + self.state.config.fault_times.stream_end;
        let mut dice = self.state.faults.roll(Fault::StreamEnd)?;
        let (error, code) = match dice.below(2) {
            0 => (StreamError::Server { code: 503 }, 503),
            _ => (StreamError::Restart, 515),
        };
        self.say(Fault::StreamEnd, None, format!("code {code}"));
        Some(error)
    }
}

fn id(stanza: NodeRef<'_>) -> Option<String> {
    stanza.attr_str("id").map(|id| id.into_owned())
}

/// Writes all of `bytes` within a time, in parts if a fault wants it so.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    state: &State,
    connection: u64,
    writer: &mut W,
    bytes: &[u8],
    limit: Duration,
) -> Result<(), SocketError> {
    let Some(mut dice) = state.faults.roll(Fault::TcpSplit) else {
        return write_all(writer, bytes, limit).await;
    };
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut cuts: Vec<usize> = (0..=dice.below(PARTS))
        .map(|_| usize::try_from(1 + dice.below(length.saturating_sub(1))).unwrap_or(0))
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    state.injected(Fault::TcpSplit, Some(connection), None, None, format!("at {cuts:?} of {length} bytes"));
    let mut written = 0;
    for cut in cuts {
        write_all(writer, bytes.get(written..cut).unwrap_or_default(), limit).await?;
        writer.flush().await?;
        written = cut;
        tokio::time::sleep(PART_PAUSE).await;
    }
    write_all(writer, bytes.get(written..).unwrap_or_default(), limit).await
}

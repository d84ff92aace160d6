//! What others say about a message on the screen: reactions, edits, revokes.

use std::fmt;

use landbridge_proto::content::Kind;
use serde::Serialize;

use super::chat::Screen;
use super::{Direction, PhoneMessage};

/// A reaction to a message.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Reaction {
    /// The emoji; empty once it was taken back.
    pub emoji: String,
    /// When, by the clock of who reacted, in unix milliseconds. The newest counts.
    pub t_ms: i64,
}

impl fmt::Debug for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reaction").field("t_ms", &self.t_ms).finish_non_exhaustive()
    }
}

/// What a message says about another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Reaction,
    Edit,
    Revoke,
}

impl Said {
    fn of(line: &PhoneMessage) -> Option<Self> {
        let kinds = [
            (Kind::Reaction, Self::Reaction),
            (Kind::ReactionRevoke, Self::Reaction),
            (Kind::Edit, Self::Edit),
            (Kind::Revoke, Self::Revoke),
        ];
        kinds.into_iter().find_map(|(kind, said)| (kind.as_str() == line.kind).then_some(said))
    }
}

impl Screen {
    /// A message has come, or can be read now: does what it says about another, and what others said about it before it
    /// came.
    pub(super) fn relate(&mut self, line: &PhoneMessage) {
        if let (Some(said), Some(about)) = (Said::of(line), &line.about)
            && !self.apply(said, line, about)
        {
            self.early.entry((line.peer.clone(), about.clone())).or_default().push(line.seq);
        }
        if self.early.is_empty() {
            return;
        }
        for seq in self.early.remove(&(line.peer.clone(), line.id.clone())).unwrap_or_default() {
            let Some(early) = self.at(seq).cloned() else { continue };
            if let Some(said) = Said::of(&early) {
                self.apply(said, &early, &line.id);
            }
        }
    }

    /// `false`: the message that it is about is not here. Only its author edits a message or takes it back (V14).
    fn apply(&mut self, said: Said, line: &PhoneMessage, about: &str) -> bool {
        let (mine, theirs) = (line.direction, other(line.direction));
        let stamp = line.stamp_ms.unwrap_or_default();
        let target = |screen: &Self, side| screen.get(side, &line.peer, about).is_some().then_some(side);
        let side = match said {
            Said::Reaction => target(self, theirs).or_else(|| target(self, mine)),
            Said::Edit | Said::Revoke => target(self, mine),
        };
        let Some(side) = side else { return false };
        self.update(side, &line.peer, about, |target| match said {
            Said::Reaction => {
                let new = Reaction { emoji: line.text.clone().unwrap_or_default(), t_ms: stamp };
                let old = target.reactions.entry(mine).or_insert_with(|| new.clone());
                if old.t_ms <= stamp {
                    *old = new;
                }
            }
            Said::Edit if target.edited_ms.is_none_or(|last| last <= stamp) && !target.revoked => {
                target.edited_ms = Some(stamp);
                target.text.clone_from(&line.text);
            }
            Said::Edit => {}
            Said::Revoke => {
                target.revoked = true;
                target.text = None;
            }
        });
        true
    }
}

const fn other(side: Direction) -> Direction {
    match side {
        Direction::Received => Direction::Sent,
        Direction::Sent => Direction::Received,
    }
}

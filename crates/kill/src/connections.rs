//! Which connection belongs to which life, and how it ended: only a kill excuses what was cut off.

use std::collections::{BTreeMap, VecDeque};

use landbridge_sandbox::events::{Event, EventKind, Rule};

/// How the sandbox names the end of a connection whose client took its leave, and of which everything was read.
const IN_ORDER: &str = "the client ended the stream";

/// The rule that a client breaks if it is killed while it shakes hands. Later its end breaks none.
const CUT: Rule = Rule::HANDSHAKE;

/// Connections are told in the order in which the server accepted them. Between those of two lives the supervisor makes one
/// itself, a milestone: by then those of the life before were made, and none of the next.
#[derive(Debug)]
pub(crate) struct Connections {
    /// Addresses of the milestones that the server has not told of yet.
    milestones: VecDeque<String>,
    /// The life whose connections come now.
    life: u32,
    of_lives: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    /// `None`: a milestone.
    life: Option<u32>,
    ended: Option<String>,
    /// How it broke [`CUT`].
    cut: Option<String>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { milestones: VecDeque::new(), life: 1, of_lives: BTreeMap::new() }
    }
}

impl Connections {
    /// The supervisor has connected from this address, after a life.
    pub(crate) fn milestone(&mut self, address: String) {
        self.milestones.push_back(address);
    }

    /// Takes an event in. Gives what is wrong with it.
    pub(crate) fn event(&mut self, event: &Event) -> Option<String> {
        let connection = event.connection.and_then(|id| self.of_lives.get_mut(&id));
        match &event.kind {
            EventKind::Connected { peer } => self.connected(event.connection?, peer),
            EventKind::Disconnected { reason } => connection?.ended = Some(reason.clone()),
            EventKind::Broken { rule, detail } => match connection {
                Some(connection) if *rule == CUT => connection.cut = Some(detail.clone()),
                _ => return Some(format!("a rule was broken: {}: {detail}", rule.text)),
            },
            _ => {}
        }
        None
    }

    fn connected(&mut self, id: u64, peer: &str) {
        let life = if self.milestones.front().is_some_and(|first| first == peer) {
            self.milestones.pop_front();
            self.life += 1;
            None
        } else {
            Some(self.life)
        };
        self.of_lives.insert(id, Connection { life, ended: None, cut: None });
    }

    /// Whether all that were made are over.
    pub(crate) fn are_over(&self) -> bool {
        self.milestones.is_empty() && self.of_lives.values().all(|connection| connection.ended.is_some())
    }

    /// How many handshakes the kills of these lives have cut off.
    pub(crate) fn cut(&self, killed: &[u32]) -> usize {
        let by_kill = |it: &&Connection| it.cut.is_some() && it.life.is_some_and(|it| killed.contains(&it));
        self.of_lives.values().filter(by_kill).count()
    }

    /// What lives that were not killed have left half done.
    pub(crate) fn violations(&self, killed: &[u32]) -> Vec<String> {
        let mut violations = Vec::new();
        for (id, Connection { life, ended, cut }) in &self.of_lives {
            let Some(life) = life.filter(|life| !killed.contains(life)) else { continue };
            if let Some(detail) = cut {
                violations
                    .push(format!("connection {id} of life {life} broke a rule: {}: {detail}", CUT.text));
            }
            if let Some(ended) = ended.as_ref().filter(|ended| *ended != IN_ORDER) {
                violations.push(format!("connection {id} of life {life} did not end in order: {ended}"));
            }
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(connection: u64, kind: EventKind) -> Event {
        Event { seq: 1, t: 0, connection: Some(connection), user: None, kind }
    }

    fn told(connections: &mut Connections, id: u64, kind: EventKind) -> Option<String> {
        connections.event(&event(id, kind))
    }

    /// Two lives with one connection each, the first of which is killed, and a milestone behind each.
    fn two_lives(kinds: [Vec<EventKind>; 2]) -> (Connections, Vec<String>) {
        let (mut connections, mut wrong) = (Connections::default(), Vec::new());
        // Both milestones are known before the server has told of anything.
        connections.milestone("milestone 1".to_owned());
        connections.milestone("milestone 2".to_owned());
        for (life, kinds) in (1..).zip(kinds) {
            let (id, milestone) = (2 * life, 2 * life + 1);
            let came = |peer: String| EventKind::Connected { peer };
            wrong.extend(told(&mut connections, id, came(format!("life {life}"))));
            wrong.extend(told(&mut connections, milestone, came(format!("milestone {life}"))));
            let gone = EventKind::Broken { rule: CUT, detail: "it closed".to_owned() };
            wrong.extend(told(&mut connections, milestone, gone));
            wrong.extend(told(&mut connections, milestone, ended("it closed")));
            for kind in kinds {
                wrong.extend(told(&mut connections, id, kind));
            }
        }
        (connections, wrong)
    }

    fn broken(rule: Rule) -> EventKind {
        EventKind::Broken { rule, detail: "so".to_owned() }
    }

    fn ended(reason: &str) -> EventKind {
        EventKind::Disconnected { reason: reason.to_owned() }
    }

    #[test]
    fn a_kill_excuses_what_it_cuts_off() {
        let kinds = [vec![broken(CUT), ended("the connection broke")], vec![ended(IN_ORDER)]];
        let (connections, wrong) = two_lives(kinds);
        assert!(wrong.is_empty() && connections.violations(&[1]).is_empty(), "{connections:?}");
        assert!(connections.are_over());
        assert_eq!((connections.cut(&[1]), connections.cut(&[2])), (1, 0));
    }

    #[test]
    fn nothing_else_is_excused() {
        let orderly = || vec![ended(IN_ORDER)];
        for (kinds, of_life) in [
            ([orderly(), vec![broken(CUT), ended(IN_ORDER)]], true),
            ([orderly(), vec![ended("the connection broke")]], true),
            ([vec![broken(Rule::HEADER), ended("a wrong header")], orderly()], false),
            ([vec![broken(Rule::FRAME), ended("a frame too long")], orderly()], false),
            ([vec![broken(Rule::TRANSPORT), ended("not sealed in order")], orderly()], false),
        ] {
            let (connections, wrong) = two_lives(kinds);
            let found = (wrong.len(), connections.violations(&[1]).len());
            assert_eq!(found, if of_life { (0, 1) } else { (1, 0) }, "{connections:?}");
        }
    }

    #[test]
    fn a_connection_without_an_end_is_not_over() {
        let (connections, _) = two_lives([vec![ended("it closed")], vec![]]);
        assert!(!connections.are_over());
    }
}

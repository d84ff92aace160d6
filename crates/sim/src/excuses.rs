//! What the sandbox does wrong on purpose, and what that explains: an oddity that nothing explains is a violation.

use std::collections::BTreeSet;

use landbridge_sandbox::faults::Fault;

use crate::trace::Oddity;

/// Faults that damage one copy of a message.
const DAMAGE: [Fault; 2] = [Fault::RetryAsked, Fault::Undecryptable];
/// Faults that make a connection end without a goodbye or a stanza stay unanswered.
const CUT: [Fault; 3] = [Fault::TcpReset, Fault::TcpHalfOpen, Fault::HandshakeRefused];

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Excuses {
    /// Messages of which a copy was damaged.
    damaged: BTreeSet<String>,
    /// Addresses whose identity has changed.
    renewed: BTreeSet<String>,
    /// Pairs that lost a session: who lost it, with whom.
    lost: BTreeSet<(String, String)>,
    /// Connections that were cut.
    cut: BTreeSet<u64>,
}

impl Excuses {
    /// A fault was injected.
    pub(crate) fn injected(&mut self, fault: &str, id: Option<&str>, connection: Option<u64>) {
        let is_one_of = |faults: &[Fault]| faults.iter().any(|known| known.name() == fault);
        if is_one_of(&DAMAGE) {
            self.damaged.extend(id.map(str::to_owned));
        }
        if is_one_of(&CUT) {
            self.cut.extend(connection);
        }
    }

    /// A phone was set up anew.
    pub(crate) fn renewed(&mut self, address: &str) {
        self.renewed.insert(address.to_owned());
    }

    /// A phone has lost its session with somebody.
    pub(crate) fn lost(&mut self, phone: &str, peer: &str) {
        self.lost.insert((phone.to_owned(), peer.to_owned()));
    }

    /// Whether a connection was cut on purpose.
    pub(crate) fn was_cut(&self, connection: u64) -> bool {
        self.cut.contains(&connection)
    }

    /// Whether something explains the oddity.
    pub(crate) fn explain(&self, oddity: &Oddity) -> bool {
        let (from, to) = &oddity.between;
        self.renewed.contains(from)
            || self.renewed.contains(to)
            || self.lost.contains(&(to.clone(), from.clone()))
            || oddity.ids.iter().any(|id| self.damaged.contains(id))
    }
}

/// Whether a fault changes the order in which a message is shown.
pub(crate) fn reorders(fault: &str) -> bool {
    fault == Fault::MessageReordered.name() || DAMAGE.iter().any(|known| known.name() == fault)
}

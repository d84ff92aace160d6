//! Messages that were overtaken by keys. A client that fetches a peer's keys, while a message of the peer's identity before
//! still waits in its mailbox, meets the identities in the wrong order: the late message looks like a change back.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::Party;

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Overtaken {
    /// How often each party was set up anew.
    renewals: BTreeMap<Party, usize>,
    /// Recipient and id of what waits in a mailbox, to its author and how often that had been set up anew by then.
    waiting: BTreeMap<(Party, String), (Party, usize)>,
    /// Who has fetched whose keys too early.
    pairs: BTreeSet<(Party, Party)>,
}

impl Overtaken {
    pub(crate) fn stored(&mut self, from: Party, to: Party, id: &str) {
        let renewals = self.renewals(from);
        self.waiting.entry((to, id.to_owned())).or_insert((from, renewals));
    }

    pub(crate) fn taken(&mut self, by: Party, id: &str) {
        self.waiting.remove(&(by, id.to_owned()));
    }

    pub(crate) fn set_up_anew(&mut self, who: Party) {
        *self.renewals.entry(who).or_default() += 1;
    }

    /// How often somebody was set up anew.
    pub(crate) fn renewals(&self, who: Party) -> usize {
        self.renewals.get(&who).copied().unwrap_or(0)
    }

    pub(crate) fn fetched(&mut self, by: Party, whose: Party) {
        let now = self.renewals(whose);
        let older = |((to, _), (from, then)): (&(Party, String), &(Party, usize))| {
            *to == by && *from == whose && *then < now
        };
        if self.waiting.iter().any(older) {
            self.pairs.insert((by, whose));
        }
    }

    /// Whether messages of one party may have shown another the identity before.
    pub(crate) fn explains(&self, on: Party, whose: Party) -> bool {
        self.pairs.contains(&(on, whose))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Steps<'s> = &'s [&'s dyn Fn(&mut Overtaken)];

    const CLIENT: Party = Party::Client(0);
    const PHONE: Party = Party::Phone(0);

    #[test]
    fn only_what_waits_and_is_of_the_identity_before_is_overtaken() {
        let waits = |overtaken: &mut Overtaken| overtaken.stored(PHONE, CLIENT, "1");
        let taken = |overtaken: &mut Overtaken| overtaken.taken(CLIENT, "1");
        let anew = |overtaken: &mut Overtaken| overtaken.set_up_anew(PHONE);
        let fetched = |overtaken: &mut Overtaken| overtaken.fetched(CLIENT, PHONE);
        let steps: [(Steps<'_>, bool); 5] = [
            (&[&waits, &anew, &fetched], true),
            (&[&anew, &waits, &fetched], false),
            (&[&waits, &fetched, &anew], false),
            (&[&waits, &taken, &anew, &fetched], false),
            (&[&anew, &fetched], false),
        ];
        for (number, (steps, expected)) in steps.into_iter().enumerate() {
            let mut overtaken = Overtaken::default();
            for step in steps {
                step(&mut overtaken);
            }
            assert_eq!(overtaken.explains(CLIENT, PHONE), expected, "{number}");
            assert!(!overtaken.explains(PHONE, CLIENT));
        }
    }
}

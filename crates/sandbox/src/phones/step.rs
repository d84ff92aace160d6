//! One step: a transaction, what to work with inside it, and what follows once it is kept.

use std::collections::BTreeMap;

use landbridge_proto::content::Limits;
use landbridge_signal::IdentityChange;
use landbridge_stanza::Profile;
use landbridge_store::{Noted, Sighting, StoreTx};
use landbridge_wire::Jid;
use rand::CryptoRng;

use super::chat::Screen;
use super::garbage::Garbage;
use super::{MessageState, Output, Phone, PhoneError, PhoneMessage};

/// What is at hand inside a step, beside the transaction.
pub(super) struct Desk<'a> {
    pub(super) me: &'a Jid,
    pub(super) profile: &'a Profile,
    pub(super) limits: &'a Limits,
    pub(super) screen: &'a Screen,
    pub(super) spoiled: &'a mut BTreeMap<String, Garbage>,
    pub(super) asked_again: &'a mut BTreeMap<(Jid, String), u8>,
    pub(super) rng: &'a mut (dyn CryptoRng + Send),
}

/// What follows once the step is kept.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Done first, in order.
    pub(super) out: Vec<Output>,
    /// Then this is shown; a placeholder of the same message gives way.
    pub(super) line: Option<PhoneMessage>,
    /// And these requests are made.
    pub(super) fetch: Vec<Jid>,
}

impl Plan {
    pub(super) fn of(out: impl IntoIterator<Item = Output>) -> Self {
        Self { out: out.into_iter().collect(), ..Self::default() }
    }
}

impl Phone {
    /// Runs one step. If it fails, nothing has happened.
    pub(super) fn step(
        &mut self,
        work: impl FnOnce(&mut Desk<'_>, &mut dyn StoreTx) -> Result<Plan, PhoneError>,
    ) -> Result<Vec<Output>, PhoneError> {
        let Self { store, rng, profile, limits, jid, screen, spoiled, asked_again, .. } = self;
        let mut desk = Desk { me: jid, profile, limits, screen, spoiled, asked_again, rng: &mut **rng };
        let mut tx = store.begin()?;
        let plan = work(&mut desk, &mut *tx)?;
        tx.commit()?;
        Ok(self.carry_out(plan))
    }

    fn carry_out(&mut self, plan: Plan) -> Vec<Output> {
        let Plan { mut out, line, fetch } = plan;
        if let Some(line) = line {
            out.extend(self.show(line));
        }
        for peer in fetch {
            out.extend(self.fetch(peer));
        }
        out
    }

    /// Shows a message that was received, or fills its placeholder.
    fn show(&mut self, line: PhoneMessage) -> Option<Output> {
        let known = self.screen.get(line.direction, &line.peer, &line.id).is_some();
        let waits = line.state == MessageState::Waiting;
        let line = if known { self.screen.fill(line)? } else { self.screen.push(line) };
        match (waits, known) {
            (true, true) => None,
            (true, false) => Some(Output::Waiting(line)),
            (false, _) => Some(Output::Shown(line)),
        }
    }
}

impl Desk<'_> {
    /// Writes down that a message is on the screen, unless it has a place there.
    pub(super) fn remember(&self, tx: &mut dyn StoreTx, line: &PhoneMessage) -> Result<(), PhoneError> {
        match self.screen.get(line.direction, &line.peer, &line.id) {
            Some(_) => Ok(()),
            None => self.screen.remember_with(tx, line),
        }
    }

    /// The security notice, if the change was not known.
    pub(super) fn notice(
        &self,
        tx: &mut dyn StoreTx,
        peer: &Jid,
        change: IdentityChange,
        now: u64,
    ) -> Result<Option<Output>, PhoneError> {
        let IdentityChange::Changed { old } = change else { return Ok(None) };
        // It is stored: a message or a bundle has shown it.
        let Some(new) = tx.remote_identity(&super::phone::address(peer))? else { return Ok(None) };
        Ok(match tx.note_identity_change(&peer.to_string(), Some(&old), Sighting::Key(&new), now)? {
            Noted::New { .. } => {
                Some(Output::IdentityChanged { peer: peer.clone(), old: Some(old), new: Some(new) })
            }
            Noted::Known => None,
        })
    }
}

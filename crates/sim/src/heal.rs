//! The end of a run: the faults stop, and everything has to come right.

use std::time::Duration;

use landbridge::store::{ClientStore, MemoryStore, StoreError};
use tokio::time::sleep;

use crate::client::chain;
use crate::ledger::Party;
use crate::world::{World, lock};
use crate::{Broken, Calm};

/// Simulated seconds within which everything has to come right: a dead link is noticed, and the longest back-off passes.
const PATIENCE: u32 = 400;

impl World {
    /// Lets everything come right, and checks that it has.
    pub(crate) async fn heal(&mut self) -> Result<u32, Broken> {
        self.step("the faults stop");
        self.network.set_calm(true);
        self.handle().set_faults(Some(Calm::Calm), None);
        for at in 0..self.clients.len() {
            self.release(Party::Client(at));
        }
        for at in 0..self.phones.len() {
            self.release(Party::Phone(at));
            self.phone_comes_back(at);
        }
        let took = self.converge(true).await?;
        // Now that all is well, everybody writes once more.
        for at in 0..self.clients.len() {
            let phone = at % self.phones.len();
            self.client_writes(at, phone);
            self.phone_writes(phone, at);
        }
        self.converge(false).await?;
        self.look_into_stores().await?;
        Ok(took)
    }

    async fn converge(&mut self, unblock: bool) -> Result<u32, Broken> {
        let mut open = Vec::new();
        for second in 0..PATIENCE {
            for at in 0..self.clients.len() {
                self.start(at).await?;
                if let Some(life) = self.clients.get_mut(at).and_then(|seat| seat.life.as_mut()) {
                    life.fate.kill_after(u64::MAX);
                    life.client.wake();
                    if !life.is_running() {
                        life.run();
                    }
                }
            }
            if unblock && second % 20 == 10 {
                let blocks = lock(&self.shared.ledger).blocks();
                blocks.into_iter().for_each(|(who, whom)| self.unblock(who, whom));
            }
            sleep(Duration::from_secs(1)).await;
            self.observe();
            self.ask_stores().await;
            open = self.what_is_open()?;
            if open.is_empty() || !self.shared.trace.violations().is_empty() {
                return Ok(second + 1);
            }
        }
        for what in open {
            self.shared.trace.violation(format!("after {PATIENCE} s of peace: {what}"));
        }
        Ok(PATIENCE)
    }

    /// Clients that were killed may not have told how far their messages had got: their stores know.
    async fn ask_stores(&self) {
        let untold = lock(&self.shared.ledger).untold();
        for (from, to, id) in untold {
            let Party::Client(client) = from else { continue };
            let Some(life) = self.clients.get(client).and_then(|seat| seat.life.as_ref()) else { continue };
            let (Some(address), Ok(message)) = (self.address(to), id.clone().try_into()) else { continue };
            if let Ok(Some(state)) = life.client.message_state(&address, &message).await {
                lock(&self.shared.ledger).state_in_store(from, to, &id, state);
            }
        }
    }

    fn what_is_open(&self) -> Result<Vec<String>, Broken> {
        let mut open = {
            let ledger = lock(&self.shared.ledger);
            let mut open = ledger.open();
            open.extend(ledger.blocks().into_iter().map(|(who, whom)| format!("{who} may block {whom}")));
            open
        };
        if open.is_empty() {
            for user in self.handle().users()? {
                if user.mailbox > 0 || !user.connected {
                    open.push(format!(
                        "{} has {} stanzas to take, connected: {}",
                        user.jid, user.mailbox, user.connected
                    ));
                }
            }
        }
        Ok(open)
    }

    /// Lets all clients go and looks into what they leave behind.
    async fn look_into_stores(&mut self) -> Result<(), Broken> {
        for at in 0..self.clients.len() {
            if let Some(life) = self.clients.get(at).and_then(|seat| seat.life.as_ref()) {
                life.client.disconnect().await;
            }
            // The application has handled everything; its last confirmation follows.
            sleep(Duration::from_secs(1)).await;
            self.observe();
            self.bury(at);
            match self.store_of(at).await {
                Some(mut store) => {
                    for what in leftovers(&mut store)? {
                        self.shared.trace.violation(format!("c{at}: the store still holds {what}"));
                    }
                }
                None => {
                    self.shared.trace.violation(format!("c{at}: a client that was let go holds its store"));
                }
            }
        }
        Ok(())
    }
}

/// What no store may hold when all is said and done.
fn leftovers(store: &mut MemoryStore) -> Result<Vec<String>, StoreError> {
    let tx = store.begin()?;
    let mut found = Vec::new();
    for entry in tx.pending(0, usize::MAX)? {
        found.push(format!("message {} to {}, pending", entry.message.id, entry.message.recipient));
    }
    for entry in tx.owed(usize::MAX)? {
        found.push(format!("an answer to {} owed to {}", entry.answer.id, entry.answer.to));
    }
    for entry in tx.unconfirmed(0, usize::MAX)? {
        found.push(format!("message {} unconfirmed", entry.message.key.id));
    }
    Ok(found)
}

/// A failure of the simulation itself, in one line.
pub(crate) fn broken(error: &(dyn std::error::Error + 'static)) -> String {
    format!("the simulation cannot go on: {}", chain(error))
}

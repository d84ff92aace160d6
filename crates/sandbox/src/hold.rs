//! Messages that are held back and delivered out of order, to show that a client opens them all the same.

use landbridge_wire::Jid;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::SandboxError;
use crate::db::{Tx, UserId};
use crate::state::{State, lock};

/// How many messages are held back before they are let go, and in which order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    count: u32,
    seed: u64,
}

impl State {
    /// Holds back the next `count` messages to a user, then delivers them in an order that `seed` decides.
    pub(crate) fn hold_messages(&self, to: &Jid, count: u32, seed: u64) -> Result<(), SandboxError> {
        let user = self.live_user(to)?.ok_or(SandboxError::NoSuchUser)?;
        if count > 0 {
            lock(&self.holds).insert(user.id, Hold { count, seed });
        }
        Ok(())
    }

    /// Delivers what is held back for a user.
    pub(crate) fn release_messages(&self, to: &Jid) -> Result<(), SandboxError> {
        let user = self.live_user(to)?.ok_or(SandboxError::NoSuchUser)?;
        self.db.write(|tx| {
            let hold = lock(&self.holds).remove(&user.id);
            tx.release(user.id, |held| shuffle(held, hold.map_or(0, |hold| hold.seed)))
        })?;
        self.news(&user);
        Ok(())
    }

    /// Holds the message back that was stored last, if that was asked for, or lets all go with it.
    pub(crate) fn hold_if_asked(&self, tx: &Tx<'_>, user: UserId) -> Result<(), SandboxError> {
        let Some(hold) = lock(&self.holds).get(&user).copied() else { return Ok(()) };
        if tx.hold_last(user)? >= hold.count {
            tx.release(user, |held| shuffle(held, hold.seed))?;
            lock(&self.holds).remove(&user);
        }
        Ok(())
    }
}

/// Shuffles, and not into the order that was there.
fn shuffle(held: &mut [i64], seed: u64) {
    held.shuffle(&mut StdRng::seed_from_u64(seed));
    if held.len() > 1 && held.is_sorted() {
        held.rotate_left(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_the_old_order() {
        for seed in 0..200 {
            for len in 2..5 {
                let mut held: Vec<i64> = (0..len).collect();
                shuffle(&mut held, seed);
                assert!(!held.is_sorted());
                held.sort_unstable();
                assert_eq!(held, (0..len).collect::<Vec<_>>());
            }
        }
    }
}

//! What is planned to be pushed: it outlives the process, so that a restart neither forgets a push nor repeats one.

use rusqlite::Row;

use super::users::{COLUMNS, raw, user};
use super::{Tx, User, UserId, signed, unsigned};
use crate::SandboxError;
use crate::push::PushReason;

/// Name of the time at which plans were last kept.
const CLOCK: &str = "push_clock";
const BROKEN: SandboxError = SandboxError::Record { what: "planned push" };

/// Where the pushes for one user stand. Times are unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptPushes {
    pub(crate) user: UserId,
    /// What is to be sent.
    pub(crate) plan: Option<KeptPlan>,
    /// When the last push for new activity began.
    pub(crate) since: Option<u64>,
    /// When the last try began.
    pub(crate) tried: Option<u64>,
    /// Position in the mailbox up to which everything was thought of.
    pub(crate) seen: i64,
}

/// A push that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptPlan {
    pub(crate) why: PushReason,
    pub(crate) due: u64,
    /// Tries that were made.
    pub(crate) tries: u32,
    /// When the first of them began.
    pub(crate) first: Option<u64>,
}

impl Tx<'_> {
    /// Keeps where the pushes for some users stand, as of `now`. An account that is gone meanwhile has none.
    pub(crate) fn keep_pushes(&self, now: u64, all: &[KeptPushes]) -> Result<(), SandboxError> {
        let mut insert = self.0.prepare_cached(
            "INSERT OR REPLACE INTO pushes (user, why, due, tries, first, since, tried, seen) \
             SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM users WHERE id = ?1",
        )?;
        for kept in all {
            let plan = kept.plan.as_ref();
            insert.execute((
                kept.user.0,
                plan.map(|plan| plan.why.as_str()),
                signed(plan.map_or(0, |plan| plan.due)),
                plan.map_or(0, |plan| plan.tries),
                plan.and_then(|plan| plan.first).map(signed),
                kept.since.map(signed),
                kept.tried.map(signed),
                kept.seen,
            ))?;
        }
        self.set_meta(CLOCK, &now.to_be_bytes())
    }

    /// When plans were last kept, unix milliseconds; 0 if never.
    pub(crate) fn push_clock(&self) -> Result<u64, SandboxError> {
        let Some(bytes) = self.meta(CLOCK)? else { return Ok(0) };
        bytes.try_into().map(u64::from_be_bytes).map_err(|_| BROKEN)
    }

    /// Where the pushes for one user stand, if that was ever kept.
    pub(crate) fn kept_pushes(&self, user: UserId) -> Result<Option<KeptPushes>, SandboxError> {
        let mut query = self.0.prepare_cached(
            "SELECT why, due, tries, first, since, tried, seen FROM pushes WHERE user = ?1",
        )?;
        let mut rows = query.query([user.0])?;
        rows.next()?.map(|row| kept(user, row)).transpose()
    }

    /// Partners' users for whom a push is planned or whose mailbox is not empty, with the position of its last entry.
    pub(crate) fn users_to_push_for(&self) -> Result<Vec<(User, i64)>, SandboxError> {
        let mut query = self.0.prepare_cached(&format!(
            "SELECT {COLUMNS}, (SELECT coalesce(max(seq), 0) FROM mailbox WHERE user = users.id AND held = 0) AS last \
             FROM users WHERE authkey IS NOT NULL \
             AND (id IN (SELECT user FROM mailbox) OR id IN (SELECT user FROM pushes)) ORDER BY id"
        ))?;
        let rows = query.query_map([], |row| Ok((raw(row)?, row.get("last")?)))?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().map(|(row, last)| Ok((user(row)?, last))).collect()
    }

    /// Position of the last entry of a mailbox that is not held back; 0 if there is none.
    pub(crate) fn last_mail(&self, user: UserId) -> Result<i64, SandboxError> {
        let mut query = self
            .0
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM mailbox WHERE user = ?1 AND held = 0")?;
        Ok(query.query_row([user.0], |row| row.get(0))?)
    }
}

fn kept(user: UserId, row: &Row<'_>) -> Result<KeptPushes, SandboxError> {
    let time = |at| -> rusqlite::Result<Option<u64>> { Ok(row.get::<_, Option<i64>>(at)?.map(unsigned)) };
    let plan = match row.get::<_, Option<String>>(0)? {
        None => None,
        Some(why) => Some(KeptPlan {
            why: PushReason::parse(&why).ok_or(BROKEN)?,
            due: unsigned(row.get(1)?),
            tries: row.get(2)?,
            first: time(3)?,
        }),
    };
    Ok(KeptPushes { user, plan, since: time(4)?, tried: time(5)?, seen: row.get(6)? })
}

//! Users who may not enlist (check 17).

use landbridge_enlist::{IntegratorId, UserIdentifier};

use crate::SandboxError;
use crate::state::State;

/// Whether a user may enlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Barred {
    /// The user is answered `blocked`.
    Yes,
    /// The user is not.
    No,
}

/// Bars a user from enlisting, or allows it again. Survives a restart; an account that exists is not touched.
pub(crate) fn set_barred(
    state: &State,
    integrator: IntegratorId,
    identifier: &UserIdentifier,
    barred: Barred,
) -> Result<(), SandboxError> {
    let value: &[u8] = if barred == Barred::Yes { &[1] } else { &[] };
    state.db.write(|tx| tx.set_meta(&name(integrator, identifier), value))
}

pub(super) fn is_barred(
    state: &State,
    integrator: IntegratorId,
    identifier: &UserIdentifier,
) -> Result<bool, SandboxError> {
    let value = state.db.read(|tx| tx.meta(&name(integrator, identifier)))?;
    Ok(value.is_some_and(|value| !value.is_empty()))
}

fn name(integrator: IntegratorId, identifier: &UserIdentifier) -> String {
    format!("barred {integrator} {}", identifier.as_str())
}

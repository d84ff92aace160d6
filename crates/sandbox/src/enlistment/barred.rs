//! Users who may not enlist (check 17).

use landbridge_enlist::{IntegratorId, UserIdentifier};

use crate::state::State;
use crate::{SandboxError, SandboxHandle};

impl SandboxHandle {
    /// Bars a user: the next enlistment is answered `blocked`. Survives a restart; an account that exists is not
    /// touched.
    ///
    /// # Errors
    /// [`SandboxError::Database`].
    pub fn bar_user(
        &self,
        integrator: IntegratorId,
        identifier: &UserIdentifier,
    ) -> Result<(), SandboxError> {
        self.state().db.write(|tx| tx.set_meta(&name(integrator, identifier), &[1]))
    }

    /// Lets a barred user enlist again.
    ///
    /// # Errors
    /// [`SandboxError::Database`].
    pub fn unbar_user(
        &self,
        integrator: IntegratorId,
        identifier: &UserIdentifier,
    ) -> Result<(), SandboxError> {
        self.state().db.write(|tx| tx.set_meta(&name(integrator, identifier), &[]))
    }
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

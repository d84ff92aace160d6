//! What the control API shows of pushes.

use serde::Serialize;

use super::board::{Board, LastPush, PushReason};

/// Who is pushed for, and how the partners fare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PushReport {
    /// One entry for each user whom a push was planned for since the start, in the order of their addresses.
    pub pushes: Vec<UserPushes>,
    /// The partners that pushes were planned for, in the order of their numbers.
    pub partners: Vec<PartnerPushes>,
}

/// Where the pushes for one user stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UserPushes {
    /// Address.
    pub user: String,
    /// Partner.
    pub integrator: u16,
    /// What the push says: the user-visible identifier.
    pub to: String,
    /// Whether anything is to be sent.
    pub state: PushState,
    /// Why, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<PushReason>,
    /// When it is due, unix seconds of the sandbox's clock, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
    /// Tries that were made of it, the present one included.
    pub tries: u32,
    /// How the last exchange for this user ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastPush>,
}

/// Whether anything is to be sent for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PushState {
    /// Nothing is.
    Idle,
    /// A push waits for its time.
    Waiting,
    /// A push is under way.
    Sending,
}

/// How one partner fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartnerPushes {
    /// Its number.
    pub integrator: u16,
    /// Failures in a row.
    pub failures: u32,
    /// When the next probe may go, unix seconds, while the partner is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<u64>,
}

impl Board {
    pub(crate) fn report(&self) -> PushReport {
        let users = self.entries().map(|(to, plan, sending, last)| {
            let (state, plan) = match (sending, plan) {
                (Some(plan), _) => (PushState::Sending, Some(plan)),
                (None, Some(plan)) => (PushState::Waiting, Some(plan)),
                (None, None) => (PushState::Idle, None),
            };
            UserPushes {
                user: to.jid.to_string(),
                integrator: to.integrator,
                to: to.identifier.clone(),
                state,
                why: plan.map(|plan| plan.why),
                due: plan.filter(|_| state == PushState::Waiting).map(|plan| plan.at.div_ceil(1_000)),
                tries: plan.map_or(0, |plan| plan.tries),
                last: last.cloned(),
            }
        });
        let mut pushes: Vec<_> = users.collect();
        pushes.sort_by(|one, other| one.user.cmp(&other.user));
        let partners = self.partners().map(|(integrator, lane)| PartnerPushes {
            integrator,
            failures: lane.failures,
            probe: lane.probe_at.map(|at| at.div_ceil(1_000)),
        });
        PushReport { pushes, partners: partners.collect() }
    }
}

//! What the control API shows of the faults.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::{Faults, Layer, UNLIMITED};
use crate::Calm;
use crate::state::lock;

/// All faults.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultReport {
    /// The profile that was set last; single faults may have been set since.
    pub profile: Calm,
    /// Seed of all decisions. With it, a run decides as this one does.
    pub seed: u64,
    /// The faults, in the order of their layers.
    pub faults: Vec<FaultState>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultState {
    /// Its name.
    pub name: &'static str,
    /// Where it happens.
    pub layer: Layer,
    /// What happens, and each time that what.
    pub what: &'static str,
    /// How likely it is by default.
    pub default: f64,
    /// How likely it is now.
    pub probability: f64,
    /// How often it may still come, if that is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// How often it came since the seed was set.
    pub injected: u64,
}

impl Faults {
    pub(crate) fn report(&self) -> FaultReport {
        let faults = self.lanes.iter().map(|lane| {
            let left = lane.left.load(Ordering::Relaxed);
            FaultState {
                name: lane.fault.name(),
                layer: lane.fault.layer(),
                what: lane.fault.what(),
                default: lane.fault.rate(),
                probability: lane.probability(),
                left: (left != UNLIMITED).then_some(left),
                injected: lane.injected.load(Ordering::Relaxed),
            }
        });
        FaultReport { profile: *lock(&self.profile), seed: self.seed(), faults: faults.collect() }
    }
}

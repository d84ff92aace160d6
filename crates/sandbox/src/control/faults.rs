//! What goes wrong on purpose.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use super::App;
use super::problem::Problem;
use super::read::Body;
use crate::Calm;
use crate::faults::{Fault, FaultReport, Magic, MagicNumber, Probability};

type Shared = State<Arc<App>>;

/// All faults, and how likely they are.
pub(super) async fn list(State(app): Shared) -> Json<FaultReport> {
    Json(app.handle.faults())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    probability: f64,
    times: Option<u64>,
}

/// Sets how likely one fault is.
pub(super) async fn set(
    State(app): Shared,
    Path(name): Path<String>,
    Body(Setting { probability, times }): Body<Setting>,
) -> Result<Json<FaultReport>, Problem> {
    let fault: Fault = name.parse().map_err(|error| Problem::no_such_fault(&error))?;
    let probability = Probability::new(probability)
        .map_err(|error| Problem::unusable("bad-probability", error.to_string()))?;
    app.handle.set_fault(fault, probability, times);
    Ok(Json(app.handle.faults()))
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Profile {
    Calm,
    Default,
    Storm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct All {
    profile: Option<Profile>,
    seed: Option<u64>,
}

/// Sets how likely all faults are, or begins all decisions anew.
pub(super) async fn set_all(State(app): Shared, Body(All { profile, seed }): Body<All>) -> Json<FaultReport> {
    let profile = profile.map(|profile| match profile {
        Profile::Calm => Calm::Calm,
        Profile::Default => Calm::Faults,
        Profile::Storm => Calm::Storm,
    });
    app.handle.set_faults(profile, seed);
    Json(app.handle.faults())
}

#[derive(Serialize)]
pub(super) struct Numbers {
    numbers: Vec<MagicNumber>,
}

/// The numbers that behave in a way of their own.
pub(super) async fn magic() -> Json<Numbers> {
    Json(Numbers { numbers: Magic::table() })
}

//! Accounts, deliveries, time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::App;
use super::problem::Problem;
use super::read::{Body, Nothing};
use crate::UserInfo;

/// Most messages that are held back at once.
pub(super) const MAX_HELD: u32 = 1_000;
/// How far the clock is moved at most, in seconds: a hundred years.
pub(super) const MAX_ADVANCE: u64 = 100 * 366 * 86_400;
/// How far the clock is moved back at most, in seconds: a day.
pub(super) const MAX_BACK: u64 = 86_400;

type Shared = State<Arc<App>>;

/// Whether the sandbox can do its work: its database answers.
pub(super) async fn ready(State(app): Shared) -> Result<&'static str, Problem> {
    app.handle.users()?;
    Ok("ok")
}

#[derive(Serialize)]
pub(super) struct Users {
    users: Vec<UserInfo>,
}

pub(super) async fn users(State(app): Shared) -> Result<Json<Users>, Problem> {
    Ok(Json(Users { users: app.handle.users()? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hold {
    to: String,
    count: u32,
    #[serde(default)]
    seed: u64,
}

/// Holds the next messages to somebody back and delivers them in another order.
pub(super) async fn hold(
    State(app): Shared,
    Body(Hold { to, count, seed }): Body<Hold>,
) -> Result<StatusCode, Problem> {
    if !(1..=MAX_HELD).contains(&count) {
        return Err(Problem::unusable("bad-count", format!("1 to {MAX_HELD} messages are held back")));
    }
    app.handle.hold_messages(&to, count, seed)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    to: String,
}

pub(super) async fn release(
    State(app): Shared,
    Body(Release { to }): Body<Release>,
) -> Result<StatusCode, Problem> {
    app.handle.release_messages(&to)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
pub(super) struct Time {
    now: u64,
}

pub(super) async fn clock(State(app): Shared) -> Json<Time> {
    Json(Time { now: app.handle.clock().now() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Advance {
    seconds: u64,
}

/// Moves the clock ahead: who was away for too long by then is no longer enlisted.
pub(super) async fn advance(
    State(app): Shared,
    Body(Advance { seconds }): Body<Advance>,
) -> Result<Json<Time>, Problem> {
    if seconds > MAX_ADVANCE {
        return Err(Problem::unusable(
            "bad-seconds",
            format!("the clock moves {MAX_ADVANCE} seconds at most"),
        ));
    }
    app.handle.advance_clock(seconds)?;
    Ok(Json(Time { now: app.handle.clock().now() }))
}

/// Moves the clock back.
pub(super) async fn set_back(
    State(app): Shared,
    Body(Advance { seconds }): Body<Advance>,
) -> Result<Json<Time>, Problem> {
    if seconds > MAX_BACK {
        return Err(Problem::unusable(
            "bad-seconds",
            format!("the clock moves {MAX_BACK} seconds back at most"),
        ));
    }
    app.handle.set_clock_back(seconds);
    Ok(Json(Time { now: app.handle.clock().now() }))
}

/// Moves the push keys on by one.
pub(super) async fn rotate(
    State(app): Shared,
    Body(Nothing {}): Body<Nothing>,
) -> Result<StatusCode, Problem> {
    app.handle.rotate_push_keys().await?;
    Ok(StatusCode::NO_CONTENT)
}

//! The calls about what test phones do beside writing, and what happens to them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use landbridge_stanza::chatstate::ChatState;
use serde::Deserialize;

use super::App;
use super::phones::{Peer, ReadIds, Sent, message_id};
use super::problem::Problem;
use super::read::{Body, Nothing};
use crate::{Garbage, PhoneInfo};

type Shared = State<Arc<App>>;
/// The phone's number in the path.
type Number = Path<String>;
type SentOr = Result<(StatusCode, Json<Sent>), Problem>;

/// A message of a chat.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    peer: String,
    id: String,
}

/// A message of a chat, and a text for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    peer: String,
    id: String,
    text: String,
}

/// Quotes a message.
pub(super) async fn reply(State(app): Shared, Path(number): Number, Body(reply): Body<Text>) -> SentOr {
    let Text { peer, id, text } = reply;
    Ok(Sent::accepted(app.handle.phone_reply(&number, &peer, &message_id(&id)?, &text)?))
}

/// Gives an own message another text.
pub(super) async fn edit(State(app): Shared, Path(number): Number, Body(edit): Body<Text>) -> SentOr {
    let Text { peer, id, text } = edit;
    Ok(Sent::accepted(app.handle.phone_edit(&number, &peer, &message_id(&id)?, &text)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct React {
    peer: String,
    id: String,
    emoji: String,
}

/// Reacts; an empty emoji takes the reaction back.
pub(super) async fn react(State(app): Shared, Path(number): Number, Body(react): Body<React>) -> SentOr {
    let React { peer, id, emoji } = react;
    Ok(Sent::accepted(app.handle.phone_react(&number, &peer, &message_id(&id)?, &emoji)?))
}

/// Takes an own message back.
pub(super) async fn revoke(State(app): Shared, Path(number): Number, Body(about): Body<About>) -> SentOr {
    let About { peer, id } = about;
    Ok(Sent::accepted(app.handle.phone_revoke(&number, &peer, &message_id(&id)?)?))
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Typing {
    Composing,
    Recording,
    Paused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Types {
    peer: String,
    state: Typing,
}

/// Types, records or stops.
pub(super) async fn typing(
    State(app): Shared,
    Path(number): Number,
    Body(Types { peer, state }): Body<Types>,
) -> Result<StatusCode, Problem> {
    let state = match state {
        Typing::Composing => ChatState::Composing,
        Typing::Recording => ChatState::Recording,
        Typing::Paused => ChatState::Paused,
    };
    app.handle.phone_type(&number, &peer, state)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Plays one message.
pub(super) async fn played(
    State(app): Shared,
    Path(number): Number,
    Body(About { peer, id }): Body<About>,
) -> Result<Json<ReadIds>, Problem> {
    app.handle.phone_played(&number, &peer, &message_id(&id)?)?;
    Ok(Json(ReadIds { ids: vec![id] }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGarbage {
    to: String,
    what: String,
}

/// Sends what a client cannot use.
pub(super) async fn garbage(
    State(app): Shared,
    Path(number): Number,
    Body(NewGarbage { to, what }): Body<NewGarbage>,
) -> SentOr {
    let what: Garbage = what
        .parse()
        .map_err(|error: crate::UnknownGarbage| Problem::unusable("bad-garbage", error.to_string()))?;
    Ok(Sent::accepted(app.handle.phone_send_garbage(&number, &to, what)?))
}

/// Asks for a message that it could read.
pub(super) async fn ask_again(
    State(app): Shared,
    Path(number): Number,
    Body(About { peer, id }): Body<About>,
) -> Result<StatusCode, Problem> {
    app.handle.phone_ask_again(&number, &peer, &message_id(&id)?)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets its session with somebody.
pub(super) async fn lose_session(
    State(app): Shared,
    Path(number): Number,
    Body(peer): Body<Peer>,
) -> Result<StatusCode, Problem> {
    app.handle.phone_lose_session(&number, &peer.peer)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Is set up anew.
pub(super) async fn reinstall(
    State(app): Shared,
    Path(number): Number,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<PhoneInfo>, Problem> {
    Ok(Json(app.handle.phone_reinstall(&number)?))
}

/// Goes away.
pub(super) async fn offline(
    State(app): Shared,
    Path(number): Number,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<PhoneInfo>, Problem> {
    app.handle.phone_go_offline(&number)?;
    Ok(Json(app.handle.phone_info(&number)?))
}

/// Comes back.
pub(super) async fn online(
    State(app): Shared,
    Path(number): Number,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<PhoneInfo>, Problem> {
    app.handle.phone_come_online(&number)?;
    Ok(Json(app.handle.phone_info(&number)?))
}

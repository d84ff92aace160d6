//! The calls about test phones.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header::LOCATION};
use axum::response::{IntoResponse, Response};
use landbridge_stanza::MessageId;
use landbridge_stanza::blocklist::BlockAction;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::problem::Problem;
use super::read::{Body, Params};
use super::{App, PATH};
use crate::{PhoneError, PhoneInfo, PhoneMessage, SandboxError};

/// Longest wait of a poll, in seconds: less than what the server takes for a dead connection.
pub(super) const MAX_WAIT: u64 = 60;
/// Longest name that a phone shows, in characters.
pub(super) const MAX_NAME: usize = 100;

type Shared = State<Arc<App>>;

#[derive(Serialize)]
pub(super) struct List {
    phones: Vec<PhoneInfo>,
}

pub(super) async fn list(State(app): Shared) -> Result<Json<List>, Problem> {
    Ok(Json(List { phones: app.handle.phones()? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPhone {
    number: String,
    name: Option<String>,
}

/// Makes a phone; one that is there is given as it is.
pub(super) async fn create(State(app): Shared, Body(new): Body<NewPhone>) -> Result<Response, Problem> {
    let NewPhone { number, name } = new;
    let name = name.unwrap_or_else(|| number.clone());
    if name.is_empty() || name.chars().count() > MAX_NAME {
        return Err(Problem::unusable("bad-name", format!("a name has 1 to {MAX_NAME} characters")));
    }
    let info = match app.handle.create_phone(&number, &name) {
        Ok(info) => info,
        Err(SandboxError::Phone { source: PhoneError::Exists, .. }) => {
            return Ok(Json(app.handle.phone_info(&number)?).into_response());
        }
        Err(error) => return Err(error.into()),
    };
    let mut response = (StatusCode::CREATED, Json(&info)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("{PATH}/phones/{}", info.number)) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

pub(super) async fn one(State(app): Shared, Path(number): Path<String>) -> Result<Json<PhoneInfo>, Problem> {
    Ok(Json(app.handle.phone_info(&number)?))
}

/// Deletes a phone.
pub(super) async fn delete(State(app): Shared, Path(number): Path<String>) -> Result<StatusCode, Problem> {
    app.handle.delete_phone(&number)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    wait: u64,
}

#[derive(Serialize)]
pub(super) struct Messages {
    messages: Vec<PhoneMessage>,
    /// What to pass as `after` next.
    change: u64,
}

/// What has changed on the screen. With `wait` the answer comes with the next change, or empty when the time is over.
pub(super) async fn messages(
    State(app): Shared,
    Path(number): Path<String>,
    Params(poll): Params<Poll>,
) -> Result<Json<Messages>, Problem> {
    let Poll { after, wait } = poll;
    if wait > MAX_WAIT {
        return Err(Problem::unusable("bad-wait", format!("a poll waits {MAX_WAIT} seconds at most")));
    }
    let deadline = Instant::now() + Duration::from_secs(wait);
    let mut changes = app.handle.watch_phone(&number)?;
    let mut stop = app.stop.clone();
    loop {
        changes.mark_unchanged();
        let (messages, change) = app.handle.phone_changes(&number, after)?;
        let answer = Json(Messages { messages, change });
        if wait == 0 || !answer.messages.is_empty() {
            return Ok(answer);
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(answer) },
            () = tokio::time::sleep_until(deadline) => return Ok(answer),
            _ = stop.changed() => return Ok(answer),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMessage {
    to: String,
    text: String,
}

#[derive(Serialize)]
pub(super) struct Sent {
    id: String,
}

impl Sent {
    /// The message is on its way.
    pub(super) fn accepted(id: MessageId) -> (StatusCode, Json<Self>) {
        (StatusCode::ACCEPTED, Json(Self { id: id.into_string() }))
    }
}

/// The id of a message, as a body has it.
pub(super) fn message_id(id: &str) -> Result<MessageId, Problem> {
    id.parse()
        .map_err(|error: landbridge_stanza::BadMessageId| Problem::unusable("bad-id", error.to_string()))
}

pub(super) async fn send(
    State(app): Shared,
    Path(number): Path<String>,
    Body(message): Body<NewMessage>,
) -> Result<(StatusCode, Json<Sent>), Problem> {
    Ok(Sent::accepted(app.handle.phone_send_text(&number, &message.to, &message.text)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    peer: String,
    id: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ReadIds {
    pub(super) ids: Vec<String>,
}

/// Reads one message, or everything of a chat.
pub(super) async fn read(
    State(app): Shared,
    Path(number): Path<String>,
    Body(read): Body<Read>,
) -> Result<Json<ReadIds>, Problem> {
    let ids = match read.id {
        Some(id) => {
            let id = message_id(&id)?;
            app.handle.phone_read(&number, &read.peer, &id)?;
            vec![id]
        }
        None => app.handle.phone_read_all(&number, &read.peer)?,
    };
    Ok(Json(ReadIds { ids: ids.into_iter().map(MessageId::into_string).collect() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Peer {
    pub(super) peer: String,
}

pub(super) async fn block(
    State(app): Shared,
    Path(number): Path<String>,
    Body(Peer { peer }): Body<Peer>,
) -> Result<StatusCode, Problem> {
    app.handle.phone_block(&number, &peer, BlockAction::Block)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn unblock(
    State(app): Shared,
    Path(number): Path<String>,
    Body(Peer { peer }): Body<Peer>,
) -> Result<StatusCode, Problem> {
    app.handle.phone_block(&number, &peer, BlockAction::Unblock)?;
    Ok(StatusCode::NO_CONTENT)
}

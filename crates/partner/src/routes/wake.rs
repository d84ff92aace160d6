//! `PUT, DELETE /v1/wake-targets/{device}` and `GET /v1/wake` (ASSUMED).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::push::unavailable;
use super::segment::Segment;
use super::{App, user};
use crate::body;
use crate::problem::Problem;
use crate::store::{StoreError, TargetPut};
use crate::wake::{Chat, DeviceKey, WakeKind, WakeTarget};

/// Longest body, in bytes (ASSUMED).
const MAX_BODY: usize = 16 * 1024;
/// Longest name of a device, in bytes (ASSUMED).
const MAX_DEVICE: usize = 64;
/// A line of comment keeps the stream from being idle.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A device's name, as its client made it up.
fn check_device(device: &str) -> Result<(), Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    if (1..=MAX_DEVICE).contains(&device.len()) && device.bytes().all(plain) {
        Ok(())
    } else {
        Err(Problem::BadRequest("a device is named by 1 to 64 characters of A-Z a-z 0-9 . _ ~ -"))
    }
}

pub(super) async fn put(
    State(app): State<Arc<App>>,
    Segment(device): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let user = user(&app, &head).await?;
    check_device(&device)?;
    body::check_json(&head.headers)?;
    let target: WakeTarget = body::object(&body::read(&head.headers, body, MAX_BODY).await?)?;
    check_target(&app, &target)?;
    remember(&app, &user).await?;
    let put = app.store.put_target(&user.user_id, &device, &target, app.clock.millis());
    match put.await.map_err(unavailable)? {
        TargetPut::Stored => Ok(StatusCode::NO_CONTENT.into_response()),
        TargetPut::TooMany => Err(Problem::QuotaExceeded("a user has at most 10 devices")),
    }
}

/// A target that no sender would take is refused now and not when it is needed.
fn check_target(app: &App, target: &WakeTarget) -> Result<(), Problem> {
    if target.check().is_err() {
        return Err(Problem::BadRequest("the target has a member of the wrong form"));
    }
    if !app.kinds.contains(&target.kind()) {
        return Err(Problem::BadRequest("this server does not wake devices of this kind"));
    }
    match (target, &app.web_push) {
        (WakeTarget::WebPush { endpoint, .. }, Some(web_push)) if !web_push.allows(endpoint) => {
            Err(Problem::BadRequest("the endpoint is not one of a known push service"))
        }
        _ => Ok(()),
    }
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Segment(device): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let user = user(&app, &head).await?;
    check_device(&device)?;
    app.store.delete_target(&user.user_id, &device).await.map_err(unavailable)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Who holds a stream, and whether it says that the device is connected to WhatsApp.
#[derive(Deserialize)]
pub(super) struct Listening {
    device: String,
    chat: Option<String>,
}

pub(super) async fn listen(
    State(app): State<Arc<App>>,
    query: Result<Query<Listening>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let user = user(&app, &head).await?;
    let Query(Listening { device, chat }) =
        query.map_err(|_| Problem::BadRequest("the query names no device"))?;
    check_device(&device)?;
    let chat = match chat.as_deref() {
        None => Chat::Unknown,
        Some("connected") => Chat::Connected,
        Some(_) => return Err(Problem::BadRequest("chat is connected, or absent")),
    };
    remember(&app, &user).await?;
    if head.method == axum::http::Method::HEAD {
        return Ok([(CACHE_CONTROL, "no-store")].into_response());
    }
    // A device that has no other address is woken by the streams that it opens.
    let known = app.store.target(&user.user_id, &device).await.map_err(unavailable)?;
    if known.is_none() {
        let put = app.store.put_target(&user.user_id, &device, &WakeTarget::Socket, app.clock.millis());
        if put.await.map_err(unavailable)? == TargetPut::TooMany {
            return Err(Problem::QuotaExceeded("a user has at most 10 devices"));
        }
    }
    let stream = app.hub.open(DeviceKey::of(&user.user_id, &device), chat);
    let stream = stream.ok_or(Problem::QuotaExceeded("a user has at most 10 streams"))?;
    // What waits for the device goes out now.
    app.store.hurry(&user.user_id, &device, app.clock.millis()).await.map_err(unavailable)?;
    app.dispatcher.hurried();
    let events = futures_util::stream::unfold(stream, |mut stream| async {
        let id = stream.next().await?;
        let data = json!({"type": "wake", "id": id}).to_string();
        Some((Ok::<_, Infallible>(Event::default().event("wake").data(data)), stream))
    });
    let answer = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let mut response = answer.into_response();
    response.headers_mut().insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A user who comes with a session is one that pushes can be for.
pub(super) async fn remember(app: &Arc<App>, user: &crate::auth::UserRecord) -> Result<(), Problem> {
    if app.remembered.is_fresh(&user.user_id, user.identifier.as_str(), Instant::now()) {
        return Ok(());
    }
    let (app, user) = (Arc::clone(app), user.clone());
    to_the_end(async move {
        let turn = app.remembered.turn();
        let identifier = user.identifier.as_str();
        app.store.remember_user(&user.user_id, identifier, app.clock.millis()).await?;
        app.remembered.told(user.user_id.as_str().into(), identifier, Instant::now(), turn);
        Ok(())
    })
    .await
}

/// What the store is told and what is remembered of it belong together, even if the client does not wait for it.
pub(super) async fn to_the_end(
    work: impl Future<Output = Result<(), StoreError>> + Send + 'static,
) -> Result<(), Problem> {
    tokio::spawn(work).await.unwrap_or(Err(StoreError::Closed)).map_err(unavailable)
}

/// The kinds that `senders` serve.
pub(crate) fn kinds(senders: &[Arc<dyn crate::wake::WakeSender>]) -> Vec<WakeKind> {
    senders.iter().map(|sender| sender.kind()).collect()
}

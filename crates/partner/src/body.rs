//! Reading the bodies of requests.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// How long a small body may take (ASSUMED).
const TIME: Duration = Duration::from_secs(5);

/// A body of at most `max` bytes.
pub(crate) async fn read<B>(headers: &HeaderMap, body: B, max: usize) -> Result<Bytes, Problem>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // A length that is announced is refused before a byte of it is read.
    if announced(headers).is_some_and(|length| length > max as u64) {
        return Err(Problem::TooLarge);
    }
    let mut whole = pin!(Limited::new(body, max).collect());
    let read = match at_once(whole.as_mut()).await {
        Some(read) => read,
        None => tokio::time::timeout(TIME, whole).await.map_err(|_| Problem::Timeout)?,
    };
    match read {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(cause) if is_too_long(&*cause) => Err(Problem::TooLarge),
        Err(_) => Err(Problem::BadRequest("the body could not be read")),
    }
}

/// A body that has come with the head is there when it is asked for a second time: no timer is needed for it.
async fn at_once<F: Future>(mut whole: Pin<&mut F>) -> Option<F::Output> {
    let mut asked = false;
    poll_fn(|cx| match whole.as_mut().poll(cx) {
        Poll::Ready(read) => Poll::Ready(Some(read)),
        Poll::Pending if asked => Poll::Ready(None),
        Poll::Pending => {
            asked = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

fn is_too_long(cause: &(dyn Error + 'static)) -> bool {
    cause.is::<LengthLimitError>() || cause.source().is_some_and(is_too_long)
}

/// `Content-Length`. The transport has refused what is no number, and lengths that differ.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Checks that the body is declared as JSON.
pub(crate) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    check_type(headers, "application/json")
}

/// Checks that the body is declared as `wanted`, in any case and with any parameters.
pub(crate) fn check_type(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let media_type = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) && values.next().is_none() {
        Ok(())
    } else {
        Err(Problem::UnsupportedMediaType)
    }
}

/// Reads one JSON object. An array would do for serde as well, and is none.
pub(crate) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let wrong = Problem::BadRequest("the body is not the expected JSON object");
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong);
    }
    serde_json::from_slice(body).map_err(|_| wrong)
}

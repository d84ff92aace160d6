//! The bytes of an upload, as they come.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::blobs::BlobWriter;
use crate::problem::Problem;

/// Within each of these (ASSUMED) …
const WINDOW: Duration = Duration::from_secs(30);
/// … at least so many bytes have to come: 1 KiB/s (ASSUMED).
const PER_WINDOW: u64 = 30 * 1024;

/// What came.
pub(crate) struct Received {
    /// How much, in bytes.
    pub(crate) length: u64,
    /// What ended it, if not the end of the body.
    pub(crate) cut: Option<Problem>,
}

/// Passes up to `most` bytes of a body on to `each` and to the writer, if there is one. What was written when the
/// body breaks off is still there.
pub(crate) async fn receive(
    body: Body,
    most: u64,
    mut writer: Option<&mut dyn BlobWriter>,
    mut each: impl FnMut(&[u8]) + Send,
) -> Received {
    let mut body = body;
    let mut length = 0;
    let (mut window_ends, mut in_window) = (Instant::now() + WINDOW, 0);
    let cut = loop {
        let frame = match timeout_at(window_ends, body.frame()).await {
            Ok(None) => break None,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => break Some(Problem::BadRequest("the body broke off")),
            Err(_) if in_window >= PER_WINDOW => {
                (window_ends, in_window) = (Instant::now() + WINDOW, 0);
                continue;
            }
            Err(_) => break Some(Problem::Timeout),
        };
        let Some(bytes) = frame.data_ref() else { continue };
        let more = bytes.len() as u64;
        if length + more > most {
            break Some(Problem::TooLarge);
        }
        if let Some(writer) = &mut writer
            && let Err(cause) = writer.write(bytes).await
        {
            tracing::error!(%cause, "an upload cannot be written");
            break Some(Problem::Unavailable("the upload cannot be stored"));
        }
        each(bytes);
        length += more;
        in_window += more;
        if Instant::now() >= window_ends && in_window >= PER_WINDOW {
            (window_ends, in_window) = (Instant::now() + WINDOW, 0);
        }
    };
    Received { length, cut }
}

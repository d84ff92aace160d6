//! Files: sending and fetching them, and everything of `landbridge-media`.
//!
//! [`Files`] stands beside a [`Client`](crate::Client). It encrypts a file, brings it to the partner's server and sends
//! the message; of a received message it makes an [`Attachment`], which fetches the file, goes on after a break where it
//! stopped, and shows nothing before every check has passed.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use landbridge::media::{Files, HttpDownloader, HttpUploader, OutgoingFile};
//! use landbridge::{Client, Event, transport::HttpClient, wire::Jid};
//!
//! # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let http = HttpClient::builder().build()?;
//! let files = Files::new(client.clone())
//!     .uploader(HttpUploader::new(http.clone(), "https://partner.example", "the user's session"))
//!     .downloader(HttpDownloader::new(http));
//! let picture = OutgoingFile::new(Path::new("harbour.jpg"), "image/jpeg").caption("the harbour");
//! files.send_image(&Jid::user("14155551001"), picture).await?;
//!
//! let mut events = client.events();
//! while let Some(event) = events.next().await {
//!     if let Event::Message(message) = event
//!         && let Some(attachment) = files.attachment(&message)?
//!     {
//!         attachment.save(Path::new("received.jpg"), |_| {}).await?;
//!     }
//! }
//! # Ok(()) }
//! ```

mod attachment;
mod download;
mod error;
mod files;
mod hidden;
mod http_download;
mod http_upload;
mod limits;
mod outgoing;
mod patience;
mod spool;
#[cfg(test)]
mod tests;
pub(crate) mod uploads;

pub use attachment::{Attachment, Saved};
pub use error::MediaError;
pub use files::{Files, PendingFile};
pub use hidden::HiddenFile;
pub use http_download::HttpDownloader;
pub use http_upload::HttpUploader;
pub use landbridge_media::*;
pub use outgoing::{OutgoingFile, Progress, Source};

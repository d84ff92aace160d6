//! Files: WhatsApp's media server, `mmg`, under an address of its own.
//!
//! | path | what lies there |
//! |---|---|
//! | `/interop/whatsapp/download/{integrator}/{reference}/` | a partner's file, fetched from the partner when a phone asks for it (SEED) |
//! | `/v/t62.7118-24/…` | what phones have uploaded, until their link expires (PEERS) |

mod answer;
mod front;
mod host;
mod ledger;
mod partner;

pub(crate) use front::serve;
pub(crate) use host::MediaHost;

use landbridge_media::{MediaKind, Refusal};
use thiserror::Error;

use crate::SandboxError;

/// A file that a test phone sends.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "built by tests with struct update syntax")]
pub struct PhoneFile {
    /// What it is. Previews and sticker packs have no message of their own.
    pub kind: MediaKind,
    /// Its media type.
    pub mimetype: String,
    /// The plain file.
    pub bytes: Vec<u8>,
    /// A text below it.
    pub caption: Option<String>,
    /// Its name, of documents.
    pub file_name: Option<String>,
}

impl Default for PhoneFile {
    fn default() -> Self {
        Self {
            kind: MediaKind::Image,
            mimetype: "image/jpeg".to_owned(),
            bytes: Vec::new(),
            caption: None,
            file_name: None,
        }
    }
}

impl std::fmt::Debug for PhoneFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, mimetype, bytes, caption: _, file_name: _ } = self;
        f.debug_struct("PhoneFile")
            .field("kind", kind)
            .field("mimetype", mimetype)
            .field("length", &bytes.len())
            .finish_non_exhaustive()
    }
}

/// A file that a test phone has fetched, with every check passed.
#[derive(Clone)]
#[non_exhaustive]
pub struct FetchedFile {
    /// What it is.
    pub kind: MediaKind,
    /// Its media type.
    pub mimetype: String,
    /// The plain file.
    pub bytes: Vec<u8>,
    /// SHA-256 of the plain file.
    pub file_sha256: [u8; 32],
    /// The text below it.
    pub caption: Option<String>,
    /// Its name, of documents.
    pub file_name: Option<String>,
}

impl std::fmt::Debug for FetchedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchedFile")
            .field("kind", &self.kind)
            .field("mimetype", &self.mimetype)
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Why a phone does not send or fetch a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The sandbox has no media server: it runs inside another program.
    #[error("this sandbox has no media server")]
    NoServer,
    /// The file is longer than its kind allows, or the media server is full.
    #[error("the file is longer than {limit} bytes")]
    TooLarge {
        /// What would have been taken, in bytes.
        limit: u64,
    },
    /// Files of this kind have no message of their own.
    #[error("files of kind {kind} have no message of their own")]
    Kind {
        /// The kind.
        kind: MediaKind,
    },
    /// The phone has no such message, or it has no file that could be fetched.
    #[error("the phone has no such message with a file")]
    NoFile,
    /// The media server has answered with another status.
    #[error("the media server answered with status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The file did not come.
    #[error("the file did not come")]
    Http(#[source] landbridge_transport::HttpError),
    /// What came is not what was sent.
    #[error("the file is refused")]
    Refused(#[source] Refusal),
    /// The phone or its message.
    #[error("the phone failed")]
    Sandbox(#[source] SandboxError),
}

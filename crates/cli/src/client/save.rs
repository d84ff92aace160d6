//! `listen --save`: the files of messages that come.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use landbridge::ReceivedMessage;
use landbridge::media::{Attachment, Files, MediaError, Saved};
use serde_json::json;

use super::Style;
use super::file::ending;
use crate::failure::{Failure, with_causes};
use crate::output;
use crate::progress;

/// Longest part of a file's name that a peer chooses, in characters.
const LONGEST: usize = 64;

/// Fetches files into a directory.
pub(super) struct Saver {
    files: Files,
    directory: PathBuf,
}

impl Saver {
    /// Into this directory, which is made if it is not there.
    pub(super) fn new(files: Files, directory: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(directory).map_err(|error| {
            Failure::runtime(format!("the directory {} cannot be made: {error}", directory.display()))
        })?;
        Ok(Self { files, directory: directory.to_owned() })
    }

    /// Fetches the file of a message, if it has one, and prints what became of it. A file that is not to be had is no
    /// reason to stop listening.
    pub(super) async fn save(&self, message: &ReceivedMessage, style: Style) -> Result<(), Failure> {
        let outcome = match self.files.attachment(message) {
            Ok(None) => return Ok(()),
            Ok(Some(attachment)) => {
                let path = self.place(message);
                fetch(&attachment, &path).await.map(|saved| (path, saved))
            }
            Err(error) => Err(error),
        };
        let (from, id) = (message.sender.to_string(), message.id.to_string());
        match (outcome, style) {
            (Ok((path, saved)), Style::Json) => output::json(&json!({
                "event": "file",
                "from": from,
                "id": id,
                "outcome": "saved",
                "path": path.display().to_string(),
                "file_length": saved.file_length,
                "file_sha256": BASE64_STANDARD.encode(saved.file_sha256),
            })),
            (Ok((path, saved)), Style::Text) => {
                output::line(&format!("  saved {}, {} bytes", path.display(), saved.file_length))
            }
            (Err(error), Style::Json) => output::json(&json!({
                "event": "file",
                "from": from,
                "id": id,
                "outcome": word(&error),
                "error": with_causes(&error),
            })),
            (Err(error), Style::Text) => output::line(&format!("  not saved: {}", with_causes(&error))),
        }
    }

    /// Where the file of a message goes. Nothing in its name is as the peer wrote it, and no file is replaced.
    fn place(&self, message: &ReceivedMessage) -> PathBuf {
        let mimetype = message.content.media().and_then(|media| media.mimetype).unwrap_or_default();
        let (from, id) = (tame(message.sender.user_part()), tame(message.id.as_str()));
        let mut name = format!("{from}.{id}.{}", ending(mimetype));
        let mut copy = 1;
        loop {
            let path = self.directory.join(&name);
            // Whatever has this name, a link that leads nowhere as well, stays.
            if path.symlink_metadata().is_err() {
                return path;
            }
            copy += 1;
            name = format!("{from}.{id}.{copy}.{}", ending(mimetype));
        }
    }
}

async fn fetch(attachment: &Attachment, path: &Path) -> Result<Saved, MediaError> {
    let bar = progress::bar(attachment.file_length());
    let saved = attachment
        .save(path, |progress| {
            if let landbridge::media::Progress::Transferred { bytes, of } = progress {
                progress::show(&bar, bytes, of);
            }
        })
        .await;
    bar.finish_and_clear();
    saved
}

fn word(error: &MediaError) -> &'static str {
    match error {
        MediaError::Gone { .. } => "gone",
        MediaError::Damaged { .. } => "damaged",
        MediaError::TooLarge { .. } => "too-large",
        MediaError::BadMessage { .. } => "bad-message",
        MediaError::Disk { .. } => "disk",
        _ => "not-transferred",
    }
}

/// Letters, digits and `-`; others become `_`.
fn tame(text: &str) -> String {
    let tamed = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    text.chars().take(LONGEST).map(tamed).collect()
}

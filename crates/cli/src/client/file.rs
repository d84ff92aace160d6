//! `send --file`: a file, through the partner's server.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::ValueEnum;
use indicatif::ProgressBar;
use landbridge::Client;
use landbridge::media::{Files, MediaKind, OutgoingFile, PendingFile, Progress};
use landbridge::store::OutState;
use landbridge::wire::Jid;
use serde_json::json;
use tokio::sync::watch;

use super::Style;
use super::open::{Opener, failure, file_failure};
use super::send::{Patience, name, settle};
use crate::failure::Failure;
use crate::output;
use crate::progress;

/// Endings of file names, with what such a file is sent as.
const TYPES: [(&str, &str, Kind); 14] = [
    ("jpg", "image/jpeg", Kind::Image),
    ("jpeg", "image/jpeg", Kind::Image),
    ("png", "image/png", Kind::Image),
    ("webp", "image/webp", Kind::Sticker),
    ("mp4", "video/mp4", Kind::Video),
    ("3gp", "video/3gpp", Kind::Video),
    ("mp3", "audio/mpeg", Kind::Audio),
    ("m4a", "audio/mp4", Kind::Audio),
    ("aac", "audio/aac", Kind::Audio),
    ("ogg", "audio/ogg; codecs=opus", Kind::Voice),
    ("pdf", "application/pdf", Kind::Document),
    ("txt", "text/plain", Kind::Document),
    ("zip", "application/zip", Kind::Document),
    ("bin", UNKNOWN, Kind::Document),
];
const UNKNOWN: &str = "application/octet-stream";

/// What a file is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Image,
    Video,
    Audio,
    /// A voice note
    Voice,
    Document,
    Sticker,
}

impl From<Kind> for MediaKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Image => Self::Image,
            Kind::Video => Self::Video,
            Kind::Audio => Self::Audio,
            Kind::Voice => Self::Ptt,
            Kind::Document => Self::Document,
            Kind::Sticker => Self::Sticker,
        }
    }
}

/// What is said about a file to send.
#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    /// Send this file, in place of a text
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// A text below the file
    #[arg(long, value_name = "TEXT", requires = "file", conflicts_with = "text")]
    caption: Option<String>,
    /// What the file is shown as [default: what its name ends in says, else document]
    #[arg(long, requires = "file", conflicts_with = "text")]
    kind: Option<Kind>,
    /// Its media type [default: what its name ends in says]
    #[arg(long, value_name = "TYPE", requires = "file", conflicts_with = "text")]
    mimetype: Option<String>,
}

/// Encrypts, uploads and sends, and waits as for a text.
pub(super) async fn send(
    args: &FileArgs,
    to: &Jid,
    opener: &Opener,
    patience: &Patience,
    style: Style,
) -> Result<(), Failure> {
    let path = args.file.as_deref().ok_or_else(|| Failure::usage("there is neither --text nor --file"))?;
    let length =
        std::fs::metadata(path)
            .and_then(|facts| {
                if facts.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(facts.len()) }
            })
            .map_err(|error| Failure::runtime(format!("{} cannot be read: {error}", path.display())))?;
    let client = opener.client()?;
    let files = opener.files(client.clone())?;
    note_outbox(&files).await?;
    let bar = progress::bar(Some(length));
    let (told, reached) = watch::channel(Reached::UnderWay);
    let (kind, file) = outgoing(args, path, &bar, told);
    let stored = async {
        // A file that cannot be read or is too long is found out before anything is connected.
        let id = files.send(to, kind, file).await.map_err(file_failure)?;
        let waiting = files.pending().await.map_err(failure)?.into_iter().find(|file| file.id == id);
        Ok((id, waiting.ok_or_else(|| Failure::runtime("the file is not in the outbox"))?))
    };
    let sent = match stored.await {
        Ok((id, waiting)) => {
            let uploaded = upload(&client, &files, &waiting, reached).await;
            uploaded.map_err(|failure| failure.hint(GOES_ON)).map(|()| (id, waiting))
        }
        Err(failure) => Err(failure),
    };
    bar.finish_and_clear();
    let (id, file) = match sent {
        Ok(sent) => sent,
        Err(failure) => {
            client.disconnect().await;
            return Err(failure);
        }
    };
    let state = settle(client, to, &id, patience).await?;
    match style {
        Style::Json => output::json(&json!({
            "id": id.to_string(),
            "to": to.to_string(),
            "state": name(state),
            "kind": kind.name(),
            "file_length": file.file_length,
            "encrypted_length": file.encrypted_length,
            "file_sha256": BASE64_STANDARD.encode(file.file_sha256),
            "file_enc_sha256": BASE64_STANDARD.encode(file.file_enc_sha256),
        })),
        Style::Text => output::line(&format!(
            "message {id} to {to} is {}: {kind} of {} bytes",
            name(state),
            file.file_length
        )),
    }
}

/// What becomes of a file that is not sent yet.
const GOES_ON: &str = "the file is in the outbox and goes on with the next command that connects, such as `landbridge client listen`";

/// How far a file has got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reached {
    UnderWay,
    /// The partner's server has it.
    There,
    /// It could not be brought there now.
    Waits,
}

/// Connects, and waits until the partner's server has the file, or its message has failed.
async fn upload(
    client: &Client,
    files: &Files,
    file: &PendingFile,
    mut reached: watch::Receiver<Reached>,
) -> Result<(), Failure> {
    client.connect().await.map_err(failure)?;
    let reached = reached.wait_for(|reached| *reached != Reached::UnderWay);
    tokio::select! {
        biased;
        state = client.wait_for(&file.to, &file.id, OutState::Sent) => state.map(drop).map_err(failure),
        reached = reached => match reached.as_deref() {
            Ok(Reached::Waits) => {
                let waiting = files.pending().await.map_err(failure)?;
                let why = waiting.into_iter().find(|it| it.id == file.id).and_then(|it| it.waits);
                Err(why.map_or_else(|| Failure::runtime("the file waits"), |why| Failure::from_error(&*why)))
            }
            _ => Ok(()),
        },
        ending = client.closed() => {
            Err(Failure::runtime(ending.map_or_else(|| "the connection is gone".to_owned(), |it| it.to_string())))
        }
    }
}

/// Says what else goes out while a command is connected.
pub(super) async fn note_outbox(files: &Files) -> Result<(), Failure> {
    match files.pending().await.map_err(failure)?.len() {
        0 => {}
        1 => eprintln!("a file in the outbox goes on while this command is connected"),
        count => eprintln!("{count} files in the outbox go on while this command is connected"),
    }
    Ok(())
}

fn outgoing(
    args: &FileArgs,
    path: &Path,
    bar: &ProgressBar,
    told: watch::Sender<Reached>,
) -> (MediaKind, OutgoingFile) {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let known = TYPES.iter().find(|(known, ..)| Some(*known) == ending.as_deref());
    let (mimetype, kind) = known.map_or((UNKNOWN, Kind::Document), |(_, mimetype, kind)| (*mimetype, *kind));
    let kind = args.kind.unwrap_or(kind);
    let bar = bar.clone();
    let mut file =
        OutgoingFile::new(path, args.mimetype.as_deref().unwrap_or(mimetype)).on_progress(move |progress| {
            match progress {
                Progress::Encrypted { bytes } => bar.set_position(bytes),
                Progress::Transferred { bytes, of } => {
                    progress::show(&bar, bytes, of);
                    told.send_replace(if Some(bytes) == of { Reached::There } else { Reached::UnderWay });
                }
                Progress::Waits => drop(told.send_replace(Reached::Waits)),
                _ => {}
            }
        });
    if let Some(caption) = &args.caption {
        file = file.caption(caption);
    }
    (kind.into(), file)
}

/// What names of files of this media type end in.
pub(super) fn ending(mimetype: &str) -> &'static str {
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let wanted = essence(mimetype);
    let known = TYPES.iter().find(|(_, mimetype, _)| essence(mimetype) == wanted);
    known.map_or("bin", |(ending, ..)| ending)
}

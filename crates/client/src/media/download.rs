//! Fetching a file: going on after breaks, and once more from the beginning if what came is not what was sent.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use landbridge_media::{
    DecryptError, Decryptor, DownloadPath, Downloader, Expected, Fetch, Opened, Quarantine, Refusal, Remedy,
    Span, TransferError,
};
use landbridge_stanza::profile::MediaProfile;

use super::patience::Patience;
use super::{HiddenFile, MediaError, Progress};

/// Bytes that are decrypted at a time.
const AHEAD: usize = 256 * 1024;

/// Where the plain file goes.
#[derive(Clone)]
pub(super) enum Target {
    File(PathBuf),
    Memory,
}

/// One file to fetch.
pub(super) struct Job<'a> {
    pub(super) downloader: &'a dyn Downloader,
    pub(super) path: &'a DownloadPath,
    pub(super) expected: &'a Expected,
    pub(super) target: Target,
    pub(super) progress: &'a (dyn Fn(Progress) + Send + Sync),
    pub(super) profile: &'a MediaProfile,
}

impl Job<'_> {
    /// The file, or why there is none. A file that is not the one that the message names is fetched once more, for it may
    /// have been damaged on the way.
    pub(super) async fn run(&self) -> Result<Opened<Vec<u8>>, MediaError> {
        match self.once().await {
            Err(Failed::Refused(refusal)) if refusal.remedy() == Remedy::FetchOnceMore => {}
            done => return done.map_err(MediaError::from),
        }
        self.once().await.map_err(MediaError::from)
    }

    async fn once(&self) -> Result<Opened<Vec<u8>>, Failed> {
        let mut patience = Patience::of(self.profile);
        let mut sink = Sink::begin(self)?;
        let mut validator = None;
        loop {
            let span = Span::from(sink.taken).of(validator.clone());
            let broken = match self.downloader.fetch(self.path, &span).await {
                Ok(mut fetch) => {
                    if fetch.begins_at() != sink.taken {
                        sink = Sink::begin(self)?;
                    }
                    validator = fetch.validator().map(str::to_owned);
                    let drained = self.drain(&mut *fetch, sink, &mut patience).await?;
                    sink = drained.0;
                    drained.1
                }
                Err(error) => Some(error),
            };
            match broken {
                None => return sink.finish().await,
                Some(error) => patience.wait(error).await.map_err(Failed::Transfer)?,
            }
        }
    }

    /// Takes what comes, and says why there is no more if that is not the end.
    async fn drain(
        &self,
        fetch: &mut dyn Fetch,
        mut sink: Sink,
        patience: &mut Patience,
    ) -> Result<(Sink, Option<TransferError>), Failed> {
        let expected = self.expected.encrypted_length();
        let announced = fetch.length();
        if let (Some(expected), Some(got)) = (expected, announced)
            && expected != got
        {
            return Err(Failed::Refused(Refusal::BadEncLength { got }));
        }
        let limit = expected.unwrap_or_else(|| self.expected.encrypted_limit());
        loop {
            let piece = match fetch.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) if announced.is_some_and(|length| sink.taken < length) => {
                    let source = io::Error::from(io::ErrorKind::UnexpectedEof).into();
                    return Ok((sink, Some(TransferError::Network { source })));
                }
                Ok(None) => return Ok((sink, None)),
                Err(error) => return Ok((sink, Some(error))),
            };
            patience.renew();
            let length = sink.taken + piece.len() as u64;
            if length > limit {
                return Err(Failed::Refused(match expected {
                    Some(_) => Refusal::BadEncLength { got: length },
                    None => Refusal::TooLarge { limit: self.expected.limit() },
                }));
            }
            sink = sink.take(piece).await?;
            (self.progress)(Progress::Transferred { bytes: sink.taken, of: announced.or(expected) });
        }
    }
}

/// Why one attempt did not succeed.
enum Failed {
    Refused(Refusal),
    Disk(io::Error),
    Transfer(TransferError),
    GivenUp,
}

impl From<Failed> for MediaError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(refusal) => refusal.into(),
            Failed::Disk(source) => Self::Disk { source },
            Failed::Transfer(error) => error.into(),
            Failed::GivenUp => Self::GivenUp,
        }
    }
}

impl From<DecryptError<io::Error>> for Failed {
    fn from(error: DecryptError<io::Error>) -> Self {
        match error {
            DecryptError::Refused(refusal) => Self::Refused(refusal),
            DecryptError::Quarantine(source) => Self::Disk(source),
            _ => Self::GivenUp,
        }
    }
}

/// Decrypts what has come, so much at a time, on a thread for such work: neither hashing nor the disk holds up anything
/// else, and while nothing comes no thread is held.
struct Sink {
    decryptor: Decryptor<Held>,
    waiting: Vec<Bytes>,
    /// Bytes that wait.
    ahead: usize,
    /// Bytes that have come, those that wait among them.
    taken: u64,
}

impl Sink {
    fn begin(job: &Job<'_>) -> Result<Self, Failed> {
        let hidden = match &job.target {
            Target::File(path) => Held::File(HiddenFile::beside(path).map_err(Failed::Disk)?),
            Target::Memory => Held::Memory(Vec::new()),
        };
        let decryptor = Decryptor::new(job.expected, hidden);
        Ok(Self { decryptor, waiting: Vec::new(), ahead: 0, taken: 0 })
    }

    async fn take(mut self, piece: Bytes) -> Result<Self, Failed> {
        self.taken += piece.len() as u64;
        self.ahead += piece.len();
        self.waiting.push(piece);
        if self.ahead < AHEAD {
            return Ok(self);
        }
        let Self { decryptor, waiting, taken, .. } = self;
        let decryptor = decrypt(decryptor, waiting, Ok).await?;
        Ok(Self { decryptor, waiting: Vec::new(), ahead: 0, taken })
    }

    async fn finish(self) -> Result<Opened<Vec<u8>>, Failed> {
        decrypt(self.decryptor, self.waiting, |decryptor| Ok(decryptor.finish()?)).await
    }
}

async fn decrypt<T: Send + 'static>(
    mut decryptor: Decryptor<Held>,
    pieces: Vec<Bytes>,
    then: fn(Decryptor<Held>) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let work = move || {
        for piece in pieces {
            decryptor.update(&piece)?;
        }
        then(decryptor)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Failed::GivenUp))
}

/// Where plain bytes wait.
enum Held {
    File(HiddenFile),
    Memory(Vec<u8>),
}

impl Quarantine for Held {
    /// The bytes, if they were to stay in memory.
    type Released = Vec<u8>;
    type Error = io::Error;

    fn hold(&mut self, plain: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.hold(plain),
            Self::Memory(bytes) => {
                bytes.extend_from_slice(plain);
                Ok(())
            }
        }
    }

    fn release(self) -> io::Result<Vec<u8>> {
        match self {
            Self::File(file) => file.release().map(|_| Vec::new()),
            Self::Memory(bytes) => Ok(bytes),
        }
    }
}

/// Fetches exactly these bytes, into memory; a break begins anew.
pub(super) async fn span(
    downloader: &Arc<dyn Downloader>,
    path: &DownloadPath,
    range: std::ops::Range<u64>,
    profile: &MediaProfile,
) -> Result<Vec<u8>, TransferError> {
    let mut patience = Patience::of(profile);
    loop {
        let fetched = span_once(downloader, path, &range).await;
        match fetched {
            Ok(bytes) => return Ok(bytes),
            Err(error) => patience.wait(error).await?,
        }
    }
}

async fn span_once(
    downloader: &Arc<dyn Downloader>,
    path: &DownloadPath,
    range: &std::ops::Range<u64>,
) -> Result<Vec<u8>, TransferError> {
    let mut fetch = downloader.fetch(path, &Span::from(range.start).to(range.end)).await?;
    if fetch.begins_at() != range.start {
        return Err(TransferError::Malformed { what: "the server gives no parts of files" });
    }
    let mut bytes = Vec::new();
    while let Some(piece) = fetch.next().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > range.end - range.start {
            return Err(TransferError::Malformed { what: "the part is longer than what was asked for" });
        }
    }
    Ok(bytes)
}

//! A downloader that does what it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use landbridge_media::{DownloadPath, Downloader, Fetch, Span, TransferError};

/// What becomes of one fetch; those that are not told of succeed.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// The connection breaks after so many bytes.
    BreakAfter(usize),
    /// Nothing more comes after so many bytes.
    HangAfter(usize),
    Unavailable,
    Gone,
    /// One bit of this byte of the file is another.
    Flip(usize),
    /// The server does not know the validator, and begins at 0.
    FromTheBeginning,
    /// The file has a byte more.
    TooLong,
    /// The file is said to be, and is, 16 bytes shorter.
    Short,
}

/// Clones are the same way.
#[derive(Clone)]
pub(super) struct Way {
    file: Arc<Vec<u8>>,
    steps: Arc<Mutex<VecDeque<Step>>>,
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Way {
    pub(super) fn new(file: &[u8]) -> Self {
        Self { file: Arc::new(file.to_vec()), steps: Arc::default(), asked: Arc::default() }
    }

    pub(super) fn then(self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.lock().unwrap().extend(steps);
        self
    }

    /// The first byte of each fetch.
    pub(super) fn asked(&self) -> Vec<u64> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Downloader for Way {
    async fn fetch(&self, path: &DownloadPath, span: &Span) -> Result<Box<dyn Fetch>, TransferError> {
        assert!(path.as_str().starts_with("/v/"));
        self.asked.lock().unwrap().push(span.from);
        let step = self.steps.lock().unwrap().pop_front();
        let mut file = self.file.to_vec();
        let (mut from, mut end) = (span.from, Ending::Whole);
        let mut most = usize::MAX;
        match step {
            None => {}
            Some(Step::Unavailable) => {
                return Err(TransferError::Unavailable { status: 503, retry_after: Some(2) });
            }
            Some(Step::Gone) => return Err(TransferError::Gone { status: 404 }),
            Some(Step::BreakAfter(bytes)) => (most, end) = (bytes, Ending::Broken),
            Some(Step::HangAfter(bytes)) => (most, end) = (bytes, Ending::Hangs),
            Some(Step::Flip(at)) => file[at] ^= 4,
            Some(Step::FromTheBeginning) => from = 0,
            Some(Step::TooLong) => file.push(0),
            Some(Step::Short) => file.truncate(file.len() - 16),
        }
        if from > 0 && span.to.is_none() {
            assert_eq!(
                span.validator.as_deref(),
                Some("\"this\""),
                "a resumed fetch names what it goes on with"
            );
        }
        let to = span.to.map_or(file.len(), |to| to as usize);
        let announced = if matches!(end, Ending::Whole) && file.len() > self.file.len() {
            None
        } else {
            Some(file.len() as u64)
        };
        let bytes = &file[from as usize..to];
        let pieces = bytes[..bytes.len().min(most)].chunks(10_000).map(Bytes::copy_from_slice).collect();
        Ok(Box::new(Coming { from, announced, pieces, end }))
    }
}

enum Ending {
    Whole,
    Broken,
    Hangs,
}

struct Coming {
    from: u64,
    announced: Option<u64>,
    pieces: VecDeque<Bytes>,
    end: Ending,
}

#[async_trait]
impl Fetch for Coming {
    fn begins_at(&self) -> u64 {
        self.from
    }

    fn length(&self) -> Option<u64> {
        self.announced
    }

    fn validator(&self) -> Option<&str> {
        Some("\"this\"")
    }

    async fn next(&mut self) -> Result<Option<Bytes>, TransferError> {
        match (self.pieces.pop_front(), &self.end) {
            (Some(piece), _) => Ok(Some(piece)),
            (None, Ending::Whole) => Ok(None),
            (None, Ending::Broken) => Err(TransferError::Network { source: "broken".into() }),
            (None, Ending::Hangs) => std::future::pending().await,
        }
    }
}

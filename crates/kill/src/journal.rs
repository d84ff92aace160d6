//! What the application of the client has seen and done, in a file that is only appended to. Each line is on the disk
//! before the application goes on.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// A life begins.
    Begin { life: u32 },
    /// It is logged in, so many microseconds after its process began.
    Connected { micros: u64 },
    /// A message was shown.
    Shown { from: String, id: String, text: String },
    /// The application asks for a text to be sent.
    Asked { to: String, text: String },
    /// Its sending was promised.
    Accepted { to: String, id: String, text: String },
    /// It was refused: nothing has happened.
    Refused { to: String, text: String },
    /// All is shown, and all that was promised is delivered.
    Settled,
    /// Something that must not happen.
    Odd { what: String },
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin { life } => write!(f, "begin {life}"),
            Self::Connected { micros } => write!(f, "connected {micros}"),
            Self::Shown { from, id, text } => write!(f, "shown {from} {id} {text}"),
            Self::Asked { to, text } => write!(f, "asked {to} {text}"),
            Self::Accepted { to, id, text } => write!(f, "accepted {to} {id} {text}"),
            Self::Refused { to, text } => write!(f, "refused {to} {text}"),
            Self::Settled => f.write_str("settled"),
            Self::Odd { what } => write!(f, "odd {}", what.replace('\n', " ")),
        }
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let two = || rest.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        let three = || {
            let (a, rest) = rest.split_once(' ')?;
            let (b, c) = rest.split_once(' ')?;
            Some((a.to_owned(), b.to_owned(), c.to_owned()))
        };
        Some(match kind {
            "begin" => Self::Begin { life: rest.parse().ok()? },
            "connected" => Self::Connected { micros: rest.parse().ok()? },
            "shown" => three().map(|(from, id, text)| Self::Shown { from, id, text })?,
            "asked" => two().map(|(to, text)| Self::Asked { to, text })?,
            "accepted" => three().map(|(to, id, text)| Self::Accepted { to, id, text })?,
            "refused" => two().map(|(to, text)| Self::Refused { to, text })?,
            "settled" => Self::Settled,
            "odd" => Self::Odd { what: rest.to_owned() },
            _ => return None,
        })
    }
}

/// Where the journal lies.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("journal")
}

/// All lines so far.
pub(crate) fn read(dir: &Path) -> io::Result<Vec<Line>> {
    let text = match std::fs::read_to_string(path(dir)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let parse =
        |line: &str| Line::parse(line).unwrap_or_else(|| Line::Odd { what: format!("no line: {line}") });
    Ok(text.lines().map(parse).collect())
}

/// Appends. Clones append to the same file.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Mutex<File>>);

impl Journal {
    pub(crate) fn append(dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path(dir))?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    /// One write, so that a kill leaves the whole line or none of it; then it is made durable.
    pub(crate) fn write(&self, line: &Line) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()
    }
}

//! The account as one encrypted file: its form, and what keeps it shut.
//!
//! The file is a header and a series of sealed chunks. `docs/export.md` describes every byte.

mod header;
mod seal;
mod values;

use std::fmt;
use std::io::Write;

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::StoreError;
pub(crate) use header::Header;
pub(crate) use seal::{Opener, Sealer};
pub(crate) use values::{Field, Item, Reader, Writer};

/// What opens an exported account again.
pub struct ExportSecret(pub(crate) Secret);

pub(crate) enum Secret {
    Passphrase { text: Zeroizing<String>, cost: KdfCost },
    Key(Zeroizing<[u8; 32]>),
}

impl ExportSecret {
    /// A passphrase, stretched with Argon2id at the [default cost](KdfCost::default).
    pub fn passphrase(text: impl Into<String>) -> Self {
        Self::passphrase_with(text, KdfCost::default())
    }

    /// A passphrase, stretched at this cost when exporting. An import takes the cost from the file.
    pub fn passphrase_with(text: impl Into<String>, cost: KdfCost) -> Self {
        Self(Secret::Passphrase { text: Zeroizing::new(text.into()), cost })
    }

    /// A random key of 32 bytes, for callers who have a safe place for one.
    pub fn key(key: [u8; 32]) -> Self {
        Self(Secret::Key(Zeroizing::new(key)))
    }
}

impl fmt::Debug for ExportSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExportSecret([redacted])")
    }
}

/// How much work a passphrase costs whoever tries it: the parameters of Argon2id (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl KdfCost {
    /// The least and the most memory, in KiB: 1 MiB to 1 GiB.
    pub const MEMORY_KIB: std::ops::RangeInclusive<u32> = 1_024..=1_048_576;
    /// The fewest and the most passes.
    pub const PASSES: std::ops::RangeInclusive<u32> = 1..=16;
    /// The fewest and the most lanes.
    pub const LANES: std::ops::RangeInclusive<u32> = 1..=16;
    /// The most of memory times passes, in KiB: what a file can make a reader do at most.
    pub const MOST_WORK: u64 = 4 * 1_048_576;

    /// A cost within the bounds.
    ///
    /// # Errors
    /// [`ExportError::Cost`] if a number is out of bounds.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, ExportError> {
        let out = |what, value: u32| Err(ExportError::Cost { what, value: u64::from(value) });
        if !Self::MEMORY_KIB.contains(&memory_kib) {
            return out("memory in KiB", memory_kib);
        }
        if !Self::PASSES.contains(&passes) {
            return out("number of passes", passes);
        }
        if !Self::LANES.contains(&lanes) {
            return out("number of lanes", lanes);
        }
        let work = u64::from(memory_kib) * u64::from(passes);
        if work > Self::MOST_WORK {
            return Err(ExportError::Cost { what: "product of memory and passes", value: work });
        }
        Ok(Self { memory_kib, passes, lanes })
    }
}

impl Default for KdfCost {
    /// 64 MiB, 3 passes, 4 lanes: the second recommendation of RFC 9106, section 4.
    fn default() -> Self {
        Self { memory_kib: 65_536, passes: 3, lanes: 4 }
    }
}

/// Why an account was not exported or imported. Nothing is kept of an import that fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The file does not begin as an export does.
    #[error("this is no exported account")]
    NotAnExport,
    /// The file's form is of a later release.
    #[error("the exported account has form {found}, this release knows form 1; use a newer release")]
    NewerForm {
        /// The number in the file.
        found: u8,
    },
    /// The file was exported with a key, and a passphrase was given, or the other way round.
    #[error("the exported account is locked with a {wanted}, and something else was given")]
    OtherSecret {
        /// `passphrase` or `key`.
        wanted: &'static str,
    },
    /// The cost of trying a passphrase is out of bounds.
    #[error("the {what} for the passphrase cannot be {value}")]
    Cost {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// The passphrase could not be stretched.
    #[error("the passphrase could not be stretched: {what}")]
    Kdf {
        /// Why.
        what: String,
    },
    /// A chunk does not open: another secret, or a file that was changed or cut off.
    #[error(
        "part {chunk} of the exported account does not open: the secret is wrong, or the file was changed or cut off"
    )]
    Sealed {
        /// Which, from 0.
        chunk: u32,
    },
    /// The file ends inside its header.
    #[error("the exported account is cut off")]
    CutOff,
    /// What was sealed is not what an export holds.
    #[error("the exported account holds something that cannot be imported: {what}")]
    Content {
        /// What.
        what: String,
    },
    /// The account was exported by a later release.
    #[error(
        "the exported account has schema {found}, this release knows schemas up to {known}; use a newer release"
    )]
    NewerSchema {
        /// The schema number in the file.
        found: u32,
        /// The newest schema number that this release can read.
        known: u32,
    },
    /// The file is longer than an export may be: 2^32 chunks of 64 KiB.
    #[error("the account is too large for one file")]
    TooLarge,
    /// There is something in the store already.
    #[error("the store is not empty; import into a new one")]
    NotEmpty,
    /// This kind of store cannot be exported.
    #[error("this kind of store cannot be exported")]
    NotPortable,
    /// The file could not be read or written.
    #[error("the exported account could not be {doing}")]
    Io {
        /// `read` or `written`.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store failed.
    #[error("the store failed")]
    Store {
        /// Why.
        #[source]
        source: StoreError,
    },
}

impl From<StoreError> for ExportError {
    fn from(source: StoreError) -> Self {
        Self::Store { source }
    }
}

/// A store whose account can move to another one.
pub trait Portable {
    /// Writes everything that the store holds, encrypted, and marks the account as handed over at `at` unix seconds: from then on
    /// this store does not connect and sends nothing, until it is [taken back](crate::LineageStore::take_back). If the export
    /// fails, what was written is useless and the account stays here.
    ///
    /// # Errors
    /// [`ExportError`]; [`StoreError::HandedOver`] as its cause if the account was exported before.
    fn export(
        &mut self,
        out: &mut dyn Write,
        secret: &ExportSecret,
        at: u64,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), ExportError>;
}

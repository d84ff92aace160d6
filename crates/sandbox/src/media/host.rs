//! What phones have uploaded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};

use axum::body::Bytes;
use landbridge_media::{DownloadPath, StorageReference};
use rand::Rng;
use rand::rngs::StdRng;

use super::FileError;
use crate::state::{DAY, lock};

/// Most bytes of all files together: they are kept in memory.
const CAPACITY: u64 = 1024 * 1024 * 1024;

/// One file.
#[derive(Clone)]
pub(super) struct Hosted {
    pub(super) bytes: Bytes,
    pub(super) etag: String,
    /// Unix seconds.
    pub(super) expires_at: u64,
}

/// All files, by their path with its query. They go with the process.
#[derive(Default)]
pub(crate) struct MediaHost {
    files: Mutex<BTreeMap<String, Hosted>>,
    addr: OnceLock<SocketAddr>,
}

impl MediaHost {
    /// Where the media server listens, once it does.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.addr.get().copied()
    }

    pub(super) fn listens_on(&self, addr: SocketAddr) {
        // It listens once.
        let _ = self.addr.set(addr);
    }

    /// Keeps an encrypted file for so many days, and gives the path that phones put into messages.
    pub(crate) fn store(
        &self,
        bytes: Vec<u8>,
        days: u32,
        now: u64,
        rng: &mut StdRng,
    ) -> Result<String, FileError> {
        let life = u64::from(days) * DAY;
        let expires_at = now + life;
        let (number, secret) = (rng.next_u64(), StorageReference::generate(rng));
        let path = format!(
            "/v/t62.7118-24/{number}_n.enc?ccb=11-4&oh={}&oe={expires_at:X}&_nc_sid=5e03e0",
            secret.as_str()
        );
        let mut files = lock(&self.files);
        files.retain(|_, file| file.expires_at + life > now);
        let stored: u64 = files.values().map(|file| file.bytes.len() as u64).sum();
        if stored + bytes.len() as u64 > CAPACITY {
            return Err(FileError::TooLarge { limit: CAPACITY - stored });
        }
        let etag = format!("\"{number:016x}\"");
        files.insert(path.clone(), Hosted { bytes: bytes.into(), etag, expires_at });
        Ok(path)
    }

    pub(super) fn get(&self, path: &DownloadPath) -> Option<Hosted> {
        lock(&self.files).get(path.as_str()).cloned()
    }
}

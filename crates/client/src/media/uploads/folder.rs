//! Where encrypted files lie.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use landbridge_store::StoreTx;
use rand::Rng as _;

use super::Uploads;
use crate::client::Inner;
use crate::error::Error;
use crate::media::spool::{Berth, SpoolFile, sync_folder};

/// Bytes of a name before it is hex.
const NAME: usize = 16;

/// Whether a name is one of ours. It comes from the store, and an imported one is somebody else's word.
fn is_name(name: &str) -> bool {
    name.len() == 2 * NAME && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn new_name(inner: &Inner) -> String {
    let mut bytes = [0; NAME];
    inner.rng.fork().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes the folder, for its owner alone, unless it is there.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Ok(()) => sync_folder(folder.parent().filter(|parent| !parent.as_os_str().is_empty())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

impl Uploads {
    /// A place for a new file, and its name for the store.
    pub(super) fn berth(&self, inner: &Inner) -> io::Result<(Berth, String)> {
        let Some(folder) = &self.folder else { return Ok((Berth::Nameless, String::new())) };
        make(folder)?;
        let name = new_name(inner);
        Ok((Berth::At(folder.join(&name)), name))
    }

    fn path(&self, spool: &str) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        is_name(spool).then(|| folder.join(spool))
    }

    /// The file of an upload that an earlier process has begun.
    pub(super) fn open(&self, spool: &str, length: u64, sha256: [u8; 32]) -> io::Result<SpoolFile> {
        let path = self.path(spool).ok_or(io::ErrorKind::NotFound)?;
        SpoolFile::open(&path, length, sha256)
    }

    /// One that cannot be removed now is found without an owner at the next start.
    pub(super) fn remove(&self, spool: &str) {
        if let Some(path) = self.path(spool) {
            let _left = std::fs::remove_file(path);
        }
    }

    pub(super) fn remove_all_but(&self, owned: &[String]) {
        let Some(entries) = self.folder.as_ref().and_then(|folder| std::fs::read_dir(folder).ok()) else {
            return;
        };
        for entry in entries.flatten() {
            if let Some(name) = entry.file_name().to_str().filter(|name| !owned.iter().any(|it| it == name)) {
                self.remove(name);
            }
        }
    }

    /// Removes what earlier processes have left without an owner, once. Nothing new is made before.
    pub(super) async fn sweep(&self, inner: &Arc<Inner>) -> Result<(), Error> {
        if self.folder.is_none() {
            return Ok(());
        }
        let sweep = async {
            let owner = Arc::clone(inner);
            let step = move |tx: &mut dyn StoreTx| {
                let entries = tx.uploads(0, usize::MAX)?;
                let owned: Vec<_> = entries.into_iter().map(|entry| entry.upload.spool).collect();
                // On the thread of the store, which may wait for the disk.
                owner.uploads.remove_all_but(&owned);
                Ok::<_, Error>(())
            };
            inner.vault.read(step).await
        };
        self.swept.get_or_try_init(|| sweep).await?;
        Ok(())
    }
}

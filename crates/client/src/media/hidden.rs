//! Files that nobody sees before they are whole.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use landbridge_media::Quarantine;
use tempfile::NamedTempFile;

/// A file in the making, under a name of its own beside the one it will have. It takes that name at once and whole when
/// it is released, and is removed when it is dropped before. Only its owner may read it (Unix: mode 0600).
///
/// As a [`Quarantine`] it is where a decrypted file waits for its last check.
///
/// ```
/// use landbridge::media::{HiddenFile, Quarantine};
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("letter.txt");
/// let mut file = HiddenFile::beside(&path)?;
/// file.hold(b"a letter")?;
/// assert!(!path.exists());
/// file.release()?;
/// assert_eq!(std::fs::read(&path)?, b"a letter");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct HiddenFile {
    writer: BufWriter<NamedTempFile>,
    target: PathBuf,
}

impl HiddenFile {
    /// Begins the file that will be `target`. What is there under that name stays until then.
    ///
    /// # Errors
    ///
    /// If no file can be made in the folder of `target`.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
        Ok(Self { writer: BufWriter::with_capacity(64 * 1024, file), target: target.to_owned() })
    }

    /// Where it is until it is released: what a program removes that is told to stop in between.
    pub fn hidden_path(&self) -> &Path {
        self.writer.get_ref().path()
    }
}

impl Quarantine for HiddenFile {
    type Released = File;
    type Error = io::Error;

    fn hold(&mut self, plain: &[u8]) -> io::Result<()> {
        self.writer.write_all(plain)
    }

    /// Writes it to the disk and gives it its name.
    fn release(self) -> io::Result<File> {
        let file = self.writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        Ok(file.persist(&self.target)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"old").unwrap();
        let mut file = HiddenFile::beside(&path).unwrap();
        file.hold(&[7; 200_000]).unwrap();
        drop(file);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert!(HiddenFile::beside(&folder.path().join("none/file")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = HiddenFile::beside(&path).unwrap();
        file.hold(b"secret").unwrap();
        let released = file.release().unwrap();
        assert_eq!(released.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

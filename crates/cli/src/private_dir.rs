//! Directories that hold keys.

use std::path::Path;

/// Makes a directory that only its owner can read, and what is missing above it. One that is there stays as it is.
pub(crate) fn make(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

//! Where the bytes are.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use async_trait::async_trait;
use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

/// What is read from a file at once.
const CHUNK: usize = 64 * 1024;

/// Bytes on their way out.
pub type BlobStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// A place for bytes: unfinished ones under an upload's id, complete ones under the object's name. Both are made by the
/// server, of characters that mean nothing to any file system; an upload is published under one name only.
///
/// What was never published is not served. The server appends to one upload from one request at a time. A backend of
/// your own runs the suite of [`conformance`](super::conformance).
#[async_trait]
pub trait Blobs: Send + Sync {
    /// How much of an unfinished upload is there; 0 for one that was not begun. Of one that was published, all or
    /// nothing.
    ///
    /// # Errors
    /// The place fails. The same holds for every method here.
    async fn received(&self, id: &str) -> io::Result<u64>;

    /// Opens an unfinished upload behind its first `at` bytes, which have to be all there are; makes it if there is
    /// none and `at` is 0.
    ///
    /// # Errors
    /// The place fails, or `at` is not where the upload is ([`io::ErrorKind::InvalidInput`]).
    async fn append(&self, id: &str, at: u64) -> io::Result<Box<dyn BlobWriter>>;

    /// The bytes of an unfinished upload.
    ///
    /// # Errors
    /// The place fails, or there is no such upload ([`io::ErrorKind::NotFound`]).
    async fn read_upload(&self, id: &str) -> io::Result<BlobStream>;

    /// Makes an upload the object `name`, durably and at once: nobody sees a part of it. Doing it again is no error.
    ///
    /// # Errors
    /// The place fails, and the upload is then still there, or already the object. Or there is no such upload
    /// ([`io::ErrorKind::NotFound`]).
    async fn publish(&self, id: &str, name: &str) -> io::Result<()>;

    /// How long the object `name` is, in bytes; `None` if there is none.
    ///
    /// # Errors
    /// The place fails.
    async fn published(&self, name: &str) -> io::Result<Option<u64>>;

    /// `length` bytes of an object from `start`, of which it has to have so many.
    ///
    /// # Errors
    /// The place fails, or there is no such object ([`io::ErrorKind::NotFound`]).
    async fn read(&self, name: &str, start: u64, length: u64) -> io::Result<BlobStream>;

    /// Removes an unfinished upload, if it is there. What has been published stays.
    ///
    /// # Errors
    /// The place fails.
    async fn discard(&self, id: &str) -> io::Result<()>;

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// The place fails.
    async fn delete(&self, name: &str) -> io::Result<()>;
}

/// An upload that is open for appending.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends.
    ///
    /// # Errors
    /// The place fails, for example because it is full; what was appended before is still there.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything that was appended would survive the loss of power.
    ///
    /// # Errors
    /// The place fails.
    async fn sync(&mut self) -> io::Result<()>;
}

/// Files in a directory: `uploads/{id}`, and `objects/{first two digits}/{name}`.
pub struct LocalBlobs {
    root: PathBuf,
    /// Keeps a directory that goes with this.
    _temporary: Option<tempfile::TempDir>,
}

impl fmt::Debug for LocalBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBlobs").field("root", &self.root).finish_non_exhaustive()
    }
}

impl LocalBlobs {
    /// Uses a directory, making it if there is none. Blocks.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let blobs = Self { root: root.into(), _temporary: None };
        make_directory(&blobs.root.join("uploads"))?;
        make_directory(&blobs.root.join("objects"))?;
        Ok(blobs)
    }

    /// Uses a directory that is removed with this. Blocks.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn temporary() -> io::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("landbridge-media-").tempdir()?;
        let blobs = Self::open(temporary.path())?;
        Ok(Self { _temporary: Some(temporary), ..blobs })
    }

    fn upload(&self, id: &str) -> PathBuf {
        self.root.join("uploads").join(id)
    }

    fn object(&self, name: &str) -> PathBuf {
        let (shelf, _) = name.split_at_checked(2).unwrap_or(("", name));
        self.root.join("objects").join(shelf).join(name)
    }
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// A new name lies in the directory. Not every system lets a directory be opened.
fn sync_directory(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(directory)?.sync_all()?;
    Ok(())
}

fn elsewhere() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the upload is at another offset")
}

fn absent_is_done(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[async_trait]
impl Blobs for LocalBlobs {
    async fn received(&self, id: &str) -> io::Result<u64> {
        match tokio::fs::metadata(self.upload(id)).await {
            Ok(metadata) => Ok(metadata.len()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(cause) => Err(cause),
        }
    }

    async fn append(&self, id: &str, at: u64) -> io::Result<Box<dyn BlobWriter>> {
        let mut options = OpenOptions::new();
        options.append(true).create(at == 0);
        #[cfg(unix)]
        options.mode(0o600);
        let file = match options.open(self.upload(id)).await {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(elsewhere()),
            file => file?,
        };
        if file.metadata().await?.len() != at {
            return Err(elsewhere());
        }
        Ok(Box::new(LocalWriter { file, directory: self.root.join("uploads") }))
    }

    async fn read_upload(&self, id: &str) -> io::Result<BlobStream> {
        let file = File::open(self.upload(id)).await?;
        Ok(ReaderStream::with_capacity(file, CHUNK).boxed())
    }

    async fn publish(&self, id: &str, name: &str) -> io::Result<()> {
        let (upload, object) = (self.upload(id), self.object(name));
        let uploads = self.root.join("uploads");
        let work = move || {
            let shelf = object.parent().ok_or(io::ErrorKind::InvalidInput)?;
            if !shelf.exists() {
                make_directory(shelf)?;
                sync_directory(shelf.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
            }
            match fs::rename(&upload, &object) {
                Err(cause) if cause.kind() == io::ErrorKind::NotFound && object.exists() => {}
                renamed => renamed?,
            }
            sync_directory(shelf)?;
            sync_directory(&uploads)
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    async fn published(&self, name: &str) -> io::Result<Option<u64>> {
        match tokio::fs::metadata(self.object(name)).await {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    async fn read(&self, name: &str, start: u64, length: u64) -> io::Result<BlobStream> {
        let mut file = File::open(self.object(name)).await?;
        file.seek(io::SeekFrom::Start(start)).await?;
        Ok(ReaderStream::with_capacity(file.take(length), CHUNK).boxed())
    }

    async fn discard(&self, id: &str) -> io::Result<()> {
        absent_is_done(tokio::fs::remove_file(self.upload(id)).await)
    }

    async fn delete(&self, name: &str) -> io::Result<()> {
        absent_is_done(tokio::fs::remove_file(self.object(name)).await)
    }
}

struct LocalWriter {
    file: File,
    directory: PathBuf,
}

#[async_trait]
impl BlobWriter for LocalWriter {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await
    }

    async fn sync(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let directory = self.directory.clone();
        tokio::task::spawn_blocking(move || sync_directory(&directory)).await.map_err(io::Error::other)?
    }
}

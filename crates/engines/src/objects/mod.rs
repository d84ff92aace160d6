//! The bytes of media in an S3-compatible store.
//!
//! | object | what it is |
//! |---|---|
//! | `{xx}/parts/{upload}/{offset}` | some bytes of an upload, never changed: whoever comes second to an offset is refused |
//! | `{xx}/parts/{upload}/published` | the name under which the upload was, or is about to be, published |
//! | `{xx}/objects/{name}` | the manifest of an object: which upload, and how long its parts are |
//!
//! `xx` are the first two characters of the upload's id or of the name, which are random: stores divide their keys by
//! their beginnings, and no division gets more of the load than another. What makes this more than a directory:
//!
//! - An upload is as long as its parts are in a row from offset 0. Since there is one part at most per offset, this row
//!   only grows, even under two writers; so what was read to check the digest is what is published.
//! - Publishing writes one small object. Nothing is copied, and readers see all or nothing.
//! - Deleting takes the parts first and the manifest last, so that a deletion that was cut short is found again.
//!
//! The store has to list what was just written, and to honour `If-None-Match: *` on writing, as S3 does.

mod config;
mod layout;
mod manifest;
mod reader;
mod writer;

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use landbridge_partner::media::{BlobStream, BlobWriter, Blobs};
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};

pub use config::{ObjectsConfig, ObjectsError};

use layout::Parts;
use manifest::Manifest;
use writer::ObjectWriter;

/// What is held of an upload before it becomes a part, in bytes; the memory of one upload is about that.
pub const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts of one upload. A sender who sends a little at a time does not make the manifest long.
pub const MAX_PARTS: usize = 65_536;

/// [`Blobs`] in a bucket. Any number of servers may share it.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use landbridge_engines::{ObjectBlobs, ObjectsConfig};
/// use landbridge_partner::{Partner, PartnerConfig};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let blobs = ObjectBlobs::open(&ObjectsConfig {
///     bucket: "media".to_owned(),
///     endpoint: Some("https://minio.internal:9000".to_owned()),
///     ..ObjectsConfig::default()
/// })?;
/// let partner = Partner::builder(PartnerConfig::default()).blobs(Arc::new(blobs)).start().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ObjectBlobs {
    store: Arc<dyn ObjectStore>,
}

impl ObjectBlobs {
    /// Prepares for a bucket, which has to be there. Nothing is asked of the store yet. Must be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`ObjectsError`]: the settings cannot be used.
    pub fn open(config: &ObjectsConfig) -> Result<Self, ObjectsError> {
        Ok(Self { store: config.connect()? })
    }

    /// Writes an object, reads it again and removes it: whether the bucket is there, the credentials suffice, and the
    /// store honours the conditions that this relies on.
    ///
    /// # Errors
    /// [`ObjectsError::Unusable`].
    pub async fn check(&self) -> Result<(), ObjectsError> {
        self.try_out().await.map_err(|cause| ObjectsError::Unusable { cause })
    }

    async fn try_out(&self) -> io::Result<()> {
        let id = format!("{:032x}", u128::from_be_bytes(random()?));
        for attempt in [b"1", b"2"] {
            match writer::put_part(&*self.store, &id, 0, bytes::Bytes::from_static(attempt)).await {
                Ok(()) if attempt == b"1" => {}
                Err(cause) if attempt == b"2" && cause.kind() == io::ErrorKind::InvalidInput => {}
                Ok(()) => return Err(io::Error::other("the store overwrites in spite of If-None-Match")),
                Err(cause) => return Err(cause),
            }
        }
        if self.received(&id).await? != 1 {
            return Err(io::Error::other("the store does not list what was written"));
        }
        self.discard(&id).await
    }

    /// Removes everything below a prefix.
    async fn remove_all(&self, prefix: &object_store::path::Path) -> io::Result<()> {
        let listed = self.store.list(Some(prefix)).map_ok(|meta| meta.location).boxed();
        let removed = self.store.delete_stream(listed);
        removed.map(absent_is_done).try_for_each(|()| async { Ok(()) }).await
    }

    async fn manifest(&self, name: &str) -> io::Result<Option<Manifest>> {
        Manifest::load(&*self.store, &layout::object(name)).await
    }
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let source = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&source, &mut bytes)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(bytes)
}

fn absent_is_done<T>(result: object_store::Result<T>) -> io::Result<()> {
    match result {
        Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(cause) => Err(failed(cause)),
    }
}

fn absent(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, what)
}

/// A failure of the store as one of this place.
fn failed(cause: object_store::Error) -> io::Error {
    use io::ErrorKind as Kind;

    use object_store::Error;
    let kind = match &cause {
        Error::NotFound { .. } => Kind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => Kind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Kind::PermissionDenied,
        _ => Kind::Other,
    };
    io::Error::new(kind, cause)
}

#[async_trait]
impl Blobs for ObjectBlobs {
    async fn received(&self, id: &str) -> io::Result<u64> {
        Ok(Parts::list(&*self.store, id).await?.length())
    }

    async fn append(&self, id: &str, at: u64) -> io::Result<Box<dyn BlobWriter>> {
        let parts = Parts::list(&*self.store, id).await?;
        if parts.length() != at {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the upload is at another offset"));
        }
        Ok(Box::new(ObjectWriter::new(Arc::clone(&self.store), id.to_owned(), at, parts.count())))
    }

    async fn read_upload(&self, id: &str) -> io::Result<BlobStream> {
        let parts = Parts::list(&*self.store, id).await?.some()?;
        reader::read(Arc::clone(&self.store), Manifest::of(id, &parts), 0, parts.length()).await
    }

    async fn publish(&self, id: &str, name: &str) -> io::Result<()> {
        let parts = Parts::list(&*self.store, id).await?.some()?;
        // Before the manifest, so that whoever discards the upload meanwhile asks for the manifest first.
        let note = PutPayload::from(name.to_owned());
        self.store.put(&layout::published(id), note).await.map_err(failed)?;
        Manifest::of(id, &parts).save(&*self.store, &layout::object(name)).await
    }

    async fn published(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.manifest(name).await?.map(|manifest| manifest.length()))
    }

    async fn read(&self, name: &str, start: u64, length: u64) -> io::Result<BlobStream> {
        let manifest = self.manifest(name).await?.ok_or_else(|| absent("there is no such object"))?;
        reader::read(Arc::clone(&self.store), manifest, start, length).await
    }

    async fn discard(&self, id: &str) -> io::Result<()> {
        let parts = Parts::list(&*self.store, id).await?;
        if let Some(name) = parts.published_as(&*self.store).await?
            && self.manifest(&name).await?.is_some_and(|manifest| manifest.is_of(id))
        {
            return Ok(());
        }
        self.remove_all(&layout::parts(id)).await
    }

    async fn delete(&self, name: &str) -> io::Result<()> {
        let Some(manifest) = self.manifest(name).await? else { return Ok(()) };
        self.remove_all(&manifest.parts()).await?;
        absent_is_done(self.store.delete(&layout::object(name)).await)
    }
}

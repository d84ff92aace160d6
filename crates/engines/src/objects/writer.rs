//! From pieces of a body to parts.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use landbridge_partner::media::BlobWriter;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::{MAX_PARTS, PART_BYTES, failed, layout};

/// How often a part is sent before the upload is given up for now. Answers that ask for patience are repeated below
/// this; what is left are connections that broke off, where nobody knows whether the part was stored.
const TRIES: u32 = 3;

/// An upload that is open for appending. What has not filled a part waits for [`sync`](BlobWriter::sync).
pub(super) struct ObjectWriter {
    store: Arc<dyn ObjectStore>,
    id: String,
    /// Where the next part begins.
    offset: u64,
    parts: usize,
    waiting: BytesMut,
}

impl ObjectWriter {
    /// Appends to an upload that has `offset` bytes in so many parts.
    pub(super) fn new(store: Arc<dyn ObjectStore>, id: String, offset: u64, parts: usize) -> Self {
        Self { store, id, offset, parts, waiting: BytesMut::new() }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if self.parts >= MAX_PARTS {
            return Err(io::Error::other("the upload has too many parts"));
        }
        // A copy shares the memory: if this fails, everything still waits.
        let part = self.waiting.split().freeze();
        let put = put_part(&*self.store, &self.id, self.offset, part.clone()).await;
        if put.is_err() {
            self.waiting = BytesMut::from(part);
        } else {
            self.offset += part.len() as u64;
            self.parts += 1;
        }
        put
    }
}

#[async_trait]
impl BlobWriter for ObjectWriter {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let room = PART_BYTES.saturating_sub(self.waiting.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.waiting.extend_from_slice(now);
            bytes = later;
            if self.waiting.len() >= PART_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn sync(&mut self) -> io::Result<()> {
        self.flush().await
    }
}

/// Writes a part, unless there is another one in its place.
pub(super) async fn put_part(store: &dyn ObjectStore, id: &str, offset: u64, part: Bytes) -> io::Result<()> {
    let key = layout::part(id, offset);
    let mut tries = 1;
    loop {
        let options = PutOptions::from(PutMode::Create);
        match store.put_opts(&key, PutPayload::from(part.clone()), options).await {
            Ok(_) => return Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => break,
            Err(cause) if tries == TRIES => return Err(failed(cause)),
            Err(_) => tries += 1,
        }
    }
    // An earlier try that seemed to fail, or another writer.
    let found = store.get(&key).await.map_err(failed)?;
    let is_same = found.meta.size == part.len() as u64 && found.bytes().await.map_err(failed)? == part;
    if is_same {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "another writer was first at this offset"))
    }
}

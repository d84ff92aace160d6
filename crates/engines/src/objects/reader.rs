//! From parts to a stream.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use landbridge_partner::media::BlobStream;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::failed;
use super::manifest::{Manifest, Piece};

/// What is asked of the store at once, in bytes. Small, because a reader may be slow, and the request is over before it
/// is.
const PIECE_BYTES: u64 = 1024 * 1024;
/// Pieces that one reader has asked for; the memory of a download is so many pieces and one more.
const AHEAD: usize = 2;

/// `length` bytes from `start`. The first of them have come when this returns: a store that is away, or an object that
/// has just been deleted, is told before anything is sent.
pub(super) async fn read(
    store: Arc<dyn ObjectStore>,
    manifest: Manifest,
    start: u64,
    length: u64,
) -> io::Result<BlobStream> {
    let end = start.checked_add(length).filter(|end| *end <= manifest.length());
    let end = end.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the object is shorter"))?;
    let mut pieces = manifest.pieces(start..end, PIECE_BYTES);
    let Some(first) = pieces.next() else { return Ok(stream::empty().boxed()) };
    let first = fetch(Arc::clone(&store), first).await?;
    let rest = stream::iter(pieces).map(move |piece| fetch(Arc::clone(&store), piece)).buffered(AHEAD);
    Ok(stream::once(async { Ok(first) }).chain(rest).boxed())
}

async fn fetch(store: Arc<dyn ObjectStore>, Piece { key, range }: Piece) -> io::Result<Bytes> {
    let length = range.end - range.start;
    let bytes = store.get_range(&key, range).await.map_err(failed)?;
    // A part that is not as long as it was when it was published is none of ours.
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "a part is shorter than the manifest says"))
    }
}

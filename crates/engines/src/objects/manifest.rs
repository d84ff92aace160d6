//! What an object consists of.

use std::io;
use std::ops::Range;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use serde::{Deserialize, Serialize};

use super::layout::{self, Parts};
use super::{MAX_PARTS, failed};

/// Of the longest manifest, in bytes: a length has eight digits at most and a comma.
const MAX_BYTES: u64 = 1024 + 9 * MAX_PARTS as u64;
/// How this is written. Other releases may write something else.
const VERSION: u32 = 1;

/// Which upload an object was, and the lengths of its parts in bytes, in their order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    version: u32,
    upload: String,
    parts: Vec<u64>,
}

/// A piece of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) key: Path,
    pub(super) range: Range<u64>,
}

impl Manifest {
    pub(super) fn of(id: &str, parts: &Parts) -> Self {
        Self { version: VERSION, upload: id.to_owned(), parts: parts.lengths().to_vec() }
    }

    pub(super) async fn load(store: &dyn ObjectStore, key: &Path) -> io::Result<Option<Self>> {
        let found = match store.get(key).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        let invalid = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
        if found.meta.size > MAX_BYTES {
            return Err(invalid("a manifest is too long"));
        }
        let bytes = found.bytes().await.map_err(failed)?;
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|_| invalid("a manifest cannot be read"))?;
        if manifest.version != VERSION {
            return Err(invalid("a manifest was written by another release"));
        }
        if manifest.parts.iter().try_fold(0_u64, |sum, length| sum.checked_add(*length)).is_none() {
            return Err(invalid("a manifest names more bytes than there are numbers"));
        }
        Ok(Some(manifest))
    }

    pub(super) async fn save(&self, store: &dyn ObjectStore, key: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        store.put(key, PutPayload::from(bytes)).await.map(drop).map_err(failed)
    }

    /// In bytes.
    pub(super) fn length(&self) -> u64 {
        self.parts.iter().sum()
    }

    pub(super) fn is_of(&self, id: &str) -> bool {
        self.upload == id
    }

    /// Where its parts lie.
    pub(super) fn parts(&self) -> Path {
        layout::parts(&self.upload)
    }

    /// What to read for the bytes in `wanted`, in pieces of at most `most` bytes.
    pub(super) fn pieces(self, wanted: Range<u64>, most: u64) -> impl Iterator<Item = Piece> + Send {
        let Self { upload, parts, .. } = self;
        let starts = parts.into_iter().scan(0, |end, length| {
            let start = *end;
            *end += length;
            Some((start, length))
        });
        starts.flat_map(move |(offset, length)| {
            let from = wanted.start.clamp(offset, offset + length) - offset;
            let to = wanted.end.clamp(offset, offset + length) - offset;
            let key = layout::part(&upload, offset);
            let step = usize::try_from(most).unwrap_or(usize::MAX);
            (from..to).step_by(step).map(move |start| {
                let range = start..to.min(start.saturating_add(most));
                Piece { key: key.clone(), range }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(parts: &[u64]) -> Manifest {
        Manifest { version: VERSION, upload: "id".to_owned(), parts: parts.to_vec() }
    }

    /// Every range of a small object is read byte for byte, once.
    #[test]
    fn pieces_cover_what_is_wanted() {
        let parts = [3, 1, 7, 2];
        for (start, end) in (0..=13).flat_map(|start| (start..=13).map(move |end| (start, end))) {
            for most in [1, 2, 3, 100] {
                let mut at = start;
                for Piece { key, range } in manifest(&parts).pieces(start..end, most) {
                    let offset: u64 = key.filename().unwrap().parse().unwrap();
                    assert_eq!(offset + range.start, at, "{start} to {end} by {most}");
                    assert!(range.start < range.end && range.end - range.start <= most);
                    at = offset + range.end;
                }
                assert_eq!(at, end);
            }
        }
    }

    #[tokio::test]
    async fn only_what_was_written_here_is_read() {
        let store = object_store::memory::InMemory::new();
        let key = Path::from("ab/objects/abc");
        assert!(Manifest::load(&store, &key).await.unwrap().is_none());
        manifest(&[1, 2]).save(&store, &key).await.unwrap();
        let loaded = Manifest::load(&store, &key).await.unwrap().unwrap();
        assert!(loaded.length() == 3 && loaded.is_of("id") && !loaded.is_of("other"));
        let huge = "1".repeat(700_000);
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"version":2,"upload":"id","parts":[1]}"#,
            r#"{"version":1,"upload":"id","parts":[-1]}"#,
            r#"{"version":1,"upload":"id","parts":[1],"more":0}"#,
            r#"{"version":1,"upload":"id","parts":[18446744073709551615,1]}"#,
            &format!(r#"{{"version":1,"upload":"{huge}","parts":[1]}}"#),
        ] {
            store.put(&key, PutPayload::from(bad.to_owned())).await.unwrap();
            let refused = Manifest::load(&store, &key).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{bad:.60}");
        }
    }
}

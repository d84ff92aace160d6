//! Where things lie in the bucket, and what lies there of an upload.

use std::io;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::{absent, failed};

/// The last part of the key that says an upload was published.
const PUBLISHED: &str = "published";
/// What a name can be long, in bytes. It is SHA-256 in hexadecimal.
const MAX_NAME: u64 = 128;

fn shelf(random: &str) -> &str {
    random.split_at_checked(2).map_or(random, |(shelf, _)| shelf)
}

/// Everything of an upload lies below.
pub(super) fn parts(id: &str) -> Path {
    Path::from_iter([shelf(id), "parts", id])
}

/// The part that begins at `offset`, in digits that sort like the number.
pub(super) fn part(id: &str, offset: u64) -> Path {
    parts(id).join(format!("{offset:020}"))
}

pub(super) fn published(id: &str) -> Path {
    parts(id).join(PUBLISHED)
}

pub(super) fn object(name: &str) -> Path {
    Path::from_iter([shelf(name), "objects", name])
}

/// The parts of an upload that lie in a row.
pub(super) struct Parts {
    id: String,
    lengths: Vec<u64>,
    is_published: bool,
}

impl Parts {
    pub(super) async fn list(store: &dyn ObjectStore, id: &str) -> io::Result<Self> {
        let prefix = parts(id);
        let (mut found, mut is_published) = (Vec::new(), false);
        let mut listed = store.list(Some(&prefix));
        while let Some(meta) = listed.try_next().await.map_err(failed)? {
            match meta.location.filename() {
                Some(PUBLISHED) => is_published = true,
                Some(offset) => found.extend(offset.parse::<u64>().ok().map(|offset| (offset, meta.size))),
                None => {}
            }
        }
        Ok(Self { id: id.to_owned(), lengths: in_a_row(found), is_published })
    }

    /// The parts, or that there is no upload to which they could belong.
    pub(super) fn some(self) -> io::Result<Self> {
        if self.lengths.is_empty() { Err(absent("there is no such upload")) } else { Ok(self) }
    }

    pub(super) fn length(&self) -> u64 {
        self.lengths.iter().fold(0, |sum, length| sum.saturating_add(*length))
    }

    pub(super) fn count(&self) -> usize {
        self.lengths.len()
    }

    pub(super) fn lengths(&self) -> &[u64] {
        &self.lengths
    }

    /// The name it was, or was about to be, published under.
    pub(super) async fn published_as(&self, store: &dyn ObjectStore) -> io::Result<Option<String>> {
        if !self.is_published {
            return Ok(None);
        }
        let found = match store.get(&published(&self.id)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        let foreign = || io::Error::new(io::ErrorKind::InvalidData, "an upload has a note that is no name");
        if found.meta.size > MAX_NAME {
            return Err(foreign());
        }
        let name = found.bytes().await.map_err(failed)?;
        String::from_utf8(name.into()).map(Some).map_err(|_| foreign())
    }
}

/// Lengths of the parts that follow each other from 0. What lies elsewhere is not part of the upload.
fn in_a_row(mut found: Vec<(u64, u64)>) -> Vec<u64> {
    found.sort_unstable();
    let mut end = 0_u64;
    let mut lengths = Vec::new();
    for (offset, length) in found {
        if offset != end {
            break;
        }
        lengths.push(length);
        end = end.saturating_add(length);
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_begin_with_what_is_random() {
        assert_eq!(part("a-_z", 5).as_ref(), "a-/parts/a-_z/00000000000000000005");
        assert_eq!(published("a-_z").as_ref(), "a-/parts/a-_z/published");
        assert_eq!(object("ba78").as_ref(), "ba/objects/ba78");
        assert_eq!(object("b").as_ref(), "b/objects/b");
    }

    #[test]
    fn a_row_ends_at_the_first_gap() {
        for (found, lengths) in [
            (vec![], vec![]),
            (vec![(1, 5)], vec![]),
            (vec![(3, 4), (0, 3), (7, 1)], vec![3, 4, 1]),
            (vec![(0, 3), (4, 4)], vec![3]),
            (vec![(0, 3), (2, 4), (3, 9)], vec![3]),
            (vec![(0, u64::MAX), (u64::MAX, 5)], vec![u64::MAX, 5]),
        ] {
            assert_eq!(in_a_row(found), lengths);
        }
    }
}

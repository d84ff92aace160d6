//! One suite for every place for bytes.
//!
//! Each case takes an empty place and panics with a message where it breaks the contract of [`Blobs`].
//! [`blobs_conformance!`](crate::blobs_conformance) makes a test of each. What it does when power or the network goes is
//! up to its own tests.
//!
//! ```
//! landbridge_partner::blobs_conformance!(landbridge_partner::media::LocalBlobs::temporary().unwrap());
//! ```
#![expect(clippy::expect_used, reason = "a test suite reports by panicking")]

use std::io;

use futures_util::StreamExt as _;

use super::{BlobStream, Blobs};

/// Makes a `#[tokio::test]` of each case of the [suite](crate::media::conformance); the argument gives an empty place.
#[macro_export]
macro_rules! blobs_conformance {
    ($empty:expr) => {
        $crate::blobs_conformance! { @cases $empty =>
            an_upload_grows_in_pieces
            what_was_synced_outlives_its_writer
            nobody_appends_elsewhere_than_at_the_end
            what_was_not_published_is_not_there
            publishing_again_is_no_error
            any_part_can_be_read
            a_large_object_in_uneven_pieces
            uploads_do_not_mix
            what_is_discarded_or_deleted_is_gone
            discarding_spares_what_was_published
        }
    };
    (@cases $empty:expr => $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::media::conformance::$case(&$empty).await;
            }
        )*
    };
}

const DONE: &str = "the place does what it is asked";
/// Ids and names as the server makes them.
const ID: &str = "3q2-796tvu_erb7v3q2-7w";
const OTHER_ID: &str = "Aq2-796tvu_erb7v3q2-7w";
const NAME: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const OTHER_NAME: &str = "bb7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// Bytes without a period that a piece could have.
fn bytes(length: usize, seed: u32) -> Vec<u8> {
    let step = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24) as u8)
    };
    std::iter::repeat_n((), length).scan(seed, |state, ()| step(state)).collect()
}

async fn collect(mut stream: BlobStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

async fn append(blobs: &dyn Blobs, id: &str, at: usize, bytes: &[u8]) {
    let mut writer = blobs.append(id, at as u64).await.expect(DONE);
    for piece in bytes.chunks(60_000) {
        writer.write(piece).await.expect(DONE);
    }
    writer.sync().await.expect(DONE);
}

async fn read(blobs: &dyn Blobs, name: &str, start: usize, length: usize) -> Vec<u8> {
    let stream = blobs.read(name, start as u64, length as u64).await.expect(DONE);
    collect(stream).await.expect(DONE)
}

async fn read_upload(blobs: &dyn Blobs, id: &str) -> Vec<u8> {
    collect(blobs.read_upload(id).await.expect(DONE)).await.expect(DONE)
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|cause| cause.kind())
}

/// How reading fails, at its start or on the way.
async fn read_fails(blobs: &dyn Blobs, name: &str) -> Option<io::ErrorKind> {
    match blobs.read(name, 0, 1).await {
        Ok(stream) => kind(collect(stream).await),
        Err(cause) => Some(cause.kind()),
    }
}

/// From nothing, by several writers.
pub async fn an_upload_grows_in_pieces(blobs: &dyn Blobs) {
    let all = bytes(1000, 1);
    assert_eq!(blobs.received(ID).await.expect(DONE), 0);
    for (start, end) in [(0, 0), (0, 1), (1, 500), (500, 500), (500, 1000)] {
        append(blobs, ID, start, &all[start..end]).await;
        assert_eq!(blobs.received(ID).await.expect(DONE), end as u64);
        if end > 0 {
            assert!(read_upload(blobs, ID).await == all[..end], "up to {end}");
        }
    }
}

/// And what was not is not there in pieces: the rest continues where it ends.
pub async fn what_was_synced_outlives_its_writer(blobs: &dyn Blobs) {
    let all = bytes(5000, 2);
    let mut writer = blobs.append(ID, 0).await.expect(DONE);
    writer.write(&all[..2000]).await.expect(DONE);
    writer.sync().await.expect(DONE);
    writer.write(&all[2000..3000]).await.expect(DONE);
    drop(writer);
    let received = usize::try_from(blobs.received(ID).await.expect(DONE)).expect(DONE);
    assert!((2000..=3000).contains(&received), "{received}");
    append(blobs, ID, received, &all[received..]).await;
    assert!(read_upload(blobs, ID).await == all);
}

/// Neither before it, where the bytes of somebody else are, nor behind it.
pub async fn nobody_appends_elsewhere_than_at_the_end(blobs: &dyn Blobs) {
    let refused = Some(io::ErrorKind::InvalidInput);
    assert_eq!(kind(blobs.append(ID, 1).await), refused);
    let all = bytes(100, 3);
    append(blobs, ID, 0, &all).await;
    for at in [0, 99, 101] {
        assert_eq!(kind(blobs.append(ID, at).await), refused, "{at}");
    }
    assert!(read_upload(blobs, ID).await == all);
}

/// By no name.
pub async fn what_was_not_published_is_not_there(blobs: &dyn Blobs) {
    let absent = Some(io::ErrorKind::NotFound);
    assert_eq!(kind(blobs.publish(ID, NAME).await), absent);
    assert_eq!(kind(blobs.read_upload(ID).await), absent);
    append(blobs, ID, 0, &bytes(100, 4)).await;
    for name in [NAME, ID] {
        assert_eq!(read_fails(blobs, name).await, absent);
        assert_eq!(blobs.published(name).await.expect(DONE), None);
    }
}

/// Whoever is not sure that it has been done does it again.
pub async fn publishing_again_is_no_error(blobs: &dyn Blobs) {
    let all = bytes(100, 5);
    append(blobs, ID, 0, &all).await;
    for _ in 0..2 {
        blobs.publish(ID, NAME).await.expect(DONE);
        assert_eq!(blobs.published(NAME).await.expect(DONE), Some(100));
        assert!(read(blobs, NAME, 0, 100).await == all);
    }
    assert!(matches!(blobs.received(ID).await.expect(DONE), 0 | 100));
}

/// The whole, nothing, single bytes, and across every border between pieces.
pub async fn any_part_can_be_read(blobs: &dyn Blobs) {
    let all = bytes(300, 6);
    let mut start = 0;
    for length in [1, 2, 97, 100, 50, 50] {
        append(blobs, ID, start, &all[start..start + length]).await;
        start += length;
    }
    blobs.publish(ID, NAME).await.expect(DONE);
    for start in (0..300).step_by(7).chain([1, 2, 3, 99, 100, 101, 199, 200, 299]) {
        for length in [0, 1, 2, 50, 101, 300 - start] {
            let end = (start + length).min(300);
            assert!(read(blobs, NAME, start, end - start).await == all[start..end], "{start} to {end}");
        }
    }
}

/// More than anything on the way holds at once.
pub async fn a_large_object_in_uneven_pieces(blobs: &dyn Blobs) {
    let all = bytes(18_000_000, 7);
    append(blobs, ID, 0, &all[..10_000_001]).await;
    append(blobs, ID, 10_000_001, &all[10_000_001..10_000_002]).await;
    append(blobs, ID, 10_000_002, &all[10_000_002..]).await;
    assert!(read_upload(blobs, ID).await == all);
    blobs.publish(ID, NAME).await.expect(DONE);
    assert!(read(blobs, NAME, 0, all.len()).await == all);
    for (start, end) in [(8_388_600, 8_388_620), (9_999_990, 10_000_010), (17_999_999, 18_000_000)] {
        assert!(read(blobs, NAME, start, end - start).await == all[start..end], "{start}");
    }
}

/// Neither while they are sent nor later.
pub async fn uploads_do_not_mix(blobs: &dyn Blobs) {
    let (one, two) = (bytes(400, 8), bytes(400, 9));
    for (start, end) in [(0, 150), (150, 400)] {
        append(blobs, ID, start, &one[start..end]).await;
        append(blobs, OTHER_ID, start, &two[start..end]).await;
    }
    blobs.publish(ID, NAME).await.expect(DONE);
    assert!(read_upload(blobs, OTHER_ID).await == two);
    blobs.publish(OTHER_ID, OTHER_NAME).await.expect(DONE);
    assert!(read(blobs, NAME, 0, 400).await == one);
    assert!(read(blobs, OTHER_NAME, 0, 400).await == two);
    blobs.delete(NAME).await.expect(DONE);
    assert!(read(blobs, OTHER_NAME, 0, 400).await == two);
}

/// And doing it again is no error.
pub async fn what_is_discarded_or_deleted_is_gone(blobs: &dyn Blobs) {
    let absent = Some(io::ErrorKind::NotFound);
    blobs.discard(ID).await.expect(DONE);
    blobs.delete(NAME).await.expect(DONE);
    append(blobs, ID, 0, &bytes(100, 10)).await;
    for _ in 0..2 {
        blobs.discard(ID).await.expect(DONE);
        assert_eq!(blobs.received(ID).await.expect(DONE), 0);
        assert_eq!(kind(blobs.read_upload(ID).await), absent);
        assert_eq!(kind(blobs.publish(ID, NAME).await), absent);
    }
    // The id may be begun anew.
    let all = bytes(50, 11);
    append(blobs, ID, 0, &all).await;
    blobs.publish(ID, NAME).await.expect(DONE);
    assert!(read(blobs, NAME, 0, 50).await == all);
    for _ in 0..2 {
        blobs.delete(NAME).await.expect(DONE);
        assert_eq!(read_fails(blobs, NAME).await, absent);
        assert_eq!(blobs.published(NAME).await.expect(DONE), None);
        assert_eq!(blobs.received(ID).await.expect(DONE), 0, "nothing is left of it");
    }
}

/// Only its own end takes an object away.
pub async fn discarding_spares_what_was_published(blobs: &dyn Blobs) {
    let all = bytes(100, 12);
    append(blobs, ID, 0, &all).await;
    blobs.publish(ID, NAME).await.expect(DONE);
    for _ in 0..2 {
        blobs.discard(ID).await.expect(DONE);
        assert!(read(blobs, NAME, 0, 100).await == all);
    }
    blobs.delete(NAME).await.expect(DONE);
    assert_eq!(blobs.received(ID).await.expect(DONE), 0);
}

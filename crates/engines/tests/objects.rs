//! Media in an S3 store: the contract, and what happens when the store does not do what it should.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

use std::io;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;

use futures_util::StreamExt as _;
use landbridge_engines::{ObjectBlobs, ObjectsConfig, ObjectsError, PART_BYTES};
use landbridge_localservices::s3::{ACCESS_KEY, BUCKET, Fault, S3, SECRET_KEY};
use landbridge_partner::KeyFileError;
use landbridge_partner::media::{BlobStream, Blobs};

const ID: &str = "3q2-796tvu_erb7v3q2-7w";
const NAME: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A store that was started for one test, and this crate's view of it.
struct Place {
    s3: S3,
    secret: tempfile::NamedTempFile,
    blobs: ObjectBlobs,
}

impl Deref for Place {
    type Target = ObjectBlobs;

    fn deref(&self) -> &ObjectBlobs {
        &self.blobs
    }
}

fn config(s3: &S3, secret: &tempfile::NamedTempFile) -> ObjectsConfig {
    ObjectsConfig {
        bucket: BUCKET.to_owned(),
        endpoint: Some(s3.endpoint()),
        access_key_id: Some(ACCESS_KEY.to_owned()),
        secret_access_key_file: Some(secret.path().to_owned()),
        allow_http: true,
        patience_seconds: 1,
        ..ObjectsConfig::default()
    }
}

impl Place {
    async fn start() -> Self {
        let s3 = S3::start().await.unwrap();
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), format!("{SECRET_KEY}\n")).unwrap();
        let blobs = ObjectBlobs::open(&config(&s3, &secret)).unwrap();
        Self { s3, secret, blobs }
    }

    /// Keys of the objects that are there.
    fn keys(&self) -> Vec<String> {
        let (mut found, mut directories) = (Vec::new(), vec![self.s3.objects()]);
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let key = path.strip_prefix(self.s3.objects()).unwrap();
                    found.push(key.to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }
}

mod contract {
    landbridge_partner::blobs_conformance!(*super::Place::start().await);
}

async fn append(blobs: &ObjectBlobs, at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut writer = blobs.append(ID, at).await?;
    writer.write(bytes).await?;
    writer.sync().await
}

async fn collect(mut stream: BlobStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

async fn read(blobs: &ObjectBlobs, length: usize) -> io::Result<Vec<u8>> {
    collect(blobs.read(NAME, 0, length as u64).await?).await
}

#[tokio::test]
async fn keys_tell_nothing_and_nothing_is_left() {
    let place = Place::start().await;
    append(&place, 0, &vec![7; PART_BYTES + 1]).await.unwrap();
    place.publish(ID, NAME).await.unwrap();
    assert_eq!(
        place.keys(),
        [
            format!("3q/parts/{ID}/00000000000000000000"),
            format!("3q/parts/{ID}/00000000000008388608"),
            format!("3q/parts/{ID}/published"),
            format!("ba/objects/{NAME}"),
        ]
    );
    place.delete(NAME).await.unwrap();
    assert_eq!(place.keys(), [""; 0]);
}

#[tokio::test]
async fn a_store_that_is_busy_is_asked_again() {
    let place = Place::start().await;
    let bytes = vec![1; 1000];
    place.s3.fail_next([Fault::SlowDown, Fault::SlowDown]);
    append(&place, 0, &bytes).await.unwrap();
    place.s3.fail_next([Fault::SlowDown]);
    place.publish(ID, NAME).await.unwrap();
    place.s3.fail_next([Fault::SlowDown]);
    assert!(read(&place, 1000).await.unwrap() == bytes);
    place.s3.fail_next([Fault::SlowDown]);
    place.delete(NAME).await.unwrap();
    assert_eq!(place.s3.faults_left(), 0);
}

/// A part may have been stored without an answer, or not. Either way it is there once.
#[tokio::test]
async fn connections_that_break_off_neither_lose_nor_double() {
    for fault in [Fault::Refused, Fault::Silent] {
        let place = Place::start().await;
        let bytes: Vec<u8> = (0..3000_u32).map(|n| n as u8).collect();
        for (at, part) in bytes.chunks(1000).enumerate() {
            let mut writer = place.append(ID, at as u64 * 1000).await.unwrap();
            place.s3.fail_next([fault]);
            writer.write(part).await.unwrap();
            writer.sync().await.unwrap();
        }
        assert_eq!(place.s3.faults_left(), 0);
        assert_eq!(place.received(ID).await.unwrap(), 3000);
        place.publish(ID, NAME).await.unwrap();
        assert!(read(&place, 3000).await.unwrap() == bytes, "{fault:?}");
    }
}

/// A server that believes it still has the upload does not get between another one's bytes.
#[tokio::test]
async fn the_second_writer_at_an_offset_is_refused() {
    let place = Place::start().await;
    let mut late = place.append(ID, 0).await.unwrap();
    late.write(&[1; 100]).await.unwrap();
    append(&place, 0, &[2; 50]).await.unwrap();
    assert_eq!(late.sync().await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    append(&place, 50, &[2; 50]).await.unwrap();
    assert_eq!(late.sync().await.unwrap_err().kind(), io::ErrorKind::InvalidInput, "and remains so");
    place.publish(ID, NAME).await.unwrap();
    assert!(read(&place, 100).await.unwrap() == [2; 100]);
}

#[tokio::test]
async fn a_store_that_is_away_is_an_error_and_comes_back() {
    let mut place = Place::start().await;
    append(&place, 0, &[3; 100]).await.unwrap();
    let mut open = place.append(ID, 100).await.unwrap();
    open.write(&[4; 100]).await.unwrap();
    place.s3.stop().await;
    assert!(place.received(ID).await.is_err());
    assert!(place.append(ID, 100).await.is_err());
    assert!(open.sync().await.is_err());
    assert!(place.publish(ID, NAME).await.is_err());
    assert!(place.published(NAME).await.is_err(), "which is not the same as that it is not there");
    assert!(place.read(NAME, 0, 1).await.is_err());
    assert!(place.discard(ID).await.is_err());
    assert!(place.delete(NAME).await.is_err());
    place.s3.restart().await.unwrap();
    // What waited is still there, and nothing that was done is undone.
    open.sync().await.unwrap();
    assert_eq!(place.received(ID).await.unwrap(), 200);
    place.publish(ID, NAME).await.unwrap();
    assert!(read(&place, 200).await.unwrap() == [[3; 100], [4; 100]].concat());
}

/// The reader is told, and gets no other bytes in their place.
#[tokio::test]
async fn a_store_that_goes_away_under_a_reader() {
    let mut place = Place::start().await;
    append(&place, 0, &vec![5; 6_000_000]).await.unwrap();
    place.publish(ID, NAME).await.unwrap();
    let mut stream = place.read(NAME, 0, 6_000_000).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    place.s3.stop().await;
    let rest = collect(stream).await;
    assert!(first.len() < 6_000_000 && rest.is_err());
}

/// Cut short after any request, publishing or a deletion is completed by doing it again.
#[tokio::test]
async fn what_was_cut_short_is_completed() {
    for let_through in 0.. {
        let place = Place::start().await;
        let bytes = [[6; 100], [7; 100]].concat();
        append(&place, 0, &bytes[..100]).await.unwrap();
        append(&place, 100, &bytes[100..]).await.unwrap();
        place.s3.let_through(Some(let_through));
        let published = place.publish(ID, NAME).await;
        place.s3.let_through(None);
        match place.published(NAME).await.unwrap() {
            None => assert!(published.is_err() && read(&place, 200).await.is_err(), "{let_through}"),
            Some(_) => assert!(read(&place, 200).await.unwrap() == bytes, "{let_through}"),
        }
        place.publish(ID, NAME).await.unwrap();
        assert!(read(&place, 200).await.unwrap() == bytes);

        place.s3.let_through(Some(let_through));
        let deleted = place.delete(NAME).await;
        place.s3.let_through(None);
        assert_eq!(deleted.is_ok(), place.keys().is_empty(), "{let_through}");
        place.delete(NAME).await.unwrap();
        assert_eq!(place.keys(), [""; 0], "{let_through}");
        if published.is_ok() && deleted.is_ok() {
            assert!(let_through > 2, "nothing was cut short");
            return;
        }
    }
}

/// The upload that was given up while it was on its way to an object leaves nothing, at whichever point.
#[tokio::test]
async fn an_upload_given_up_while_it_was_published() {
    for let_through in 0..4 {
        let place = Place::start().await;
        append(&place, 0, &[8; 100]).await.unwrap();
        place.s3.let_through(Some(let_through));
        let _ = place.publish(ID, NAME).await;
        place.s3.let_through(None);
        // As the server sweeps an upload: its bytes may be under either name.
        place.delete(NAME).await.unwrap();
        place.discard(ID).await.unwrap();
        assert_eq!(place.keys(), [""; 0], "{let_through}");
    }
}

#[tokio::test]
async fn a_check_tells_what_is_wrong() {
    let place = Place::start().await;
    place.check().await.unwrap();
    assert_eq!(place.keys(), [""; 0], "and leaves nothing");
    let good = config(&place.s3, &place.secret);
    let wrong_secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(wrong_secret.path(), "wrong").unwrap();
    for bad in [
        ObjectsConfig { access_key_id: Some("AKIAOTHER".to_owned()), ..good.clone() },
        ObjectsConfig { secret_access_key_file: Some(wrong_secret.path().to_owned()), ..good.clone() },
    ] {
        let refused = ObjectBlobs::open(&bad).unwrap().check().await.unwrap_err();
        assert!(matches!(refused, ObjectsError::Unusable { .. }), "{bad:?}");
        let text = format!("{refused:?} {bad:?}");
        assert!(!text.contains(SECRET_KEY) && !text.contains("wrong"), "{text}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used() {
    let place = Place::start().await;
    let good = config(&place.s3, &place.secret);
    let open = |config: ObjectsConfig| ObjectBlobs::open(&config).unwrap_err();
    assert!(matches!(open(ObjectsConfig { bucket: String::new(), ..good.clone() }), ObjectsError::NoBucket));
    let plain = ObjectsConfig { allow_http: false, ..good.clone() };
    assert!(matches!(open(plain), ObjectsError::PlainHttp { .. }));
    let other = ObjectsConfig { endpoint: Some("ftp://127.0.0.1".to_owned()), ..good.clone() };
    assert!(matches!(open(other), ObjectsError::PlainHttp { .. }));
    let half = ObjectsConfig { access_key_id: None, ..good.clone() };
    assert!(matches!(open(half), ObjectsError::Credentials));
    let absent = ObjectsConfig { secret_access_key_file: Some("/nowhere/secret".into()), ..good.clone() };
    assert!(matches!(open(absent), ObjectsError::Secret(KeyFileError::Read { .. })));
    let wrong_secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(wrong_secret.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let shared = ObjectsConfig { secret_access_key_file: Some(wrong_secret.path().to_owned()), ..good };
    assert!(matches!(open(shared), ObjectsError::Secret(KeyFileError::Mode { mode: 0o644, .. })));
}

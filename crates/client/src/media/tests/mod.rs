//! Files over ways that break, lie and lose.

mod http;
mod way;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use landbridge_media::{MediaKey, MediaKind, Sealed, TransferError, encrypt};
use landbridge_proto::content::{Kind, Media};
use landbridge_stanza::profile::MediaProfile;
use tokio::sync::Semaphore;

use super::{Attachment, MediaError, Progress};
use way::{Step, Way};

/// An encrypted video and what its message says.
struct Film {
    plain: Vec<u8>,
    encrypted: Vec<u8>,
    key: MediaKey,
    sealed: Sealed,
}

impl Film {
    fn new(length: usize) -> Self {
        let plain: Vec<u8> = (0..length).map(|n| (n / 11) as u8).collect();
        let key = MediaKey::generate(&mut rand::rng());
        let (encrypted, sealed) = encrypt(MediaKind::Video, &key, &plain);
        Self { plain, encrypted, key, sealed }
    }

    fn media(&self) -> Media<'_> {
        let mut media = Media::default();
        media.direct_path = Some("/v/t62.7118-24/1_n.enc?ccb=11-4&oh=01&oe=67");
        media.mimetype = Some("video/mp4");
        media.media_key = Some(self.key.as_bytes());
        media.file_sha256 = Some(&self.sealed.file_sha256);
        media.file_enc_sha256 = Some(&self.sealed.file_enc_sha256);
        media.file_length = Some(self.sealed.file_length);
        media.sidecar = self.sealed.sidecar.as_ref().map(super::Sidecar::as_bytes);
        media
    }

    fn attachment(&self, way: &Way) -> Attachment {
        attachment(&self.media(), way).unwrap()
    }
}

fn attachment(media: &Media<'_>, way: &Way) -> Result<Attachment, MediaError> {
    let slots = Arc::new(Semaphore::new(4));
    Attachment::new(Kind::Video, media, Arc::new(way.clone()), slots, Arc::default())
}

#[tokio::test(start_paused = true)]
async fn after_breaks_it_goes_on_where_it_stopped() {
    let film = Film::new(300_000);
    let way = Way::new(&film.encrypted).then([
        Step::BreakAfter(100_000),
        Step::Unavailable,
        Step::BreakAfter(50_000),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("film.mp4");
    let seen = Mutex::new(Vec::new());
    let saved = film.attachment(&way).save(&target, |step| seen.lock().unwrap().push(step)).await.unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), film.plain);
    assert_eq!((saved.file_length, saved.file_sha256), (300_000, film.sealed.file_sha256));
    assert_eq!(way.asked(), [0, 100_000, 100_000, 150_000], "from where it stopped, each time");
    let all = film.encrypted.len() as u64;
    let last = seen.lock().unwrap().last().copied();
    assert_eq!(last, Some(Progress::Transferred { bytes: all, of: Some(all) }));
}

#[tokio::test(start_paused = true)]
async fn another_file_under_the_same_name_is_taken_from_its_beginning() {
    let film = Film::new(200_000);
    let way = Way::new(&film.encrypted).then([Step::BreakAfter(70_000), Step::FromTheBeginning]);
    assert_eq!(film.attachment(&way).bytes().await.unwrap(), film.plain);
    assert_eq!(way.asked(), [0, 70_000]);
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_on_the_way_is_fetched_once_more() {
    let film = Film::new(200_000);
    let way = Way::new(&film.encrypted).then([Step::Flip(90_000)]);
    assert_eq!(film.attachment(&way).bytes().await.unwrap(), film.plain);
    assert_eq!(way.asked(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_twice_is_not_shown() {
    let film = Film::new(200_000);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("film.mp4");
    std::fs::write(&target, b"what was there").unwrap();
    for steps in
        [[Step::Flip(3), Step::Flip(200_010)], [Step::TooLong, Step::TooLong], [Step::Short, Step::Short]]
    {
        let way = Way::new(&film.encrypted).then(steps.clone());
        let failed = film.attachment(&way).save(&target, |_| {}).await.unwrap_err();
        assert!(matches!(failed, MediaError::Damaged { .. }), "{steps:?}: {failed:?}");
        assert_eq!(way.asked(), [0, 0], "{steps:?}");
        assert_eq!(std::fs::read(&target).unwrap(), b"what was there");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left of it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_who_lies_is_asked_once() {
    let film = Film::new(50_000);
    let way = Way::new(&film.encrypted);
    let mut media = film.media();
    let wrong = [9; 32];
    media.file_sha256 = Some(&wrong);
    let failed = attachment(&media, &way).unwrap().bytes().await.unwrap_err();
    assert!(matches!(failed, MediaError::Damaged { .. }), "{failed:?}");
    assert_eq!(way.asked(), [0], "fetching it again would not help");
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_said_to_be_gone() {
    let film = Film::new(50_000);
    let way = Way::new(&film.encrypted).then([Step::Gone]);
    let failed = film.attachment(&way).bytes().await.unwrap_err();
    assert!(matches!(failed, MediaError::Gone { .. }), "{failed:?}");
    assert_eq!(way.asked(), [0]);
}

#[tokio::test(start_paused = true)]
async fn patience_ends_after_five_failures_without_progress() {
    let film = Film::new(50_000);
    let way = Way::new(&film.encrypted).then(vec![Step::Unavailable; 9]);
    let failed = film.attachment(&way).bytes().await.unwrap_err();
    let unavailable = |error: &TransferError| matches!(error, TransferError::Unavailable { .. });
    assert!(matches!(&failed, MediaError::Transfer { source } if unavailable(source)), "{failed:?}");
    assert_eq!(way.asked().len(), 5);
    // Every piece that comes renews it.
    let way = Way::new(&film.encrypted).then(vec![Step::BreakAfter(5_000); 9]);
    assert_eq!(film.attachment(&way).bytes().await.unwrap(), film.plain);
}

#[tokio::test(start_paused = true)]
async fn what_the_message_says_is_checked_before_anything_is_fetched() {
    let film = Film::new(1_000);
    let way = Way::new(&film.encrypted);
    let refused = |change: fn(&mut Media<'_>)| {
        let mut media = film.media();
        change(&mut media);
        attachment(&media, &way).unwrap_err()
    };
    assert!(matches!(
        refused(|media| media.media_key = Some(&[1; 31])),
        MediaError::BadMessage { source: Some(_) }
    ));
    assert!(matches!(refused(|media| media.file_sha256 = None), MediaError::BadMessage { source: Some(_) }));
    assert!(matches!(
        refused(|media| media.direct_path = Some("//evil")),
        MediaError::BadMessage { source: None }
    ));
    assert!(matches!(refused(|media| media.direct_path = None), MediaError::BadMessage { source: None }));
    let limit = MediaKind::Video.default_limit();
    assert!(
        matches!(refused(|media| media.file_length = Some(u64::MAX)), MediaError::TooLarge { limit: got } if got == limit)
    );
    assert_eq!(way.asked(), [0; 0]);
}

/// It is fetched below the one base, by the path in it.
#[tokio::test(start_paused = true)]
async fn a_place_does_for_want_of_a_path() {
    let film = Film::new(1_000);
    let way = Way::new(&film.encrypted);
    let of = |url| {
        let mut media = film.media();
        (media.direct_path, media.url) = (None, Some(url));
        attachment(&media, &way)
    };
    let good = of("https://mmg.whatsapp.net/v/t62.7118-24/1_n.enc?ccb=11-4&oh=01&oe=67").unwrap();
    assert_eq!(good.bytes().await.unwrap(), film.plain);
    for bad in [
        "http://mmg.whatsapp.net/v/x",
        "https://evil.example/v/x",
        "https://mmg.whatsapp.net.evil.example/v/x",
        "https://mmg.whatsapp.net@evil.example/v/x",
        "https://mmg.whatsapp.net:1/v/x",
        "https://mmg.whatsapp.net",
        "https://mmg.whatsapp.net//evil.example/x",
        "https://mmg.whatsapp.net/v/../x",
        "/v/x",
    ] {
        assert!(matches!(of(bad), Err(MediaError::BadMessage { source: None })), "{bad}");
    }
}

/// Every number in it.
#[tokio::test(start_paused = true)]
async fn another_profile_has_other_limits() {
    let film = Film::new(50_000);
    let with = |profile: MediaProfile, way: &Way| {
        let slots = Arc::new(Semaphore::new(4));
        Attachment::new(Kind::Video, &film.media(), Arc::new(way.clone()), slots, Arc::new(profile))
    };
    let way = Way::new(&film.encrypted).then(vec![Step::Unavailable; 9]);
    let patient = with(MediaProfile { tries: 2, ..MediaProfile::default() }, &way).unwrap();
    assert!(patient.bytes().await.is_err());
    assert_eq!(way.asked().len(), 2);
    let small = with(MediaProfile { max_video_bytes: 49_999, ..MediaProfile::default() }, &way);
    assert!(matches!(small, Err(MediaError::TooLarge { limit: 49_999 })));
}

#[tokio::test(start_paused = true)]
async fn a_part_is_given_when_the_sidecar_proves_it() {
    let film = Film::new(500_000);
    let way = Way::new(&film.encrypted);
    let part = film.attachment(&way).part(300_000..300_500).await.unwrap();
    assert_eq!(part[..], film.plain[300_000..300_500]);
    assert_eq!(way.asked(), [4 * 65_536 - 16], "from the window that holds it");

    let way = Way::new(&film.encrypted).then([Step::Flip(300_100)]);
    let failed = film.attachment(&way).part(300_000..300_500).await.unwrap_err();
    assert!(matches!(failed, MediaError::Part { source: Some(_) }), "{failed:?}");

    let mut media = film.media();
    media.sidecar = None;
    let failed = attachment(&media, &way).unwrap().part(0..1).await.unwrap_err();
    assert!(matches!(failed, MediaError::Part { source: None }), "{failed:?}");
    assert_eq!(attachment(&media, &way).unwrap().bytes().await.unwrap(), film.plain, "the whole needs none");
}

#[tokio::test]
async fn dropping_the_future_leaves_no_file() {
    let film = Film::new(500_000);
    let way = Way::new(&film.encrypted).then([Step::HangAfter(200_000)]);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("film.mp4");
    let attachment = film.attachment(&way);
    let (reached, mut wait) = tokio::sync::watch::channel(0);
    {
        let save = attachment.save(&target, |step| {
            if let Progress::Transferred { bytes, .. } = step {
                reached.send_replace(bytes);
            }
        });
        tokio::select! {
            _ = save => panic!("it cannot end"),
            _ = wait.wait_for(|bytes| *bytes >= 200_000) => {}
        }
    }
    // The file goes with the future, or with the thread that still works on it.
    let empty = async {
        while std::fs::read_dir(&folder).unwrap().count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), empty).await.expect("the hidden file is removed");
}

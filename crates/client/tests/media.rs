//! Files the whole way: client, partner's server, WhatsApp's media server and a phone, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use landbridge::media::{
    Files, HttpDownloader, HttpUploader, MediaError, MediaKind, OutgoingFile, Progress, TransferError,
    encrypted_length,
};
use landbridge::stanza::{MessageId, Profile};
use landbridge::store::{MemoryStore, OutState};
use landbridge::transport::HttpClient;
use landbridge::wire::Jid;
use landbridge::{Client, Event, Events, FixedToken, HttpTokenSource, ReceivedMessage};
use landbridge_partner::{Partner, PartnerConfig};
use landbridge_sandbox::events::EventKind;
use landbridge_sandbox::faults::{Fault, Probability};
use landbridge_sandbox::{PhoneFile, Sandbox, SandboxConfig};
use tokio::sync::watch;

const BOB: &str = "14155551001";
const SESSION: &str = "session-of-alice";

struct World {
    sandbox: Sandbox,
    partner: Partner,
    client: Client,
    events: Events,
    files: Files,
}

impl World {
    async fn new() -> Self {
        let partner = Partner::start(PartnerConfig {
            addr: "127.0.0.1:0".parse().unwrap(),
            admin_addr: "127.0.0.1:0".parse().unwrap(),
            dev_users: [(SESSION.to_owned(), "alice".to_owned())].into(),
            insecure_dev_auth: true,
            ..PartnerConfig::default()
        })
        .await
        .unwrap();
        let base = partner.base_url().to_owned();
        let sandbox = Sandbox::start(SandboxConfig::default().partner(1, base.as_str())).await.unwrap();
        sandbox.handle().create_phone(BOB, "Bob").unwrap();
        let http = HttpClient::builder().build().unwrap();
        let client = Client::builder()
            .store(MemoryStore::new())
            .endpoint(sandbox.chat_addr().to_string())
            .enlistment_url(sandbox.enlist_url())
            .root_key(hex::encode(sandbox.root_key().as_bytes()))
            .token_source(HttpTokenSource::new(http.clone(), format!("{base}/v1/token"), SESSION))
            .build()
            .unwrap();
        let events = client.events();
        client.enlist("alice", 1).await.unwrap();
        client.connect().await.unwrap();
        let files = Files::new(client.clone())
            .uploader(HttpUploader::new(http.clone(), base, SESSION))
            .downloader(HttpDownloader::new(http).base(sandbox.media_url()));
        Self { sandbox, partner, client, events, files }
    }

    /// Waits until Bob's phone shows a message.
    async fn shown(&self, id: &MessageId) {
        let handle = self.sandbox.handle();
        let mut changes = handle.watch_phone(BOB).unwrap();
        loop {
            changes.mark_unchanged();
            if handle.phone_messages(BOB).unwrap().iter().any(|line| line.id == id.as_str()) {
                return;
            }
            changes.changed().await.unwrap();
        }
    }

    async fn message(&mut self) -> Box<ReceivedMessage> {
        loop {
            if let Event::Message(message) = self.events.next().await.expect("the client is there") {
                return message;
            }
        }
    }

    fn once(&self, fault: Fault) {
        self.sandbox.handle().set_fault(fault, Probability::ALWAYS, Some(1));
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 7 + n / 4099) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_sends_reaches_the_phone_through_the_partners_host() {
    let world = World::new().await;
    let bob = Jid::user(BOB);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watcher = Arc::clone(&seen);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.pdf");
    std::fs::write(&path, bytes(3_000_000)).unwrap();
    let reader: Box<dyn std::io::Read + Send> = Box::new(std::io::Cursor::new(bytes(40_000)));

    // From memory in one request, from a file in pieces, and from a reader.
    let picture = OutgoingFile::new(bytes(20_000), "image/jpeg").caption("the harbour");
    let report = OutgoingFile::new(path.as_path(), "application/pdf")
        .on_progress(move |step| watcher.lock().unwrap().push(step));
    let note = OutgoingFile::new(reader, "audio/ogg; codecs=opus").seconds(3).waveform([50; 64]);
    let sent = [
        (world.files.send_image(&bob, picture).await.unwrap(), MediaKind::Image, 20_000),
        (world.files.send_document(&bob, report).await.unwrap(), MediaKind::Document, 3_000_000),
        (world.files.send_voice_note(&bob, note).await.unwrap(), MediaKind::Ptt, 40_000),
    ];
    for (id, kind, length) in sent {
        world.shown(&id).await;
        let fetched = world.sandbox.handle().phone_fetch_file(BOB, "alice", &id).await.unwrap();
        assert_eq!((fetched.kind, fetched.bytes == bytes(length)), (kind, true));
        match kind {
            MediaKind::Image => assert_eq!(fetched.caption.as_deref(), Some("the harbour")),
            MediaKind::Document => assert_eq!(fetched.file_name.as_deref(), Some("report.pdf")),
            _ => {}
        }
    }
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert!(seen.contains(&Progress::Encrypted { bytes: 3_000_000 }), "{seen:?}");
    let all = encrypted_length(3_000_000).unwrap();
    assert_eq!(seen.last(), Some(&Progress::Transferred { bytes: all, of: Some(all) }));
    let journal = world.sandbox.handle().events(0);
    let broken: Vec<_> = journal.iter().filter(|e| matches!(e.kind, EventKind::Broken { .. })).collect();
    assert!(broken.is_empty(), "{broken:?}");
    world.client.disconnect().await;
    world.sandbox.shutdown().await;
    world.partner.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_phone_sends_reaches_the_client_whatever_happens_on_the_way() {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("film.mp4");
    let film = PhoneFile {
        kind: MediaKind::Video,
        mimetype: "video/mp4".to_owned(),
        bytes: bytes(2_000_000),
        ..PhoneFile::default()
    };
    world.sandbox.handle().phone_send_file(BOB, "alice", &film).unwrap();
    let message = world.message().await;
    let attachment = world.files.attachment(&message).unwrap().expect("a file");
    assert_eq!((attachment.kind(), attachment.file_length()), (MediaKind::Video, Some(2_000_000)));

    let part = attachment.part(1_000_000..1_000_100).await.unwrap();
    assert_eq!(part[..], film.bytes[1_000_000..1_000_100], "before the rest is there");

    for fault in [Fault::MediaShort, Fault::MediaLength, Fault::MediaDamaged] {
        world.once(fault);
        let saved = attachment.save(&target, |_| {}).await.unwrap_or_else(|e| panic!("{fault}: {e:?}"));
        assert_eq!(saved.file_length, 2_000_000, "{fault}");
        assert_eq!(std::fs::read(&target).unwrap(), film.bytes, "{fault}");
        std::fs::remove_file(&target).unwrap();
    }
    world.once(Fault::MediaGone);
    let gone = attachment.save(&target, |_| {}).await.unwrap_err();
    assert!(matches!(gone, MediaError::Gone { .. }), "{gone:?}");
    assert!(!target.exists());

    // A text has no file.
    world.sandbox.handle().phone_send_text(BOB, "alice", "did you see it?").unwrap();
    let text = world.message().await;
    assert!(world.files.attachment(&text).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_said_and_may_be_tried_again() {
    let mut world = World::new().await;
    let bob = Jid::user(BOB);
    let missing = OutgoingFile::new(Path::new("/nowhere/picture.jpg"), "image/jpeg");
    assert!(matches!(world.files.send_image(&bob, missing).await, Err(MediaError::Disk { .. })));
    let limit = MediaKind::Sticker.default_limit();
    let large = OutgoingFile::new(bytes(limit as usize + 1), "image/webp");
    let refused = world.files.send_sticker(&bob, large).await.unwrap_err();
    assert!(matches!(refused, MediaError::TooLarge { limit: got } if got == limit), "{refused:?}");

    // What a receiver would not show, or not as it is, is not sent at all.
    let picture = || OutgoingFile::new(bytes(10), "image/jpeg");
    for (file, broken) in [
        (OutgoingFile::new(Vec::new(), "image/jpeg"), "fileLength is missing, 0 or over the limit"),
        (picture().caption("x".repeat(1_025)), "caption is too long"),
        (OutgoingFile::new(bytes(10), "image\njpeg"), "mimetype is not type/subtype in printable ASCII"),
        (OutgoingFile::new(bytes(10), ""), "mimetype is missing"),
    ] {
        let refused = world.files.send_image(&bob, file).await.unwrap_err();
        assert!(matches!(refused, MediaError::Content { what } if what == broken), "{refused:?}");
    }
    let shown = world.files.send_image(&bob, picture().caption("x".repeat(1_024))).await.unwrap();
    world.shown(&shown).await;
    let strange = picture().file_name("a\u{202e}gpj.exe");
    let shown = world.files.send_document(&bob, strange).await.unwrap();
    world.shown(&shown).await;

    // The first try is by somebody whom the partner's server does not know.
    let http = HttpClient::builder().build().unwrap();
    let good = HttpUploader::new(http.clone(), world.partner.base_url(), SESSION);
    let stranger = world.files.clone().uploader(HttpUploader::new(http, world.partner.base_url(), "nobody"));
    let file = OutgoingFile::new(bytes(1_500_000), "application/zip").file_name("a.zip").caption("all of it");
    let id = stranger.send_document(&bob, file).await.unwrap();
    let because = loop {
        if let Event::FileWaits { id: waits, because, .. } =
            world.events.next().await.expect("the client is there")
        {
            assert_eq!(waits, id);
            break because;
        }
    };
    let denied = |because: &MediaError| {
        matches!(because, MediaError::Transfer { source: TransferError::Denied { status: 401 } })
    };
    assert!(denied(&because), "{because:?}");
    let pending = world.files.pending().await.unwrap();
    assert_eq!(pending.len(), 1);
    let waits = &pending[0];
    assert_eq!((&waits.to, &waits.id, waits.kind), (&bob, &id, MediaKind::Document));
    assert_eq!((waits.file_length, waits.file_name.as_deref()), (1_500_000, Some("a.zip")));
    assert_eq!((waits.transferred, waits.caption.as_deref()), (0, Some("all of it")));
    assert!(waits.waits.as_deref().is_some_and(denied), "{:?}", waits.waits);
    assert_eq!(world.client.message_state(&bob, &id).await.unwrap(), Some(OutState::Pending));
    // Signed in anew.
    let _files = world.files.clone().uploader(good);
    world.shown(&id).await;
    let fetched = world.sandbox.handle().phone_fetch_file(BOB, "alice", &id).await.unwrap();
    assert_eq!(fetched.file_sha256, waits.file_sha256);
    assert!(world.files.pending().await.unwrap().is_empty());

    let other = world.sandbox.chat_addr().to_string();
    let other =
        Client::builder().store(MemoryStore::new()).endpoint(other).token_source(FixedToken::new("t"));
    let none = Files::new(other.build().unwrap());
    let none = none.send_image(&bob, OutgoingFile::new(bytes(9), "image/png")).await.unwrap_err();
    assert!(matches!(none, MediaError::Setup { what: "uploader" }), "{none:?}");
}

/// Collects how far a file has got, and tells when it has got so far.
fn watched() -> (impl Fn(Progress) + Send + Sync, watch::Receiver<Vec<u64>>) {
    let (seen, watcher) = watch::channel(Vec::new());
    let note = move |step| {
        if let Progress::Transferred { bytes, .. } = step {
            seen.send_modify(|seen: &mut Vec<u64>| seen.push(bytes));
        }
    };
    (note, watcher)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_media_server_is_waited_for_and_left_at_any_time() {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("note.ogg");
    let note = PhoneFile {
        kind: MediaKind::Ptt,
        mimetype: "audio/ogg; codecs=opus".to_owned(),
        bytes: bytes(4_000),
        ..PhoneFile::default()
    };
    world.sandbox.handle().phone_send_file(BOB, "alice", &note).unwrap();
    let message = world.message().await;
    let attachment = world.files.attachment(&message).unwrap().expect("a file");

    // Given up in the middle.
    world.once(Fault::MediaSlow);
    let (progress, mut seen) = watched();
    tokio::select! {
        done = attachment.save(&target, progress) => panic!("it is not slow: {done:?}"),
        enough = seen.wait_for(|seen| seen.last().is_some_and(|bytes| *bytes > 1_024)) => drop(enough.unwrap()),
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left of it");

    // Waited for, and cut once: it goes on where it was.
    world.once(Fault::MediaSlow);
    world.once(Fault::MediaShort);
    let (progress, seen) = watched();
    let saved = attachment.save(&target, progress).await.unwrap();
    assert_eq!((saved.file_length, std::fs::read(&target).unwrap()), (4_000, note.bytes.clone()));
    let seen = seen.borrow().clone();
    assert!(seen.is_sorted(), "something came twice: {seen:?}");
    assert_eq!(seen.last().copied(), encrypted_length(4_000));
    let faults = world.sandbox.handle().events(0);
    let injected =
        faults.iter().filter(|event| matches!(event.kind, EventKind::FaultInjected { .. })).count();
    assert_eq!(injected, 3, "two that were slow, one that was cut");

    world.once(Fault::MediaSlow);
    let (progress, seen) = watched();
    attachment.save(&target, progress).await.unwrap();
    assert!(seen.borrow().len() >= 4, "it comes in pieces: {:?}", seen.borrow());
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_file_is_not_to_be_had_is_said() {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("picture.jpg");
    let always = |fault, times| world.sandbox.handle().set_fault(fault, Probability::ALWAYS, Some(times));
    let picture = PhoneFile {
        kind: MediaKind::Image,
        mimetype: "image/jpeg".to_owned(),
        bytes: bytes(50_000),
        ..PhoneFile::default()
    };
    world.sandbox.handle().phone_send_file(BOB, "alice", &picture).unwrap();
    always(Fault::MediaDamaged, 2);
    let message = world.message().await;
    let attachment = world.files.attachment(&message).unwrap().expect("a file");
    let damaged = attachment.save(&target, |_| {}).await.unwrap_err();
    assert!(matches!(damaged, MediaError::Damaged { .. }), "{damaged:?}");
    world.once(Fault::MediaGone);
    let gone = attachment.save(&target, |_| {}).await.unwrap_err();
    assert!(matches!(gone, MediaError::Gone { source: TransferError::Gone { status: 404 } }), "{gone:?}");

    // A client with less patience, within two limits.
    let strict = |limit| {
        let mut profile = Profile::default();
        (profile.media.tries, profile.media.max_image_bytes) = (1, limit);
        let builder = Client::builder().store(MemoryStore::new()).profile(profile);
        let client = builder.endpoint("127.0.0.1:1").token_source(FixedToken::new("t")).build().unwrap();
        let http = HttpClient::builder().build().unwrap();
        Files::new(client).downloader(HttpDownloader::new(http).base(world.sandbox.media_url()))
    };
    let large = strict(49_999).attachment(&message).unwrap_err();
    assert!(matches!(large, MediaError::TooLarge { limit: 49_999 }), "{large:?}");
    let attachment = strict(50_000).attachment(&message).unwrap().expect("a file");
    assert_eq!(attachment.bytes().await.unwrap(), picture.bytes);
    world.sandbox.shutdown().await;
    let network = attachment.save(&target, |_| {}).await.unwrap_err();
    let lost = matches!(network, MediaError::Transfer { source: TransferError::Network { .. } });
    assert!(lost, "{network:?}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

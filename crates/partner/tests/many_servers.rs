//! Several servers over one store and one place for bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;

use common::hosting::{Tus, file, get, hash, stored};
use common::whatsapp::Hand;
use common::{ALICE, config, until};
use landbridge_partner::Partner;
use landbridge_partner::media::{Blobs, LocalBlobs};
use landbridge_partner::store::{Claimed, MediaIndex as _, SqliteStore, UploadRow};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const NOW: u64 = 1_800_000_000;

/// Two servers, what they share, and their clock.
struct Two {
    servers: [Partner; 2],
    store: SqliteStore,
    blobs: Arc<LocalBlobs>,
    hand: Hand,
}

impl Two {
    async fn start() -> Self {
        let (store, hand) = (SqliteStore::in_memory().unwrap(), Hand::at(NOW));
        let blobs = Arc::new(LocalBlobs::temporary().unwrap());
        let one = async || {
            let builder = Partner::builder(config()).store(Arc::new(store.clone())).clock(hand.clock());
            builder.blobs(Arc::clone(&blobs) as Arc<dyn Blobs>).start().await.unwrap()
        };
        let servers = [one().await, one().await];
        Self { servers, store, blobs, hand }
    }

    fn tus(&self) -> [Tus; 2] {
        self.servers.each_ref().map(|server| Tus::new(server.addr(), ALICE))
    }

    /// The row of an upload that was just created.
    async fn row(&self, location: &str) -> UploadRow {
        let id = location.rsplit('/').next().unwrap();
        self.store.upload("alice", id, NOW * 1000).await.unwrap().unwrap()
    }
}

/// The head of a request that appends, and then its body bit by bit.
async fn begin_patch(addr: SocketAddr, location: &str, offset: usize, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: p\r\nConnection: close\r\nAuthorization: Bearer {ALICE}\r\n\
         Tus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\nContent-Type: application/offset+octet-stream\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn one_request_appends_whichever_server_it_reached() {
    let two = Two::start().await;
    let [here, there] = two.tus();
    let bytes = file(1, 10_000);
    let location = here.create(&bytes).await.header("location").unwrap().to_owned();
    let mut slow = begin_patch(here.addr, &location, 0, 100_000).await;
    slow.write_all(&bytes[..40_000]).await.unwrap();
    // An empty body changes nothing if it comes before the slow request has the upload.
    until("the other server refuses", async || there.patch(&location, 0, b"").await.status == 409).await;
    let refused = there.patch(&location, 0, &bytes).await;
    refused.assert_problem(409, "bad-request");
    assert_eq!(refused.json()["detail"], "another request is sending to this upload");
    slow.write_all(&bytes[40_000..100_000]).await.unwrap();
    assert_eq!(common::parse(&common::read_all(&mut slow).await).status, 204);
    // With the answer, the upload is free.
    let last = there.patch(&location, 100_000, &bytes[100_000..]).await;
    assert_eq!(last.status, 204, "{last:?}");
    let reference = last.header("storage-reference").unwrap();
    for server in &two.servers {
        assert!(get(server.addr(), reference, &[]).await.1 == bytes);
    }
}

/// Of two requests for the same place one wins, each time: nothing is doubled, nothing is missing.
#[tokio::test]
async fn racing_requests() {
    let two = Two::start().await;
    let [here, there] = two.tus();
    let bytes = file(2, 4000);
    let location = here.create(&bytes).await.header("location").unwrap().to_owned();
    let mut offset = 0;
    while offset < bytes.len() {
        let end = (offset + 3001).min(bytes.len());
        let part = &bytes[offset..end];
        let answers = tokio::join!(here.patch(&location, offset, part), there.patch(&location, offset, part));
        let mut statuses = [answers.0.status, answers.1.status];
        statuses.sort_unstable();
        // The loser of the last race may find the upload complete, which has another offset.
        assert_eq!(statuses, [204, 409], "at {offset}");
        assert_eq!(there.offset(&location).await, end);
        offset = end;
    }
    let described = there.call(&format!("GET {location}"), &[], b"").await.json();
    let reference = described["storage_reference"].as_str().unwrap();
    assert!(get(here.addr, reference, &[]).await.1 == bytes);
}

/// Both send the same file at once: it is one object in the end, and the same for both.
#[tokio::test]
async fn the_same_file_to_both_servers() {
    let two = Two::start().await;
    for seed in 0..10 {
        let bytes = file(seed, 3000);
        let put = |server: &Partner| common::hosting::put(server.addr(), ALICE, &bytes);
        let put = [put(&two.servers[0]), put(&two.servers[1])];
        let [one, other] = put;
        let (one, other) = tokio::join!(one, other);
        assert!(matches!((one.status, other.status), (200 | 201, 200 | 201)), "{one:?} {other:?}");
        assert_eq!(one.json(), other.json());
        let reference = one.json()["storage_reference"].as_str().unwrap().to_owned();
        assert_eq!(stored_again(&two.servers[1], &bytes).await, reference);
        assert!(get(two.servers[0].addr(), &reference, &[]).await.1 == bytes);
    }
}

async fn stored_again(server: &Partner, bytes: &[u8]) -> String {
    let answer = common::hosting::put(server.addr(), ALICE, bytes).await;
    assert_eq!(answer.status, 200);
    answer.json()["storage_reference"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_dead_servers_lease_ends() {
    let two = Two::start().await;
    let [here, _] = two.tus();
    let bytes = file(3, 100);
    let location = here.create(&bytes).await.header("location").unwrap().to_owned();
    let row = two.row(&location).await;
    // What a server leaves behind that was killed while it took a request.
    let (now, ends) = (NOW * 1000, NOW * 1000 + 60_000);
    let claimed = two.store.claim_upload(&row.id, "a dead server", now, ends).await.unwrap();
    assert_eq!(claimed, Claimed::Yes);
    here.patch(&location, 0, &bytes).await.assert_problem(409, "bad-request");
    assert_eq!(here.offset(&location).await, 0, "asking does not need the lease");
    two.hand.advance(60);
    assert_eq!(here.patch(&location, 0, &bytes).await.status, 204);
    assert_eq!(here.offset(&location).await, bytes.len());
}

/// All bytes had come, and the server died on the way to the row: whoever asks at another one has the object.
#[tokio::test]
async fn what_a_dead_server_did_not_complete() {
    let two = Two::start().await;
    let [here, there] = two.tus();
    for (seed, published) in [(4, false), (5, true)] {
        let bytes = file(seed, 100);
        let location = here.create(&bytes).await.header("location").unwrap().to_owned();
        let row = two.row(&location).await;
        let mut writer = two.blobs.append(&row.id, 0).await.unwrap();
        writer.write(&bytes).await.unwrap();
        writer.sync().await.unwrap();
        if published {
            two.blobs.publish(&row.id, &row.media.name).await.unwrap();
        }
        assert_eq!(get(there.addr, &row.media.reference, &[]).await.0.status, 404, "nobody was told of it");
        let answer = there.call(&format!("HEAD {location}"), &[], b"").await;
        assert_eq!(answer.header("storage-reference"), Some(&*row.media.reference));
        assert_eq!(answer.header("upload-offset"), Some("1610"));
        assert!(get(here.addr, &row.media.reference, &[]).await.1 == bytes);
    }
    // Other bytes than were announced are none of these.
    let (bytes, other) = (file(6, 100), file(7, 100));
    let location = here.create(&bytes).await.header("location").unwrap().to_owned();
    let row = two.row(&location).await;
    let mut writer = two.blobs.append(&row.id, 0).await.unwrap();
    writer.write(&other).await.unwrap();
    writer.sync().await.unwrap();
    assert_eq!(there.call(&format!("HEAD {location}"), &[], b"").await.status, 404);
    until("its bytes are gone", async || two.blobs.received(&row.id).await.unwrap() == 0).await;
    assert_ne!(hash(&bytes), hash(&other));
    stored(there.addr, ALICE, &bytes).await;
}

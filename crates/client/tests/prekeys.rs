//! Our own keys at the server, whatever becomes of the answers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use landbridge::stanza::keys::{KeyDigest, PreKey, SignedPreKey, UploadKeys};
use landbridge::stanza::notification::{Notification, NotificationEvent};
use landbridge::stanza::stream::Success;
use landbridge::stanza::{
    ClientRequest, ClientStanza, IqError, Profile, Request, codes::IqErrorCode, server_jid,
};
use landbridge::store::{ClientStore, MemoryStore, StoreError, StoreTx};
use landbridge::{Client, Clock, Error};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use support::{Conn, Phone, Server, enlisted_store, now, text};

/// What a server keeps of one account.
#[derive(Default)]
struct Books {
    /// Every key that was ever uploaded, by id.
    ever: BTreeMap<u32, [u8; 32]>,
    /// Those that were not given away.
    left: BTreeMap<u32, PreKey>,
    signed: Option<SignedPreKey>,
    last: Option<UploadKeys>,
    repeated: usize,
    /// Uploads that were taken and whose answer was lost.
    unanswered: usize,
}

impl Books {
    fn take(&mut self, upload: &UploadKeys) {
        self.signed = Some(upload.signed_prekey);
        self.last = Some(upload.clone());
        for key in &upload.prekeys {
            match self.ever.insert(key.id, key.value) {
                Some(before) => {
                    assert_eq!(before, key.value, "key {} was made twice", key.id);
                    self.repeated += 1;
                }
                None => {
                    self.left.insert(key.id, *key);
                }
            }
        }
    }

    fn give_away(&mut self, count: usize) {
        for _ in 0..count {
            self.left.pop_first();
        }
    }

    fn digest(&self, upload: &UploadKeys) -> KeyDigest {
        let signed = self.signed.unwrap();
        let mut bytes = [&upload.identity[..], &signed.value, &signed.signature].concat();
        for key in self.left.values() {
            bytes.extend_from_slice(&key.value);
        }
        let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &bytes);
        KeyDigest {
            registration: upload.registration,
            identity: upload.identity,
            signed_prekey: signed,
            prekey_ids: self.left.keys().copied().collect(),
            hash: hash.as_ref().try_into().unwrap(),
        }
    }
}

/// A small first batch: the rule does not depend on the number.
fn profile() -> Profile {
    let mut profile = Profile::default();
    (profile.keys.first_batch, profile.keys.refill_batch, profile.keys.low_mark) = (30, 8, 5);
    profile
}

/// Waits until everything that came before is answered, and what that leads to was asked for.
async fn answered(client: &Client) {
    while let Err(Error::NotConnected) = client.ping().await {
        tokio::task::yield_now().await;
    }
}

/// Waits until nothing waits for its upload.
async fn all_uploaded(client: &Client) {
    answered(client).await;
    while client.own_keys().await.unwrap().to_upload > 0 {
        answered(client).await;
    }
}

/// Serves one connection until it is lost, or active and `done`. `lose`: after how many stanzas it is lost, before the answer
/// to the last one.
async fn serve(
    mut conn: Conn,
    books: &mut Books,
    lose: Option<u32>,
    low: bool,
    done: impl Future<Output = ()>,
) {
    let (mut seen, mut told, mut active) = (0, !low, false);
    conn.send(&Success::at(now()).to_node(&conn.profile)).await;
    let mut done = std::pin::pin!(done);
    loop {
        let stanza = tokio::select! {
            stanza = conn.stanza() => stanza,
            () = &mut done, if told && active => return,
        };
        let Some(stanza) = stanza else { return };
        seen += 1;
        let lost = lose.is_some_and(|lose| seen >= lose);
        if let ClientStanza::Request { request: ClientRequest::UploadKeys(upload), .. } = &stanza {
            books.take(upload);
            books.unanswered += usize::from(lost);
        }
        if lost {
            return;
        }
        if let ClientStanza::Request { id, request: ClientRequest::DigestKeys(digest), .. } = &stanza {
            let node = match &books.last {
                Some(upload) => digest.reply_node(&books.digest(upload), id, &conn.profile),
                None => IqError::new(IqErrorCode::ItemNotFound).to_node(id),
            };
            conn.send(&node).await;
            continue;
        }
        if let ClientStanza::Request { id, request: ClientRequest::CountKeys(count), .. } = &stanza {
            let left = u32::try_from(books.left.len()).unwrap();
            let node = count.reply_node(&left, id, &conn.profile);
            conn.send(&node).await;
            continue;
        }
        if matches!(&stanza, ClientStanza::Request { request: ClientRequest::SetActive(_), .. }) {
            active = true;
            if !told {
                told = true;
                let notice = Notification::prekeys_low("n-1", now(), 3);
                conn.serve(&stanza).await;
                conn.send(&notice.to_node(&conn.profile)).await;
                continue;
            }
        }
        conn.serve(&stanza).await;
    }
}

#[tokio::test]
async fn lost_answers_cost_no_keys_and_confuse_nobody() {
    let mut unanswered = 0;
    for seed in 0..40 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut server = Server::new();
        let client = server.builder(enlisted_store()).profile(profile()).build().unwrap();
        let mut books = Books::default();
        let mut asked = 0;
        for round in 0..12 {
            let (lose, low) = (rng.random_bool(0.6).then(|| rng.random_range(1..8)), rng.random_bool(0.4));
            asked += usize::from(low);
            let conn = async {
                let conn = server.accept().await;
                serve(conn, &mut books, lose, low, answered(&client)).await;
            };
            let (_outcome, ()) = tokio::join!(client.connect(), conn);
            client.disconnect().await;
            client.closed().await;
            books.give_away(rng.random_range(0..4));
            // Each wish of the server is worth one batch, however often its answer was lost; logins may add what is low.
            let most = 30 + 8 * (asked + round + 1);
            assert!(books.ever.len() <= most, "seed {seed}: {} keys after {asked} wishes", books.ever.len());
        }
        unanswered += books.unanswered;
        // A calm login settles it: nothing waits, and both sides have the same books.
        let conn = async {
            let conn = server.accept().await;
            serve(conn, &mut books, None, false, all_uploaded(&client)).await;
        };
        let (outcome, ()) = tokio::join!(client.connect(), conn);
        outcome.unwrap();
        let kept = client.own_keys().await.unwrap();
        assert_eq!(usize::try_from(kept.one_time).unwrap(), books.ever.len(), "seed {seed}");
        assert_eq!(books.repeated, 0, "seed {seed}: it had them, and may have given them away");
    }
    println!("{unanswered} uploads without an answer");
    assert!(unanswered > 20, "only {unanswered} answers were lost");
}

async fn ask_for_digest(conn: &mut Conn, id: &str) -> String {
    let check = Notification::new(server_jid(), id, "encrypt", now(), NotificationEvent::CheckDigest);
    conn.send(&check.to_node(&conn.profile)).await;
    loop {
        match conn.next().await {
            ClientStanza::Request { id, request: ClientRequest::DigestKeys(_), .. } => return id,
            ClientStanza::Ack(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn uploads(conn: &mut Conn, count: usize) {
    while conn.uploads.len() < count {
        let stanza = conn.stanza().await.unwrap();
        conn.serve(&stanza).await;
    }
}

/// Two uploads, of 30 keys and of 8, in the books of a server that asks for digests.
async fn two_batches(server: &mut Server, client: &Client) -> (Conn, Books, UploadKeys) {
    let mut conn = server.connect(client).await;
    conn.send(&Notification::prekeys_low("n-0", now(), 3).to_node(&conn.profile)).await;
    uploads(&mut conn, 2).await;
    let mut books = Books::default();
    for upload in &conn.uploads {
        books.take(upload);
    }
    conn.serve_while(client.ping()).await.unwrap();
    let first = conn.uploads[0].clone();
    (conn, books, first)
}

/// Asks for the digest and is given that of `digest`, or told that there is none.
async fn doubt(conn: &mut Conn, id: &str, digest: Option<KeyDigest>) {
    let id = ask_for_digest(conn, id).await;
    let node = match digest {
        None => IqError::new(IqErrorCode::ItemNotFound).to_node(&id),
        Some(digest) => landbridge::stanza::keys::DigestKeys.reply_node(&digest, &id, &conn.profile),
    };
    conn.send(&node).await;
}

#[tokio::test]
async fn a_digest_that_is_missing_or_differs_brings_new_keys_and_no_key_comes_twice() {
    let mut server = Server::new();
    let client = server.builder(enlisted_store()).profile(profile()).build().unwrap();
    let (mut conn, mut books, first) = two_batches(&mut server, &client).await;
    // The server is right: nothing happens.
    books.give_away(3);
    doubt(&mut conn, "n-1", Some(books.digest(&first))).await;
    conn.serve_while(client.ping()).await.unwrap();
    assert_eq!(conn.uploads.len(), 2);
    // It holds 35 keys of ours, which is as many as there were at first, and one that nobody knows: nothing is missing.
    let mut stranger = books.digest(&first);
    stranger.prekey_ids.push(999);
    doubt(&mut conn, "n-2", Some(stranger.clone())).await;
    conn.serve_while(client.ping()).await.unwrap();
    assert_eq!(conn.uploads.len(), 2);
    // It has lost them; it has others under our ids; it has a signed prekey that is not ours; it has few that are.
    let mut others = books.digest(&first);
    others.hash = [7; 20];
    let mut signed = stranger.clone();
    signed.signed_prekey.id += 1;
    let mut few = stranger;
    few.prekey_ids.drain(..30);
    for (n, (digest, keys)) in
        [(None, 30), (Some(others), 30), (Some(signed), 8), (Some(few), 25)].into_iter().enumerate()
    {
        doubt(&mut conn, &format!("n-3{n}"), digest).await;
        uploads(&mut conn, n + 3).await;
        let upload = conn.uploads[n + 2].clone();
        books.take(&upload);
        assert_eq!((upload.prekeys.len(), upload.signed_prekey), (keys, first.signed_prekey), "{n}");
    }
    assert_eq!(books.repeated, 0, "the server may have given a key away before it lost it");
    conn.serve_while(client.ping()).await.unwrap();
    assert_eq!(client.own_keys().await.unwrap().to_upload, 0);
}

#[tokio::test]
async fn a_digest_shows_that_an_upload_has_arrived_whose_answer_was_lost() {
    let mut server = Server::new();
    let client = server.builder(enlisted_store()).profile(profile()).build().unwrap();
    let (mut conn, mut books, first) = two_batches(&mut server, &client).await;
    // Eight more arrive, and the connection is lost before that is said; peers fetch two of them, and all of the others.
    conn.send(&Notification::prekeys_low("n-1", now(), 3).to_node(&conn.profile)).await;
    loop {
        let stanza = conn.stanza().await.unwrap();
        if let ClientStanza::Request { request: ClientRequest::UploadKeys(upload), .. } = &stanza {
            books.take(upload);
            break;
        }
        conn.serve(&stanza).await;
    }
    drop(conn);
    client.closed().await;
    books.give_away(40);
    assert_eq!((books.left.len(), client.own_keys().await.unwrap().to_upload), (6, 8));
    // Before the eight are offered once more, the server is asked: two of them would be with two peers each.
    let mut conn = server.connect(&client).await;
    let ClientStanza::Request { id, request: ClientRequest::DigestKeys(_), .. } = conn.next().await else {
        panic!("the server is not asked")
    };
    assert!(conn.uploads.is_empty());
    let digest = landbridge::stanza::keys::DigestKeys.reply_node(&books.digest(&first), &id, &conn.profile);
    conn.send(&digest).await;
    conn.serve_while(client.ping()).await.unwrap();
    assert_eq!((conn.uploads.len(), client.own_keys().await.unwrap().to_upload), (0, 0));
    conn.send(&Notification::prekeys_low("n-2", now(), 3).to_node(&conn.profile)).await;
    uploads(&mut conn, 1).await;
    books.take(&conn.uploads[0].clone());
    assert_eq!((books.repeated, books.left.len()), (0, 14));
}

/// A store that outlives its client.
struct Kept {
    store: MemoryStore,
    disk: Arc<Mutex<MemoryStore>>,
}

impl ClientStore for Kept {
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
        *self.disk.lock().unwrap() = self.store.clone();
        self.store.begin()
    }
}

#[tokio::test]
async fn what_the_server_wants_is_not_forgotten_when_the_process_ends() {
    let mut server = Server::new();
    let disk = Arc::new(Mutex::new(enlisted_store()));
    let open = |server: &Server| {
        let store = Kept { store: disk.lock().unwrap().clone(), disk: Arc::clone(&disk) };
        server.builder(store).build().unwrap()
    };
    let client = open(&server);
    let mut conn = server.connect(&client).await;
    let check = Notification::new(server_jid(), "n-1", "encrypt", now(), NotificationEvent::CheckDigest);
    conn.send(&check.to_node(&conn.profile)).await;
    conn.send(&Notification::prekeys_low("n-2", now(), 3).to_node(&conn.profile)).await;
    // Both are acked; nothing else is answered.
    let mut acked = 0;
    while acked < 2 {
        match conn.stanza().await.unwrap() {
            ClientStanza::Ack(_) => acked += 1,
            ClientStanza::Request { request: ClientRequest::GetBlocklist(_), .. }
            | ClientStanza::Presence(_) => {}
            ClientStanza::Request { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    client.own_keys().await.unwrap();
    drop((client, conn));

    // The books say that 812 keys are at the server, which is plenty: only what was noted tells of the need.
    let client = open(&server);
    let mut conn = server.connect(&client).await;
    let ClientStanza::Request { id, request: ClientRequest::DigestKeys(_), .. } = conn.next().await else {
        panic!("the digest is not asked for")
    };
    conn.send(&IqError::new(IqErrorCode::ItemNotFound).to_node(&id)).await;
    uploads(&mut conn, 1).await;
    conn.serve_while(client.ping()).await.unwrap();
    let mut count = 0;
    while client.own_keys().await.unwrap().to_upload > 0 || count == 0 {
        count += 1;
        conn.serve_while(client.ping()).await.unwrap();
    }
}

#[derive(Clone)]
struct SetClock(Arc<AtomicU64>);

impl Clock for SetClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Anybody;

impl landbridge::noise::ServerTrust for Anybody {
    fn verify(
        &self,
        _chain: &[u8],
        key: &landbridge::noise::PublicKey,
        _now: u64,
    ) -> Result<landbridge::noise::VerifiedServer, landbridge::noise::CertificateError> {
        Ok(landbridge::noise::danger::assert_verified(*key))
    }
}

#[tokio::test]
async fn the_signed_prekey_is_rotated_on_schedule_and_three_old_halves_open_messages_on_their_way() {
    let mut server = Server::new();
    let clock = SetClock(Arc::new(AtomicU64::new(now())));
    let client = server
        .builder(enlisted_store())
        .profile(profile())
        .clock(clock.clone())
        .trust(Anybody)
        .build()
        .unwrap();
    let mut events = client.events();
    let mut conn = server.connect(&client).await;
    let upload = conn.uploads[0].clone();
    let mut signed = vec![upload.signed_prekey];
    // A phone that has fetched the keys and stays away for long, one per generation.
    for _ in 0..5 {
        let ((), _rest) = tokio::join!(client.disconnect(), conn.until_closed());
        clock.0.fetch_add(28 * 86_400, Ordering::SeqCst);
        conn = server.connect(&client).await;
        let ClientStanza::Request { id, request: ClientRequest::RotateSignedPreKey(rotate), .. } =
            conn.next().await
        else {
            panic!("no rotation")
        };
        let node = rotate.reply_node(&(), &id, &conn.profile);
        conn.send(&node).await;
        signed.push(rotate.signed_prekey);
        conn.serve_while(client.ping()).await.unwrap();
    }
    let kept = client.own_keys().await.unwrap();
    assert_eq!((kept.old_signed_prekeys, kept.signed_prekey), (3, signed[5].id));
    for (generation, opens) in [(5, true), (4, true), (3, true), (2, true), (1, false), (0, false)] {
        let mut phone = Phone::new(&format!("1415555{generation:04}"));
        phone.begin(upload.registration, upload.identity, signed[generation], None);
        let words = format!("generation {generation}");
        conn.send(&phone.message("B1", &words).to_node(&conn.profile)).await;
        if opens {
            assert_eq!(text(&mut events).await, words);
            assert!(matches!(conn.next().await, ClientStanza::Receipt(_)));
        } else {
            // Asked for again, with the keys of today.
            let ClientStanza::Receipt(receipt) = conn.next().await else { panic!() };
            let keys = receipt.retry.unwrap().keys.unwrap();
            assert_eq!(keys.signed_prekey.id, signed[5].id);
            assert!(matches!(conn.next().await, ClientStanza::Ack(_)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_lives_for_weeks_rotates_too() {
    let mut server = Server::new();
    let clock = SetClock(Arc::new(AtomicU64::new(now())));
    let client = server
        .builder(enlisted_store())
        .profile(profile())
        .clock(clock.clone())
        .trust(Anybody)
        .build()
        .unwrap();
    let mut conn = server.connect(&client).await;
    conn.serve_while(client.ping()).await.unwrap();
    clock.0.fetch_add(28 * 86_400, Ordering::SeqCst);
    let ClientStanza::Request { request: ClientRequest::RotateSignedPreKey(rotate), .. } = conn.next().await
    else {
        panic!("no rotation")
    };
    assert_ne!(rotate.signed_prekey.id, conn.uploads[0].signed_prekey.id);
}

#[tokio::test]
async fn a_server_that_calls_for_keys_without_end_gets_no_endless_keys() {
    let mut server = Server::new();
    let client = server.builder(enlisted_store()).profile(profile()).build().unwrap();
    let mut conn = server.connect(&client).await;
    for n in 0..200 {
        conn.send(&Notification::prekeys_low(format!("n-{n}"), now(), 0).to_node(&conn.profile)).await;
        loop {
            let stanza = conn.stanza().await.unwrap();
            let acked = matches!(&stanza, ClientStanza::Ack(_));
            conn.serve(&stanza).await;
            if acked {
                break;
            }
        }
        conn.serve_while(client.ping()).await.unwrap();
    }
    let kept = client.own_keys().await.unwrap();
    assert!(kept.one_time <= 8 * 30 + 8, "{} keys", kept.one_time);
}

#[tokio::test]
async fn the_server_says_how_many_keys_are_left() {
    let mut server = Server::new();
    let client = server.client();
    assert!(client.one_time_keys_left().await.is_err());
    let mut conn = server.connect(&client).await;
    conn.count = 77;
    assert_eq!(conn.serve_while(client.one_time_keys_left()).await.unwrap(), 77);
}

//! Every public call is dropped at every point at which it waits. Whatever it had done by then, the client goes on: nothing
//! is lost, nothing is sent or shown twice, no key is used twice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use landbridge::media::{DownloadPath, EncryptedFile, Files, OutgoingFile, TransferError, Uploader};
use landbridge::stanza::ack::AckIn;
use landbridge::stanza::chatstate::ChatState;
use landbridge::stanza::message::MessageIn;
use landbridge::stanza::presence::Availability;
use landbridge::stanza::receipt::ReceiptType;
use landbridge::stanza::{ClientRequest, ClientStanza, MessageId, Profile, Request};
use landbridge::store::{ClientStore, ExportSecret, MemoryStore, OutState, SqliteStore, StoreError, StoreTx};
use landbridge::transport::http_server::ServerHandle;
use landbridge::wire::Jid;
use landbridge::{Client, Event, Events};
use support::{Conn, Phone, Server, enlist_in, enlisted_store, now};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const BOB: &str = "14155551001";

type Call<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A store in memory that callers wait for as if it were on a disk, so that each of its steps is a point to be dropped at.
struct Waiting(MemoryStore);

impl ClientStore for Waiting {
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
        self.0.begin()
    }
}

/// What has to be so before a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Connected,
    Offline,
    /// Offline, over a file.
    OnDisk,
}

/// A public call: its name, what has to be so, and how it is made.
struct Row(&'static str, Before, for<'a> fn(&'a mut World) -> Call<'a>);

/// The calls that are covered; a test holds this table against the sources.
const CALLS: &[Row] = &[
    Row("enlist", Before::Connected, |w| call(async { done(w.client.enlist("alice", 1).await) })),
    Row("address", Before::Connected, |w| call(async { done(w.client.address().await) })),
    Row("connect", Before::Offline, |w| call(async { w.client.connect().await.unwrap() })),
    Row("closed", Before::Connected, |w| {
        w.hang_up();
        call(async { done(w.client.closed().await) })
    }),
    Row("run", Before::Offline, |w| {
        w.hang_up();
        call(async { done(w.client.run().await) })
    }),
    Row("disconnect", Before::Connected, |w| call(async { w.client.disconnect().await })),
    Row("fetch_once", Before::Offline, |w| {
        w.phone_sends("in the mailbox");
        call(async { done(w.client.fetch_once(Duration::from_secs(60)).await.unwrap()) })
    }),
    Row("send_text", Before::Connected, |w| {
        call(async {
            let id = w.client.send_text(&w.bob, "one").await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("send", Before::Connected, |w| {
        call(async {
            let content = landbridge::proto::content::text("two");
            let id = w.client.send(&w.bob, content).await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("send_image", Before::Connected, |w| {
        call(async {
            let id = w.files().send_image(&w.bob, file("image/jpeg")).await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("send_video", Before::Connected, |w| {
        call(async {
            let id = w.files().send_video(&w.bob, file("video/mp4")).await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("send_audio", Before::Connected, |w| {
        call(async {
            let id = w.files().send_audio(&w.bob, file("audio/mpeg")).await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("send_voice_note", Before::Connected, |w| {
        call(async {
            let id = w.files().send_voice_note(&w.bob, file("audio/ogg; codecs=opus")).await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("send_document", Before::Connected, |w| {
        call(async {
            let id = w.files().send_document(&w.bob, file("application/pdf")).await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("send_sticker", Before::Connected, |w| {
        call(async {
            let id = w.files().send_sticker(&w.bob, file("image/webp")).await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("pending", Before::Connected, |w| call(async { done(w.files().pending().await.unwrap()) })),
    Row("cancel", Before::Connected, |w| {
        call(async {
            // It may be sent by then, or the other way round: either way it is there once or not at all.
            let files = w.files();
            let id = files.send_document(&w.bob, file("application/pdf")).await.unwrap();
            let taken_out = files.cancel(&w.bob, &id).await.unwrap();
            let state = w.client.message_state(&w.bob, &id).await.unwrap().unwrap();
            assert_eq!(taken_out, state == OutState::Failed, "{state:?}");
            if !taken_out {
                w.promised.push(id);
            }
        })
    }),
    Row("reply", Before::Connected, |w| {
        call(async {
            let id = w.client.reply(&w.bob, &w.theirs, "three").await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("react", Before::Connected, |w| {
        call(async {
            let id = w.client.react(&w.bob, &w.theirs, "👍").await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("unreact", Before::Connected, |w| {
        call(async {
            let id = w.client.unreact(&w.bob, &w.theirs).await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("revoke", Before::Connected, |w| {
        call(async {
            let id = w.client.revoke(&w.bob, &w.ours).await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("edit", Before::Connected, |w| {
        call(async {
            let id = w.client.edit(&w.bob, &w.ours, "four").await.unwrap();
            w.promised.push(id);
        })
    }),
    Row("set_typing", Before::Connected, |w| {
        call(async { w.client.set_typing(&w.bob, ChatState::Composing).await.unwrap() })
    }),
    Row("message", Before::Connected, |w| {
        call(async { done(w.client.message(&w.bob, &w.theirs).await.unwrap()) })
    }),
    Row("message_state", Before::Connected, |w| {
        call(async { done(w.client.message_state(&w.bob, &w.ours).await.unwrap()) })
    }),
    Row("wait_for", Before::Connected, |w| {
        call(async {
            let id = w.client.send_text(&w.bob, "five").await.unwrap();
            w.promised.push(id.clone());
            w.client.wait_for(&w.bob, &id, OutState::Sent).await.unwrap();
        })
    }),
    Row("mark_read", Before::Connected, |w| {
        call(async { w.client.mark_read(&w.bob, std::slice::from_ref(&w.theirs)).await.unwrap() })
    }),
    Row("mark_played", Before::Connected, |w| {
        call(async { w.client.mark_played(&w.bob, std::slice::from_ref(&w.theirs)).await.unwrap() })
    }),
    Row("receipts_written", Before::Connected, |w| {
        call(async {
            w.client.mark_read(&w.bob, std::slice::from_ref(&w.theirs)).await.unwrap();
            w.client.receipts_written().await.unwrap();
        })
    }),
    Row("set_presence", Before::Connected, |w| {
        call(async { w.client.set_presence(Availability::Unavailable).await.unwrap() })
    }),
    Row("ping", Before::Connected, |w| call(async { done(w.client.ping().await.unwrap()) })),
    Row("fetch_keys", Before::Connected, |w| {
        call(async { done(w.client.fetch_keys(&w.bob).await.unwrap()) })
    }),
    Row("block", Before::Connected, |w| call(async { w.client.block(&Jid::user("491701")).await.unwrap() })),
    Row("unblock", Before::Connected, |w| {
        call(async { w.client.unblock(&Jid::user("491701")).await.unwrap() })
    }),
    Row("blocklist", Before::Connected, |w| call(async { done(w.client.blocklist().await.unwrap()) })),
    Row("reenlist", Before::Offline, |w| {
        w.reenlisting = true;
        call(async { done(w.client.reenlist().await.unwrap()) })
    }),
    Row("why_failed", Before::Connected, |w| {
        call(async { assert!(w.client.why_failed(&w.bob, &w.ours).await.unwrap().is_none()) })
    }),
    Row("own_keys", Before::Connected, |w| call(async { done(w.client.own_keys().await.unwrap()) })),
    Row("one_time_keys_left", Before::Connected, |w| {
        call(async { assert!(w.client.one_time_keys_left().await.unwrap() > 0) })
    }),
    Row("safety_number", Before::Connected, |w| {
        call(async { done(w.client.safety_number(&w.bob).await.unwrap()) })
    }),
    Row("mark_verified", Before::Connected, |w| {
        call(async {
            let number = w.client.safety_number(&w.bob).await.unwrap();
            w.client.mark_verified(&number).await.unwrap();
        })
    }),
    Row("mark_unverified", Before::Connected, |w| {
        call(async { w.client.mark_unverified(&w.bob).await.unwrap() })
    }),
    Row("accept_identity", Before::Connected, |w| {
        call(async { w.client.accept_identity(&w.bob).await.unwrap() })
    }),
    Row("peer_trust", Before::Connected, |w| {
        call(async { done(w.client.peer_trust(&w.bob).await.unwrap()) })
    }),
    Row("delete_account", Before::Connected, |w| {
        w.deleting = true;
        call(async { w.client.delete_account().await.unwrap() })
    }),
    Row("explain", Before::Connected, |w| call(async { done(w.client.explain(&w.ours).await.unwrap()) })),
    Row("export", Before::OnDisk, |w| {
        call(async { done(w.client.export(Vec::new(), ExportSecret::key([7; 32])).await.unwrap()) })
    }),
    Row("take_back", Before::OnDisk, |w| call(async { w.client.take_back().await.unwrap() })),
    Row("next", Before::Connected, |w| {
        w.phone_sends("for the stream");
        call(async {
            while let Some(event) = w.events.next().await {
                if w.shown.note(&event) {
                    return;
                }
            }
        })
    }),
];

/// Calls that fetch a file: they touch neither store nor connection, and a file that is cut short was hidden and goes.
const OF_FILES: [&str; 3] = ["bytes", "part", "save"];

/// A host of files that lets its callers wait.
struct Shelf;

#[async_trait]
impl Uploader for Shelf {
    async fn upload(
        &self,
        file: &dyn EncryptedFile,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<DownloadPath, TransferError> {
        for part in 1..=3 {
            tokio::task::yield_now().await;
            progress(file.length() * part / 3);
        }
        Ok("/interop/whatsapp/download/1/AAAAAAAAAAAAAAAAAAAAAA/".parse().unwrap())
    }
}

fn file(mimetype: &str) -> OutgoingFile {
    OutgoingFile::new(vec![7; 5_000], mimetype)
}

/// An answer that does not matter here.
fn done<T>(_: T) {}

fn call<'a>(call: impl Future<Output = ()> + 'a) -> Call<'a> {
    Box::pin(call)
}

/// The texts that the application was given.
#[derive(Default)]
struct Shown(Vec<String>);

impl Shown {
    /// Whether the event was a message.
    fn note(&mut self, event: &Event) -> bool {
        let Event::Message(message) = event else { return false };
        self.0.push(message.text().unwrap_or_default().to_owned());
        true
    }
}

/// From the client: id to the bytes that were taken.
type Taken = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

struct World {
    client: Client,
    events: Events,
    bob: Jid,
    /// A message of each side that both have.
    ours: MessageId,
    theirs: MessageId,
    promised: Vec<MessageId>,
    shown: Shown,
    sent_by_phone: usize,
    deleting: bool,
    reenlisting: bool,
    taken: Taken,
    texts: mpsc::UnboundedSender<String>,
    /// Messages of the phone that are not receipted yet.
    waiting: watch::Receiver<usize>,
    /// Uses of a key: the phone opens each message once, or fails.
    server: JoinHandle<()>,
    helper: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
    /// Where enlistment requests go.
    _http: ServerHandle,
}

impl World {
    fn files(&self) -> Files {
        Files::new(self.client.clone()).uploader(Shelf)
    }

    async fn new(before: Before) -> Self {
        let mut server = Server::new();
        let directory = tempfile::tempdir().unwrap();
        let store: Box<dyn ClientStore> = if before == Before::OnDisk {
            let mut store = SqliteStore::open(directory.path().join("client.db")).unwrap();
            enlist_in(&mut store);
            Box::new(store)
        } else {
            Box::new(Waiting(enlisted_store()))
        };
        let mut profile = Profile::default();
        // So that a world is made quickly.
        profile.keys.first_batch = 4;
        profile.keys.refill_batch = 4;
        let (http, url, _) = support::partner::http([support::partner::OK; 8]).await;
        let client = server.builder(store).profile(profile).enlistment_url(url).build().unwrap();
        let events = client.events();
        let phone = Phone::new(BOB);
        let bob = phone.jid.clone();
        let taken = Taken::default();
        let (texts, commands) = mpsc::unbounded_channel();
        let (count, waiting) = watch::channel(0);
        let backend = Backend {
            phone,
            met: false,
            taken: Arc::clone(&taken),
            commands,
            waiting: Vec::new(),
            written: 0,
            count,
        };
        let server = tokio::spawn(async move { backend.run(&mut server).await });
        let id = || MessageId::try_from("0".to_owned()).unwrap();
        let mut world = Self {
            client,
            events,
            bob,
            ours: id(),
            theirs: id(),
            promised: Vec::new(),
            shown: Shown::default(),
            sent_by_phone: 0,
            deleting: false,
            reenlisting: false,
            taken,
            texts,
            waiting,
            server,
            helper: None,
            _directory: directory,
            _http: http,
        };
        world.client.connect().await.unwrap();
        world.exchange("first").await;
        world.theirs = MessageId::try_from("B0".to_owned()).unwrap();
        world.ours = world.promised[0].clone();
        if before != Before::Connected {
            world.client.disconnect().await;
        }
        world
    }

    fn phone_sends(&mut self, text: &str) {
        self.sent_by_phone += 1;
        self.texts.send(text.to_owned()).unwrap();
    }

    /// Closes the connection, from another task, as soon as there is one.
    fn hang_up(&mut self) {
        let client = self.client.clone();
        self.helper = Some(tokio::spawn(async move {
            while client.ping().await.is_err() {
                tokio::task::yield_now().await;
            }
            client.disconnect().await;
        }));
    }

    /// A message each way.
    async fn exchange(&mut self, text: &str) {
        let id = self.client.send_text(&self.bob, text).await.unwrap();
        self.promised.push(id.clone());
        self.client.wait_for(&self.bob, &id, OutState::Sent).await.unwrap();
        self.phone_sends(text);
        while self.shown.0.last().is_none_or(|last| last != text) {
            let event = self.events.next().await.expect("the client is there");
            self.shown.note(&event);
        }
        self.waiting.wait_for(|waiting| *waiting == 0).await.unwrap();
    }

    /// Whatever was dropped: the client connects, sends and receives, and the books are in order.
    async fn check(mut self, what: &str) {
        if let Some(helper) = self.helper.take() {
            helper.abort();
            drop(helper.await);
        }
        self.client.take_back().await.unwrap();
        self.client.disconnect().await;
        if self.deleting {
            return self.check_deletion(what).await;
        }
        if self.reenlisting {
            self.client.reenlist().await.unwrap_or_else(|error| panic!("{what}: {}", error.chain()));
        }
        self.client.connect().await.unwrap_or_else(|error| panic!("{what}: {}", error.chain()));
        self.exchange("afterwards").await;
        assert_eq!(self.shown.0.len(), self.sent_by_phone, "{what}: shown {:?}", self.shown.0);
        let different: BTreeSet<_> = self.shown.0.iter().collect();
        assert_eq!(different.len(), self.shown.0.len(), "{what}: shown twice {:?}", self.shown.0);
        // Files go out beside the rest.
        for file in self.files().pending().await.unwrap() {
            self.client.wait_for(&file.to, &file.id, OutState::Sent).await.unwrap();
        }
        let left = self.files().pending().await.unwrap();
        assert!(left.is_empty(), "{what}: {left:?}");
        for id in &self.promised {
            let state = self.client.wait_for(&self.bob, id, OutState::Sent).await.unwrap();
            assert!(state == OutState::Sent, "{what}: {id} is {state:?}");
            assert!(self.taken.lock().unwrap().contains_key(id.as_str()), "{what}: {id} is lost");
        }
        self.finish(what).await;
    }

    /// Either it was never asked for, or it is done, or the next login does it.
    async fn check_deletion(self, what: &str) {
        if self.client.connect().await.is_ok() {
            match self.client.delete_account().await {
                Ok(()) => {}
                // The login has done it, or is about to.
                Err(_) => drop(self.client.closed().await),
            }
        }
        assert_eq!(self.client.address().await.unwrap(), None, "{what}");
        self.finish(what).await;
    }

    async fn finish(self, what: &str) {
        let Self { client, events, texts, server, .. } = self;
        client.disconnect().await;
        drop((client, events, texts));
        server.await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

/// The server and the phone, over all connections of one world.
struct Backend {
    phone: Phone,
    met: bool,
    taken: Taken,
    commands: mpsc::UnboundedReceiver<String>,
    waiting: Vec<MessageIn>,
    /// How many messages the phone has written.
    written: usize,
    count: watch::Sender<usize>,
}

impl Backend {
    async fn run(mut self, server: &mut Server) {
        loop {
            // A login that has begun goes on, whatever the phone writes meanwhile.
            let mut login = std::pin::pin!(server.try_active());
            let conn = loop {
                tokio::select! {
                    conn = &mut login => break conn,
                    text = self.commands.recv() => match text {
                        Some(text) => drop(self.write(&text)),
                        None => return,
                    },
                }
            };
            if let Some(mut conn) = conn
                && !self.serve(&mut conn).await
            {
                return;
            }
        }
    }

    /// A message of the phone.
    fn write(&mut self, text: &str) -> MessageIn {
        let id = format!("B{}", self.written);
        self.written += 1;
        let message = self.phone.message(&id, text);
        self.waiting.push(message.clone());
        self.count.send_replace(self.waiting.len());
        message
    }

    /// Until the connection ends. Whether the world goes on.
    async fn serve(&mut self, conn: &mut Conn) -> bool {
        if !std::mem::replace(&mut self.met, true) {
            self.phone.meet(&conn.uploads[0].clone());
        }
        for message in &self.waiting {
            conn.send(&message.to_node(&conn.profile)).await;
        }
        conn.send(&landbridge::stanza::ib::Ib::Offline { count: 0 }.to_node(&conn.profile)).await;
        loop {
            tokio::select! {
                text = self.commands.recv() => {
                    let Some(text) = text else { return false };
                    let message = self.write(&text);
                    conn.send(&message.to_node(&conn.profile)).await;
                }
                stanza = conn.stanza() => {
                    let Some(stanza) = stanza else { return true };
                    if !conn.serve(&stanza).await {
                        self.take(conn, stanza).await;
                    }
                }
            }
        }
    }

    async fn take(&mut self, conn: &mut Conn, stanza: ClientStanza) {
        let profile = conn.profile.clone();
        let answer = match stanza {
            ClientStanza::Message(message) => {
                let (id, enc) = (message.id.to_string(), &message.encs[0]);
                let before = self.taken.lock().unwrap().get(&id).cloned();
                match before {
                    Some(bytes) => assert_eq!(bytes, enc.ciphertext, "{id} came with other bytes"),
                    None => {
                        self.phone.open(enc).expect("each key is used once");
                        self.taken.lock().unwrap().insert(id.clone(), enc.ciphertext.clone());
                    }
                }
                AckIn::message(id, self.phone.jid.clone(), now()).to_node(&profile)
            }
            ClientStanza::Receipt(receipt) => {
                if receipt.kind == ReceiptType::Delivered {
                    let ids: BTreeSet<_> = receipt.ids().map(ToString::to_string).collect();
                    self.waiting.retain(|message| !ids.contains(message.id.as_str()));
                    self.count.send_replace(self.waiting.len());
                }
                return;
            }
            ClientStanza::Request { id, request, .. } => match request {
                ClientRequest::FetchKeys(request) => {
                    request.reply_node(&vec![self.phone.fetched()], &id, &profile)
                }
                ClientRequest::UpdateBlocklist(request) => request.reply_node(&None, &id, &profile),
                ClientRequest::DeleteAccount(request) => request.reply_node(&(), &id, &profile),
                other => panic!("{other:?}"),
            },
            ClientStanza::ChatState(_) | ClientStanza::Ack(_) | ClientStanza::End => return,
            other => panic!("{other:?}"),
        };
        conn.send(&answer).await;
    }
}

/// Polls a call so many times at most, and drops it then. Whether it came to its end.
async fn polled(mut call: Call<'_>, most: usize) -> bool {
    let mut polls = 0;
    std::future::poll_fn(move |cx| {
        polls += 1;
        match call.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if polls >= most => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn every_call_can_be_dropped_at_every_point() {
    let mut drops = 0;
    for Row(name, before, make) in CALLS {
        for most in 1.. {
            let mut world = World::new(*before).await;
            let done = polled(make(&mut world), most).await;
            drops += usize::from(!done);
            world.check(&format!("{name}, dropped after {most} polls")).await;
            if done {
                break;
            }
            assert!(most < 200, "{name} does not come to an end");
        }
    }
    println!("{drops} drops in {} calls", CALLS.len());
    assert!(drops >= CALLS.len(), "{drops} drops are too few: do the calls wait at all?");
}

/// The names of the public async functions of the crate.
fn public_calls(folder: &std::path::Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            public_calls(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let calls = text.lines().filter_map(|line| line.trim_start().strip_prefix("pub async fn "));
        found.extend(calls.map(|rest| rest.split(['(', '<']).next().unwrap().to_owned()));
    }
}

#[test]
fn the_table_names_every_public_call() {
    let mut found = BTreeSet::new();
    public_calls(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let rows = CALLS.iter().map(|Row(name, ..)| *name);
    let named: BTreeSet<_> = rows.chain(OF_FILES).map(str::to_owned).collect();
    assert_eq!(named, found, "left: the table; right: the sources");
    assert_eq!(named.len(), CALLS.len() + OF_FILES.len(), "a call stands twice in the table");
}

//! The process is killed before every transaction, one run for each, and started again with what the store held. Nothing
//! may be lost, nothing stored twice, and no key used for two texts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use landbridge::stanza::ack::AckIn;
use landbridge::stanza::keys::UploadKeys;
use landbridge::stanza::message::MessageIn;
use landbridge::stanza::receipt::ReceiptType;
use landbridge::stanza::{ClientRequest, ClientStanza, MessageId, Request};
use landbridge::store::{ClientStore, MemoryStore, MessageKey, Seen, StoreError, StoreTx};
use landbridge::wire::Jid;
use landbridge::{Client, Error, Event};
use support::{Conn, Phone, Server, enlisted_store, now};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

const BOB: &str = "14155551001";
const INCOMING: [&str; 3] = ["one", "two", "three"];
const OUTGOING: usize = 3;

/// What outlives a process: its store after the last commit.
#[derive(Default)]
struct Disk {
    committed: Mutex<MemoryStore>,
    killed: Notify,
}

/// A store that ends the process before a given transaction.
struct Mortal {
    store: MemoryStore,
    left: Option<u32>,
    disk: Arc<Disk>,
}

impl ClientStore for Mortal {
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
        *self.disk.committed.lock().unwrap() = self.store.clone();
        if self.left == Some(0) {
            self.disk.killed.notify_one();
            return Err(StoreError::Full);
        }
        self.left = self.left.map(|left| left - 1);
        self.store.begin()
    }
}

/// What the server and the phone remember over the lives of the client.
struct World {
    server: Server,
    phone: Phone,
    /// For the client, not receipted yet.
    waiting: Vec<MessageIn>,
    /// From the client: id to bytes and text, each taken once.
    taken: BTreeMap<String, (Vec<u8>, String)>,
    /// What sending has returned.
    promised: Vec<MessageId>,
}

impl World {
    /// The world after a login in peace, and the client's store.
    async fn new() -> (Self, MemoryStore) {
        let mut server = Server::new();
        let mut phone = Phone::new(BOB);
        let disk = Arc::new(Disk::default());
        let store = Mortal { store: enlisted_store(), left: None, disk: Arc::clone(&disk) };
        let client = server.builder(store).build().unwrap();
        let mut conn = server.connect(&client).await;
        let upload: UploadKeys = conn.uploads[0].clone();
        let ((), _rest) = tokio::join!(client.disconnect(), conn.until_closed());
        // A transaction more, so that the disk has all that was committed.
        client.address().await.unwrap();
        phone.meet(&upload);
        let waiting = INCOMING.map(|text| phone.message(text, text)).into();
        let world = Self { server, phone, waiting, taken: BTreeMap::new(), promised: Vec::new() };
        let store = disk.committed.lock().unwrap().clone();
        (world, store)
    }

    async fn take(&mut self, conn: &mut Conn, stanza: ClientStanza) {
        match stanza {
            ClientStanza::Message(message) => {
                let id = message.id.to_string();
                let enc = &message.encs[0];
                match self.taken.get(&id) {
                    Some((bytes, _)) => assert_eq!(bytes, &enc.ciphertext, "{id} came with other bytes"),
                    None => {
                        let text = self.phone.open(enc).expect("each key is used once");
                        self.taken.insert(id.clone(), (enc.ciphertext.clone(), text));
                    }
                }
                let ack = AckIn::message(id, self.phone.jid.clone(), now()).to_node(&conn.profile);
                conn.send(&ack).await;
            }
            ClientStanza::Receipt(receipt) => {
                assert_eq!(receipt.kind, ReceiptType::Delivered);
                let ids: BTreeSet<_> = receipt.ids().map(ToString::to_string).collect();
                self.waiting.retain(|message| !ids.contains(message.id.as_str()));
            }
            ClientStanza::Request { id, request: ClientRequest::FetchKeys(request), .. } => {
                let answer = vec![self.phone.fetched()];
                let node = request.reply_node(&answer, &id, &conn.profile);
                conn.send(&node).await;
            }
            // A client whose store fails takes its leave.
            ClientStanza::End => {}
            other => panic!("{other:?}"),
        }
    }

    fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.promised.iter().all(|id| self.taken.contains_key(id.as_str()))
    }

    /// The server's side of one life: until all is quiet, or the client is gone.
    async fn serve(&mut self, client: &Client, outgoing: usize) {
        let Some(mut conn) = self.server.try_active().await else { return };
        for message in &self.waiting {
            conn.send(&message.to_node(&conn.profile)).await;
        }
        // Ends with this life.
        let mut sending = JoinSet::new();
        sending.spawn(send(client.clone(), self.phone.jid.clone(), outgoing));
        let mut sent = false;
        while !sent || !self.is_quiet() {
            tokio::select! {
                Some(ids) = sending.join_next(), if !sent => {
                    self.promised.extend(ids.unwrap());
                    sent = true;
                }
                stanza = conn.stanza() => {
                    let Some(stanza) = stanza else { break };
                    if !conn.serve(&stanza).await {
                        self.take(&mut conn, stanza).await;
                    }
                }
            }
        }
        while let Some(ids) = sending.join_next().await {
            self.promised.extend(ids.unwrap());
        }
    }
}

async fn send(client: Client, to: Jid, count: usize) -> Vec<MessageId> {
    let mut ids = Vec::new();
    while ids.len() < count {
        match client.send_text(&to, &format!("out {}", ids.len())).await {
            Ok(id) => ids.push(id),
            // The login is not over yet.
            Err(Error::NotConnected) => tokio::task::yield_now().await,
            Err(_) => break,
        }
    }
    ids
}

/// Reads events until the client is gone, and tells what was shown.
async fn application(mut events: landbridge::Events, shown: watch::Sender<Vec<String>>) {
    while let Some(event) = events.next().await {
        match event {
            Event::Message(message) => {
                shown.send_modify(|shown| shown.push(message.text().unwrap().to_owned()))
            }
            // The process is dead.
            Event::StoreFailed { .. } => return,
            _ => {}
        }
    }
}

/// One life. Gives the store that it leaves, and whether it was killed.
async fn live(
    world: &mut World,
    store: MemoryStore,
    left: Option<u32>,
    shown: &watch::Sender<Vec<String>>,
) -> (MemoryStore, bool) {
    world.server.reopen();
    let disk = Arc::new(Disk { committed: Mutex::new(store.clone()), killed: Notify::new() });
    let client = world.server.builder(Mortal { store, left, disk: Arc::clone(&disk) }).build().unwrap();
    let reader = tokio::spawn(application(client.events(), shown.clone()));
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    let outgoing = if left.is_some() { OUTGOING } else { 0 };
    let living = async {
        world.serve(&client, outgoing).await;
        let mut shown = shown.subscribe();
        let all = |shown: &Vec<String>| INCOMING.iter().all(|text| shown.iter().any(|seen| seen == text));
        shown.wait_for(all).await.unwrap();
    };
    let killed = tokio::select! {
        () = disk.killed.notified() => true,
        () = living => false,
    };
    connecting.abort();
    reader.abort();
    if !killed {
        client.disconnect().await;
        client.address().await.ok();
    }
    let store = disk.committed.lock().unwrap().clone();
    (store, killed)
}

/// Killed before transaction `mortal`, then lives that end well. Gives whether the kill came at all.
async fn run(mortal: u32) -> bool {
    let (mut world, store) = World::new().await;
    let shown = watch::Sender::new(Vec::new());
    let (store, killed) = live(&mut world, store, Some(mortal), &shown).await;
    let (mut store, _) = live(&mut world, store, None, &shown).await;

    assert!(world.is_quiet(), "lost: {:?} {:?}", world.waiting, world.promised);
    let tx = store.begin().unwrap();
    for text in INCOMING {
        let key = MessageKey::direct(world.phone.jid.to_string(), text);
        assert_eq!(tx.seen(&key).unwrap(), Seen::Stored, "{text}");
    }
    // A message comes to the application twice only if the first time was cut short: the last one of the first life.
    let shown = shown.borrow();
    assert!(shown.len() <= INCOMING.len() + 1, "{shown:?}");
    let texts: Vec<_> = world.promised.iter().map(|id| world.taken[id.as_str()].1.as_str()).collect();
    assert!(texts.iter().enumerate().all(|(n, text)| *text == format!("out {n}")), "{texts:?}");
    killed
}

#[tokio::test]
async fn nothing_is_lost_whenever_the_process_is_killed() {
    // A life takes some twenty transactions; in which order those of its tasks come differs from run to run.
    let mut kills = 0;
    for mortal in 0..26 {
        kills += u32::from(run(mortal).await);
    }
    assert!(kills >= 12, "only {kills} kills");
}

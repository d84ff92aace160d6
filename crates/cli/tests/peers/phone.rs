//! Signal's library as a whole phone: our client, over sockets, through the sandbox, to a user whose end-to-end
//! encryption is the library's and whose stanzas are written and read here.

use std::{collections::BTreeMap, time::Duration};

use landbridge::{
    Client, Event, Events, HttpTokenSource,
    noise::PinnedRoot,
    proto::{content, message::Message, padding},
    stanza::{
        Inbound, MessageId, Profile, Request,
        ack::AckOut,
        codes::RetryReason,
        keys::{self, FetchKeys, UploadKeys},
        message::{Enc, EncType, MessageContent, MessageIn, MessageOut, MessageType},
        notification::NotificationEvent,
        receipt::{ReceiptIn, ReceiptOut},
        retry::{Retry, RetryKeys},
    },
    store::{MemoryStore, OutState},
    transport::HttpClient,
    wire::{Jid, Node},
};
use landbridge_partner::{Partner, PartnerConfig};
use landbridge_sandbox::{OutsidePhone, Sandbox, SandboxConfig, SandboxHandle};
use prost::Message as _;
use serde_json::{Value, json};

use crate::process::{Make, Peer, switched_on};

const BOB: &str = "14155551001";
const PATIENCE: Duration = Duration::from_secs(60);
/// One-time prekeys that the phone uploads.
const PREKEYS: u32 = 20;

/// What a stanza was, once the phone has done its duty by it.
#[derive(Debug, PartialEq)]
enum Got {
    Text {
        id: String,
        text: String,
        identity: String,
        kind: String,
    },
    Undecryptable {
        id: String,
        why: String,
    },
    /// A message was asked for again, and sent again.
    Asked {
        id: String,
        count: u8,
    },
    Receipt {
        id: String,
        kind: String,
    },
    IdentityChanged,
    Other,
}

struct Phone {
    peer: Peer,
    outside: OutsidePhone,
    profile: Profile,
    registration: u32,
    /// Id of the next one-time prekey for a retry receipt.
    next_prekey: u32,
    /// What it wrote, for who asks again.
    sent: BTreeMap<String, String>,
    /// How often it asked for a message.
    asked: BTreeMap<String, u8>,
    requests: u32,
}

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

/// A public key without its type byte, as stanzas carry it.
fn bare(value: &Value) -> [u8; 32] {
    bytes::<33>(value)[1..].try_into().unwrap()
}

fn signed_prekey(bundle: &Value) -> keys::SignedPreKey {
    let signed = &bundle["signed_prekey"];
    keys::SignedPreKey {
        id: u32::try_from(signed["id"].as_u64().unwrap()).unwrap(),
        value: bare(&signed["public"]),
        signature: bytes(&signed["signature"]),
    }
}

/// A new installation of the party: its keys, as it uploads them.
fn install(peer: &mut Peer) -> UploadKeys {
    peer.ask(&json!({"cmd": "create", "name": BOB, "policy": "accept"}));
    let made = peer.ask(&json!({"cmd": "add_prekeys", "start": 1, "count": PREKEYS}));
    peer.ask(&json!({"cmd": "add_signed_prekey", "key_id": 1}));
    let bundle = peer.ask(&json!({"cmd": "bundle"}))["bundle"].clone();
    let prekeys = made["prekeys"].as_array().unwrap().iter().map(|key| keys::PreKey {
        id: u32::try_from(key["id"].as_u64().unwrap()).unwrap(),
        value: bare(&key["public"]),
    });
    UploadKeys {
        registration: u32::try_from(bundle["registration_id"].as_u64().unwrap()).unwrap(),
        identity: bare(&bundle["identity"]),
        prekeys: prekeys.collect(),
        signed_prekey: signed_prekey(&bundle),
    }
}

fn bundle_json(
    registration: u32,
    identity: &[u8; 32],
    signed: &keys::SignedPreKey,
    prekey: Option<&keys::PreKey>,
) -> Value {
    json!({
        "registration_id": registration,
        "identity": hex::encode(identity),
        "signed_prekey": {
            "id": signed.id, "public": hex::encode(signed.value), "signature": hex::encode(signed.signature),
        },
        "prekey": prekey.map(|key| json!({"id": key.id, "public": hex::encode(key.value)})),
    })
}

/// The local name of a user.
fn name(jid: &Jid) -> String {
    format!("{}-{}", jid.integrator(), jid.user_part())
}

impl Phone {
    fn new(make: Make, handle: &SandboxHandle) -> Self {
        let mut peer = Peer::start(make);
        let keys = install(&mut peer);
        Self {
            outside: handle.outside_phone(BOB, "Bob", &keys).unwrap(),
            peer,
            profile: Profile::default(),
            registration: keys.registration,
            next_prekey: 1000,
            sent: BTreeMap::new(),
            asked: BTreeMap::new(),
            requests: 0,
        }
    }

    fn reinstall(&mut self) {
        let keys = install(&mut self.peer);
        self.registration = keys.registration;
        self.outside.reinstall(&keys).unwrap();
    }

    /// Fetches somebody's keys and begins a session with them.
    fn meet(&mut self, user: &Jid) {
        self.requests += 1;
        let id = format!("fetch-{}", self.requests);
        let answers = self.outside.send(&FetchKeys::of(user.clone()).to_node(&id, &self.profile));
        let users = FetchKeys::parse_reply(answers[0].view(), &self.profile).unwrap();
        let bundle = users.into_iter().next().unwrap().bundle.unwrap();
        let bundle =
            bundle_json(bundle.registration, &bundle.identity, &bundle.signed_prekey, bundle.prekey.as_ref());
        self.peer.ask(&json!({"cmd": "process_bundle", "peer": name(user), "bundle": bundle}));
    }

    fn seal(&mut self, to: &Jid, text: &str, count: Option<u8>) -> Enc {
        let mut plaintext = content::text(text).encode_to_vec();
        padding::pad(&mut plaintext, &mut rand::rng());
        let request = json!({"cmd": "encrypt", "peer": name(to), "plaintext": hex::encode(plaintext)});
        let made = self.peer.ask(&request);
        let kind = EncType::from(made["type"].as_str().unwrap());
        Enc { count, ..Enc::new(kind, hex::decode(made["message"].as_str().unwrap()).unwrap()) }
    }

    /// Writes a text; `damage` is done to the ciphertext on its way.
    fn write(&mut self, to: &Jid, id: &str, text: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        let mut enc = self.seal(to, text, None);
        damage(&mut enc.ciphertext);
        self.sent.insert(id.to_owned(), text.to_owned());
        self.post(&MessageOut::new(to.clone(), id.parse().unwrap(), MessageType::Text, enc));
    }

    fn post(&self, message: &MessageOut) {
        let answers = self.outside.send(&message.to_node(&self.profile));
        let Ok(Inbound::Ack(ack)) = Inbound::from_node(answers[0].view(), &self.profile) else {
            panic!("no ack")
        };
        assert_eq!(ack.error, None);
    }

    /// Takes the next stanza and does its duty by it.
    async fn step(&mut self) -> Got {
        let stanza = self.outside.next().await.expect("the phone is connected");
        match Inbound::from_node(stanza.view(), &self.profile).unwrap() {
            Inbound::Message(message) => self.message(&stanza, &message),
            Inbound::Receipt(receipt) => self.receipt(&stanza, &receipt),
            Inbound::Notification(notification) => {
                self.outside.send(&notification.ack().to_node(&self.profile));
                match notification.event {
                    NotificationEvent::IdentityChanged { .. } => Got::IdentityChanged,
                    _ => Got::Other,
                }
            }
            _ => Got::Other,
        }
    }

    fn message(&mut self, stanza: &Node, message: &MessageIn) -> Got {
        let MessageContent::Encrypted(encs) = &message.content else { panic!("{message:?}") };
        let (enc, kind) = (&encs[0], encs[0].kind.to_string());
        let ciphertext = hex::encode(&enc.ciphertext);
        let request =
            json!({"cmd": "decrypt", "peer": name(&message.from), "type": kind, "message": ciphertext});
        let id = message.id.to_string();
        match self.peer.try_ask(&request) {
            Ok(opened) => {
                let receipt = ReceiptOut::delivered(message.from.clone(), message.id.clone());
                self.outside.send(&receipt.to_node(&self.profile));
                let plaintext = hex::decode(opened["plaintext"].as_str().unwrap()).unwrap();
                let content = Message::decode(padding::unpad(&plaintext).unwrap()).unwrap();
                let identity = opened["identity"].as_str().unwrap().to_owned();
                Got::Text { id, text: content.conversation.unwrap_or_default(), identity, kind }
            }
            Err(why) => {
                self.ask_again(message, &why);
                self.acknowledge(stanza);
                Got::Undecryptable { id, why }
            }
        }
    }

    /// A retry receipt with keys for a new session.
    fn ask_again(&mut self, message: &MessageIn, why: &str) {
        self.next_prekey += 1;
        let id = self.next_prekey;
        self.peer.ask(&json!({"cmd": "add_prekeys", "start": id, "count": 1}));
        let bundle = self.peer.ask(&json!({"cmd": "bundle", "prekey_id": id}))["bundle"].clone();
        let count = self.asked.entry(message.id.to_string()).or_default();
        *count += 1;
        let error = if why == "no_session" { RetryReason::NoSession } else { RetryReason::InvalidMessage };
        let retry = Retry {
            id: message.id.clone(),
            t: message.t,
            count: *count,
            error: Some(error),
            registration: self.registration,
            keys: Some(RetryKeys {
                identity: bare(&bundle["identity"]),
                prekey: Some(keys::PreKey { id, value: bare(&bundle["prekey"]["public"]) }),
                signed_prekey: signed_prekey(&bundle),
                device_identity: None,
            }),
        };
        self.outside.send(&ReceiptOut::retry(message.from.clone(), retry).to_node(&self.profile));
    }

    fn receipt(&mut self, stanza: &Node, receipt: &ReceiptIn) -> Got {
        let id = receipt.id.to_string();
        let got = match &receipt.retry {
            None => Got::Receipt { id, kind: receipt.kind.to_string() },
            Some(retry) => {
                let text = self.sent[&id].clone();
                if let Some(keys) = &retry.keys {
                    let (identity, signed) = (&keys.identity, &keys.signed_prekey);
                    let bundle = bundle_json(retry.registration, identity, signed, keys.prekey.as_ref());
                    let peer = name(&receipt.from);
                    self.peer.ask(&json!({"cmd": "process_bundle", "peer": peer, "bundle": bundle}));
                }
                let enc = self.seal(&receipt.from, &text, Some(retry.count));
                let message =
                    MessageOut::new(receipt.from.clone(), receipt.id.clone(), MessageType::Text, enc);
                self.post(&MessageOut { t: Some(retry.t), ..message });
                Got::Asked { id, count: retry.count }
            }
        };
        self.acknowledge(stanza);
        got
    }

    fn acknowledge(&self, stanza: &Node) {
        let ack = AckOut::answering(stanza.view(), None).unwrap();
        self.outside.send(&ack.to_node(&self.profile));
    }

    /// Steps until something is `wanted`; gives all that came on the way.
    async fn until(&mut self, wanted: impl Fn(&Got) -> bool) -> Vec<Got> {
        let mut all = Vec::new();
        loop {
            let got = self.step().await;
            let done = wanted(&got);
            all.push(got);
            if done {
                return all;
            }
        }
    }

    async fn text(&mut self) -> (String, String, String) {
        match self.until(|got| matches!(got, Got::Text { .. })).await.pop() {
            Some(Got::Text { id, text, identity, .. }) => (id, text, identity),
            got => panic!("{got:?}"),
        }
    }

    async fn receipt_of(&mut self, id: &str) {
        self.until(|got| matches!(got, Got::Receipt { id: of, .. } if of == id)).await;
    }
}

struct World {
    partner: Partner,
    sandbox: Sandbox,
    client: Client,
    events: Events,
    own: Jid,
    bob: Jid,
    phone: Phone,
}

impl World {
    async fn new(make: Make) -> Self {
        let partner = Partner::start(PartnerConfig {
            addr: ([127, 0, 0, 1], 0).into(),
            admin_addr: ([127, 0, 0, 1], 0).into(),
            dev_users: [("session-of-alice".to_owned(), "alice".to_owned())].into(),
            insecure_dev_auth: true,
            ..PartnerConfig::default()
        })
        .await
        .unwrap();
        let sandbox = Sandbox::start(SandboxConfig::default().partner(1, partner.base_url())).await.unwrap();
        let phone = Phone::new(make, sandbox.handle());
        let client = client(&partner, &sandbox);
        let events = client.events();
        let own = client.enlist("alice", 1).await.unwrap();
        client.connect().await.unwrap();
        Self { partner, sandbox, client, events, own, bob: Jid::user(BOB), phone }
    }

    /// One text each way: both sides have a session, and know that the other has it.
    async fn talk(&mut self) {
        let id = self.client.send_text(&self.bob, "good day").await.unwrap();
        let (of, text, _) = self.phone.text().await;
        assert_eq!((of.as_str(), text.as_str()), (id.as_str(), "good day"));
        self.phone.write(&self.own, "3EB0000000000000AA01", "good day to you", |_| {});
        assert_eq!(self.text("3EB0000000000000AA01").await.0, "good day to you");
    }

    /// Another text each way: the conversation has come right, and nobody asks or notices anything more.
    async fn talk_on(&mut self, id: &str) {
        let (own, asked) = (self.own.clone(), self.phone.asked.clone());
        self.phone.write(&own, id, "all is well", |_| {});
        assert_eq!(self.text(id).await, ("all is well".to_owned(), 0));
        let sent = self.client.send_text(&self.bob, "so it is").await.unwrap();
        let (of, text, identity) = self.phone.text().await;
        assert_eq!((of.as_str(), text.as_str()), (sent.as_str(), "so it is"));
        assert_eq!(identity, "unchanged");
        self.delivered(&sent).await;
        assert_eq!(self.phone.asked, asked);
    }

    /// The text of the message of this id, and how many notices of a changed identity came before it.
    async fn text(&mut self, id: &str) -> (String, usize) {
        let mut notices = 0;
        loop {
            match self.events.next().await.expect("the client is there") {
                Event::IdentityChanged { peer, .. } => {
                    assert_eq!(peer, self.bob);
                    notices += 1;
                }
                Event::Message(message) => {
                    assert_eq!(message.id.as_str(), id, "another message");
                    return (message.text().unwrap_or_default().to_owned(), notices);
                }
                _ => {}
            }
        }
    }

    async fn undecryptable(&mut self, id: &str) {
        loop {
            if let Event::Undecryptable { id: of, .. } =
                self.events.next().await.expect("the client is there")
            {
                assert_eq!(of.as_str(), id);
                return;
            }
        }
    }

    async fn delivered(&self, id: &MessageId) {
        let state = self.client.wait_for(&self.bob, id, OutState::Delivered).await.unwrap();
        assert_eq!(state, OutState::Delivered);
    }

    async fn shutdown(self) {
        self.client.disconnect().await;
        drop(self.phone);
        self.sandbox.shutdown().await;
        self.partner.shutdown().await;
    }
}

fn client(partner: &Partner, sandbox: &Sandbox) -> Client {
    let http = HttpClient::builder().build().unwrap();
    let token_url = format!("{}/v1/token", partner.base_url());
    Client::builder()
        .store(MemoryStore::new())
        .endpoint(sandbox.chat_addr().to_string())
        .enlistment_url(sandbox.enlist_url())
        .trust(PinnedRoot::new(sandbox.root_key()))
        .token_source(HttpTokenSource::new(http, token_url, "session-of-alice"))
        .push_name("Alice")
        .build()
        .unwrap()
}

/// Runs a scenario with either library as the phone.
fn with_both<F: Future<Output = ()>>(scenario: impl Fn(Make) -> F) {
    if !switched_on() {
        return;
    }
    for make in [Make::Early, Make::Late] {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(async { tokio::time::timeout(PATIENCE, scenario(make)).await });
        outcome.unwrap_or_else(|_| panic!("{}: nothing happens any more", make.name()));
    }
}

/// The phone has lost its session: it asks for the message with keys, and gets it under the same id in a new session.
#[test]
fn what_the_phone_cannot_open_is_sent_again() {
    with_both(|make| async move {
        let mut world = World::new(make).await;
        world.talk().await;
        world.phone.peer.ask(&json!({"cmd": "delete_session", "peer": name(&world.own)}));
        let id = world.client.send_text(&world.bob, "can you read this?").await.unwrap();
        let got = world.phone.until(|got| matches!(got, Got::Text { .. })).await;
        let failed = Got::Undecryptable { id: id.to_string(), why: "no_session".to_owned() };
        assert!(got.contains(&failed), "{got:?}");
        let opened = Got::Text {
            id: id.to_string(),
            text: "can you read this?".to_owned(),
            identity: "unchanged".to_owned(),
            kind: "pkmsg".to_owned(),
        };
        assert_eq!(got.last(), Some(&opened));
        world.delivered(&id).await;
        world.talk_on("3EB0000000000000AA02").await;
        world.shutdown().await;
    });
}

/// The phone's message is damaged on its way: the client shows a placeholder, asks, and gets it under the same id.
#[test]
fn what_the_client_cannot_open_is_sent_again() {
    with_both(|make| async move {
        let mut world = World::new(make).await;
        world.talk().await;
        let id = "3EB0000000000000AA03";
        let own = world.own.clone();
        world.phone.write(&own, id, "and this?", |bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        });
        world.undecryptable(id).await;
        let got = world.phone.until(|got| matches!(got, Got::Asked { .. })).await;
        assert_eq!(got.last(), Some(&Got::Asked { id: id.to_owned(), count: 1 }));
        assert_eq!(world.text(id).await, ("and this?".to_owned(), 0));
        world.phone.receipt_of(id).await;
        world.talk_on("3EB0000000000000AA04").await;
        world.shutdown().await;
    });
}

/// The phone is set up anew, and the client writes first: notification, notice, a new session, no retry.
#[test]
fn a_phone_that_was_set_up_anew_is_noticed_once() {
    with_both(|make| async move {
        let mut world = World::new(make).await;
        world.talk().await;
        world.phone.reinstall();
        loop {
            if let Event::IdentityChanged { peer, old, .. } = world.events.next().await.unwrap() {
                assert_eq!((peer, old.is_some()), (world.bob.clone(), true));
                break;
            }
        }
        let id = world.client.send_text(&world.bob, "a new phone?").await.unwrap();
        let (of, text, identity) = world.phone.text().await;
        assert_eq!((of.as_str(), text.as_str()), (id.as_str(), "a new phone?"));
        assert_eq!(identity, "new");
        assert!(world.phone.asked.is_empty());
        world.delivered(&id).await;
        // That the key comes with the bundle is no second change.
        world.talk_on("3EB0000000000000AA05").await;
        world.shutdown().await;
    });
}

/// The phone is set up anew and writes at once; and a message was on its way to the old installation.
#[test]
fn a_phone_that_was_set_up_anew_gets_what_was_on_its_way() {
    with_both(|make| async move {
        let mut world = World::new(make).await;
        world.talk().await;
        let id = world.client.send_text(&world.bob, "on its way").await.unwrap();
        let sent = world.client.wait_for(&world.bob, &id, OutState::Sent).await.unwrap();
        assert_eq!(sent, OutState::Sent);
        world.phone.reinstall();
        let own = world.own.clone();
        world.phone.meet(&own);
        world.phone.write(&own, "3EB0000000000000AA06", "it is me", |_| {});
        assert_eq!(world.text("3EB0000000000000AA06").await, ("it is me".to_owned(), 1));
        let (of, text, _) = world.phone.text().await;
        assert_eq!((of.as_str(), text.as_str()), (id.as_str(), "on its way"));
        assert_eq!(world.phone.asked[id.as_str()], 1);
        world.delivered(&id).await;
        world.talk_on("3EB0000000000000AA07").await;
        world.shutdown().await;
    });
}

/// The client is set up anew: the phone is told, what it writes in the old session is asked for with keys, and the library
/// begins a new session with the new identity.
#[test]
fn a_client_that_was_set_up_anew_asks_with_its_new_keys() {
    with_both(|make| async move {
        let mut world = World::new(make).await;
        world.talk().await;
        world.client.disconnect().await;
        world.client = client(&world.partner, &world.sandbox);
        world.events = world.client.events();
        assert_eq!(world.client.enlist("alice", 1).await.unwrap(), world.own);
        world.client.connect().await.unwrap();
        world.phone.until(|got| *got == Got::IdentityChanged).await;
        let (id, own) = ("3EB0000000000000AA08", world.own.clone());
        world.phone.write(&own, id, "still there?", |_| {});
        world.undecryptable(id).await;
        world.phone.until(|got| matches!(got, Got::Asked { .. })).await;
        assert_eq!(world.text(id).await.0, "still there?");
        world.phone.receipt_of(id).await;
        let answer = world.client.send_text(&world.bob, "I am").await.unwrap();
        let (_, text, identity) = world.phone.text().await;
        assert_eq!((text.as_str(), identity.as_str()), ("I am", "unchanged"));
        world.delivered(&answer).await;
        world.shutdown().await;
    });
}

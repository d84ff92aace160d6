//! A tiny server between phones: key directory, mailboxes, block lists. Nothing moves by itself: a test delivers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use landbridge_signal::RegistrationId;
use landbridge_stanza::{
    ClientRequest, ClientStanza, IqError, Profile, Request,
    ack::{AckClass, AckIn},
    blocklist::{BlockAction, BlockedUser, Blocklist},
    codes::{IqErrorCode, MessageErrorCode},
    keys::{FetchReason, FetchedUser, KeyBundle, PreKey, SignedPreKey},
    liveness::{Pong, SetActive},
    message::MessageIn,
    notification::Notification,
    receipt::{ReceiptIn, ReceiptType},
};
use landbridge_store::{ClientStore, MemoryStore};
use landbridge_wire::{Jid, Node};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::{MessageState, Output, Phone, PhoneMessage};

pub(super) const NOW: u64 = 1_763_870_400;

/// Where a user's keys are listed.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) registration: RegistrationId,
    pub(super) identity: [u8; 32],
    pub(super) signed: SignedPreKey,
    pub(super) prekeys: VecDeque<PreKey>,
}

/// A stanza in a mailbox.
#[derive(Debug, Clone)]
pub(super) struct Mail {
    pub(super) stanza: Node,
    pub(super) delivered: bool,
}

#[derive(Debug)]
pub(super) struct User {
    pub(super) phone: Phone,
    pub(super) listed: Option<Listed>,
    pub(super) replies: VecDeque<Node>,
    pub(super) mail: Vec<Mail>,
    pub(super) blocked: BTreeSet<String>,
    /// Version of the block list, its dhash.
    pub(super) version: u32,
    /// What its phone has put out, but for stanzas.
    pub(super) seen: Vec<Output>,
    /// The stanzas that its phone has sent.
    pub(super) sent: Vec<Node>,
}

pub(super) struct Net {
    pub(super) profile: Profile,
    pub(super) users: BTreeMap<Jid, User>,
    pub(super) now: u64,
    /// (sender, recipient, id, count) of messages that were accepted.
    accepted: BTreeSet<(Jid, Jid, String, u8)>,
    /// Messages that are refused with this code.
    pub(super) refuse: Option<MessageErrorCode>,
    /// Fetches are answered with this error.
    pub(super) no_keys: Option<IqErrorCode>,
    /// `reason` of the fetches.
    pub(super) reasons: Vec<FetchReason>,
    notices: u64,
    seeds: u64,
}

/// A profile with fewer prekeys, so that tests are quick.
pub(super) fn profile() -> Profile {
    let mut profile = Profile::default();
    profile.keys.first_batch = 12;
    profile
}

pub(super) fn jid(number: &str) -> Jid {
    Jid::user(number)
}

pub(super) fn rng(seed: u64) -> Box<StdRng> {
    Box::new(StdRng::seed_from_u64(seed))
}

impl Net {
    pub(super) fn new() -> Self {
        Self {
            profile: profile(),
            users: BTreeMap::new(),
            now: NOW,
            accepted: BTreeSet::new(),
            refuse: None,
            no_keys: None,
            reasons: Vec::new(),
            notices: 0,
            seeds: 1,
        }
    }

    /// Two phones that are connected.
    pub(super) fn pair() -> (Self, Jid, Jid) {
        let mut net = Self::new();
        let (a, b) = (net.add("14155551001"), net.add("31612345678"));
        net.settle();
        (net, a, b)
    }

    pub(super) fn add(&mut self, number: &str) -> Jid {
        self.add_with(number, Box::new(MemoryStore::new()))
    }

    /// Adds a phone, or puts another one in the place of a phone of that number.
    pub(super) fn add_with(&mut self, number: &str, store: Box<dyn ClientStore>) -> Jid {
        self.seeds += 1;
        let phone =
            Phone::open(number, "Joe", store, rng(self.seeds), self.profile.clone(), self.now).unwrap();
        let jid = phone.jid().clone();
        let old = self.users.remove(&jid);
        let user = User {
            phone,
            listed: None,
            replies: VecDeque::new(),
            mail: old.map(|old| old.mail).unwrap_or_default(),
            blocked: BTreeSet::new(),
            version: 0,
            seen: Vec::new(),
            sent: Vec::new(),
        };
        self.users.insert(jid.clone(), user);
        self.connect(&jid);
        jid
    }

    pub(super) fn user(&mut self, who: &Jid) -> &mut User {
        self.users.get_mut(who).unwrap()
    }

    pub(super) fn phone(&mut self, who: &Jid) -> &mut Phone {
        &mut self.user(who).phone
    }

    /// What the phone still had to do over its connection is lost; its mail is delivered from the start.
    pub(super) fn connect(&mut self, who: &Jid) {
        let user = self.user(who);
        user.replies.clear();
        for mail in &mut user.mail {
            mail.delivered = false;
        }
        let out = user.phone.connect().unwrap();
        self.run(who, out);
    }

    /// The process of a phone ends and begins again, with the same store.
    pub(super) fn restart(&mut self, who: &Jid) {
        self.seeds += 1;
        let (profile, now, seed) = (self.profile.clone(), self.now, self.seeds);
        let user = self.users.remove(who).unwrap();
        let store = user.phone.store;
        let phone = Phone::open(who.user_part(), "Joe", store, rng(seed), profile, now).unwrap();
        self.users.insert(who.clone(), User { phone, ..user });
        self.connect(who);
    }

    pub(super) fn send(&mut self, from: &Jid, to: &Jid, text: &str) -> String {
        let now = self.now;
        let (id, out) = self.phone(from).send_text(to, text, now).unwrap();
        self.run(from, out);
        id.into_string()
    }

    /// Does what a phone wants done.
    pub(super) fn run(&mut self, who: &Jid, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(node) => self.client_says(who, node),
                other => self.user(who).seen.push(other),
            }
        }
    }

    /// Gives a stanza to a phone.
    pub(super) fn give(&mut self, who: &Jid, stanza: &Node) {
        let now = self.now;
        let out = self.phone(who).handle(stanza.view(), now).unwrap();
        self.run(who, out);
    }

    /// Delivers the next thing to a phone; `false` if there is none.
    pub(super) fn step(&mut self, who: &Jid) -> bool {
        if let Some(reply) = self.user(who).replies.pop_front() {
            self.give(who, &reply);
            return true;
        }
        match self.user(who).mail.iter().position(|mail| !mail.delivered) {
            Some(at) => {
                self.deliver(who, at);
                true
            }
            None => false,
        }
    }

    /// Delivers the mail at a position, whether or not it was delivered before.
    pub(super) fn deliver(&mut self, who: &Jid, at: usize) {
        let mail = &mut self.user(who).mail[at];
        mail.delivered = true;
        let stanza = mail.stanza.clone();
        self.give(who, &stanza);
    }

    pub(super) fn settle(&mut self) {
        let all: Vec<_> = self.users.keys().cloned().collect();
        while all.iter().any(|who| self.step(who)) {}
    }

    /// Everything but the mail of one phone.
    pub(super) fn settle_without(&mut self, held: &Jid) {
        let all: Vec<_> = self.users.keys().cloned().collect();
        loop {
            let mut moved = false;
            for who in &all {
                while let Some(reply) = self.user(who).replies.pop_front() {
                    self.give(who, &reply);
                    moved = true;
                }
                if who != held {
                    moved |= self.step(who);
                }
            }
            if !moved {
                return;
            }
        }
    }

    pub(super) fn notify_identity(&mut self, to: &Jid, about: &Jid) {
        self.notices += 1;
        let notice = Notification::identity_changed(format!("n{}", self.notices), self.now, about.clone());
        self.post(to, notice.to_node(&self.profile.clone()));
    }

    pub(super) fn post(&mut self, to: &Jid, stanza: Node) {
        self.user(to).mail.push(Mail { stanza, delivered: false });
    }

    fn client_says(&mut self, who: &Jid, node: Node) {
        let profile = self.profile.clone();
        self.user(who).sent.push(node.clone());
        match ClientStanza::from_node(node.view(), &profile).unwrap() {
            ClientStanza::Request { id, request, .. } => {
                let reply = self.request(who, &id, request);
                self.user(who).replies.push_back(reply);
            }
            ClientStanza::Message(message) => {
                let (to, id) = (message.to.clone(), message.id.clone());
                let mut ack = AckIn::message(id.as_str(), to.clone(), self.now);
                if let Some(code) = self.refuse {
                    ack = ack.refused(code);
                } else if !self.users.contains_key(&to) {
                    ack = ack.refused(MessageErrorCode::NoSuchRecipient);
                } else {
                    let count = message.encs[0].count.unwrap_or(0);
                    if self.accepted.insert((who.clone(), to.clone(), id.to_string(), count)) {
                        let stanza = MessageIn::delivering(*message, who.clone(), self.now, None);
                        self.post(&to, stanza.to_node(&profile));
                    }
                }
                self.user(who).replies.push_back(ack.to_node(&profile));
            }
            ClientStanza::Receipt(receipt) => {
                let to = receipt.to.clone();
                if matches!(receipt.kind, ReceiptType::Delivered) {
                    for id in receipt.ids() {
                        self.take(who, "message", &to, id.as_str());
                    }
                }
                let ack = AckIn {
                    class: AckClass::Receipt,
                    ..AckIn::message(receipt.id.as_str(), to.clone(), self.now)
                };
                self.user(who).replies.push_back(ack.to_node(&profile));
                if self.users.contains_key(&to) {
                    let stanza = ReceiptIn::forwarding(*receipt, who.clone(), self.now);
                    self.post(&to, stanza.to_node(&profile));
                }
            }
            ClientStanza::Ack(ack) => self.take(who, ack.class.as_str(), &ack.to, &ack.id),
            _ => {}
        }
    }

    /// What was acked leaves the mailbox.
    fn take(&mut self, who: &Jid, class: &str, from: &Jid, id: &str) {
        self.user(who).mail.retain(|mail| {
            let node = mail.stanza.view();
            let acked = mail.delivered
                && node.is(class)
                && node.attr_jid("from").as_ref() == Some(from)
                && node.attr_str("id").as_deref() == Some(id);
            !acked
        });
    }

    fn request(&mut self, who: &Jid, id: &str, request: ClientRequest) -> Node {
        let profile = self.profile.clone();
        match request {
            ClientRequest::Ping(ping) => ping.reply_node(&Pong { t: None }, id, &profile),
            ClientRequest::SetActive(mode) => {
                assert_eq!(mode, SetActive::Active);
                mode.reply_node(&(), id, &profile)
            }
            ClientRequest::UploadKeys(upload) => {
                let user = self.user(who);
                let mut prekeys = user.listed.take().map(|old| old.prekeys).unwrap_or_default();
                for key in &upload.prekeys {
                    if !prekeys.contains(key) {
                        prekeys.push_back(*key);
                    }
                }
                user.listed = Some(Listed {
                    registration: upload.registration,
                    identity: upload.identity,
                    signed: upload.signed_prekey,
                    prekeys,
                });
                upload.reply_node(&(), id, &profile)
            }
            ClientRequest::FetchKeys(fetch) => {
                self.reasons.extend(fetch.users.iter().map(|user| user.reason));
                let found = fetch.users.iter().map(|user| self.bundle(&user.jid)).collect();
                fetch.reply_node(&found, id, &profile)
            }
            ClientRequest::GetBlocklist(get) => get.reply_node(&self.blocklist(who), id, &profile),
            ClientRequest::UpdateBlocklist(update) => {
                if update.dhash != self.blocklist(who).dhash {
                    return IqError::new(IqErrorCode::Conflict).to_node(id);
                }
                let user = self.user(who);
                user.version += 1;
                match update.action {
                    BlockAction::Block => user.blocked.insert(update.jid.to_string()),
                    BlockAction::Unblock => user.blocked.remove(&update.jid.to_string()),
                };
                let list = self.blocklist(who);
                update.reply_node(&Some(list), id, &profile)
            }
            other => panic!("{other:?}"),
        }
    }

    fn blocklist(&mut self, who: &Jid) -> Blocklist {
        let user = self.user(who);
        let items = user.blocked.iter().map(|jid| BlockedUser { jid: jid.parse().unwrap(), t: None });
        Blocklist { dhash: Some(format!("v{}", user.version)), items: items.collect() }
    }

    fn bundle(&mut self, jid: &Jid) -> FetchedUser {
        let error = self.no_keys.unwrap_or(IqErrorCode::ItemNotFound);
        let refused = FetchedUser { jid: jid.clone(), bundle: Err(IqError::new(error)) };
        if self.no_keys.is_some() {
            return refused;
        }
        let Some(listed) = self.users.get_mut(jid).and_then(|user| user.listed.as_mut()) else {
            return refused;
        };
        let bundle = KeyBundle {
            t: None,
            registration: listed.registration,
            identity: listed.identity,
            signed_prekey: listed.signed,
            prekey: listed.prekeys.pop_front(),
            device_identity: None,
        };
        FetchedUser { jid: jid.clone(), bundle: Ok(Box::new(bundle)) }
    }

    // What was seen.

    /// Texts that a phone has shown, in the order of showing.
    pub(super) fn shown(&mut self, who: &Jid) -> Vec<String> {
        let seen = self.user(who).seen.iter();
        seen.filter_map(|output| match output {
            Output::Shown(line) => Some(line.text.clone().unwrap_or_default()),
            _ => None,
        })
        .collect()
    }

    /// The rules that a phone has reported.
    pub(super) fn troubles(&mut self, who: &Jid) -> Vec<&'static str> {
        let seen = self.user(who).seen.iter();
        seen.filter_map(|output| match output {
            Output::Trouble(trouble) => Some(trouble.code),
            _ => None,
        })
        .collect()
    }

    pub(super) fn notices(&mut self, who: &Jid) -> usize {
        let seen = self.user(who).seen.iter();
        seen.filter(|output| matches!(output, Output::IdentityChanged { .. })).count()
    }

    pub(super) fn line(&mut self, who: &Jid, id: &str) -> PhoneMessage {
        self.phone(who).messages(0).0.into_iter().find(|line| line.id == id).unwrap()
    }

    pub(super) fn state(&mut self, who: &Jid, id: &str) -> MessageState {
        self.line(who, id).state
    }

    /// The stanzas of a tag that a phone has sent.
    pub(super) fn sent(&mut self, who: &Jid, tag: &str) -> Vec<Node> {
        self.user(who).sent.iter().filter(|node| node.view().is(tag)).cloned().collect()
    }
}

/// `type` of the only `enc` of a message.
pub(super) fn enc_type(message: &Node) -> String {
    message.view().child("enc").unwrap().attr_str("type").unwrap().into_owned()
}

/// The same message with its ciphertext changed in one bit.
pub(super) fn damaged(message: &Node) -> Node {
    let mut parsed = MessageIn::from_node(message.view()).unwrap();
    if let landbridge_stanza::message::MessageContent::Encrypted(encs) = &mut parsed.content {
        let bytes = &mut encs[0].ciphertext;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    }
    parsed.to_node(&profile())
}

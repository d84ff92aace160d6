//! Two sides, one of them Signal's library, on a network that loses, delays, repeats, reorders and damages, while they
//! begin sessions, archive them, restart from what they keep and install themselves anew.

use std::collections::{BTreeSet, HashMap};

use landbridge_signal::message::{PreKeySignalMessage, SignalMessage};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    Plan,
    model::{ARCHIVED, Record},
    process::{Make, Peer, switched_on},
};

/// Operations of each run of the leg.
const OPERATIONS: usize = 2_000;
/// One-time prekeys of each installation.
const PREKEYS: u32 = 300;
/// Rotated signed prekeys that are kept beside the present one.
const SIGNED_KEPT: usize = 3;
/// Letters that may be on their way; beyond that the oldest is lost.
const MOST_LETTERS: usize = 400;
/// Letters of a burst: far enough below the limits of both implementations.
const BURST: usize = 60;

#[derive(Clone)]
struct Letter {
    number: usize,
    to: usize,
    kind: String,
    message: Vec<u8>,
    text: String,
    base: String,
    ratchet: String,
    /// The installation of the receiver that the session was begun with.
    reader: u32,
    /// The installation that wrote it.
    writer: u32,
    /// What the receiver needs if the letter begins the session.
    prekey: Option<u32>,
    signed_prekey: Option<u32>,
}

/// One side and what must be true of it.
struct Side {
    peer: Peer,
    name: &'static str,
    /// Counts installations.
    installation: u32,
    record: Record,
    /// The installation of the other side whose identity is stored.
    identity_of: Option<u32>,
    /// One-time prekeys that are there.
    one_time: BTreeSet<u32>,
    next_prekey: u32,
    /// Signed prekeys that are there, newest last.
    signed: Vec<u32>,
}

impl Side {
    fn new(make: Make, name: &'static str) -> Self {
        let mut side = Self {
            peer: Peer::start(make),
            name,
            installation: 0,
            record: Record::default(),
            identity_of: None,
            one_time: BTreeSet::new(),
            next_prekey: 1,
            signed: Vec::new(),
        };
        side.install();
        side
    }

    /// Loses everything and begins again under a new identity. Ids of keys begin again, too.
    fn install(&mut self) {
        self.installation += 1;
        self.record = Record::default();
        self.identity_of = None;
        self.one_time = (1..=PREKEYS).collect();
        self.next_prekey = 1;
        self.signed.clear();
        self.peer.ask(&json!({"cmd": "create", "name": self.name, "policy": "accept"}));
        self.peer.ask(&json!({"cmd": "add_prekeys", "start": 1, "count": PREKEYS}));
        self.rotate();
    }

    /// A new signed prekey; the oldest goes.
    fn rotate(&mut self) {
        let id = self.signed.last().map_or(7, |last| last + 1);
        self.signed.push(id);
        self.peer.ask(&json!({"cmd": "add_signed_prekey", "key_id": id}));
        if self.signed.len() > SIGNED_KEPT + 1 {
            let oldest = self.signed.remove(0);
            self.peer.ask(&json!({"cmd": "remove_prekeys", "signed": [oldest]}));
        }
    }

    /// A bundle, with the next one-time prekey if it shall have one.
    fn bundle(&mut self, with_prekey: bool) -> Value {
        let prekey = (with_prekey && self.next_prekey <= PREKEYS).then_some(self.next_prekey);
        self.next_prekey += u32::from(prekey.is_some());
        self.peer.ask(&json!({"cmd": "bundle", "prekey_id": prekey}))["bundle"].clone()
    }

    fn info(&mut self, other: &str) -> Value {
        self.peer.ask(&json!({"cmd": "session_info", "peer": other}))
    }

    /// The other side's identity was met: is the word for it right?
    fn meets(&mut self, installation: u32, reply: &Value) {
        // The early library stores an identity before it opens a message that then does not open.
        if self.peer.make != Make::Early {
            assert_eq!(reply["identity"], word(self.identity_of, installation), "{}", self.name);
        }
        self.identity_of = Some(installation);
    }

    /// Compares the whole record with the model.
    fn check(&mut self, other: &str, at: &str) {
        let info = self.info(other);
        let at = format!("{at}: record of {}: {info}", self.name);
        assert_eq!(info["archived"], self.record.archived.len(), "{at}");
        assert_eq!(info["open"], self.record.current.is_some(), "{at}");
        let Some(base) = &self.record.current else { return };
        let session = self.record.get(base).unwrap();
        assert_eq!(info["base_key"], *base, "{at}");
        assert_eq!(info["unacknowledged"], session.unacknowledged, "{at}");
        let chains = info["receiver_chains"].as_array().unwrap();
        let chains: Vec<_> = chains.iter().map(|chain| chain["ratchet"].as_str().unwrap()).collect();
        assert_eq!(chains, session.chains, "{at}");
    }
}

#[derive(Default)]
struct Count {
    sent: usize,
    begun: usize,
    opened: usize,
    repeated: usize,
    refused: usize,
    damaged: usize,
    lost: usize,
    restarts: usize,
    installations: usize,
}

struct Run {
    sides: [Side; 2],
    letters: Vec<Letter>,
    /// Between which installations each session was begun.
    ends: HashMap<String, [u32; 2]>,
    rng: StdRng,
    at: String,
    count: Count,
}

fn typed(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

impl Run {
    fn pair(&mut self, side: usize) -> (&mut Side, &mut Side) {
        let [first, second] = &mut self.sides;
        if side == 0 { (first, second) } else { (second, first) }
    }

    fn act(&mut self, side: usize) {
        match self.rng.random_range(0..200) {
            0..64 => self.send(side),
            64..66 => {
                let burst = self.rng.random_range(2..BURST);
                (0..burst).for_each(|_| self.send(side));
            }
            66..100 => self.deliver_one(|_, _| 0),
            100..150 => self.deliver_one(|rng, count| rng.random_range(0..count)),
            150..160 => self.deliver_one(|_, count| count - 1),
            160..168 => self.lose(),
            168..178 => self.damage(),
            178..181 => self.begin(side),
            181..183 => self.archive(side),
            183..184 => self.sides[side].rotate(),
            184..186 => self.restart(side),
            186 if self.rng.random() => self.install(side),
            _ => self.deliver_one(|_, _| 0),
        }
    }

    fn begin(&mut self, side: usize) {
        let with_prekey = self.rng.random_range(0..4) > 0;
        // A record that has lost a session could be made to begin it again by a repeat: `limits` looks at that.
        for full in 0..2 {
            if self.sides[full].record.len() >= ARCHIVED {
                self.install(full);
            }
        }
        let (me, other) = self.pair(side);
        let bundle = other.bundle(with_prekey);
        let reply = me.peer.ask(&json!({"cmd": "process_bundle", "peer": other.name, "bundle": bundle}));
        me.meets(other.installation, &reply);
        let base = me.info(other.name)["base_key"].as_str().unwrap().to_owned();
        me.record.begin(&base, bundle["signed_prekey"]["public"].as_str().unwrap());
        let ends = self.sides.each_ref().map(|side| side.installation);
        self.ends.insert(base, ends);
        self.count.begun += 1;
        self.check(side);
    }

    fn send(&mut self, side: usize) {
        if self.sides[side].record.current.is_none() {
            let (me, other) = self.pair(side);
            let request = json!({"cmd": "encrypt", "peer": other.name, "plaintext": "00"});
            assert_eq!(me.peer.try_ask(&request).unwrap_err(), "no_session");
            self.begin(side);
        }
        let length = self.rng.random_range(0..80);
        let text: Vec<u8> = (0..length).map(|_| self.rng.random()).collect();
        let text = hex::encode(text);
        let at = self.at.clone();
        let (me, other) = self.pair(side);
        let made = me.peer.ask(&json!({"cmd": "encrypt", "peer": other.name, "plaintext": text}));
        let base = me.record.current.clone().unwrap();
        let unacknowledged = me.record.get(&base).unwrap().unacknowledged;
        let kind = made["type"].as_str().unwrap().to_owned();
        assert_eq!(kind, if unacknowledged { "pkmsg" } else { "msg" }, "{at}");
        let message = hex::decode(made["message"].as_str().unwrap()).unwrap();
        let (ratchet, prekey, signed_prekey) = if unacknowledged {
            let parsed = PreKeySignalMessage::parse(&message).unwrap();
            assert_eq!(typed(&parsed.base_key.to_typed()), base, "{at}");
            (*parsed.message.ratchet_key(), parsed.prekey_id, Some(parsed.signed_prekey_id))
        } else {
            (*SignalMessage::parse(&message).unwrap().ratchet_key(), None, None)
        };
        let writer = me.installation;
        let letter = Letter {
            number: self.count.sent,
            to: 1 - side,
            kind,
            message,
            text,
            ratchet: typed(&ratchet.to_typed()),
            reader: self.ends[&base][1 - side],
            writer,
            base,
            prekey,
            signed_prekey,
        };
        self.count.sent += 1;
        self.letters.push(letter);
        if self.letters.len() > MOST_LETTERS {
            self.letters.remove(0);
        }
    }

    fn deliver_one(&mut self, choose: impl FnOnce(&mut StdRng, usize) -> usize) {
        if self.letters.is_empty() {
            return;
        }
        let index = choose(&mut self.rng, self.letters.len());
        self.deliver(index);
        // Some stay on their way, and come again.
        if self.rng.random_range(0..5) > 0 {
            self.letters.remove(index);
        }
    }

    /// Whether a letter must open now.
    fn must_open(&self, letter: &Letter) -> bool {
        let reader = &self.sides[letter.to];
        letter.reader == reader.installation
            && reader.record.opens(&letter.base, letter.number, &letter.ratchet).unwrap_or_else(|| {
                letter.signed_prekey.is_some_and(|id| reader.signed.contains(&id))
                    && letter.prekey.is_none_or(|id| reader.one_time.contains(&id))
            })
    }

    fn offer(&mut self, letter: &Letter, message: &[u8]) -> Result<Value, String> {
        let (me, other) = self.pair(letter.to);
        let (kind, message) = (&letter.kind, hex::encode(message));
        me.peer.try_ask(&json!({"cmd": "decrypt", "peer": other.name, "type": kind, "message": message}))
    }

    fn deliver(&mut self, index: usize) {
        let letter = self.letters[index].clone();
        let must_open = self.must_open(&letter);
        let at = format!("{}: letter {} to {}", self.at, letter.number, self.sides[letter.to].name);
        match self.offer(&letter, &letter.message.clone()) {
            Ok(reply) => {
                assert!(must_open, "{at}: opened");
                assert_eq!(reply["plaintext"], letter.text, "{at}");
                self.opened(&letter, &reply, &at);
                self.count.opened += 1;
            }
            Err(kind) => {
                assert!(!must_open, "{at}: {kind}");
                let me = &self.sides[letter.to];
                let known = me.record.get(&letter.base).filter(|_| letter.reader == me.installation);
                if known.is_some_and(|session| session.keeps(&letter.ratchet)) {
                    assert_eq!(kind, "duplicate", "{at}: a repeat");
                    self.count.repeated += 1;
                } else {
                    let right = ["invalid_message", "no_prekey", "no_signed_prekey", "no_session"];
                    assert!(right.contains(&kind.as_str()), "{at}: {kind}");
                    self.count.refused += 1;
                }
            }
        }
        self.check(letter.to);
    }

    fn opened(&mut self, letter: &Letter, reply: &Value, at: &str) {
        let (me, _) = self.pair(letter.to);
        let begins = me.record.get(&letter.base).is_none();
        let used = if begins { letter.prekey } else { None };
        assert_eq!(reply["used_prekey_id"], json!(used), "{at}");
        me.meets(letter.writer, reply);
        me.one_time.retain(|id| Some(*id) != used);
        me.record.open(&letter.base, letter.number, &letter.ratchet);
    }

    fn lose(&mut self) {
        if !self.letters.is_empty() {
            let index = self.rng.random_range(0..self.letters.len());
            self.letters.remove(index);
            self.count.lost += 1;
        }
    }

    /// Somebody changes one bit of what is authenticated.
    fn damage(&mut self) {
        if self.letters.is_empty() {
            return;
        }
        let index = self.rng.random_range(0..self.letters.len());
        let letter = self.letters[index].clone();
        let mut bytes = letter.message.clone();
        let place = match letter.kind.as_str() {
            "msg" => 0..bytes.len(),
            // The envelope is under no MAC, the message in it is.
            _ => {
                let inner = PreKeySignalMessage::parse(&bytes).unwrap().message_bytes.to_vec();
                let start = bytes.windows(inner.len()).position(|part| part == inner).unwrap();
                start..start + inner.len()
            }
        };
        let place = self.rng.random_range(place);
        bytes[place] ^= 1 << self.rng.random_range(0..8);
        let refused = self.offer(&letter, &bytes);
        assert!(refused.is_err(), "{}: letter {} opened, damaged at {place}", self.at, letter.number);
        self.count.damaged += 1;
        self.check(letter.to);
    }

    fn archive(&mut self, side: usize) {
        if self.sides[side].record.len() == 0 {
            return;
        }
        let (me, other) = self.pair(side);
        me.peer.ask(&json!({"cmd": "archive_session", "peer": other.name}));
        me.record.archive();
        self.check(side);
    }

    fn restart(&mut self, side: usize) {
        self.sides[side].peer.restart();
        self.count.restarts += 1;
        let list = self.sides[side].peer.ask(&json!({"cmd": "list_prekeys"}));
        let me = &self.sides[side];
        assert_eq!(list["one_time"], json!(me.one_time), "{}", self.at);
        assert_eq!(list["signed"], json!(me.signed), "{}", self.at);
        self.check(side);
    }

    fn install(&mut self, side: usize) {
        self.sides[side].install();
        self.count.installations += 1;
    }

    fn check(&mut self, side: usize) {
        let at = self.at.clone();
        let (me, other) = self.pair(side);
        me.check(other.name, &at);
    }

    /// In the end everything arrives, newest first, and both sides can talk, whatever has happened.
    fn settle(&mut self) {
        for index in (0..self.letters.len()).rev() {
            self.deliver(index);
        }
        self.letters.clear();
        for round in 0..6 {
            for side in [round % 2, 1 - round % 2] {
                let current = self.sides[side].record.current.clone();
                let other = self.sides[1 - side].installation;
                if current.is_none_or(|base| self.ends[&base][1 - side] != other) {
                    self.begin(side);
                }
                self.send(side);
                let letter = self.letters.last().unwrap().clone();
                assert!(self.must_open(&letter), "{}: the sides do not find together", self.at);
                self.deliver(self.letters.len() - 1);
            }
        }
    }
}

/// How an identity compares to the one that is stored.
fn word(known: Option<u32>, installation: u32) -> &'static str {
    match known {
        None => "new",
        Some(known) if known == installation => "unchanged",
        Some(_) => "changed",
    }
}

fn random_run(library: Make, seed: u64, operations: usize) -> String {
    let sides = [Side::new(Make::Ours, "ours"), Side::new(library, "genuine")];
    let rng = StdRng::seed_from_u64(seed);
    let mut run = Run {
        sides,
        letters: Vec::new(),
        ends: HashMap::new(),
        rng,
        at: String::new(),
        count: Count::default(),
    };
    // Each side is the first to write in half of the seeds.
    let first = usize::try_from(seed % 2).unwrap();
    run.send(first);
    for number in 0..operations {
        run.at = format!("{}, seed {seed}, operation {number}", library.name());
        let side = run.rng.random_range(0..2);
        run.act(side);
    }
    run.at = format!("{}, seed {seed}, the end", library.name());
    run.settle();
    let Count { sent, begun, opened, repeated, refused, damaged, lost, restarts, installations } = run.count;
    let done = opened * 8 > operations && repeated > 0;
    let told = format!(
        "{sent} sent in {begun} sessions, {opened} opened, {repeated} duplicates, {refused} others refused, \
         {damaged} damaged, {lost} lost, {restarts} restarts, {installations} installations"
    );
    assert!(done, "the run did too little: {told}");
    told
}

#[test]
fn random_conversations_with_an_early_library() {
    if switched_on() {
        Plan::new(OPERATIONS).run("pair with early", |seed, count| random_run(Make::Early, seed, count));
    }
}

#[test]
fn random_conversations_with_a_late_library() {
    if switched_on() {
        Plan::new(OPERATIONS).run("pair with late", |seed, count| random_run(Make::Late, seed, count));
    }
}

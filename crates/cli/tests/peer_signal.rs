//! `landbridge peer signal` live against Signal's own library (`peers/signal-peer`), in both directions.
//!
//! Runs only with `LANDBRIDGE_PEERS=1`, after `npm install` in `peers/signal-peer`. `LANDBRIDGE_SEED` repeats a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

const OPERATIONS: usize = 1_000;
/// One-time prekeys of each incarnation.
const PREKEYS: u32 = 60;
/// Turns of the ratchet that a delayed message must survive: five receiving chains are kept, one is its own, one may
/// be the chain on the signed prekey.
const SURE_TURNS: u32 = 3;

fn switched_on() -> bool {
    let on = env::var("LANDBRIDGE_PEERS").is_ok_and(|value| value == "1");
    if !on {
        println!("leg \"peers\" is off: set LANDBRIDGE_PEERS=1 to talk with Signal's library");
    }
    on
}

fn peer_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../peers/signal-peer")
}

fn seed() -> u64 {
    let seed =
        env::var("LANDBRIDGE_SEED").ok().map(|text| text.parse().expect("LANDBRIDGE_SEED is a number"));
    seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000))
}

/// One process that speaks the line protocol.
struct Peer {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Peer {
    fn ours() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_landbridge"));
        command.args(["peer", "signal"]);
        Self::start(command)
    }

    fn genuine(library: &str) -> Self {
        let mut command = Command::new("node");
        command.arg(peer_directory().join("peer.mjs")).args(["--lib", library]);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the peer starts");
        let requests = child.stdin.take().unwrap();
        let replies = BufReader::new(child.stdout.take().unwrap());
        Self { child, requests, replies }
    }

    /// The reply of a request, or the kind of its error.
    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        writeln!(self.requests, "{request}").unwrap();
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        let reply: Value = serde_json::from_str(&line).expect("a reply is one JSON line");
        if reply["ok"] == json!(true) { Ok(reply) } else { Err(reply["error"].as_str().unwrap().to_owned()) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Nothing is left to be said; a peer that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone)]
struct Letter {
    kind: String,
    message: String,
    text: String,
    /// Which incarnation of the sender wrote it.
    from: u32,
    /// Which incarnation of the receiver its session is with.
    to: u32,
    /// Messages that the sender had opened when it wrote.
    opened_before: u32,
}

/// One side and what the test knows about it.
struct Side {
    peer: Peer,
    name: &'static str,
    /// Counts installations.
    incarnation: u32,
    next_prekey: u32,
    /// The incarnation of the other side that the current session is with.
    session_with: Option<u32>,
    /// The incarnation of the other side whose identity is stored.
    identity_of: Option<u32>,
    /// Messages opened since the last installation.
    opened: u32,
    /// Letters on their way to the other side.
    sent: Vec<Letter>,
    /// Letters that the other side has opened.
    delivered: Vec<Letter>,
}

impl Side {
    fn new(peer: Peer, name: &'static str) -> Self {
        let mut side = Self {
            peer,
            name,
            incarnation: 0,
            next_prekey: 1,
            session_with: None,
            identity_of: None,
            opened: 0,
            sent: Vec::new(),
            delivered: Vec::new(),
        };
        side.install();
        side
    }

    /// Loses everything and begins again under a new identity.
    fn install(&mut self) {
        self.incarnation += 1;
        (self.next_prekey, self.session_with, self.identity_of, self.opened) = (1, None, None, 0);
        let requests = [
            json!({"cmd": "create", "name": self.name, "policy": "accept"}),
            json!({"cmd": "add_prekeys", "start": 1, "count": PREKEYS}),
            json!({"cmd": "add_signed_prekey", "key_id": 7}),
        ];
        for request in requests {
            self.peer.ask(&request).unwrap();
        }
    }

    fn bundle(&mut self) -> Value {
        let prekey = (self.next_prekey <= PREKEYS).then_some(self.next_prekey);
        self.next_prekey += 1;
        self.peer.ask(&json!({"cmd": "bundle", "prekey_id": prekey})).unwrap()["bundle"].clone()
    }

    fn archive(&mut self, other: &str) {
        if self.session_with.is_some() {
            self.peer.ask(&json!({"cmd": "archive_session", "peer": other})).unwrap();
            self.session_with = None;
        }
    }

    fn meet(&mut self, other: &mut Self) {
        let bundle = other.bundle();
        let request = json!({"cmd": "process_bundle", "peer": other.name, "bundle": bundle});
        self.peer.ask(&request).unwrap();
        self.session_with = Some(other.incarnation);
        self.identity_of = Some(other.incarnation);
    }

    fn send(&mut self, other: &mut Self, rng: &mut StdRng) {
        let to = match self.session_with {
            Some(incarnation) => incarnation,
            None => {
                self.meet(other);
                other.incarnation
            }
        };
        let length = rng.random_range(0..80);
        let text = hex::encode((0..length).map(|_| rng.random::<u8>()).collect::<Vec<_>>());
        let made = self.peer.ask(&json!({"cmd": "encrypt", "peer": other.name, "plaintext": text})).unwrap();
        self.sent.push(Letter {
            kind: made["type"].as_str().unwrap().into(),
            message: made["message"].as_str().unwrap().into(),
            text,
            from: self.incarnation,
            to,
            opened_before: self.opened,
        });
    }

    fn offer(&mut self, from: &str, letter: &Letter) -> Result<Value, String> {
        let (kind, message) = (&letter.kind, &letter.message);
        self.peer.ask(&json!({"cmd": "decrypt", "peer": from, "type": kind, "message": message}))
    }

    /// Takes one of the letters on their way to `other` and delivers it.
    fn deliver(&mut self, other: &mut Self, index: usize, at: &str) {
        let letter = self.sent.remove(index);
        let current = letter.to == other.incarnation;
        let turns =
            if letter.from == self.incarnation { self.opened - letter.opened_before } else { u32::MAX };
        match other.offer(self.name, &letter) {
            Ok(reply) => {
                assert!(current, "{at}: a letter to an earlier installation opened");
                assert_eq!(reply["plaintext"], letter.text, "{at}");
                if other.name == "ours" {
                    let word = match other.identity_of {
                        None => "new",
                        Some(known) if known == letter.from => "unchanged",
                        Some(_) => "changed",
                    };
                    assert_eq!(reply["identity"], word, "{at}");
                }
                other.opened += 1;
                other.session_with = Some(letter.from);
                other.identity_of = Some(letter.from);
                self.delivered.push(letter);
            }
            Err(kind) => {
                let sure = current && turns <= SURE_TURNS;
                assert!(!sure, "{at}: {} refused a letter of {}: {kind}", other.name, self.name);
                // What a retry receipt asks for: a new session for the next letters.
                if letter.from == self.incarnation {
                    self.archive(other.name);
                }
            }
        }
    }

    fn repeat(&mut self, other: &mut Self, rng: &mut StdRng, at: &str) {
        if self.delivered.is_empty() {
            return;
        }
        let letter = self.delivered[rng.random_range(0..self.delivered.len())].clone();
        let kind = other.offer(self.name, &letter).expect_err("a letter opens once");
        let right = ["duplicate", "invalid_message", "no_prekey", "no_session", "untrusted_identity"];
        assert!(right.contains(&kind.as_str()), "{at}: {kind}");
    }

    fn damage(&mut self, other: &mut Self, rng: &mut StdRng, at: &str) {
        // All of a msg is under the MAC; the envelope of a pkmsg is not.
        let Some(letter) = self.sent.iter().rfind(|letter| letter.kind == "msg") else { return };
        let mut letter = letter.clone();
        let mut bytes = hex::decode(&letter.message).unwrap();
        let place = rng.random_range(0..bytes.len());
        bytes[place] ^= 1 << rng.random_range(0..8);
        letter.message = hex::encode(bytes);
        let refused = other.offer(self.name, &letter);
        assert!(refused.is_err(), "{at}: a letter damaged at byte {place} opened");
    }
}

fn random_run(library: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut sides = [Side::new(Peer::ours(), "ours"), Side::new(Peer::genuine(library), "genuine")];
    for number in 0..OPERATIONS {
        let at = format!("{library}, seed {seed}, operation {number}");
        let [a, b] = &mut sides;
        let (side, other) = if rng.random() { (a, b) } else { (b, a) };
        match rng.random_range(0..100) {
            0..40 => side.send(other, &mut rng),
            40..60 if !side.sent.is_empty() => side.deliver(other, 0, &at),
            60..75 if !side.sent.is_empty() => {
                let index = rng.random_range(0..side.sent.len());
                side.deliver(other, index, &at);
            }
            75..82 if !side.sent.is_empty() => {
                side.sent.remove(rng.random_range(0..side.sent.len()));
            }
            82..88 => side.repeat(other, &mut rng, &at),
            88..94 => side.damage(other, &mut rng, &at),
            94..97 => side.archive(other.name),
            97..98 => side.install(),
            _ => {}
        }
    }
    // In the end both sides can talk, whatever has happened.
    let [a, b] = &mut sides;
    for round in 0..6 {
        let at = format!("{library}, seed {seed}, settling {round}");
        for turn in [true, false] {
            let (side, other) = if turn { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
            if side.session_with != Some(other.incarnation) {
                side.meet(other);
            }
            side.sent.clear();
            side.send(other, &mut rng);
            side.deliver(other, 0, &at);
        }
    }
    let opened = [a.delivered.len(), b.delivered.len()];
    println!("{library}, seed {seed}: {} and {} letters opened", opened[0], opened[1]);
    assert!(opened.iter().all(|count| *count > 20), "the run did something");
}

#[test]
fn random_conversations_with_an_early_library() {
    if switched_on() {
        random_run("early", seed());
    }
}

#[test]
fn random_conversations_with_a_late_library() {
    if switched_on() {
        random_run("late", seed());
    }
}

#[test]
fn the_tests_of_the_line_protocol() {
    if !switched_on() {
        return;
    }
    let other = format!("{} peer signal", env!("CARGO_BIN_EXE_landbridge"));
    let status = Command::new("npm")
        .args(["test", "--silent"])
        .current_dir(peer_directory())
        .env("OTHER_PEER", other)
        .status()
        .expect("npm starts");
    assert!(status.success());
}

//! Sender keys: four members of three implementations in several groups, on a network that loses, delays, repeats,
//! reorders and damages messages and distributions, while members come, leave, restart and install themselves anew.

use std::collections::{BTreeMap, BTreeSet};

use landbridge_signal::group::SenderKeyMessage;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    Plan,
    process::{Make, Peer, switched_on},
};

/// Operations of each run of the leg.
const OPERATIONS: usize = 2_000;
const GROUPS: [&str; 3] =
    ["120363000000000001@g.us", "120363000000000002@g.us", "14155551001-1600000000@g.us"];
const MEMBERS: [(&str, Make); 4] =
    [("ours", Make::Ours), ("early", Make::Early), ("late", Make::Late), ("ours-too", Make::Ours)];
/// Chains of one sender that a reader keeps.
const CHAINS: usize = 5;
/// Letters, and distributions, that may be on their way; beyond that the oldest is lost.
const MOST_ON_THE_WAY: usize = 300;

/// A sender's chain as a reader has it.
#[derive(Debug, Clone)]
struct Told {
    chain: u64,
    /// The first message that can be opened.
    first: u64,
    /// The message expected next.
    next: u64,
    opened: BTreeSet<u64>,
}

impl Told {
    fn opens(&self, place: u64) -> bool {
        place >= self.first && !self.opened.contains(&place)
    }

    /// Messages that were skipped and can still be opened.
    fn skipped(&self) -> u64 {
        self.next - self.first - self.opened.len() as u64
    }
}

/// The own chain of a member in a group.
#[derive(Debug, Clone, Copy)]
struct Own {
    chain: u64,
    next: u64,
}

struct Member {
    peer: Peer,
    name: &'static str,
    /// By group.
    own: BTreeMap<usize, Own>,
    /// By group and sender, newest first.
    told: BTreeMap<(usize, usize), Vec<Told>>,
}

#[derive(Clone)]
struct Letter {
    group: usize,
    from: usize,
    chain: u64,
    place: u64,
    bytes: Vec<u8>,
    text: String,
}

/// A distribution on its way to one reader.
#[derive(Clone)]
struct News {
    group: usize,
    from: usize,
    to: usize,
    bytes: String,
    chain: u64,
    first: u64,
}

#[derive(Default)]
struct Count {
    sent: usize,
    told: usize,
    opened: usize,
    repeated: usize,
    refused: usize,
    damaged: usize,
    rotated: usize,
    restarts: usize,
    installations: usize,
}

struct Run {
    members: Vec<Member>,
    /// Who is in which group.
    rolls: [BTreeSet<usize>; GROUPS.len()],
    letters: Vec<Letter>,
    news: Vec<News>,
    rng: StdRng,
    at: String,
    count: Count,
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

impl Member {
    fn new(name: &'static str, make: Make) -> Self {
        let mut member = Self { peer: Peer::start(make), name, own: BTreeMap::new(), told: BTreeMap::new() };
        member.install();
        member
    }

    fn install(&mut self) {
        self.own.clear();
        self.told.clear();
        self.peer.ask(&json!({"cmd": "create", "name": self.name}));
    }

    /// Compares what is kept of a sender with the model.
    fn check(&mut self, group: usize, from: usize, name: &str, at: &str) {
        let info = self.peer.ask(&json!({"cmd": "sender_key_info", "group": GROUPS[group], "from": name}));
        let kept = self.told.get(&(group, from)).map(Vec::as_slice).unwrap_or_default();
        let states = kept.iter().map(
            |told| json!({"chain_id": told.chain, "next_iteration": told.next, "skipped": told.skipped()}),
        );
        assert_eq!(info["states"], states.collect::<Value>(), "{at}: {} about {name}", self.name);
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            members: MEMBERS.iter().map(|(name, make)| Member::new(name, *make)).collect(),
            rolls: std::array::from_fn(|_| (0..MEMBERS.len()).collect()),
            letters: Vec::new(),
            news: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
            at: String::new(),
            count: Count::default(),
        }
    }

    fn act(&mut self) {
        let (group, who) = (self.rng.random_range(0..GROUPS.len()), self.rng.random_range(0..MEMBERS.len()));
        match self.rng.random_range(0..200) {
            0..50 => self.send(group, who),
            50..56 => self.distribute(group, who),
            56..86 => self.deliver_news(),
            86..176 => self.deliver_letter(),
            176..182 => self.lose(),
            182..192 => self.damage(),
            192..195 => self.leave(group, who),
            195..199 => self.restart(who),
            _ => self.install(who),
        }
    }

    /// A member tells its chain to the others, through sessions that are not looked at here.
    fn distribute(&mut self, group: usize, who: usize) {
        if !self.rolls[group].contains(&who) {
            return;
        }
        let made = self.members[who].peer.ask(&json!({"cmd": "sender_key_create", "group": GROUPS[group]}));
        let info = self.members[who].peer.ask(&json!({"cmd": "sender_key_info", "group": GROUPS[group]}));
        let (chain, next) =
            (number(&info["states"][0]["chain_id"]), number(&info["states"][0]["next_iteration"]));
        match self.members[who].own.get(&group) {
            Some(own) => assert_eq!((own.chain, own.next), (chain, next), "{}", self.at),
            None => {
                assert_eq!(next, 0, "{}: a new chain begins at 0", self.at);
                self.members[who].own.insert(group, Own { chain, next });
            }
        }
        let bytes = made["distribution"].as_str().unwrap();
        for to in self.rolls[group].iter().copied().filter(|to| *to != who) {
            self.news.push(News { group, from: who, to, bytes: bytes.to_owned(), chain, first: next });
        }
        if self.news.len() > MOST_ON_THE_WAY {
            self.news.drain(..MEMBERS.len());
        }
    }

    fn send(&mut self, group: usize, who: usize) {
        if !self.rolls[group].contains(&who) {
            return;
        }
        let length = self.rng.random_range(0..80);
        let text: Vec<u8> = (0..length).map(|_| self.rng.random()).collect();
        let text = hex::encode(text);
        let request = json!({"cmd": "sender_key_encrypt", "group": GROUPS[group], "plaintext": text});
        if !self.members[who].own.contains_key(&group) {
            let refused = self.members[who].peer.try_ask(&request);
            assert_eq!(refused.unwrap_err(), "no_sender_key", "{}", self.at);
            self.distribute(group, who);
        }
        let member = &mut self.members[who];
        let made = member.peer.ask(&request);
        let own = member.own.get_mut(&group).expect("there is a chain");
        let bytes = hex::decode(made["message"].as_str().unwrap()).unwrap();
        let message = SenderKeyMessage::parse(&bytes).unwrap();
        let (chain, place) = (u64::from(message.chain_id), u64::from(message.iteration));
        assert_eq!((chain, place), (own.chain, own.next), "{}: a place of its own", self.at);
        own.next += 1;
        self.letters.push(Letter { group, from: who, chain, place, bytes, text });
        self.count.sent += 1;
        if self.letters.len() > MOST_ON_THE_WAY {
            self.letters.remove(0);
        }
    }

    fn deliver_news(&mut self) {
        if self.news.is_empty() {
            return;
        }
        let index = if self.rng.random() { 0 } else { self.rng.random_range(0..self.news.len()) };
        let news = self.news[index].clone();
        // Some come again later, when the chain has moved on or is gone.
        if self.rng.random_range(0..4) > 0 {
            self.news.remove(index);
        }
        self.tell(&news);
    }

    fn tell(&mut self, news: &News) {
        let News { group, from, to, bytes, chain, first } = news.clone();
        let sender = self.members[from].name;
        let reply = self.members[to].peer.ask(&json!({
            "cmd": "sender_key_process", "group": GROUPS[group], "from": sender, "distribution": bytes,
        }));
        assert_eq!((number(&reply["chain_id"]), number(&reply["iteration"])), (chain, first), "{}", self.at);
        let kept = self.members[to].told.entry((group, from)).or_default();
        // A repeat keeps the progress made, and counts as news of the chain.
        let known = kept.iter().position(|told| told.chain == chain).map(|at| kept.remove(at));
        kept.truncate(CHAINS - 1);
        let fresh = || Told { chain, first, next: first, opened: BTreeSet::new() };
        kept.insert(0, known.unwrap_or_else(fresh));
        self.count.told += 1;
        self.check(group, from, to);
    }

    fn deliver_letter(&mut self) {
        if self.letters.is_empty() {
            return;
        }
        let index = match self.rng.random_range(0..3) {
            0 => 0,
            1 => self.letters.len() - 1,
            _ => self.rng.random_range(0..self.letters.len()),
        };
        let letter = self.letters[index].clone();
        if self.rng.random_range(0..4) == 0 {
            self.letters.remove(index);
        }
        // Also to who has left: ciphertexts are seen by everybody.
        let to = (letter.from + self.rng.random_range(1..MEMBERS.len())) % MEMBERS.len();
        self.deliver(&letter, to);
    }

    fn offer(&mut self, letter: &Letter, to: usize, bytes: &[u8]) -> Result<Value, String> {
        let (group, from) = (GROUPS[letter.group], self.members[letter.from].name);
        let message = hex::encode(bytes);
        self.members[to]
            .peer
            .try_ask(&json!({"cmd": "sender_key_decrypt", "group": group, "from": from, "message": message}))
    }

    fn deliver(&mut self, letter: &Letter, to: usize) {
        let at = format!("{}: letter {} of chain {}", self.at, letter.place, letter.chain);
        let outcome = self.offer(letter, to, &letter.bytes);
        let kept = self.members[to].told.get_mut(&(letter.group, letter.from));
        let told = kept.and_then(|kept| kept.iter_mut().find(|told| told.chain == letter.chain));
        let expected = match &told {
            None => Err("no_sender_key"),
            Some(told) if told.opens(letter.place) => Ok(()),
            Some(_) => Err("duplicate"),
        };
        match (outcome, told) {
            (Ok(reply), Some(told)) => {
                assert_eq!(expected, Ok(()), "{at}: opened");
                assert_eq!(reply["plaintext"], letter.text, "{at}");
                told.opened.insert(letter.place);
                told.next = told.next.max(letter.place + 1);
                self.count.opened += 1;
            }
            (Ok(_), None) => panic!("{at}: opened, and nobody had told the chain"),
            (Err(kind), _) => {
                assert_eq!(Err(kind.as_str()), expected, "{at}");
                self.count.repeated += usize::from(kind == "duplicate");
                self.count.refused += usize::from(kind != "duplicate");
            }
        }
        self.check(letter.group, letter.from, to);
    }

    fn lose(&mut self) {
        if !self.letters.is_empty() {
            self.letters.remove(self.rng.random_range(0..self.letters.len()));
        }
        if !self.news.is_empty() {
            self.news.remove(self.rng.random_range(0..self.news.len()));
        }
    }

    /// All of a message is under its signature.
    fn damage(&mut self) {
        if self.letters.is_empty() {
            return;
        }
        let letter = self.letters[self.rng.random_range(0..self.letters.len())].clone();
        let to = (letter.from + self.rng.random_range(1..MEMBERS.len())) % MEMBERS.len();
        let mut bytes = letter.bytes.clone();
        let place = self.rng.random_range(0..bytes.len());
        bytes[place] ^= 1 << self.rng.random_range(0..8);
        let refused = self.offer(&letter, to, &bytes);
        assert!(refused.is_err(), "{}: opened, damaged at {place}", self.at);
        self.count.damaged += 1;
        self.check(letter.group, letter.from, to);
    }

    /// A member leaves a group, so that the others begin new chains; or who had left comes back.
    fn leave(&mut self, group: usize, who: usize) {
        if self.rolls[group].insert(who) {
            return;
        }
        if self.rolls[group].len() == 2 {
            return;
        }
        self.rolls[group].remove(&who);
        for member in self.members.iter_mut() {
            let gone = member.peer.ask(&json!({"cmd": "sender_key_delete", "group": GROUPS[group]}));
            assert_eq!(gone["existed"], member.own.remove(&group).is_some(), "{}", self.at);
        }
        // News of the old chains that comes now is no harm to anybody: nothing more is written with them.
        self.count.rotated += 1;
    }

    fn restart(&mut self, who: usize) {
        self.members[who].peer.restart();
        self.count.restarts += 1;
        for group in 0..GROUPS.len() {
            for from in (0..MEMBERS.len()).filter(|from| *from != who) {
                self.check(group, from, who);
            }
        }
    }

    fn install(&mut self, who: usize) {
        self.members[who].install();
        self.count.installations += 1;
    }

    fn check(&mut self, group: usize, from: usize, to: usize) {
        let name = self.members[from].name;
        let at = self.at.clone();
        self.members[to].check(group, from, name, &at);
    }

    /// In the end everything arrives everywhere, and every member can write to every group.
    fn settle(&mut self) {
        for news in std::mem::take(&mut self.news) {
            self.tell(&news);
        }
        for letter in std::mem::take(&mut self.letters).into_iter().rev() {
            for to in (0..MEMBERS.len()).filter(|to| *to != letter.from) {
                self.deliver(&letter, to);
            }
        }
        self.rolls = std::array::from_fn(|_| (0..MEMBERS.len()).collect());
        let all = (0..GROUPS.len()).flat_map(|group| (0..MEMBERS.len()).map(move |who| (group, who)));
        for (group, who) in all {
            self.distribute(group, who);
            for news in std::mem::take(&mut self.news) {
                self.tell(&news);
            }
            self.send(group, who);
            let letter = self.letters.pop().expect("who has a chain can write");
            let before = self.count.opened;
            for to in (0..MEMBERS.len()).filter(|to| *to != who) {
                self.deliver(&letter, to);
            }
            assert_eq!(self.count.opened, before + MEMBERS.len() - 1, "{}", self.at);
        }
    }
}

fn random_run(seed: u64, operations: usize) -> String {
    let mut run = Run::new(seed);
    // Somebody else is the first to write in each seed.
    let first = usize::try_from(seed).unwrap() % MEMBERS.len();
    for group in 0..GROUPS.len() {
        run.distribute(group, first);
        run.send(group, first);
    }
    for number in 0..operations {
        run.at = format!("groups, seed {seed}, operation {number}");
        run.act();
    }
    run.at = format!("groups, seed {seed}, the end");
    run.settle();
    let Count { sent, told, opened, repeated, refused, damaged, rotated, restarts, installations } =
        run.count;
    assert!(opened * 20 > operations && repeated > 0 && refused > 0 && rotated > 0, "the run did something");
    format!(
        "{sent} sent, {told} distributions, {opened} opened, {repeated} duplicates, {refused} others refused, \
         {damaged} damaged, {rotated} rotations, {restarts} restarts, {installations} installations"
    )
}

#[test]
fn random_groups_with_both_libraries() {
    if switched_on() {
        Plan::new(OPERATIONS).run("groups", random_run);
    }
}

//! The Signal protocol beside `wacore-libsignal`, and beside the curve operations in it.

mod ours;
mod peer;

use std::{cell::RefCell, hint::black_box};

use landbridge_curve::PrivateKey;

use crate::{
    Options,
    counting::memory,
    measure::{Contender, Fact, Report, measure},
};

const TEXT: [u8; 200] = [0x5a; 200];
/// Messages in one batch that is decrypted.
const MESSAGES: u32 = 1_000;
/// Sessions set up in one batch.
const SETUPS: u32 = 16;

type PlainPeer = peer::Pair<false>;
type FastPeer = peer::Pair<true>;

const OURS: &str = "landbridge-signal";
const PLAIN: &str = "wacore-libsignal";
const FAST: &str = "same, store hooks";

/// What both sides are asked to do.
trait Conversation {
    /// Two parties, and the bundle of the second at the first; no session yet.
    fn strangers() -> Self;
    /// Begins the session and passes its first message.
    fn set_up(&mut self);
    /// A text from one to the other, encrypted and decrypted.
    fn pass(&mut self, from: Side);
    /// Encrypts a text of the first party.
    fn encrypt(&mut self);
    /// Encrypts `count` texts of the first party for [`Self::open_all`].
    fn fill(&mut self, count: u32, order: Order);
    /// Decrypts them.
    fn open_all(&mut self);
    /// Decrypts the first of them only.
    fn open_first(&mut self);
    /// Bytes of the second party's session with the first in its stored form.
    fn stored(&self) -> usize;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    First,
    Second,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Forward,
    Reversed,
}

/// Both have heard of each other, so that only plain messages follow.
fn acquainted<C: Conversation>() -> C {
    let mut pair = C::strangers();
    pair.set_up();
    pair.pass(Side::Second);
    pair.pass(Side::First);
    pair
}

pub fn run(options: &Options) -> Result<Report, String> {
    let mut figures = Vec::new();
    let mut add = |case: &str, contenders: Vec<Contender<'_>>| {
        if options.wants(case) {
            figures.extend(measure("signal", case, options.rounds, contenders));
        }
    };
    let (ours, plain, fast) = trio();
    let encrypt = vec![
        Contender::new(OURS, || ours.borrow_mut().encrypt()),
        Contender::new(PLAIN, || plain.borrow_mut().encrypt()),
        Contender::new(FAST, || fast.borrow_mut().encrypt()),
    ];
    add("encrypt 200 B", encrypt);
    for (case, order) in [("decrypt 200 B", Order::Forward), ("decrypt 1,000 reversed", Order::Reversed)] {
        let (ours, plain, fast) = trio();
        let decrypt =
            vec![opening(OURS, &ours, order), opening(PLAIN, &plain, order), opening(FAST, &fast, order)];
        add(case, decrypt);
    }
    let (ours, plain, fast) = (RefCell::default(), RefCell::default(), RefCell::default());
    let set_up = vec![
        setting_up::<ours::Pair>(OURS, &ours),
        Contender::new("bare curve", set_up_curve()),
        setting_up::<PlainPeer>(PLAIN, &plain),
        setting_up::<FastPeer>(FAST, &fast),
    ];
    add("session set-up, both sides", set_up);
    let (ours, plain, fast) = trio();
    let turns = vec![
        Contender::new(OURS, || ping_pong(&mut *ours.borrow_mut())),
        Contender::new("bare X25519", ping_pong_curve()),
        Contender::new(PLAIN, || ping_pong(&mut *plain.borrow_mut())),
        Contender::new(FAST, || ping_pong(&mut *fast.borrow_mut())),
    ];
    add("ping-pong, both ways", turns);
    let mut facts = Vec::new();
    if options.wants("sizes") {
        facts.extend(sizes::<ours::Pair>(OURS));
        facts.extend(sizes::<PlainPeer>(PLAIN));
    }
    Ok(Report { figures, facts })
}

fn trio() -> (RefCell<ours::Pair>, RefCell<PlainPeer>, RefCell<FastPeer>) {
    (RefCell::new(acquainted()), RefCell::new(acquainted()), RefCell::new(acquainted()))
}

fn opening<'a, C: Conversation>(name: &'static str, pair: &'a RefCell<C>, order: Order) -> Contender<'a> {
    Contender::prepared(name, MESSAGES, pair, move |pair| pair.fill(MESSAGES, order), C::open_all)
}

fn setting_up<'a, C: Conversation + 'a>(name: &'static str, pairs: &'a RefCell<Vec<C>>) -> Contender<'a> {
    Contender::prepared(
        name,
        SETUPS,
        pairs,
        |pairs: &mut Vec<C>| *pairs = (0..SETUPS).map(|_| C::strangers()).collect(),
        |pairs| pairs.iter_mut().for_each(C::set_up),
    )
}

fn ping_pong(pair: &mut impl Conversation) {
    pair.pass(Side::Second);
    pair.pass(Side::First);
}

fn fresh() -> PrivateKey {
    let key = PrivateKey::generate(&mut rand::rng());
    black_box(key.public());
    key
}

/// The first party checks a signature, makes a base and a ratchet key and agrees five times; the second agrees six
/// times and makes a ratchet key.
#[expect(clippy::expect_used, reason = "honest keys")]
fn set_up_curve() -> impl FnMut() {
    let theirs = fresh();
    let signature = theirs.sign(&[&[5; 33]], &mut rand::rng());
    let theirs = theirs.public();
    move || {
        theirs.verify(&[&[5; 33]], black_box(&signature)).expect("signed");
        let keys = [fresh(), fresh(), fresh()];
        for turn in 0..11 {
            black_box(keys[turn % keys.len()].agree(&theirs).expect("honest"));
        }
    }
}

/// Each message turns the ratchet of its receiver: two agreements and a key pair.
#[expect(clippy::expect_used, reason = "honest keys")]
fn ping_pong_curve() -> impl FnMut() {
    let theirs = fresh().public();
    move || {
        for _ in 0..2 {
            let key = fresh();
            black_box(key.agree(&theirs).expect("honest"));
            black_box(key.agree(&theirs).expect("honest"));
        }
    }
}

/// What sessions take.
fn sizes<C: Conversation>(contender: &'static str) -> [Fact; 5] {
    const PAIRS: i64 = 200;
    let mut strangers: Vec<C> = (0..PAIRS).map(|_| C::strangers()).collect();
    let new = memory(|| strangers.iter_mut().for_each(C::set_up)).kept / PAIRS / 2;
    let mut one = acquainted::<C>();
    let stored = one.stored();
    for _ in 0..5 {
        ping_pong(&mut one);
    }
    let turned = one.stored();
    one.fill(MESSAGES, Order::Reversed);
    let skipping = memory(|| one.open_first()).kept;
    let fact =
        |case, bytes: i64| Fact { part: "signal", case, contender, value: bytes as f64, unit: "bytes" };
    [
        fact("memory of a new session, identity included", new),
        fact("memory of 999 skipped keys", skipping),
        fact("stored session", stored as i64),
        fact("stored, with five receiving chains", turned as i64),
        fact("stored, with 999 skipped keys", one.stored() as i64),
    ]
}

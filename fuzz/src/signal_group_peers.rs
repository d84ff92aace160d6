//! A group of three whose messages are held back, reordered, repeated and damaged, beside a model.

use std::collections::{HashMap, HashSet};

use landbridge_signal::{
    Address, IdentityKeyPair, Limits, MemorySignalStore, SenderKeyRecord,
    group::{self, SenderKeyMessage, SenderKeyStore as _},
};
use rand_chacha::ChaCha20Rng;

use crate::{
    input::{Input, damage, rng},
    signal_world::GROUP,
};

const MOST_ACTIONS: usize = 300;
/// Chains of one sender that a reader keeps.
const CHAINS: usize = 5;

struct Member {
    address: Address,
    store: MemorySignalStore,
    /// Of each sender: the chains that were announced, newest last, with the first message that can be opened.
    told: HashMap<usize, Vec<(u32, u32)>>,
    /// What was opened: sender, chain, place.
    opened: HashSet<(usize, u32, u32)>,
}

struct Letter {
    from: usize,
    bytes: Vec<u8>,
    text: Vec<u8>,
    chain: u32,
    place: u32,
}

/// A message opens exactly once at every member who was told its chain in time, and nowhere else.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Input::new(bytes);
    let mut rng = rng(40);
    let mut members: Vec<Member> = (0..3).map(|number| member(number, &mut rng)).collect();
    let (mut letters, mut news): (Vec<Letter>, Vec<(usize, Vec<u8>)>) = (Vec::new(), Vec::new());
    for count in 0..MOST_ACTIONS {
        if script.is_empty() {
            break;
        }
        let (action, who) = (script.u8(), script.below(3));
        match action % 8 {
            0 => {
                let own = members[who].address.clone();
                let told =
                    group::distribution(&mut members[who].store, GROUP, &own, &mut rng).expect("memory");
                news.push((who, told.to_vec()));
            }
            1 | 2 => send(&mut members, who, count, &mut letters, &mut rng),
            3 if !news.is_empty() => {
                let (from, told) = news[script.below(news.len())].clone();
                tell(&mut members, who, from, &told);
            }
            4 | 5 if !letters.is_empty() => {
                let letter = &letters[script.below(letters.len())];
                deliver(&mut members, who, letter, None);
            }
            6 if !letters.is_empty() => {
                let letter = &letters[script.below(letters.len())];
                let mut changed = letter.bytes.clone();
                damage(&mut changed, &mut script);
                deliver(&mut members, who, letter, Some(&changed));
            }
            7 if script.one_in(2) => {
                // A member leaves, so the others make new chains.
                let own = members[who].address.clone();
                members[who].store.delete_sender_key(GROUP, &own).expect("memory");
            }
            _ => restart(&mut members, who),
        }
    }
}

fn member(number: u32, rng: &mut ChaCha20Rng) -> Member {
    let identity = IdentityKeyPair::generate(rng);
    Member {
        address: Address::new(format!("member-{number}"), 0),
        store: MemorySignalStore::new(identity, number),
        told: HashMap::new(),
        opened: HashSet::new(),
    }
}

fn send(members: &mut [Member], who: usize, count: usize, letters: &mut Vec<Letter>, rng: &mut ChaCha20Rng) {
    let own = members[who].address.clone();
    let text = format!("letter {count}").into_bytes();
    let has_chain = members[who].store.load_sender_key(GROUP, &own).expect("memory").is_some();
    match group::encrypt(&mut members[who].store, GROUP, &own, &text, rng) {
        Ok(bytes) => {
            let message = SenderKeyMessage::parse(&bytes).expect("the own message is whole");
            let (chain, place) = (message.chain_id, message.iteration);
            letters.push(Letter { from: who, bytes, text, chain, place });
        }
        Err(error) => assert!(!has_chain, "{error}"),
    }
}

fn tell(members: &mut [Member], who: usize, from: usize, told: &[u8]) {
    if who == from {
        return;
    }
    let sender = members[from].address.clone();
    let announced = group::process_distribution(&mut members[who].store, GROUP, &sender, told)
        .expect("a good distribution");
    let member = &mut members[who];
    let chains = member.told.entry(from).or_default();
    match chains.iter().position(|(chain, _)| *chain == announced.chain_id) {
        // A repeat keeps the progress made; it counts as news of the chain.
        Some(at) => {
            let known = chains.remove(at);
            chains.push(known);
        }
        None => chains.push((announced.chain_id, announced.iteration)),
    }
    if chains.len() > CHAINS {
        // What is forgotten and told again begins again.
        let (lost, _) = chains.remove(0);
        member.opened.retain(|(sender, chain, _)| (*sender, *chain) != (from, lost));
    }
}

fn deliver(members: &mut [Member], who: usize, letter: &Letter, changed: Option<&[u8]>) {
    if who == letter.from {
        return;
    }
    let sender = members[letter.from].address.clone();
    let reader = &mut members[who];
    let key = (letter.from, letter.chain, letter.place);
    let told = reader
        .told
        .get(&letter.from)
        .and_then(|chains| chains.iter().find(|(chain, _)| *chain == letter.chain));
    let must_open = told.is_some_and(|(_, first)| *first <= letter.place) && !reader.opened.contains(&key);
    let before = state(reader, &sender);
    let bytes = changed.unwrap_or(&letter.bytes);
    match group::decrypt(&mut reader.store, GROUP, &sender, bytes, &Limits::default()) {
        Ok(text) => {
            assert_eq!(text, letter.text);
            assert!(must_open, "opened what cannot be opened");
            assert_eq!(bytes, letter.bytes, "a changed message opened");
            reader.opened.insert(key);
        }
        Err(error) => {
            assert!(!must_open || bytes != letter.bytes, "did not open: {error}");
            assert_eq!(state(reader, &sender), before, "a refusal left a trace");
        }
    }
}

fn state(member: &Member, sender: &Address) -> Option<Vec<u8>> {
    let record = member.store.load_sender_key(GROUP, sender).expect("memory");
    record.map(|record| record.to_bytes().to_vec())
}

/// Every record goes through its stored form.
fn restart(members: &mut [Member], who: usize) {
    let addresses: Vec<Address> = members.iter().map(|member| member.address.clone()).collect();
    for address in addresses {
        let Some(stored) = state(&members[who], &address) else { continue };
        let record = SenderKeyRecord::from_bytes(&stored).expect("a record that was written reads");
        assert_eq!(record.to_bytes().as_slice(), stored);
        members[who].store.save_sender_key(GROUP, &address, &record).expect("memory");
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 0, 3, 1, 0, 1, 0, 1, 0, 4, 1, 0, 4, 1, 1, 4, 1, 1, 4, 2, 0],
        vec![0, 0, 1, 0, 0, 0, 3, 2, 1, 4, 2, 0, 1, 0, 4, 2, 1, 8, 2],
        vec![0, 0, 3, 1, 0, 1, 0, 6, 1, 0, 0, 0, 0, 30, 1, 4, 1, 0],
        vec![0, 0, 3, 1, 0, 1, 0, 7, 0, 0, 0, 0, 3, 1, 1, 1, 0, 4, 1, 1, 4, 1, 0, 7, 1, 1],
    ]
}

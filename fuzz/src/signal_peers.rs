//! Two peers whose messages are held back, reordered, repeated, damaged and lost, while they begin sessions anew, archive
//! them, restart from their stores and install themselves anew; beside a model that knows what must open.

use std::collections::{HashMap, HashSet};

use landbridge_curve::PublicKey;
use landbridge_signal::{
    CiphertextKind, DecryptError, IdentityStore as _, PreKeyId, SessionRecord, SessionStore as _,
    TrustPolicy, decrypt, encrypt,
    message::{PreKeySignalMessage, SignalMessage},
    prekeys, process_bundle,
};
use rand_chacha::ChaCha20Rng;

use crate::{
    input::{Input, damage, rng},
    signal_world::{Party, prekey_id},
};

/// Receiving chains that a session keeps.
const CHAINS: usize = 5;
/// Sessions begun in one run: fewer than a record keeps, so that none is lost.
const MOST_SESSIONS: usize = 24;
const MOST_ACTIONS: usize = 200;

/// A message on its way.
#[derive(Clone)]
struct Flight {
    to: usize,
    kind: CiphertextKind,
    bytes: Vec<u8>,
    text: Vec<u8>,
    /// Names the session it was written in.
    session: PublicKey,
    ratchet: PublicKey,
    opened: bool,
}

/// What one side knows of a session it takes part in.
#[derive(Default)]
struct Known {
    /// The receiving chains kept, oldest first.
    chains: Vec<PublicKey>,
    /// Those that were ever there.
    seen: HashSet<[u8; 32]>,
}

impl Known {
    fn see(&mut self, ratchet: PublicKey) {
        if self.seen.insert(*ratchet.as_bytes()) {
            self.chains.push(ratchet);
            if self.chains.len() > CHAINS {
                self.chains.remove(0);
            }
        }
    }

    /// Whether a message of this chain can be opened: the chain is kept, or its turn has yet to come.
    fn can_open(&self, ratchet: &PublicKey) -> bool {
        self.chains.contains(ratchet) || !self.seen.contains(ratchet.as_bytes())
    }
}

struct Side {
    party: Party,
    installation: u32,
    sessions: HashMap<[u8; 32], Known>,
    next_prekey: u32,
}

impl Side {
    fn new(name: &str, rng: &mut ChaCha20Rng) -> Self {
        Self { party: Party::new(name, 1, rng), installation: 0, sessions: HashMap::new(), next_prekey: 1000 }
    }

    fn record(&self, peer: &Party) -> Option<SessionRecord> {
        self.party.store.load_session(&peer.address).expect("memory does not fail")
    }
}

struct Run {
    sides: [Side; 2],
    flights: Vec<Flight>,
    /// Between which installations each session was begun.
    ends: HashMap<[u8; 32], [u32; 2]>,
    rng: ChaCha20Rng,
    begun: usize,
    sent: u32,
}

/// Every message that is delivered to the installation its session was begun with opens exactly once, with its text, as
/// long as its chain is kept; nothing else opens; and what does not open changes nothing.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Input::new(bytes);
    let mut rng = rng(u64::from(script.u8()));
    let sides = [Side::new("alice", &mut rng), Side::new("bob", &mut rng)];
    let mut run = Run { sides, flights: Vec::new(), ends: HashMap::new(), rng, begun: 0, sent: 0 };
    for _ in 0..MOST_ACTIONS {
        if script.is_empty() {
            break;
        }
        let action = script.u8();
        run.act(usize::from(action & 1), action >> 1, &mut script);
    }
    // In the end everything that is still on its way arrives, newest first.
    for index in (0..run.flights.len()).rev() {
        run.deliver(index);
    }
}

impl Run {
    fn act(&mut self, side: usize, action: u8, script: &mut Input<'_>) {
        let on_the_way = self.flights.len();
        match action % 16 {
            0 => self.begin(side, script.u8()),
            1..=5 => self.send(side, script.u8()),
            6..=9 if on_the_way > 0 => self.deliver(script.below(on_the_way)),
            10 if on_the_way > 0 => self.deliver(0),
            11 if on_the_way > 0 => drop(self.flights.swap_remove(script.below(on_the_way))),
            12 if on_the_way > 0 => {
                let index = script.below(on_the_way);
                self.deliver_damaged(index, script);
            }
            13 => self.archive(side),
            14 => self.restart(side),
            15 if script.one_in(4) => self.reinstall(side),
            _ => {}
        }
    }

    fn pair(&mut self, side: usize) -> (&mut Side, &mut Side) {
        let [first, second] = &mut self.sides;
        if side == 0 { (first, second) } else { (second, first) }
    }

    /// Begins a session with the other side's bundle, with or without a one-time prekey.
    fn begin(&mut self, side: usize, choice: u8) {
        if self.begun == MOST_SESSIONS {
            return;
        }
        self.begun += 1;
        let mut rng = self.rng.clone();
        let (me, peer) = self.pair(side);
        let prekey: Option<PreKeyId> = (!choice.is_multiple_of(4)).then(|| {
            peer.next_prekey += 1;
            let id = prekey_id(peer.next_prekey);
            peer.party.store.add_prekeys(prekeys::generate(id, 1, &mut rng));
            id
        });
        let bundle = peer.party.bundle(prekey);
        let address = peer.party.address.clone();
        let _ = process_bundle(&mut me.party.store, &address, &bundle, TrustPolicy::Accept, &mut rng)
            .expect("the peer's bundle is good");
        let info = me.record(&peer.party).and_then(|record| record.info()).expect("the session has begun");
        assert!(info.unacknowledged);
        me.sessions.entry(*info.base_key.as_bytes()).or_default().see(bundle.signed_prekey.key);
        self.ends.insert(*info.base_key.as_bytes(), [self.sides[0].installation, self.sides[1].installation]);
        self.rng = rng;
    }

    fn send(&mut self, side: usize, size: u8) {
        self.sent += 1;
        let text = [&self.sent.to_be_bytes()[..], &vec![size; usize::from(size) / 4]].concat();
        let (me, peer) = self.pair(side);
        let before = me.record(&peer.party);
        let address = peer.party.address.clone();
        let sent = encrypt(&mut me.party.store, &address, &text, TrustPolicy::Accept);
        let Some(info) = before.and_then(|record| record.info()) else {
            assert!(sent.is_err(), "encrypted without a session");
            return;
        };
        let message = sent.expect("there is a session");
        assert_eq!(message.kind == CiphertextKind::PreKey, info.unacknowledged);
        let ratchet = ratchet_of(message.kind, &message.bytes).expect("the own message is whole");
        let (kind, bytes, session) = (message.kind, message.bytes, info.base_key);
        self.flights.push(Flight { to: 1 - side, kind, bytes, text, session, ratchet, opened: false });
    }

    fn deliver(&mut self, index: usize) {
        let flight = self.flights[index].clone();
        let (must_open, opened) = self.arrive(&flight, &flight.bytes);
        match &opened {
            Ok(()) => assert!(must_open, "opened what cannot be opened"),
            Err(error) => assert!(!must_open, "did not open: {error}"),
        }
        if let (Err(error), true) = (&opened, flight.opened) {
            let (me, _) = self.pair(flight.to);
            let kept = me.sessions.get(flight.session.as_bytes());
            if kept.is_some_and(|known| known.chains.contains(&flight.ratchet)) {
                assert!(matches!(error, DecryptError::Duplicate { .. }), "a repeat is {error}");
            }
        }
        self.flights[index].opened |= opened.is_ok();
    }

    fn deliver_damaged(&mut self, index: usize, script: &mut Input<'_>) {
        let flight = self.flights[index].clone();
        let mut bytes = flight.bytes.clone();
        damage(&mut bytes, script);
        let (may_open, opened) = self.arrive(&flight, &bytes);
        if opened.is_ok() {
            assert!(may_open, "opened what cannot be opened");
            assert!(same_where_it_counts(&flight, &bytes), "a changed message opened");
            self.flights[index].opened = true;
        }
    }

    /// Hands bytes to the receiver of a flight. Says whether the flight itself can open there.
    fn arrive(&mut self, flight: &Flight, bytes: &[u8]) -> (bool, Result<(), DecryptError>) {
        let mut rng = self.rng.clone();
        let written_for = self.ends[flight.session.as_bytes()][flight.to];
        let (me, peer) = self.pair(flight.to);
        let from = peer.party.address.clone();
        let known = me.sessions.get(flight.session.as_bytes());
        let can_open = !flight.opened
            && written_for == me.installation
            && known.map_or(flight.kind == CiphertextKind::PreKey, |known| known.can_open(&flight.ratchet));
        let is_new = known.is_none();
        let before = me.party.state(&from);
        let opened = decrypt(&mut me.party.store, &from, flight.kind, bytes, TrustPolicy::Accept, &mut rng);
        let outcome = match opened {
            Err(error) => {
                assert_eq!(me.party.state(&from), before, "a refusal left a trace");
                Err(error)
            }
            Ok(opened) => {
                assert_eq!(opened.plaintext, flight.text);
                assert!(is_new || opened.used_prekey.is_none(), "a prekey was used in an old session");
                let now =
                    me.record(&peer.party).and_then(|record| record.info()).expect("it opened in a session");
                assert_eq!(now.base_key, flight.session, "the session that opened is the current one");
                me.sessions.entry(*flight.session.as_bytes()).or_default().see(flight.ratchet);
                Ok(())
            }
        };
        self.rng = rng;
        (can_open, outcome)
    }

    fn archive(&mut self, side: usize) {
        let (me, peer) = self.pair(side);
        let Some(mut record) = me.record(&peer.party) else { return };
        record.archive_current();
        me.party.store.save_session(&peer.party.address, &record).expect("memory does not fail");
    }

    fn restart(&mut self, side: usize) {
        let (me, peer) = self.pair(side);
        let Some(record) = me.record(&peer.party) else { return };
        let stored = record.to_bytes();
        let again = SessionRecord::from_bytes(&stored).expect("a record that was written reads");
        assert_eq!(again.to_bytes(), stored);
        assert_eq!(again.info(), record.info());
        me.party.store.save_session(&peer.party.address, &again).expect("memory does not fail");
    }

    /// New identity, new prekeys, no sessions.
    fn reinstall(&mut self, side: usize) {
        let mut rng = self.rng.clone();
        let (me, _) = self.pair(side);
        me.next_prekey += 1_000;
        let name = me.party.address.name.clone();
        me.party = Party::new(&name, me.next_prekey, &mut rng);
        me.next_prekey += 1_000;
        me.installation += 1;
        me.sessions.clear();
        assert!(me.party.store.identity_key().is_ok());
        self.rng = rng;
    }
}

fn ratchet_of(kind: CiphertextKind, bytes: &[u8]) -> Option<PublicKey> {
    match kind {
        CiphertextKind::Message => SignalMessage::parse(bytes).ok().map(|message| *message.ratchet_key()),
        CiphertextKind::PreKey => {
            PreKeySignalMessage::parse(bytes).ok().map(|message| *message.message.ratchet_key())
        }
    }
}

/// Whether a changed message says the same in all that is authenticated: of a `pkmsg` the inner message and the keys.
fn same_where_it_counts(flight: &Flight, bytes: &[u8]) -> bool {
    if flight.kind == CiphertextKind::Message {
        return flight.bytes == bytes;
    }
    match (PreKeySignalMessage::parse(&flight.bytes), PreKeySignalMessage::parse(bytes)) {
        (Ok(one), Ok(other)) => {
            one.message_bytes == other.message_bytes
                && one.base_key == other.base_key
                && one.identity == other.identity
        }
        _ => false,
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // begin = 0, send = 2, deliver = 12, first = 20, lose = 22, damage = 24, archive = 26, restart = 28, new = 30; + side.
    let talk = [1, 0, 1, 2, 5, 2, 6, 12, 0, 3, 9, 12, 2, 2, 1, 12, 1, 12, 1, 28, 29];
    let crossed = [2, 0, 1, 1, 1, 2, 4, 3, 4, 12, 0, 12, 1, 2, 1, 3, 1, 12, 2, 12, 3];
    let archived = [3, 0, 1, 2, 1, 12, 0, 26, 3, 4, 12, 1, 2, 4, 27, 12, 1, 0, 0, 2, 4, 12, 2];
    let damaged = [4, 0, 1, 2, 9, 24, 0, 0, 0, 0, 40, 1, 2, 3, 24, 0, 0, 0, 0, 3, 8, 12, 0];
    let anew = [5, 0, 1, 2, 1, 12, 0, 31, 0, 2, 3, 12, 1, 1, 1, 3, 2, 12, 2, 0, 1, 2, 4, 12, 3];
    let mut turns = vec![6, 0, 1];
    for turn in 0..8 {
        turns.extend([2, 3, 2, 4, 12, turn * 4, 3, 3, 3, 4, 12, turn * 4 + 2]);
    }
    vec![talk.to_vec(), crossed.to_vec(), archived.to_vec(), damaged.to_vec(), anew.to_vec(), turns]
}

//! Random transactions on both backends: what one shows, the other shows.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "tests")]

use landbridge_curve::PrivateKey;
use landbridge_store::{
    BlockChange, ClientStore, InboxMessage, MemoryStore, MessageKey, OutboxMessage, OwedAnswer, OwedClass,
    Progress, Recrypt, Relation, RelationKind, Sighting, SqliteStore, StoreTx, Target,
};
use proptest::prelude::*;

/// One call; small numbers, so that calls meet.
#[derive(Clone, Debug)]
enum Op {
    Store { id: u8, t: u64 },
    Fail { id: u8, count: u32 },
    CountRetry { id: u8 },
    Confirm { seq: u64 },
    ForgetInbox { before: u64 },
    Enqueue { id: u8, created_at: u64 },
    Advance { id: u8, to: u8, at: u64 },
    Replace { id: u8, retry: bool },
    ForgetOutbox { before: u64 },
    AddPreKeys { count: u8 },
    StartPreKeys { id: u32 },
    UsePreKey { id: u32 },
    Uploaded { id: u32 },
    PruneOneTime { keep: usize },
    Owe { id: u8, class: u8 },
    Settle { seq: u64 },
    SetAside { seq: u64, target: u8, most: usize },
    Release { seq: u64 },
    Discard { seq: u64 },
    DiscardWaiting { before: u64 },
    Relate { target: u8, own: bool, kind: u8, by: Option<u8>, id: u8, at_ms: i64 },
    Block { jid: u8, block: bool },
    ReplaceBlocklist { jids: Vec<u8> },
    Identity { peer: u8, new: Option<u8>, at: u64 },
    ConfirmIdentity { seq: u64 },
}

fn target(id: u8, own: bool) -> Target {
    if own { Target::own(PEER, id.to_string()) } else { Target::theirs(PEER, id.to_string()) }
}

fn op() -> impl Strategy<Value = Op> {
    let id = || 0..6_u8;
    let t = || 0..100_u64;
    let prekey = || prop_oneof![1..12_u32, 0xff_fff8..=0xff_ffff_u32];
    prop_oneof![
        (id(), t()).prop_map(|(id, t)| Op::Store { id, t }),
        (id(), 0..5_u32).prop_map(|(id, count)| Op::Fail { id, count }),
        id().prop_map(|id| Op::CountRetry { id }),
        (0..8_u64).prop_map(|seq| Op::Confirm { seq }),
        t().prop_map(|before| Op::ForgetInbox { before }),
        (id(), t()).prop_map(|(id, created_at)| Op::Enqueue { id, created_at }),
        (id(), 0..5_u8, t()).prop_map(|(id, to, at)| Op::Advance { id, to, at }),
        (id(), any::<bool>()).prop_map(|(id, retry)| Op::Replace { id, retry }),
        t().prop_map(|before| Op::ForgetOutbox { before }),
        (0..5_u8).prop_map(|count| Op::AddPreKeys { count }),
        prekey().prop_map(|id| Op::StartPreKeys { id }),
        prekey().prop_map(|id| Op::UsePreKey { id }),
        prekey().prop_map(|id| Op::Uploaded { id }),
        (0..6_usize).prop_map(|keep| Op::PruneOneTime { keep }),
        (id(), 0..5_u8).prop_map(|(id, class)| Op::Owe { id, class }),
        (0..8_u64).prop_map(|seq| Op::Settle { seq }),
        ((0..8_u64), id(), 0..4_usize).prop_map(|(seq, target, most)| Op::SetAside { seq, target, most }),
        (0..8_u64).prop_map(|seq| Op::Release { seq }),
        (0..8_u64).prop_map(|seq| Op::Discard { seq }),
        t().prop_map(|before| Op::DiscardWaiting { before }),
        (id(), any::<bool>(), 0..3_u8, any::<bool>(), id(), -2..3_i64).prop_map(
            |(target, own, kind, by_peer, id, at_ms)| {
                Op::Relate { target, own, kind, by: by_peer.then_some(id), id, at_ms }
            }
        ),
        (id(), any::<bool>()).prop_map(|(jid, block)| Op::Block { jid, block }),
        prop::collection::vec(id(), 0..4).prop_map(|jids| Op::ReplaceBlocklist { jids }),
        (0..3_u8, prop::option::of(0..3_u8), t()).prop_map(|(peer, new, at)| Op::Identity { peer, new, at }),
        (0..8_u64).prop_map(|seq| Op::ConfirmIdentity { seq }),
    ]
}

fn key(id: u8) -> MessageKey {
    MessageKey::direct("peer@s.whatsapp.net", id.to_string())
}

const PEER: &str = "peer@s.whatsapp.net";

fn unconfirmed(tx: &dyn StoreTx, seq: u64) -> bool {
    let first = tx.unconfirmed(seq.saturating_sub(1), 1).unwrap();
    first.first().is_some_and(|entry| entry.seq == seq && !entry.message.plaintext.is_empty())
}

/// Performs one call and gives its answer as text.
fn perform(tx: &mut dyn StoreTx, op: &Op) -> String {
    let prekey = |id: u32| landbridge_signal::PreKeyId::new(id).unwrap();
    match op.clone() {
        Op::Store { id, t } => {
            let message =
                InboxMessage { key: key(id), t, kind: "text".into(), plaintext: vec![id], notify: None };
            format!("{:?}", tx.store_message(&message))
        }
        // Never called for a message that is stored: so says the contract.
        Op::Fail { id, .. } if tx.message(&key(id)).unwrap().is_some() => String::new(),
        Op::Fail { id, count } => {
            format!("{:?}", tx.record_failure(&key(id), 5, count, &format!("copy {count}")))
        }
        Op::CountRetry { id } => format!("{:?}", tx.count_retry(&key(id))),
        Op::Confirm { seq } => format!("{:?}", tx.confirm(seq)),
        Op::ForgetInbox { before } => format!("{:?}", tx.forget_content(before)),
        Op::Enqueue { id, created_at } => {
            let message = OutboxMessage {
                id: id.to_string(),
                recipient: PEER.into(),
                kind: "text".into(),
                plaintext: vec![id],
                stanza: vec![id, id],
                created_at,
            };
            format!("{:?}", tx.enqueue(&message))
        }
        Op::Advance { id, to, at } => {
            let reports = [
                Progress::Sent,
                Progress::Delivered,
                Progress::Read,
                Progress::Played,
                Progress::Failed { reason: "no" },
            ];
            format!("{:?}", tx.advance(PEER, &id.to_string(), reports[usize::from(to)], at))
        }
        Op::Replace { id, retry } => {
            let why = if retry { Recrypt::Retry } else { Recrypt::NewIdentity };
            format!("{:?}", tx.replace_stanza(PEER, &id.to_string(), b"anew", why))
        }
        Op::ForgetOutbox { before } => format!("{:?}", tx.forget_sent_content(before)),
        Op::AddPreKeys { count } => {
            let keys: Vec<_> = (0..count).map(|n| PrivateKey::from_bytes([n; 32])).collect();
            format!("{:?}", tx.add_prekeys(&keys))
        }
        Op::StartPreKeys { id } => format!("{:?}", tx.start_prekeys_at(prekey(id))),
        Op::UsePreKey { id } => format!("{:?}", tx.remove_prekey(prekey(id))),
        Op::Uploaded { id } => format!("{:?}", tx.mark_uploaded(&[prekey(id)])),
        Op::PruneOneTime { keep } => format!("{:?}", tx.prune_prekeys(keep)),
        Op::Owe { id, class } => {
            let class = OwedClass::from_code(class).unwrap();
            let answer = OwedAnswer {
                class,
                to: PEER.into(),
                participant: None,
                id: id.to_string(),
                stanza: vec![id],
            };
            format!("{:?}", tx.owe(&answer).map(drop))
        }
        Op::Settle { seq } => {
            // By place in the list: the numbers themselves may differ between backends.
            let owed = tx.owed(100).unwrap();
            let seqs: Vec<_> =
                owed.iter().skip(usize::try_from(seq).unwrap()).take(1).map(|entry| entry.seq).collect();
            format!("{:?}", tx.settle(&seqs))
        }
        // A message that has done something already does nothing else: so says the receiving path.
        Op::SetAside { seq, target, most } => match unconfirmed(tx, seq) {
            true => format!("{:?}", tx.set_aside(seq, &target.to_string(), most)),
            false => String::new(),
        },
        Op::Release { seq } => format!("{:?}", tx.release(seq)),
        Op::Discard { seq } => match unconfirmed(tx, seq) {
            true => format!("{:?}", tx.discard(seq)),
            false => String::new(),
        },
        Op::DiscardWaiting { before } => format!("{:?}", tx.discard_waiting(before)),
        Op::Relate { by: Some(by), .. } if tx.relation_of(&key(by)).unwrap().is_some() => String::new(),
        Op::Relate { target: on, own, kind, by, id, at_ms } => {
            let relation = Relation {
                target: target(on, own),
                kind: RelationKind::from_code(kind).unwrap(),
                sender: by.map(|_| PEER.to_owned()),
                id: id.to_string(),
                at_ms,
                t: 50,
                content: vec![id],
            };
            format!("{:?}", tx.relate(&relation))
        }
        Op::Block { jid, block } => {
            let change = if block { BlockChange::Block } else { BlockChange::Unblock };
            format!("{:?}", tx.change_block(&jid.to_string(), change, block.then_some("hash")))
        }
        Op::ReplaceBlocklist { jids } => {
            let jids: Vec<_> = jids.iter().map(u8::to_string).collect();
            format!("{:?}", tx.replace_blocklist(&jids, None))
        }
        Op::Identity { peer, new, at } => {
            let new = new.map(|seed| PrivateKey::from_bytes([seed; 32]).public());
            let notification = format!("n{}", at % 4);
            let sighting = new.as_ref().map_or(Sighting::Notification(&notification), Sighting::Key);
            format!("{:?}", tx.note_identity_change(&peer.to_string(), None, sighting, at))
        }
        Op::ConfirmIdentity { seq } => format!("{:?}", tx.confirm_identity_change(seq)),
    }
}

/// Everything that the two must agree on.
fn picture(tx: &mut dyn StoreTx) -> String {
    let seen: Vec<_> = (0..6).map(|id| tx.seen(&key(id)).unwrap()).collect();
    let inbox: Vec<_> = (0..6).map(|id| tx.message(&key(id)).unwrap()).collect();
    let outbox: Vec<_> = (0..6).map(|id: u8| tx.outgoing(PEER, &id.to_string()).unwrap()).collect();
    let prekeys: Vec<_> =
        tx.prekeys_to_upload(1000).unwrap().into_iter().map(|key| (key.id, *key.key.as_bytes())).collect();
    let waiting: Vec<_> = (0..6).map(|id: u8| tx.waiting(PEER, &id.to_string()).unwrap()).collect();
    let both = [false, true].into_iter().flat_map(|own| (0..6).map(move |id| target(id, own)));
    let relations: Vec<_> = both.map(|target| tx.relations(&target).unwrap()).collect();
    let done: Vec<_> = (0..6).map(|id| tx.relation_of(&key(id)).unwrap()).collect();
    let owed: Vec<_> = tx.owed(1000).unwrap().into_iter().map(|entry| entry.answer).collect();
    format!(
        "{seen:?}\n{inbox:?}\n{outbox:?}\n{prekeys:?}\n{owed:?}\n{waiting:?}\n{relations:?}\n{done:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        tx.unconfirmed(0, 1000).unwrap(),
        tx.pending(0, 1000).unwrap(),
        tx.prekey_counts().unwrap(),
        tx.blocked().unwrap(),
        tx.blocklist_hash().unwrap(),
        tx.unconfirmed_identity_changes(1000).unwrap(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn backends_agree(transactions in prop::collection::vec((prop::collection::vec(op(), 1..12), any::<bool>()), 1..12)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client.db");
        let mut sqlite = SqliteStore::open(&path).unwrap();
        let mut memory = MemoryStore::new();
        for (number, (ops, commit)) in transactions.iter().enumerate() {
            let mut pair = [sqlite.begin().unwrap(), memory.begin().unwrap()];
            for op in ops {
                let answers = pair.each_mut().map(|tx| perform(&mut **tx, op));
                prop_assert_eq!(&answers[0], &answers[1], "{:?}", op);
            }
            let pictures = pair.each_mut().map(|tx| picture(&mut **tx));
            prop_assert_eq!(&pictures[0], &pictures[1]);
            for tx in pair {
                if *commit {
                    tx.commit().unwrap();
                }
            }
            if number % 3 == 2 {
                drop(sqlite);
                sqlite = SqliteStore::open(&path).unwrap();
            }
            let after = [picture(&mut *sqlite.begin().unwrap()), picture(&mut *memory.begin().unwrap())];
            prop_assert_eq!(&after[0], &after[1]);
        }
        sqlite.verify().unwrap();
    }
}

//! One suite for every backend.
//!
//! Each case takes an empty store and panics with a message where the store breaks the contract. [`store_conformance!`](crate::store_conformance)
//! makes a `#[test]` of each:
//!
//! ```
//! landbridge_store::store_conformance!(landbridge_store::MemoryStore::new());
//! ```
//!
//! The argument is evaluated once per case and gives something that implements [`ClientStore`].
//! What a suite cannot see from inside one process (survival of a kill, a second opener) is up to the backend's own tests.
#![expect(clippy::expect_used, reason = "a test suite reports by panicking")]

mod account;
mod inbox;
mod keys;
mod lineage;
mod lists;
mod outbox;
mod peers;
mod relations;
mod trail;
mod uploads;

use landbridge_curve::PrivateKey;
use landbridge_signal::{IdentityKeyPair, SignedPreKey, SignedPreKeyId};

use crate::{
    Account, BlockChange, ClientStore, Enlistment, Fact, HeldRetry, InboxMessage, MessageKey, OutboxMessage,
    OwedAnswer, OwedClass, PeerRecord, Relation, RelationKind, Sighting, StoreTx, Target, Upload,
};

pub use account::{
    account_is_never_overwritten, enlistment_moves, facts_round_trip, wiping_leaves_history_only,
};
pub use inbox::{
    content_can_be_forgotten, messages_are_stored_once, unconfirmed_come_in_order,
    undecryptable_copies_are_counted_once,
};
pub use keys::{
    handed_out_prekeys_are_pruned_oldest_first, lost_upload_offers_the_same_keys,
    prekey_ids_wrap_and_skip_stored_ones, sessions_and_identities_round_trip, signed_prekeys_keep_old_halves,
    used_prekeys_are_gone,
};
pub use lineage::{lineage_is_kept, renewal_leaves_nothing_to_use_twice, taking_back_renews};
pub use lists::{
    blocklist_follows_the_server, identity_changes_make_one_notice, owed_answers_keep_their_order,
};
pub use outbox::{
    outbox_keeps_order, resend_sends_the_same_bytes, sent_content_can_be_forgotten,
    states_end_the_same_in_any_order,
};
pub use peers::{held_retries_wait, peers_are_remembered, unsealed_messages_are_known};

pub use relations::{
    messages_wait_for_their_target, only_the_newest_relation_counts, revokes_wipe_their_target,
};
pub use trail::{steps_come_back_in_order, the_trail_is_bounded};
pub use uploads::{failed_uploads_are_failed_messages, uploads_keep_order, uploads_share_ids_with_messages};

/// Makes a `#[test]` of each case of the [suite](crate::conformance); the argument gives an empty store.
#[macro_export]
macro_rules! store_conformance {
    ($empty:expr) => {
        $crate::store_conformance! { @cases $empty =>
            dropped_transaction_leaves_no_trace committed_transaction_is_whole
            account_is_never_overwritten enlistment_moves wiping_leaves_history_only facts_round_trip
            prekey_ids_wrap_and_skip_stored_ones lost_upload_offers_the_same_keys used_prekeys_are_gone handed_out_prekeys_are_pruned_oldest_first
            signed_prekeys_keep_old_halves sessions_and_identities_round_trip
            messages_are_stored_once unconfirmed_come_in_order undecryptable_copies_are_counted_once content_can_be_forgotten
            outbox_keeps_order states_end_the_same_in_any_order resend_sends_the_same_bytes sent_content_can_be_forgotten
            messages_wait_for_their_target only_the_newest_relation_counts revokes_wipe_their_target
            owed_answers_keep_their_order blocklist_follows_the_server identity_changes_make_one_notice
            peers_are_remembered held_retries_wait unsealed_messages_are_known
            lineage_is_kept renewal_leaves_nothing_to_use_twice taking_back_renews
            steps_come_back_in_order the_trail_is_bounded
            uploads_keep_order uploads_share_ids_with_messages failed_uploads_are_failed_messages
        }
    };
    (@cases $empty:expr => $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::$case(&mut $empty);
            }
        )*
    };
}

/// A transaction that is dropped changes nothing that any trait shows.
pub fn dropped_transaction_leaves_no_trace(store: &mut dyn ClientStore) {
    let before = picture(&mut *begin(store));
    fill(&mut *begin(store));
    assert_eq!(picture(&mut *begin(store)), before, "a dropped transaction left something behind");

    // The same on top of rows that exist: changes and deletions must come back too.
    commit(store, fill);
    let before = picture(&mut *begin(store));
    change(&mut *begin(store));
    assert_eq!(picture(&mut *begin(store)), before, "a dropped transaction changed something");
    begin(store).wipe_keys(9).expect("wipe");
    assert_eq!(picture(&mut *begin(store)), before, "a dropped transaction deleted something");
}

/// What a transaction wrote is there after its commit, all of it.
pub fn committed_transaction_is_whole(store: &mut dyn ClientStore) {
    let mut tx = begin(store);
    fill(&mut *tx);
    let inside = picture(&mut *tx);
    tx.commit().expect("commit");
    assert_eq!(picture(&mut *begin(store)), inside, "the store differs from what the transaction saw");
    commit(store, change);
    assert_ne!(picture(&mut *begin(store)), inside, "a committed change is not there");
}

fn begin(store: &mut dyn ClientStore) -> Box<dyn StoreTx + '_> {
    store.begin().expect("begin")
}

fn commit<T>(store: &mut dyn ClientStore, work: impl FnOnce(&mut dyn StoreTx) -> T) -> T {
    let mut tx = begin(store);
    let result = work(&mut *tx);
    tx.commit().expect("commit");
    result
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_bytes([seed; 32])
}

fn sample_account() -> Account {
    Account {
        identity: IdentityKeyPair::from_private(key(1)),
        registration_id: 16380,
        noise_static: key(2),
        integrator: 1,
        identifier: "ünïcode 👋".into(),
        enlistment: Enlistment::Prepared,
    }
}

fn signed(id: u32) -> SignedPreKey {
    let id = SignedPreKeyId::new(id).expect("id");
    SignedPreKey { id, key: key(u8::try_from(id.get() % 200).expect("small")), signature: [7; 64] }
}

fn peer() -> String {
    "14155551001@s.whatsapp.net".into()
}

fn incoming(id: &str) -> InboxMessage {
    let key = MessageKey::direct(peer(), id);
    InboxMessage {
        key,
        t: 100,
        kind: "text".into(),
        plaintext: b"\x0a\x02hi".to_vec(),
        notify: Some("Bob".into()),
    }
}

fn outgoing(id: &str) -> OutboxMessage {
    OutboxMessage {
        id: id.into(),
        recipient: peer(),
        kind: "text".into(),
        plaintext: b"\x0a\x02yo".to_vec(),
        stanza: format!("stanza {id}").into_bytes(),
        created_at: 100,
    }
}

fn upload(id: &str) -> Upload {
    Upload {
        id: id.into(),
        recipient: peer(),
        kind: "media".into(),
        content: b"a file's message".to_vec(),
        spool: format!("spool of {id}"),
        length: 1_034,
        sha256: [8; 32],
        place: None,
        created_at: 100,
    }
}

/// A relation of the peer, brought by the message `id`.
fn relation(target: Target, kind: RelationKind, id: &str, at_ms: i64) -> Relation {
    let content = format!("content of {id}").into_bytes();
    Relation { target, kind, sender: Some(peer()), id: id.into(), at_ms, t: 100, content }
}

fn receipt(id: &str) -> OwedAnswer {
    OwedAnswer {
        class: OwedClass::Delivery,
        to: peer(),
        participant: None,
        id: id.into(),
        stanza: b"receipt".to_vec(),
    }
}

const FACT: Fact = Fact::new("conformance.fact");

/// Writes something through every trait.
fn fill(tx: &mut dyn StoreTx) {
    tx.create_account(&sample_account()).expect("account");
    tx.set_fact(FACT, Some(b"value")).expect("fact");
    tx.add_prekeys(&[key(10), key(11), key(12)]).expect("prekeys");
    tx.add_signed_prekey(&signed(1), 50).expect("signed prekey");
    let address = keys::address();
    tx.save_session(&address, &landbridge_signal::SessionRecord::default()).expect("session");
    tx.save_remote_identity(&address, &key(3).public()).expect("identity");
    tx.approve_identity(&address, &key(3).public()).expect("approval");
    tx.store_message(&incoming("in-1")).expect("message");
    tx.record_failure(&MessageKey::direct(peer(), "bad-1"), 100, 0, "no session").expect("failure");
    tx.store_message(&incoming("waits")).expect("message");
    tx.set_aside(2, "later", 9).expect("set aside");
    tx.enqueue(&outgoing("out-1")).expect("enqueue");
    tx.begin_upload(&upload("file-1")).expect("upload");
    tx.begin_upload(&upload("file-2")).expect("upload");
    tx.relate(&relation(Target::own(peer(), "out-1"), RelationKind::Reaction, "r-1", 1)).expect("relate");
    tx.owe(&receipt("in-1")).expect("owe");
    tx.change_block("491701234567@s.whatsapp.net", BlockChange::Block, Some("hash-1")).expect("block");
    tx.note_identity_change(&peer(), None, Sighting::Key(&key(3).public()), 100).expect("identity event");
    let verified = PeerRecord { verified: Some(key(3).public()), ..PeerRecord::default() };
    tx.set_peer(&peer(), &verified).expect("peer");
    tx.hold_retry(&peer(), &HeldRetry { id: "out-1".into(), count: 1, t: 100 }).expect("retry");
    tx.note(&peer(), "out-1", 100, &crate::TrailStep::Queued).expect("trail");
}

/// Changes or deletes what [`fill`] wrote.
fn change(tx: &mut dyn StoreTx) {
    tx.set_enlistment(&Enlistment::Enlisted { login: "1-7@interop".into(), at: 101 }).expect("enlistment");
    tx.set_fact(FACT, None).expect("fact");
    let first = tx.prekeys_to_upload(1).expect("prekeys")[0].id;
    tx.remove_prekey(first).expect("prekey");
    tx.prune_prekeys(1).expect("prune");
    tx.mark_signed_uploaded(SignedPreKeyId::new(1).expect("id")).expect("signed prekey");
    tx.add_signed_prekey(&signed(2), 60).expect("signed prekey");
    let address = keys::address();
    tx.delete_session(&address).expect("session");
    tx.save_remote_identity(&address, &key(4).public()).expect("identity");
    tx.store_message(&incoming("bad-1")).expect("message");
    tx.confirm(1).expect("confirm");
    tx.release(2).expect("release");
    tx.relate(&relation(Target::own(peer(), "out-1"), RelationKind::Reaction, "r-2", 2)).expect("relate");
    tx.relate(&relation(Target::theirs(peer(), "in-1"), RelationKind::Revoke, "r-3", 2)).expect("relate");
    tx.advance(&peer(), "out-1", crate::Progress::Read, 102).expect("advance");
    tx.note_place(&peer(), "file-1", "there").expect("place");
    tx.fail_upload(&peer(), "file-2", "given up", 102).expect("fail");
    tx.owe(&receipt("bad-1")).expect("owe");
    tx.settle(&[1]).expect("settle");
    tx.replace_blocklist(&[], None).expect("blocklist");
    tx.note_identity_change(&peer(), None, Sighting::Key(&key(4).public()), 102).expect("identity event");
    tx.confirm_identity_change(1).expect("confirm");
    let held =
        PeerRecord { was_verified: Some(key(3).public()), held_since: Some(102), ..PeerRecord::default() };
    tx.set_peer(&peer(), &held).expect("peer");
    tx.settle_retry(&peer(), "out-1").expect("retry");
    tx.note(&peer(), "out-1", 102, &crate::TrailStep::Acked).expect("trail");
}

/// Everything that the traits show, as text.
fn picture(tx: &mut dyn StoreTx) -> String {
    let address = keys::address();
    let account = tx.account().expect("account").map(|account| (account.identifier, account.enlistment));
    let prekeys: Vec<_> = tx.prekeys_to_upload(100).expect("prekeys").into_iter().map(|key| key.id).collect();
    let signed: Vec<_> = tx
        .signed_prekeys()
        .expect("signed prekeys")
        .into_iter()
        .map(|entry| (entry.key.id, entry.uploaded))
        .collect();
    format!(
        "{account:?} {:?} {prekeys:?} {:?} {signed:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        tx.fact(FACT).expect("fact"),
        tx.prekey_counts().expect("counts"),
        tx.load_session(&address).expect("session").is_some(),
        tx.remote_identity(&address).expect("identity"),
        tx.approved_identity(&address).expect("approval"),
        tx.unconfirmed(0, 100).expect("inbox"),
        tx.message(&incoming("in-1").key).expect("message"),
        tx.seen(&MessageKey::direct(peer(), "bad-1")).expect("seen"),
        tx.waiting(&peer(), "later").expect("waiting"),
        tx.relations(&Target::own(peer(), "out-1")).expect("relations"),
        tx.relations(&Target::theirs(peer(), "in-1")).expect("relations"),
        tx.pending(0, 100).expect("outbox"),
        tx.outgoing(&peer(), "out-1").expect("outgoing"),
        tx.uploads(0, 100).expect("uploads"),
        tx.upload(&peer(), "file-1").expect("upload"),
        tx.owed(100).expect("owed"),
        tx.blocked().expect("blocklist"),
        tx.blocklist_hash().expect("hash"),
        tx.unconfirmed_identity_changes(100).expect("identity events"),
        tx.next_signed_prekey_id().expect("next id"),
        tx.peers().expect("peers"),
        tx.held_retries(&peer(), 100).expect("held retries"),
        tx.trail("out-1").expect("trail"),
    )
}

//! Account, enlistment, facts.

use super::{FACT, begin, change, commit, fill, incoming, key, keys, outgoing, peer, sample_account};
use crate::{ClientStore, Enlistment, Fact, OutState, Seen, StoreError};

/// Keys once stored are not overwritten, and come back as they were.
pub fn account_is_never_overwritten(store: &mut dyn ClientStore) {
    assert!(begin(store).account().expect("account").is_none(), "an empty store has an account");
    assert!(begin(store).identity_key().is_err(), "an empty store has an identity");
    assert!(begin(store).registration_id().is_err(), "an empty store has a registration id");
    commit(store, |tx| tx.create_account(&sample_account()).expect("create"));
    let refused = begin(store).create_account(&sample_account());
    assert!(matches!(refused, Err(StoreError::AccountExists)), "a second account: {refused:?}");

    let tx = begin(store);
    let (stored, sample) = (tx.account().expect("account").expect("stored"), sample_account());
    assert_eq!(stored.identity.private().as_bytes(), sample.identity.private().as_bytes());
    assert_eq!(stored.identity.public(), sample.identity.public());
    assert_eq!(stored.noise_static.as_bytes(), key(2).as_bytes());
    assert_eq!((stored.registration_id, stored.integrator), (sample.registration_id, sample.integrator));
    assert_eq!(stored.identifier, sample.identifier);
    assert_eq!(tx.identity_key().expect("identity").public(), sample.identity.public());
    assert_eq!(tx.registration_id().expect("registration id"), sample.registration_id);
}

/// Every stage of enlistment is kept with login and time.
pub fn enlistment_moves(store: &mut dyn ClientStore) {
    let refused = begin(store).set_enlistment(&Enlistment::Prepared);
    assert!(matches!(refused, Err(StoreError::NoAccount)), "no account: {refused:?}");
    commit(store, |tx| tx.create_account(&sample_account()).expect("create"));
    let login = || "1-10853634039893@interop".to_owned();
    for stage in [
        Enlistment::Enlisted { login: login(), at: 1 },
        Enlistment::Lapsed { login: login(), at: 2 },
        Enlistment::Deleting { login: login(), at: 3 },
        Enlistment::Prepared,
    ] {
        commit(store, |tx| tx.set_enlistment(&stage).expect("set"));
        let stored = begin(store).account().expect("account").expect("stored").enlistment;
        assert_eq!(stored, stage);
    }
}

/// After a wipe no key is left, messages are, and a new account can be made.
pub fn wiping_leaves_history_only(store: &mut dyn ClientStore) {
    commit(store, |tx| {
        fill(tx);
        change(tx);
        tx.enqueue(&outgoing("waiting")).expect("enqueue");
        tx.wipe_keys(500).expect("wipe");
    });
    let tx = begin(store);
    assert!(tx.account().expect("account").is_none());
    assert!(tx.identity_key().is_err());
    assert!(tx.load_session(&keys::address()).expect("session").is_none());
    assert!(tx.remote_identity(&keys::address()).expect("identity").is_none());
    assert!(tx.approved_identity(&keys::address()).expect("approval").is_none());
    assert_eq!(tx.prekey_counts().expect("counts").stored, 0);
    assert!(tx.signed_prekeys().expect("signed prekeys").is_empty());
    assert!(tx.owed(10).expect("owed").is_empty());
    assert!(tx.blocked().expect("blocklist").is_empty());
    assert!(tx.peers().expect("peers").is_empty());
    assert!(tx.peers_with_held_retries().expect("retries").is_empty());
    assert!(tx.fact(FACT).expect("fact").is_none());
    assert_eq!(tx.seen(&incoming("in-1").key).expect("seen"), Seen::Stored);
    let waiting = tx.outgoing(&peer(), "waiting").expect("outgoing").expect("kept");
    assert_eq!((waiting.state, waiting.times.failed), (OutState::Failed, Some(500)));
    assert!(waiting.failure.is_some());
    assert!(tx.pending(0, 10).expect("pending").is_empty());
    drop(tx);
    commit(store, |tx| tx.create_account(&sample_account()).expect("a new account"));
}

/// Facts are set, replaced and forgotten one by one.
pub fn facts_round_trip(store: &mut dyn ClientStore) {
    commit(store, |tx| {
        tx.set_fact(Fact::ROUTING_INFO, Some(&[0, 255, 1])).expect("set");
        tx.set_fact(Fact::LOGIN_COUNT, Some(b"")).expect("set");
        tx.set_fact(Fact::ROUTING_INFO, Some(&[2])).expect("replace");
        tx.set_fact(Fact::CLOCK_OFFSET, None).expect("forget what is not there");
    });
    let tx = begin(store);
    assert_eq!(tx.fact(Fact::ROUTING_INFO).expect("fact"), Some(vec![2]));
    assert_eq!(tx.fact(Fact::LOGIN_COUNT).expect("fact"), Some(vec![]), "an empty value is a value");
    assert_eq!(tx.fact(Fact::CLOCK_OFFSET).expect("fact"), None);
}

//! A record that may be older than what was sent with it encrypts nothing twice, and still opens what comes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use landbridge_signal::{
    Address, Ciphertext, EncryptError, IdentityKeyPair, MemorySignalStore, PreKeyBundle, SessionStore,
    SignedPreKey, SignedPreKeyId, TrustPolicy, decrypt, encrypt, process_bundle,
};

fn alice() -> Address {
    Address::new("alice", 0)
}

fn bob() -> Address {
    Address::new("bob", 0)
}

fn party() -> (MemorySignalStore, PreKeyBundle) {
    let mut rng = rand::rng();
    let identity = IdentityKeyPair::generate(&mut rng);
    let signed = SignedPreKey::generate(SignedPreKeyId::new(7).unwrap(), &identity, &mut rng);
    let mut store = MemorySignalStore::new(identity.clone(), 99);
    store.add_signed_prekey(signed.clone());
    let bundle = PreKeyBundle {
        registration_id: 99,
        identity: *identity.public(),
        signed_prekey: signed.public(),
        prekey: None,
    };
    (store, bundle)
}

fn seal(store: &mut MemorySignalStore, to: &Address, text: &str) -> Ciphertext {
    encrypt(store, to, text.as_bytes(), TrustPolicy::Accept).unwrap()
}

fn open(store: &mut MemorySignalStore, from: &Address, sealed: &Ciphertext) -> String {
    let opened =
        decrypt(store, from, sealed.kind, &sealed.bytes, TrustPolicy::Accept, &mut rand::rng()).unwrap();
    String::from_utf8(opened.plaintext).unwrap()
}

fn retire(store: &mut MemorySignalStore, peer: &Address) {
    let mut record = store.load_session(peer).unwrap().unwrap();
    record.retire().unwrap();
    // As it comes back from a disk.
    let record = landbridge_signal::SessionRecord::from_bytes(&record.to_bytes()).unwrap();
    store.save_session(peer, &record).unwrap();
}

#[test]
fn a_retired_session_opens_messages_and_is_sent_with_only_after_the_ratchet_has_turned() {
    let (mut a, _) = party();
    let (mut b, bundle) = party();
    let _ = process_bundle(&mut a, &bob(), &bundle, TrustPolicy::Accept, &mut rand::rng()).unwrap();
    let first = seal(&mut a, &bob(), "one");
    assert_eq!(open(&mut b, &alice(), &first), "one");
    let answers: Vec<_> = ["a", "b", "c"].iter().map(|text| seal(&mut b, &alice(), text)).collect();
    assert_eq!(open(&mut a, &bob(), &answers[0]), "a");

    // From here on Alice's state is put back by a message.
    let backup = a.clone();
    let lost = seal(&mut a, &bob(), "two");
    assert_eq!(open(&mut b, &alice(), &lost), "two");
    a = backup;
    retire(&mut a, &bob());
    assert!(matches!(
        encrypt(&mut a, &bob(), b"twice", TrustPolicy::Accept),
        Err(EncryptError::NoSession { .. })
    ));
    // Messages of the chain that is known open, in any order, and bring no way to send.
    for (sealed, text) in [(&answers[2], "c"), (&answers[1], "b")] {
        assert_eq!(open(&mut a, &bob(), sealed), text);
        let record = a.load_session(&bob()).unwrap().unwrap();
        assert_eq!((record.has_current(), record.archived()), (false, 1));
        assert!(encrypt(&mut a, &bob(), b"twice", TrustPolicy::Accept).is_err());
    }
    // Bob has turned his ratchet on the lost message, which Alice does not need to know to turn hers.
    let turned = seal(&mut b, &alice(), "d");
    assert_eq!(open(&mut a, &bob(), &turned), "d");
    let fresh = seal(&mut a, &bob(), "three");
    assert_eq!(open(&mut b, &alice(), &fresh), "three");
}

#[test]
fn a_retired_record_takes_a_new_session_beside_the_old_one() {
    let (mut a, _) = party();
    let (mut b, bundle) = party();
    for _ in 0..50 {
        let _ = process_bundle(&mut a, &bob(), &bundle, TrustPolicy::Accept, &mut rand::rng()).unwrap();
    }
    retire(&mut a, &bob());
    let record = a.load_session(&bob()).unwrap().unwrap();
    assert_eq!((record.has_current(), record.archived()), (false, 40));
    let _ = process_bundle(&mut a, &bob(), &bundle, TrustPolicy::Accept, &mut rand::rng()).unwrap();
    let sealed = seal(&mut a, &bob(), "anew");
    assert_eq!(open(&mut b, &alice(), &sealed), "anew");
    let answer = seal(&mut b, &alice(), "yes");
    assert_eq!(open(&mut a, &bob(), &answer), "yes");
}

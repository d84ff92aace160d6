//! The store's own past, and what is renewed when it is in doubt.

use landbridge_signal::{PreKeyBundle, SessionRecord, TrustPolicy};

use super::{begin, commit, incoming, key, keys, outgoing, peer, sample_account, signed};
use crate::keybook::KEY_ID_GAP;
use crate::{ClientStore, Lineage, Rollback, StoreError, StoreTx};

/// What a store knows of its past comes back as it was written.
pub fn lineage_is_kept(store: &mut dyn ClientStore) {
    let epoch = begin(store).lineage().expect("lineage").epoch;
    for rollback in [None, Some(None), Some(Some(9))] {
        let rollback = rollback.map(|expected| Rollback { found: 7, expected });
        for handed_over in [None, Some(100)] {
            let lineage =
                Lineage { epoch: epoch + 1000, handed_over, rollback, keys_due: handed_over.is_some() };
            commit(store, |tx| tx.set_lineage(&lineage).expect("set"));
            let kept = begin(store).lineage().expect("lineage");
            assert!(kept.epoch >= lineage.epoch, "epochs grow");
            assert_eq!(Lineage { epoch: lineage.epoch, ..kept }, lineage);
            assert_eq!(kept.check_ours().is_ok(), handed_over.is_none());
        }
    }
    let error = begin(store).lineage().expect("lineage").check_ours().expect_err("handed over");
    assert!(matches!(error, StoreError::HandedOver { at: 100 }), "{error:?}");
}

/// A session with [`keys::address`], as the sending side begins one.
fn session(tx: &mut dyn StoreTx) {
    let theirs = landbridge_signal::IdentityKeyPair::from_private(key(30));
    let signed_prekey = landbridge_signal::SignedPreKey::generate(
        landbridge_signal::SignedPreKeyId::new(5).expect("id"),
        &theirs,
        &mut Counting(0),
    );
    let bundle = PreKeyBundle {
        registration_id: 7,
        identity: *theirs.public(),
        signed_prekey: signed_prekey.public(),
        prekey: None,
    };
    let begun = landbridge_signal::process_bundle(
        tx.as_signal_store(),
        &keys::address(),
        &bundle,
        TrustPolicy::Accept,
        &mut Counting(100),
    );
    let _change = begun.expect("bundle");
}

/// Numbers that only a test may take for random ones.
struct Counting(u8);

impl rand_core::TryRng for Counting {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counting {}

/// After a renewal nothing is encrypted with an old session, no old ciphertext goes out, and no one-time key is given away twice;
/// and nothing is lost.
pub fn renewal_leaves_nothing_to_use_twice(store: &mut dyn ClientStore) {
    let ids = commit(store, |tx| {
        tx.create_account(&sample_account()).expect("account");
        session(tx);
        tx.add_signed_prekey(&signed(1), 50).expect("signed prekey");
        tx.enqueue(&outgoing("out-1")).expect("enqueue");
        tx.enqueue(&outgoing("out-2")).expect("enqueue");
        tx.advance(&peer(), "out-1", crate::Progress::Sent, 101).expect("advance");
        tx.store_message(&incoming("in-1")).expect("message");
        tx.add_prekeys(&[key(10), key(11)]).expect("prekeys")
    });
    assert!(has_current(store));
    assert_eq!(commit(store, |tx| tx.renew_sessions().expect("renew")), 1);

    assert!(!has_current(store), "the next text begins a new session");
    let tx = begin(store);
    let record: SessionRecord = tx.load_session(&keys::address()).expect("session").expect("kept");
    assert_eq!(record.archived(), 1, "delayed messages still open");
    assert_eq!(tx.prekeys_to_upload(10).expect("prekeys").len(), 0, "no one-time key is offered again");
    assert_eq!(tx.prekey_counts().expect("counts").stored, 2, "a message may still use them");
    let pending = tx.pending(0, 10).expect("pending");
    assert_eq!(pending.len(), 1);
    assert_eq!((pending[0].message.stanza.len(), pending[0].message.plaintext.is_empty()), (0, false));
    let sent = tx.outgoing(&peer(), "out-1").expect("outgoing").expect("kept");
    assert!(!sent.message.stanza.is_empty(), "what was acked stays");
    assert_eq!(tx.unconfirmed(0, 10).expect("inbox").len(), 1);
    drop(tx);
    let more = commit(store, |tx| tx.add_prekeys(&[key(12)]).expect("prekeys"));
    let gap = u64::from(more[0].get()) - u64::from(ids[1].get());
    assert!(gap >= KEY_ID_GAP, "ids that may be out are passed over: {gap}");
    // Signed keys as well: one with the same id as a lost one would be taken for it.
    let first = begin(store).next_signed_prekey_id().expect("next");
    assert!(u64::from(first.get()) > KEY_ID_GAP, "{first:?}");
    commit(store, |tx| tx.add_signed_prekey(&signed(first.get()), 60).expect("signed prekey"));
    assert_eq!(begin(store).next_signed_prekey_id().expect("next").get(), first.get() + 1);
}

fn has_current(store: &mut dyn ClientStore) -> bool {
    let record = begin(store).load_session(&keys::address()).expect("session");
    record.is_some_and(|record| record.has_current())
}

/// Taking an account back that was handed over renews its sessions; one that was not stays as it is.
pub fn taking_back_renews(store: &mut dyn ClientStore) {
    commit(store, |tx| {
        tx.create_account(&sample_account()).expect("account");
        session(tx);
        tx.take_back().expect("nothing to take back");
    });
    assert!(has_current(store));
    commit(store, |tx| {
        let mut lineage = tx.lineage().expect("lineage");
        lineage.hand_over(100).expect("ours");
        assert!(lineage.hand_over(101).is_err(), "handed over already");
        tx.set_lineage(&lineage).expect("set");
        tx.take_back().expect("take back");
        let lineage = tx.lineage().expect("lineage");
        assert_eq!((lineage.handed_over, lineage.keys_due), (None, true));
    });
    assert!(!has_current(store));
}

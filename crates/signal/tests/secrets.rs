//! Stored records hold every secret there is, and print none of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Party, signed_id};
use landbridge_signal::{
    IdentityStore as _, SenderKeyRecord, SessionRecord, SessionStore as _, SignedPreKeyStore as _,
    group::{self, SenderKeyStore as _},
};
use rand::{SeedableRng as _, rngs::StdRng};

/// Fails if `shown` has any four consecutive bytes of a secret, in hexadecimal or as a list of numbers.
fn assert_hidden(shown: &str, secrets: &[&[u8]]) {
    let shown: String = shown.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    for four in secrets.iter().flat_map(|secret| secret.windows(4)) {
        let numbers: Vec<_> = four.iter().map(u8::to_string).collect();
        let hexes: Vec<_> = four.iter().map(|byte| format!("{byte:x}")).collect();
        for form in [hex::encode(four), numbers.join(","), hexes.join(","), four.escape_ascii().to_string()] {
            assert!(!shown.contains(&form.to_lowercase()), "{form} is in {shown}");
        }
    }
}

#[test]
fn sessions_do_not_print() {
    let mut rng = StdRng::seed_from_u64(1);
    let (mut a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    a.meet(&b, Some(1), &mut rng);
    // A message that is late leaves a seed behind.
    let (first, _late, third) = (a.send(&b, b"first"), a.send(&b, b"late"), a.send(&b, b"third"));
    b.read(&a.address(), &first, &mut rng).unwrap();
    b.read(&a.address(), &third, &mut rng).unwrap();
    let mut record = b.store.load_session(&a.address()).unwrap().unwrap();
    let signed = b.store.load_signed_prekey(signed_id(1)).unwrap().unwrap();
    let mut shown = format!("{record:#?} {record:?} {:#?} {signed:#?}", b.store);
    record.archive_current();
    shown += &format!("{record:#?} {record:?}");
    let bytes = b.store.load_session(&a.address()).unwrap().unwrap().to_bytes();
    // From the root key on, the stored form is secret but for keys that messages carry and for counters.
    let session = &bytes[6..];
    let secrets: Vec<&[u8]> = [105, 137, 201].iter().map(|at| &session[*at..*at + 32]).collect();
    assert_hidden(&shown, &secrets);
    let identity = b.store.identity_key().unwrap();
    assert_hidden(&shown, &[signed.key.as_bytes(), identity.private().as_bytes()]);
    let damaged = SessionRecord::from_bytes(&bytes[..bytes.len() - 1]).unwrap_err();
    assert_hidden(&format!("{damaged} {damaged:#?}"), &secrets);
}

#[test]
fn sender_keys_do_not_print() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut a = Party::new("a", &mut rng);
    let own = a.address();
    let told = group::distribution(&mut a.store, "g", &own, &mut rng).unwrap();
    let record = a.store.load_sender_key("g", &own).unwrap().unwrap();
    // Chain key of the distribution: behind version, id and iteration, in the field that has 32 bytes.
    let at = told.windows(2).position(|head| head == [0x1a, 32]).unwrap() + 2;
    let chain = &told[at..at + 32];
    assert!(record.to_bytes().windows(32).any(|bytes| bytes == chain));
    assert_hidden(&format!("{record:#?} {:#?} {:?}", a.store, SenderKeyRecord::default()), &[chain]);
}

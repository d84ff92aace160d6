//! The Signal protocol, message version 3: X3DH, Double Ratchet, session records, sender keys, store traits.
//!
//! This is what WhatsApp speaks end to end. The crate turns texts into messages and messages into texts, and says what
//! must be kept in between; it does no I/O, reads no clock and draws no randomness of its own. [`process_bundle`] begins
//! a session with somebody who may be offline, [`encrypt`] and [`decrypt`] use it, and all of them read and write
//! through [`SignalStore`]. What they write, they write at their end and only if all went well: a caller that passes a
//! database transaction commits ratchet and message together, and a message that does not open leaves no trace.
//!
//! The caller must commit an encryption before the bytes leave, because the same key would otherwise encrypt two texts,
//! and a decryption before it acknowledges, because the message cannot be opened again.
//!
//! What is not here: WhatsApp's padding of texts (`landbridge-proto`), key upload and retry receipts (`landbridge-stanza`
//! and the client), key agreement with post-quantum parts (nobody speaks it with interop clients; see [`message`] for
//! how other versions are refused).
//!
//! ```
//! use landbridge_signal::{
//!     Address, IdentityKeyPair, IdentityStore, MemorySignalStore, PreKeyBundle, PreKeyId, SignedPreKey, SignedPreKeyId,
//!     TrustPolicy, decrypt, encrypt, prekeys, process_bundle,
//! };
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut rng = rand::rng();
//! let (alice, bob) = (Address::new("alice", 0), Address::new("bob", 0));
//!
//! // Bob makes keys and publishes the public halves as a bundle.
//! let identity = IdentityKeyPair::generate(&mut rng);
//! let signed = SignedPreKey::generate(SignedPreKeyId::new(1)?, &identity, &mut rng);
//! let one_time = prekeys::generate(PreKeyId::new(1)?, 10, &mut rng);
//! let mut of_bob = MemorySignalStore::new(identity, prekeys::generate_registration_id(&mut rng));
//! let bundle = PreKeyBundle {
//!     registration_id: of_bob.registration_id()?,
//!     identity: *of_bob.identity_key()?.public(),
//!     signed_prekey: signed.public(),
//!     prekey: one_time.first().map(|key| key.public()),
//! };
//! of_bob.add_signed_prekey(signed);
//! of_bob.add_prekeys(one_time);
//!
//! // Alice begins a session with it and writes.
//! let identity = IdentityKeyPair::generate(&mut rng);
//! let mut of_alice = MemorySignalStore::new(identity, prekeys::generate_registration_id(&mut rng));
//! let policy = TrustPolicy::Accept;
//! let _notice = process_bundle(&mut of_alice, &bob, &bundle, policy, &mut rng)?;
//! let message = encrypt(&mut of_alice, &bob, b"good day", policy)?;
//!
//! // Bob reads.
//! let opened = decrypt(&mut of_bob, &alice, message.kind, &message.bytes, policy, &mut rng)?;
//! assert_eq!(opened.plaintext, b"good day");
//! assert_eq!(opened.used_prekey, Some(PreKeyId::new(1)?));
//! # Ok(()) }
//! ```

mod address;
mod codec;
mod crypto;
mod error;
pub mod fingerprint;
pub mod group;
mod group_record;
mod hmac;
mod ladder;
mod memory;
pub mod message;
pub mod prekeys;
mod protobuf;
mod ratchet;
mod record;
mod session;
mod skipped;
pub mod store;
mod trust;
mod x3dh;

pub use address::Address;
pub use error::{Advice, BundleError, DecryptError, EncryptError, MalformedMessage, RecordError};
pub use group_record::{SenderKeyInfo, SenderKeyRecord};
pub use memory::MemorySignalStore;
pub use prekeys::{
    IdentityKeyPair, PreKey, PreKeyBundle, PreKeyId, PreKeyPublic, RegistrationId, SignedPreKey,
    SignedPreKeyId, SignedPreKeyPublic,
};
pub use record::{MAX_ARCHIVED, ReceivingChainInfo, SessionInfo, SessionRecord};
pub use session::{
    Ciphertext, CiphertextKind, Decrypted, approve_identity, decrypt, encrypt, process_bundle,
};
pub use store::{
    IdentityStore, Outcome, PreKeyStore, SessionStore, SignalStore, SignedPreKeyStore, StoreError,
};
pub use trust::{IdentityChange, Limits, Settings, TrustPolicy};

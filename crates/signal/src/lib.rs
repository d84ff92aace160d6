//! The Signal protocol, message version 3: X3DH, Double Ratchet, session records, store traits.

mod address;
mod codec;
mod crypto;
mod error;
pub mod fingerprint;
pub mod group;
mod group_record;
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
pub use store::{IdentityStore, PreKeyStore, SessionStore, SignalStore, SignedPreKeyStore, StoreError};
pub use trust::{IdentityChange, Limits, Settings, TrustPolicy};

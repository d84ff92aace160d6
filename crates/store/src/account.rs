//! The account: who we are, and how far we have got with saying so.

use landbridge_curve::PrivateKey;
use landbridge_signal::{IdentityKeyPair, RegistrationId};

use crate::StoreError;

/// The keys and names of the one account of a store.
///
/// Written once, before the enlistment request is sent, so that a lost answer is healed by the same request.
#[derive(Clone, Debug)]
pub struct Account {
    /// The Signal identity key pair (`e_ident` is its public half). SEED: one per user.
    pub identity: IdentityKeyPair,
    /// The Signal registration id (`e_regid`); ours lie in 1..=16380.
    pub registration_id: RegistrationId,
    /// The static key pair of the Noise channel (`authkey` is its public half).
    pub noise_static: PrivateKey,
    /// The partner's integrator id, 1..=999 (SEED).
    pub integrator: u16,
    /// The user-visible identifier, 1..=40 characters (SEED).
    pub identifier: String,
    /// How far enlistment has got.
    pub enlistment: Enlistment,
}

/// Where the account stands with WhatsApp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enlistment {
    /// Keys exist, no good answer was seen yet.
    Prepared,
    /// Enlisted under `login`, the `<integrator>-<account>@interop` of the answer.
    Enlisted {
        /// The login, also the account's own address.
        login: String,
        /// When the answer was stored, in unix seconds.
        at: u64,
    },
    /// WhatsApp no longer knows the account (30 days away, SEED): enlist again with the same keys.
    Lapsed {
        /// The login that was refused.
        login: String,
        /// When, in unix seconds.
        at: u64,
    },
    /// Deletion was asked for and its answer not seen yet: ask again after a reconnect.
    Deleting {
        /// The login to be deleted.
        login: String,
        /// When it was first asked for, in unix seconds.
        at: u64,
    },
}

impl Enlistment {
    /// The login, if one was ever given.
    pub fn login(&self) -> Option<&str> {
        match self {
            Self::Prepared => None,
            Self::Enlisted { login, .. } | Self::Lapsed { login, .. } | Self::Deleting { login, .. } => {
                Some(login)
            }
        }
    }
}

/// The name of a protocol fact: a small value that outlives a connection.
///
/// The constants are those of this workspace. An application that swaps parts may add its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fact(&'static str);

impl Fact {
    /// `edge_routing` bytes, sent before the header of the next connection (stanza catalogue 7).
    pub const ROUTING_INFO: Self = Self("routing_info");
    /// The chat server that was verified last, for a shorter handshake: its keys and their dates, as the client writes them.
    pub const SERVER_STATIC: Self = Self("server_static");
    /// Server time minus own time in seconds, as decimal text.
    pub const CLOCK_OFFSET: Self = Self("clock_offset");
    /// How many logins there were, as decimal text.
    pub const LOGIN_COUNT: Self = Self("login_count");

    /// A fact of an application's own. Choose a prefix, such as `acme.`, to stay clear of later constants.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name as it is stored.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// The account and its protocol facts. Called by enlistment, login and deletion.
pub trait AccountStore {
    /// The account, or `None` before [`create_account`](Self::create_account) and after
    /// [`wipe_keys`](Self::wipe_keys).
    ///
    /// # Errors
    /// The backend fails, or the record does not parse.
    fn account(&self) -> Result<Option<Account>, StoreError>;

    /// Stores the account's keys. Before the first enlistment request is sent.
    ///
    /// # Errors
    /// [`StoreError::AccountExists`] if there is one: keys are never overwritten.
    fn create_account(&mut self, account: &Account) -> Result<(), StoreError>;

    /// Notes a step of enlistment or deletion. After the answer, before the next step.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`] if there is none.
    fn set_enlistment(&mut self, enlistment: &Enlistment) -> Result<(), StoreError>;

    /// Destroys every key (identity, Noise, prekeys, sessions, remote identities), the facts, the blocklist, what is
    /// remembered of peers and what is owed; messages still pending fail, since their ciphertext belongs to those sessions. Once the server has
    /// confirmed a deletion, at `at` unix seconds. Messages stay: history is the application's.
    ///
    /// # Errors
    /// The backend fails.
    fn wipe_keys(&mut self, at: u64) -> Result<(), StoreError>;

    /// A fact's value, opaque to the store.
    ///
    /// # Errors
    /// The backend fails.
    fn fact(&self, fact: Fact) -> Result<Option<Vec<u8>>, StoreError>;

    /// Sets a fact, or forgets it with `None`.
    ///
    /// # Errors
    /// The backend fails.
    fn set_fact(&mut self, fact: Fact, value: Option<&[u8]>) -> Result<(), StoreError>;
}

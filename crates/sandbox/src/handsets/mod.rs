//! Test phones: WhatsApp users that live in this process, with keys and stores of their own. They speak to the router as
//! every other client does, in stanzas; only the socket is left out.

mod phone;
mod receive;
mod retry;
mod send;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use landbridge_signal::{BundleError, EncryptError};
use landbridge_stanza::{ReplyError, StanzaError};
use landbridge_store::{ClientStore, MemoryStore, SqliteStore, StoreError};
use landbridge_wire::Jid;
use serde::Serialize;
use thiserror::Error;
use tokio::task::JoinHandle;

use crate::SandboxError;
use crate::db::{NewPhone, UserId};
use crate::router::Session;
use crate::state::{State, lock};

pub(crate) use phone::Phone;

/// Length of a number, in digits.
const NUMBER: std::ops::RangeInclusive<usize> = 5..=15;

/// Why a test phone cannot do what it is told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PhoneError {
    /// A number has 5 to 15 digits and does not begin with 0.
    #[error("a number has 5 to 15 digits and does not begin with 0")]
    BadNumber,
    /// There is a phone with this number.
    #[error("there is a phone with this number already")]
    Exists,
    /// There is no such phone.
    #[error("there is no such phone")]
    NoSuchPhone,
    /// There is no user with this address or identifier.
    #[error("there is no user with this address or identifier")]
    NoSuchUser,
    /// There is no such message.
    #[error("there is no such message")]
    NoSuchMessage,
    /// The recipient has no keys.
    #[error("the recipient's keys cannot be had")]
    NoKeys(#[source] ReplyError),
    /// The server has refused the message.
    #[error("the server refused the message with error {code}")]
    Refused {
        /// The code of the ack.
        code: u16,
    },
    /// The server has answered with something that is no answer.
    #[error("the server's answer cannot be read")]
    Answer(#[source] ReplyError),
    /// The bundle is not good.
    #[error("the recipient's bundle is not good")]
    Bundle(#[from] BundleError),
    /// The message cannot be encrypted.
    #[error("the message cannot be encrypted")]
    Encrypt(#[from] EncryptError),
    /// The phone's store failed.
    #[error("the phone's store failed")]
    Store(#[from] StoreError),
    /// The sandbox failed.
    #[error("the sandbox failed")]
    Sandbox(#[source] Box<SandboxError>),
}

impl From<SandboxError> for PhoneError {
    fn from(error: SandboxError) -> Self {
        Self::Sandbox(Box::new(error))
    }
}

impl From<landbridge_signal::StoreError> for PhoneError {
    fn from(error: landbridge_signal::StoreError) -> Self {
        Self::Store(StoreError::Backend { doing: "keep Signal's state", source: Box::new(error) })
    }
}

impl From<StanzaError> for PhoneError {
    fn from(error: StanzaError) -> Self {
        Self::Answer(ReplyError::Malformed(error))
    }
}

/// A test phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhoneInfo {
    /// Its number.
    pub number: String,
    /// The name that it shows.
    pub name: String,
    /// Its address.
    pub jid: String,
}

/// A message of a test phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhoneMessage {
    /// `in` or `out`.
    pub direction: &'static str,
    /// Id.
    pub id: String,
    /// The other side.
    pub peer: String,
    /// The server's time of a received message, the phone's of a sent one, unix seconds.
    pub t: u64,
    /// What it is.
    pub kind: String,
    /// The text as it is shown, if there is one.
    pub text: Option<String>,
    /// What the phone made of a received message.
    pub verdict: Option<&'static str>,
    /// How far a sent message has got.
    pub state: Option<PhoneReceipt>,
}

/// How far a sent message has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PhoneReceipt {
    /// Not accepted by the server.
    Pending,
    /// Accepted.
    Sent,
    /// Refused.
    Failed,
    /// At the recipient's.
    Delivered,
    /// Read.
    Read,
    /// Played.
    Played,
}

/// All test phones.
pub(crate) struct Phones {
    data_dir: Option<PathBuf>,
    by_number: Mutex<BTreeMap<String, Arc<Phone>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Phones {
    pub(crate) fn new(data_dir: Option<PathBuf>) -> Self {
        Self { data_dir, by_number: Mutex::default(), tasks: Mutex::default() }
    }

    pub(crate) fn get(&self, number: &str) -> Option<Arc<Phone>> {
        lock(&self.by_number).get(number.trim_start_matches('+')).cloned()
    }

    pub(crate) fn infos(&self) -> Vec<PhoneInfo> {
        lock(&self.by_number).values().map(|phone| phone.info()).collect()
    }

    /// Waits until all phones have ended; their sessions were told to.
    pub(crate) async fn stop(&self) {
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks {
            // A task that has panicked is over, too.
            let _ = task.await;
        }
        lock(&self.by_number).clear();
    }

    fn store(&self, number: &str) -> Result<Box<dyn ClientStore>, StoreError> {
        match &self.data_dir {
            None => Ok(Box::new(MemoryStore::new())),
            Some(dir) => Ok(Box::new(SqliteStore::open(store_path(dir, number))?)),
        }
    }
}

fn store_path(data_dir: &Path, number: &str) -> PathBuf {
    data_dir.join(format!("phone-{number}.db"))
}

/// Makes a phone, gives it keys, connects it.
pub(crate) fn create(state: &Arc<State>, number: &str, name: &str) -> Result<PhoneInfo, PhoneError> {
    let number = number.trim_start_matches('+');
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    if !NUMBER.contains(&number.len()) || !digits || number.starts_with('0') {
        return Err(PhoneError::BadNumber);
    }
    let jid = Jid::user(number);
    // The lock keeps a second request for the same number out until this one is done.
    let mut phones = lock(&state.phones.by_number);
    if phones.contains_key(number) {
        return Err(PhoneError::Exists);
    }
    let mut store = state.phones.store(number)?;
    let keys = phone::own_keys(store.as_mut(), &jid, state)?;
    let user = state.db.write(|tx| {
        if let Some(user) = tx.user(&jid)? {
            // A run that was killed between the two databases has left this one behind: its keys are replaced.
            tx.remove_user(user.id)?;
        } else {
            tx.add_phone(number, name)?;
        }
        let phone = NewPhone {
            jid: &jid,
            name,
            registration: keys.registration,
            identity: keys.identity,
            signed_prekey: keys.signed_prekey,
        };
        tx.add_phone_user(&phone, state.now())
    })?;
    let phone = connect(state, number, name, jid, user, store);
    phones.insert(number.to_owned(), Arc::clone(&phone));
    drop(phones);
    phone.upload(state)?;
    Ok(phone.info())
}

/// Brings back the phones of an earlier run.
pub(crate) fn resume(state: &Arc<State>) -> Result<(), SandboxError> {
    for (number, name) in state.db.read(|tx| tx.phones())? {
        let failed = |source| SandboxError::Phone { number: number.clone(), source };
        let jid = Jid::user(number.as_str());
        let Some(user) = state.db.read(|tx| tx.user(&jid))? else {
            return Err(SandboxError::Record { what: "phone" });
        };
        let store = state.phones.store(&number).map_err(|error| failed(error.into()))?;
        let phone = connect(state, &number, &name, jid, user.id, store);
        lock(&state.phones.by_number).insert(number.clone(), Arc::clone(&phone));
        phone.upload(state).map_err(failed)?;
    }
    Ok(())
}

fn connect(
    state: &Arc<State>,
    number: &str,
    name: &str,
    jid: Jid,
    user: UserId,
    store: Box<dyn ClientStore>,
) -> Arc<Phone> {
    let (session, ears) = Session::new(state.next_connection(), user, jid);
    session.set_active(true);
    session.set_available(true);
    state.router.attach(&session);
    let phone = Arc::new(Phone::new(number, name, session, store, &mut state.rng()));
    lock(&state.phones.tasks).push(tokio::spawn(phone::live(Arc::clone(state), Arc::clone(&phone), ears)));
    phone
}

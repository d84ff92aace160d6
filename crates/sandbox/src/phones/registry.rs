//! All phones: made, brought back, removed, and each connected to the router.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use landbridge_store::{ClientStore, MemoryStore, SqliteStore, StoreError};
use tokio::task::JoinHandle;

use super::life::live;
use super::{Attached, Identity, Phone, PhoneError, PhoneInfo};
use crate::SandboxError;
use crate::db::{NewPhone, UserId};
use crate::faults::Magic;
use crate::router::{End, Session};
use crate::state::{State, lock};

/// One-time prekeys of a phone's first upload: fewer than a real phone's, so that many phones are made quickly.
const FIRST_BATCH: u32 = 100;

/// All phones.
pub(crate) struct Phones {
    data_dir: Option<PathBuf>,
    by_number: Mutex<BTreeMap<String, Arc<Attached>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Phones {
    pub(crate) fn new(data_dir: Option<PathBuf>) -> Self {
        Self { data_dir, by_number: Mutex::default(), tasks: Mutex::default() }
    }

    /// The phone of a number, with or without a plus sign.
    pub(crate) fn get(&self, number: &str) -> Option<Arc<Attached>> {
        lock(&self.by_number).get(digits(number)).cloned()
    }

    /// All phones, in the order of their numbers.
    pub(crate) fn all(&self) -> Vec<Arc<Attached>> {
        lock(&self.by_number).values().cloned().collect()
    }

    /// Ends all phones and waits for them.
    pub(crate) async fn stop(&self) {
        // The router does not know those that are away.
        for phone in self.all() {
            phone.session.end(End::Shutdown);
        }
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
            Some(dir) => Ok(Box::new(SqliteStore::open(dir.join(file_name(number)))?)),
        }
    }

    /// Removes the file of a store that is closed, and what SQLite may have left beside it.
    fn remove_store(&self, number: &str) -> Result<(), PhoneError> {
        let Some(dir) = &self.data_dir else { return Ok(()) };
        for beside in ["", "-wal", "-shm", "-journal", "-epoch"] {
            match std::fs::remove_file(dir.join(format!("{}{beside}", file_name(number)))) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(PhoneError::Remove(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn file_name(number: &str) -> String {
    format!("phone-{number}.db")
}

fn digits(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

fn open(state: &State, number: &str, name: &str) -> Result<Phone, PhoneError> {
    if !super::phone::is_number(number) {
        // Before a file is made for it.
        return Err(PhoneError::Number);
    }
    let store = state.phones.store(number)?;
    let mut profile = state.profile().clone();
    profile.keys.first_batch = profile.keys.first_batch.min(FIRST_BATCH);
    Phone::open(number, name, store, Box::new(state.rng()), profile, state.now())
}

/// Makes a phone and an account for it, and connects it.
pub(crate) fn create(state: &Arc<State>, number: &str, name: &str) -> Result<PhoneInfo, PhoneError> {
    let number = digits(number);
    // The lock keeps a second request for the same number out until this one is done.
    let mut phones = lock(&state.phones.by_number);
    if phones.contains_key(number) {
        return Err(PhoneError::Exists);
    }
    let mut phone = open(state, number, name)?;
    // A run that was killed between the two databases may have left a store behind.
    phone.forget_uploads()?;
    let Identity { registration, identity, signed_prekey } = phone.identity()?;
    let jid = phone.jid().clone();
    let user = state.db.write(|tx| {
        if let Some(user) = tx.user(&jid)? {
            tx.remove_user(user.id)?;
        }
        tx.add_phone(number, name)?;
        tx.add_phone_user(&NewPhone { jid: &jid, name, registration, identity, signed_prekey }, state.now())
    })?;
    let attached = attach(state, user, phone)?;
    phones.insert(number.to_owned(), Arc::clone(&attached));
    drop(phones);
    attached.info()
}

/// Removes a phone, its account and its store: its user is nobody any more.
pub(crate) fn remove(state: &State, number: &str) -> Result<(), PhoneError> {
    let number = digits(number);
    let phone = state.phones.get(number).ok_or(PhoneError::NoSuchPhone)?;
    if let Some(user) = state.db.read(|tx| tx.user(&phone.session.jid))? {
        state.remove(&user, "its phone was deleted")?;
    }
    // While it was away, the router did not know it.
    phone.session.end(End::Removed);
    // The number is taken until the file has gone.
    phone.lock().retire();
    let removed = state.phones.remove_store(number);
    lock(&state.phones.by_number).remove(number);
    removed
}

/// Tells the server the keys of a new installation, and the server everybody who has to know.
pub(super) fn register(state: &State, phone: &mut Phone, user: UserId) -> Result<(), PhoneError> {
    let Identity { registration, identity, signed_prekey } = phone.identity()?;
    let user = state.db.write(|tx| {
        tx.replace_keys(user, registration, &identity, &signed_prekey)?;
        tx.user_by_id(user)
    })?;
    if let Some(user) = user {
        state.tell_identity(&user)?;
    }
    Ok(())
}

/// Brings back the phones of an earlier run.
pub(crate) fn resume(state: &Arc<State>) -> Result<(), SandboxError> {
    for (number, name) in state.db.read(|tx| tx.phones())? {
        let failed = |source| SandboxError::Phone { number: number.clone(), source };
        let mut phone = open(state, &number, &name).map_err(failed)?;
        let Some(user) = state.db.read(|tx| tx.user(phone.jid()))? else {
            return Err(SandboxError::Record { what: "phone" });
        };
        // A run that was killed between the two databases may not have told of a new installation.
        if phone.identity().map_err(failed)?.identity != user.identity {
            register(state, &mut phone, user.id).map_err(failed)?;
        }
        let attached = attach(state, user.id, phone).map_err(failed)?;
        lock(&state.phones.by_number).insert(number.clone(), attached);
    }
    Ok(())
}

fn attach(state: &Arc<State>, user: UserId, phone: Phone) -> Result<Arc<Attached>, PhoneError> {
    let (session, ears) =
        Session::new(state.next_connection(), state.next_login(), user, phone.jid().clone());
    session.set_active(true);
    session.set_available(true);
    let magic = Magic::of(phone.jid());
    let attached = Arc::new(Attached::new(session, phone, magic));
    attached.come_online(state)?;
    if magic == Some(Magic::NeverOnline) {
        // Its keys are there, and it is gone.
        attached.go_offline(state);
    }
    lock(&state.phones.tasks).push(tokio::spawn(live(Arc::clone(state), Arc::clone(&attached), ears)));
    Ok(attached)
}

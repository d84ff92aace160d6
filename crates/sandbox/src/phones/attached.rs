//! Phones at the router: each one is a session like a socket's, only that its stanzas stay in this process.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use landbridge_curve::PublicKey;
use landbridge_proto::message::Message;
use landbridge_stanza::MessageId;
use landbridge_stanza::blocklist::BlockAction;
use landbridge_stanza::chatstate::{ChatState, ChatStateIn};
use landbridge_store::{ClientStore, MemoryStore, SqliteStore, StoreError};
use landbridge_wire::{Jid, Node, NodeRef};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{
    Direction, Done, Identity, MessageState, Output, Phone, PhoneError, PhoneInfo, PhoneMessage,
    PhoneReceipt, Trouble,
};
use crate::SandboxError;
use crate::db::{Entry, MailClass, NewPhone, UserId};
use crate::events::{EventKind, Rule};
use crate::faults::{self, Fault, Magic};
use crate::router::{Ears, End, Session};
use crate::state::{State, chain, lock};

/// Stanzas that are read from the mailbox at a time.
const PAGE: u32 = 64;
/// One-time prekeys of a phone's first upload: fewer than a real phone's, so that many phones are made quickly.
const FIRST_BATCH: u32 = 100;
/// How long a phone waits before it sends again what the server has refused for now.
const AGAIN: Duration = Duration::from_secs(1);

/// A phone and its session.
pub(crate) struct Attached {
    session: Arc<Session>,
    phone: Mutex<Phone>,
    /// Whether it is connected. Changes while the phone is locked, so that no step is cut in half.
    online: AtomicBool,
    /// Position in the mailbox of the last stanza that it has handled since it was connected.
    taken: AtomicI64,
    /// Whether its number behaves in a way of its own.
    magic: Option<Magic>,
    /// Ids of messages that were damaged on purpose: that they do not open is nobody's mistake.
    damaged: Mutex<BTreeSet<String>>,
    /// What the number's behaviour still has to do.
    duties: Mutex<VecDeque<Duty>>,
    /// Number of the screen's last change.
    changes: watch::Sender<u64>,
}

/// What a magic number does about a message.
enum Duty {
    Answer { to: Jid, text: String },
    Block { whom: Jid },
    Reinstall,
}

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
        for beside in ["", "-wal", "-shm", "-journal"] {
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
fn register(state: &State, phone: &mut Phone, user: UserId) -> Result<(), PhoneError> {
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
    let changes = watch::Sender::new(phone.last_change());
    let attached = Arc::new(Attached {
        session,
        phone: Mutex::new(phone),
        online: AtomicBool::new(false),
        taken: AtomicI64::new(0),
        magic,
        damaged: Mutex::default(),
        duties: Mutex::default(),
        changes,
    });
    attached.come_online(state)?;
    if magic == Some(Magic::NeverOnline) {
        // Its keys are there, and it is gone.
        attached.go_offline(state);
    }
    lock(&state.phones.tasks).push(tokio::spawn(live(Arc::clone(state), Arc::clone(&attached), ears)));
    Ok(attached)
}

/// A phone's life: it looks into its mailbox when there may be something in it, until its session ends.
async fn live(state: Arc<State>, phone: Arc<Attached>, mut ears: Ears) {
    loop {
        let again = phone.is_online() && phone.lock().wants_to_send_again();
        tokio::select! {
            biased;
            _ = ears.end.wait_for(Option::is_some) => break,
            () = phone.session.poked() => {}
            Some(stanza) = ears.ephemeral.recv() => {
                phone.hear_typing(&state, stanza.view());
                continue;
            }
            () = tokio::time::sleep(AGAIN), if again => {
                let sent = phone.act(&state, |phone| Ok(((), phone.send_again()?)));
                phone.note_failure(&state, sent);
                continue;
            }
        }
        if phone.magic == Some(Magic::Slow) && phone.has_mail(&state) {
            tokio::select! {
                biased;
                _ = ears.end.wait_for(Option::is_some) => break,
                () = tokio::time::sleep(state.config.fault_times.slow_phone) => {}
            }
        }
        while phone.take_mail(&state) {
            // Others shall have their turn.
            tokio::task::yield_now().await;
        }
        phone.do_duties(&state);
    }
    state.router.detach(&phone.session);
}

impl Attached {
    fn lock(&self) -> MutexGuard<'_, Phone> {
        lock(&self.phone)
    }

    pub(crate) fn info(&self) -> Result<PhoneInfo, PhoneError> {
        let info = self.lock().info()?;
        Ok(PhoneInfo { online: self.is_online(), ..info })
    }

    pub(crate) fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// Connects: offers what the server lacks, sends what waited, and takes what is in the mailbox.
    pub(crate) fn come_online(&self, state: &State) -> Result<(), PhoneError> {
        self.act(state, |phone| {
            if !self.online.swap(true, Ordering::Relaxed) {
                self.taken.store(0, Ordering::Relaxed);
                state.router.attach(&self.session);
            }
            Ok(((), phone.connect()?))
        })?;
        self.session.poke();
        Ok(())
    }

    /// Goes away without a word. What it is told to send waits on its screen, its mailbox at the server.
    pub(crate) fn go_offline(&self, state: &State) {
        let phone = self.lock();
        self.online.store(false, Ordering::Relaxed);
        state.router.detach(&self.session);
        drop(phone);
    }

    /// Sets the phone up anew: another identity, and no session. Everybody who has to know is told.
    pub(crate) fn reinstall(&self, state: &State) -> Result<(), PhoneError> {
        self.act(state, |phone| {
            phone.reinstall(state.now())?;
            register(state, phone, self.session.user)?;
            Ok(((), phone.connect()?))
        })
    }

    /// The messages that have changed after change number `after`, and the number of the last change.
    pub(crate) fn messages(&self, after: u64) -> (Vec<PhoneMessage>, u64) {
        self.lock().messages(after)
    }

    /// The number of the screen's last change, as it grows.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Sends a content. The server has accepted it when this returns, unless the phone is away.
    pub(crate) fn send(&self, state: &State, to: &Jid, content: &Message) -> Result<MessageId, PhoneError> {
        self.sent(state, to, |phone| phone.send(to, content, state.now()))
    }

    /// Sends a text, as [`send`](Self::send).
    pub(crate) fn send_text(&self, state: &State, to: &Jid, text: &str) -> Result<MessageId, PhoneError> {
        self.sent(state, to, |phone| phone.send_text(to, text, state.now()))
    }

    /// Sends what the phone makes, as [`send`](Self::send).
    pub(crate) fn sent(
        &self,
        state: &State,
        to: &Jid,
        send: impl FnOnce(&mut Phone) -> Result<(MessageId, Vec<Output>), PhoneError>,
    ) -> Result<MessageId, PhoneError> {
        let (id, line) = self.act_and(state, send, |phone, id| {
            phone.message_line(Direction::Sent, to, id.as_str()).cloned()
        })?;
        match line {
            Some(PhoneMessage { state: MessageState::Failed, failure, .. }) => {
                Err(PhoneError::NotSent { id: id.into_string(), reason: failure.unwrap_or_default() })
            }
            _ => {
                let kind = EventKind::PhoneSent { to: to.to_string(), id: id.to_string() };
                state.note(Some(self.session.connection), Some(&self.session.jid), kind);
                Ok(id)
            }
        }
    }

    /// Reads or plays messages of a chat; `None`: all that are unread.
    pub(crate) fn see(
        &self,
        state: &State,
        peer: &Jid,
        ids: Option<&[MessageId]>,
        done: Done,
    ) -> Result<Vec<MessageId>, PhoneError> {
        self.act(state, |phone| {
            let ids = ids.map_or_else(|| phone.unread(peer), <[_]>::to_vec);
            let out = phone.see(peer, &ids, done, state.now())?;
            Ok((ids, out))
        })
    }

    /// Types, records or stops.
    pub(crate) fn typing(&self, state: &State, peer: &Jid, typing: ChatState) -> Result<(), PhoneError> {
        self.act(state, |phone| Ok(((), vec![phone.typing(peer, typing)?])))
    }

    /// Forgets a session.
    pub(crate) fn lose_session(&self, state: &State, peer: &Jid) -> Result<(), PhoneError> {
        self.act(state, |phone| Ok(((), phone.lose_session(peer)?)))
    }

    /// Asks for a message once more.
    pub(crate) fn ask_once_more(&self, state: &State, peer: &Jid, id: &MessageId) -> Result<(), PhoneError> {
        self.act(state, |phone| Ok(((), phone.ask_once_more(peer, id)?)))
    }

    /// Changes the block list. The server has answered when this returns.
    pub(crate) fn block(&self, state: &State, whom: &Jid, action: BlockAction) -> Result<(), PhoneError> {
        let ((), blocked) = self.act_and(
            state,
            |phone| Ok(((), phone.set_blocked(whom, action)?)),
            |phone, ()| phone.is_blocked(whom),
        )?;
        if blocked? == (action == BlockAction::Block) { Ok(()) } else { Err(PhoneError::NotBlocked) }
    }

    /// Takes a page of the mailbox. `false` if there was nothing, or it cannot be taken now.
    fn take_mail(&self, state: &State) -> bool {
        let entries = match state.db.read(|tx| tx.mail(self.session.user, self.position(), PAGE)) {
            Ok(entries) => entries,
            Err(error) => {
                state.internal("a phone's mailbox cannot be read", &error);
                return false;
            }
        };
        if entries.is_empty() {
            return false;
        }
        for entry in entries {
            let damaged = self.damage(state, &entry);
            let stanza = damaged.as_ref().unwrap_or(&entry.stanza).view();
            let handled = self.act(state, |phone| {
                if !self.is_online() {
                    return Ok((false, Vec::new()));
                }
                let out = phone.handle(stanza, state.now())?;
                self.taken.store(entry.seq, Ordering::Relaxed);
                Ok((true, out))
            });
            let here = *handled.as_ref().unwrap_or(&false);
            if !self.note_failure(state, handled.map(drop)) || !here {
                // It stays in the mailbox, unacknowledged; the next poke tries again.
                return false;
            }
            self.change_identity_by_chance(state, &entry);
        }
        true
    }

    fn position(&self) -> i64 {
        self.taken.load(Ordering::Relaxed)
    }

    fn has_mail(&self, state: &State) -> bool {
        let mail = state.db.read(|tx| tx.mail(self.session.user, self.position(), 1));
        self.is_online() && mail.is_ok_and(|entries| !entries.is_empty())
    }

    /// In the middle of a chat, the phone is set up anew.
    fn change_identity_by_chance(&self, state: &State, entry: &Entry) {
        if entry.class != MailClass::Message || state.faults.roll(Fault::IdentityChanged).is_none() {
            return;
        }
        let (connection, jid) = (Some(self.session.connection), Some(&self.session.jid));
        let detail = "the phone is set up anew behind this message";
        state.injected(Fault::IdentityChanged, connection, jid, Some(&entry.id), detail);
        let done = self.reinstall(state);
        self.note_failure(state, done);
    }

    /// Somebody types. The screen does not show it; the journal does.
    fn hear_typing(&self, state: &State, stanza: NodeRef<'_>) {
        // What the router passes on has this form.
        let Ok(typing) = ChatStateIn::from_node(stanza) else { return };
        let what = match typing.state {
            ChatState::Composing => "composing",
            ChatState::Recording => "recording",
            ChatState::Paused => "paused",
        };
        let kind = EventKind::PhoneTyping { from: typing.from.to_string(), state: what };
        state.note(Some(self.session.connection), Some(&self.session.jid), kind);
    }

    /// A message that the phone is to ask for again, though it could open it.
    fn damage(&self, state: &State, entry: &Entry) -> Option<Node> {
        if entry.class != MailClass::Message {
            return None;
        }
        let by_number = self.magic == Some(Magic::AsksAgain);
        if !by_number && !state.faults.may(Fault::RetryAsked) {
            return None;
        }
        let damaged = faults::stanza::damaged(entry.stanza.view(), state.profile())?;
        let (id, detail) = (Some(entry.id.as_str()), "the phone gets a damaged copy and asks for it again");
        if by_number {
            state.magic(Magic::AsksAgain, id, detail);
        } else {
            state.faults.roll(Fault::RetryAsked)?;
            let (connection, jid) = (Some(self.session.connection), Some(&self.session.jid));
            state.injected(Fault::RetryAsked, connection, jid, id, detail);
        }
        lock(&self.damaged).insert(entry.id.clone());
        Some(damaged)
    }

    /// Does what the number's behaviour wants done about the messages that were shown.
    fn do_duties(&self, state: &State) {
        let Some(magic) = self.magic.filter(|_| self.is_online()) else { return };
        let failed = |source| SandboxError::Phone { number: magic.number().to_owned(), source };
        loop {
            let Some(duty) = lock(&self.duties).pop_front() else { return };
            let done = match &duty {
                Duty::Answer { to, text } => self.answer(state, magic, to, text),
                Duty::Block { whom } => self.block(state, whom, BlockAction::Block).map_err(failed),
                Duty::Reinstall => self.reinstall_once(state, magic),
            };
            if let Err(error) = done {
                state.magic(magic, None, format!("it could not do its work: {}", chain(&error)));
            }
        }
    }

    /// The first time that this is to be done, also over restarts.
    fn reinstall_once(&self, state: &State, magic: Magic) -> Result<(), SandboxError> {
        const DONE: &str = "magic_reinstalled";
        if state.db.read(|tx| tx.meta(DONE))?.is_some() {
            return Ok(());
        }
        let failed = |source| SandboxError::Phone { number: magic.number().to_owned(), source };
        self.reinstall(state).map_err(failed)?;
        state.magic(magic, None, "the phone is set up anew: its identity is another one");
        state.db.write(|tx| tx.set_meta(DONE, b"1"))
    }

    fn answer(&self, state: &State, magic: Magic, to: &Jid, text: &str) -> Result<(), SandboxError> {
        let answers = magic.answers(text);
        let shuffled = magic == Magic::OutOfOrder;
        if shuffled {
            let count = u32::try_from(answers.len()).unwrap_or(u32::MAX);
            state.hold_messages(to, count, state.faults.seed())?;
        }
        let sent = answers.iter().try_for_each(|text| self.send_text(state, to, text).map(drop));
        if shuffled {
            // If one could not be sent, the others are not to wait for it.
            state.release_messages(to)?;
        }
        sent.map_err(|source| SandboxError::Phone { number: magic.number().to_owned(), source })
    }

    fn note_failure(&self, state: &State, result: Result<(), PhoneError>) -> bool {
        if let Err(error) = &result {
            state.internal("a phone could not go on", error);
        }
        result.is_ok()
    }

    fn act<T>(
        &self,
        state: &State,
        work: impl FnOnce(&mut Phone) -> Result<(T, Vec<Output>), PhoneError>,
    ) -> Result<T, PhoneError> {
        self.act_and(state, work, |_, _| ()).map(|(value, ())| value)
    }

    /// Lets the phone do something, does what it wants done until it wants no more, and then looks at it. The phone is
    /// locked all the while, so that its stanzas reach the router in the order of its steps.
    fn act_and<T, U>(
        &self,
        state: &State,
        work: impl FnOnce(&mut Phone) -> Result<(T, Vec<Output>), PhoneError>,
        look: impl FnOnce(&mut Phone, &T) -> U,
    ) -> Result<(T, U), PhoneError> {
        let mut phone = self.lock();
        let (value, out) = work(&mut phone)?;
        let mut queue = VecDeque::from(out);
        while let Some(output) = queue.pop_front() {
            match output {
                // What waits for a connection is sent again with the next one.
                Output::Send(_) if !self.is_online() => {}
                Output::Send(node) => {
                    for reply in state.handle(&self.session, node.view()).replies {
                        queue.extend(phone.handle(reply.view(), state.now())?);
                    }
                }
                other => self.report(state, other),
            }
        }
        let looked = look(&mut phone, &value);
        let changes = phone.last_change();
        drop(phone);
        self.changes.send_if_modified(|last| std::mem::replace(last, changes) != changes);
        Ok((value, looked))
    }

    /// Whether the number's behaviour has to do something about a message that is shown.
    fn take_on(&self, line: PhoneMessage) {
        let (Some(magic), Ok(peer)) = (self.magic, line.peer.parse::<Jid>()) else { return };
        if line.direction != Direction::Received {
            return;
        }
        let mut duties = lock(&self.duties);
        match line.text {
            _ if magic == Magic::Blocks => duties.push_back(Duty::Block { whom: peer }),
            Some(text) => duties.push_back(Duty::Answer { to: peer, text }),
            None => return,
        }
        if magic == Magic::Reinstalls {
            duties.push_back(Duty::Reinstall);
        }
    }

    /// Writes to the journal.
    fn report(&self, state: &State, output: Output) {
        let (connection, me) = (Some(self.session.connection), &self.session.jid);
        let kind = match output {
            Output::Opened { from, id, kind, verdict, enc, prekey } => {
                let (from, kind) = (from.to_string(), kind.to_owned());
                EventKind::PhoneReceived { from, id, kind, verdict, enc, prekey }
            }
            Output::Heard { from, id, kind } => EventKind::PhoneReceipt { from: from.to_string(), id, kind },
            Output::Trouble(Trouble { id: Some(id), rule: Rule::DECRYPT, .. })
                if lock(&self.damaged).remove(&id) =>
            {
                tracing::debug!(phone = %me, stanza_id = id, "a damaged copy does not open");
                return;
            }
            Output::Trouble(Trouble { peer, id, rule, code, detail }) => {
                let what = id.map(|id| format!(" in {id}")).unwrap_or_default();
                return state.broken(connection, Some(&peer), rule, format!("{code}{what}: {detail}"));
            }
            Output::IdentityChanged { peer, old, new } => {
                let hex = |key: PublicKey| super::phone::hex(key.as_bytes());
                EventKind::PhoneNotice { of: peer.to_string(), old: old.map(hex), new: new.map(hex) }
            }
            Output::Waiting(line) => {
                tracing::debug!(phone = %me, stanza_id = line.id, "a placeholder is shown");
                return;
            }
            Output::Receipt(PhoneReceipt { id, state, .. }) => {
                tracing::debug!(phone = %me, stanza_id = id, ?state, "a message has got further");
                return;
            }
            Output::Shown(line) => {
                tracing::debug!(phone = %me, stanza_id = line.id, kind = line.kind, "a message is shown");
                self.take_on(line);
                return;
            }
            Output::Send(_) => return,
        };
        state.note(connection, Some(me), kind);
    }
}

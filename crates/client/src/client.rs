//! The handle, and what stands behind it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landbridge_noise::ServerTrust;
use landbridge_proto::content;
use landbridge_proto::login::Device;
use landbridge_stanza::chatstate::ChatState;
use landbridge_stanza::presence::Availability;
use landbridge_stanza::{MessageId, Profile};
use landbridge_store::OutState;
use landbridge_transport::{HttpClient, Transport};
use landbridge_wire::{EncodeOptions, Jid, Limits};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::builder::ClientBuilder;
use crate::connection::ConnectPlan;
use crate::error::{Ending, Error};
use crate::event::{Event, EventQueue, Events};
use crate::fetch::Fetched;
use crate::keys::PeerKeys;
use crate::message::StoredMessage;
use crate::messages::flood::Floods;
use crate::messages::relate::Act;
use crate::receipts::Mark;
use crate::reconnect::{Action, Cause};
use crate::seams::{Clock, SharedRng};
use crate::send_failure::SendFailure;
use crate::session::Session;
use crate::token::TokenSource;
use crate::trace::Tracer;
use crate::trust::IdentityPolicy;
use crate::vault::Vault;

/// The least time between two calls of [`Client::wake`] that have an effect.
const BETWEEN_WAKES: Duration = Duration::from_secs(60);
/// The same for [`Client::network_changed`], which may come in bursts.
const BETWEEN_NETWORKS: Duration = Duration::from_secs(5);
/// A login whose answer never came may be acted upon so much later (ASSUMED).
const LATE_LOGIN: Duration = Duration::from_secs(120);

/// Whether the peers are told that their messages were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadReceipts {
    /// They are, by [`Client::mark_read`].
    #[default]
    Send,
    /// They are not, nor that they were played.
    Withhold,
}

/// How long a ping took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundTrip {
    /// From the request to its answer.
    pub time: Duration,
    /// The server's time in unix seconds, if it told.
    pub server_time: Option<u64>,
}

pub(crate) struct Inner {
    pub(crate) profile: Arc<Profile>,
    pub(crate) encode_options: EncodeOptions,
    pub(crate) wire_limits: Limits,
    pub(crate) content_limits: Arc<content::Limits>,
    pub(crate) push_name: Option<String>,
    pub(crate) device: Option<Device>,
    pub(crate) read_receipts: ReadReceipts,
    pub(crate) identity_policy: IdentityPolicy,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) trust: Arc<dyn ServerTrust>,
    pub(crate) tokens: Arc<dyn TokenSource>,
    pub(crate) http: HttpClient,
    pub(crate) enlistment_url: String,
    pub(crate) vault: Vault,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: SharedRng,
    pub(crate) tracer: Tracer,
    pub(crate) events: EventQueue,
    pub(crate) link: Mutex<Link>,
    /// Held while own keys are counted, made and uploaded: one upload at a time.
    pub(crate) own_keys: tokio::sync::Mutex<()>,
    /// Held while peers' keys are fetched: each fetch uses up one of theirs.
    pub(crate) peer_keys: tokio::sync::Mutex<()>,
    pub(crate) blocklist: crate::blocking::Order,
    /// Logins that failed since the last good one.
    pub(crate) failed_logins: AtomicU32,
    /// The last token was refused: the next one must be new.
    pub(crate) token_refused: AtomicBool,
    /// A shortened handshake has failed: none is tried again before the next start.
    pub(crate) resumption_failed: AtomicBool,
    /// Ends a wait of the automatic mode.
    pub(crate) woken: Notify,
    /// When it was last ended that way.
    pub(crate) last_wake: Mutex<Option<Instant>>,
    /// How many calls of `run` are at work: one, if all is well.
    pub(crate) running: AtomicUsize,
    /// When a login was last given up without an answer.
    pub(crate) unanswered_login: Mutex<Option<Instant>>,
    /// Whether the app is in front.
    pub(crate) presence: Mutex<Availability>,
    /// Deletion of the account has been asked for: nothing is sent any more.
    pub(crate) deleting: AtomicBool,
    /// Peers whose messages do not open.
    pub(crate) floods: Floods,
}

/// The one connection.
pub(crate) enum Link {
    /// There is none; how the last one ended, if there was one.
    Down(Option<Arc<Ending>>),
    Opening,
    /// There is one, unless it has just ended.
    Up(Arc<Session>),
}

impl Inner {
    pub(crate) fn link(&self) -> std::sync::MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a login says about it.
    pub(crate) fn presence(&self) -> Availability {
        *self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn session(&self) -> Result<Arc<Session>, Error> {
        match &*self.link() {
            Link::Up(session) if !session.has_ended() => Ok(Arc::clone(session)),
            _ => Err(Error::NotConnected),
        }
    }

    /// How the present connection ends, or how the last one did.
    pub(crate) async fn closed(&self) -> Option<Arc<Ending>> {
        let session = match &*self.link() {
            Link::Up(session) => Arc::clone(session),
            Link::Down(last) => return last.clone(),
            Link::Opening => return None,
        };
        Some(session.ended().await)
    }

    /// Tells the connection that there is something new to be written, if there is one.
    pub(crate) fn poke_outbox(&self) {
        if let Link::Up(session) = &*self.link() {
            session.outbox_news.notify_one();
        }
    }

    /// Tells the connection that what waits for a peer goes out now, from the oldest message on, if there is one.
    pub(crate) fn release(&self, peer: &Jid) {
        if let Link::Up(session) = &*self.link() {
            session.release(crate::messages::cipher::chat_of(peer));
        }
    }

    /// Whether an earlier login of this client may be what took the present connection's place. Each is held responsible once.
    pub(crate) fn take_late_login(&self) -> bool {
        let late = self.unanswered_login.lock().unwrap_or_else(PoisonError::into_inner).take();
        late.is_some_and(|at| at.elapsed() < LATE_LOGIN)
    }

    /// Ends a wait of the automatic mode, unless one was ended less than `least` ago.
    fn end_wait(&self, least: Duration) {
        let mut last = self.last_wake.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= least) {
            *last = Some(Instant::now());
            self.woken.notify_waiters();
        }
    }

    pub(crate) fn poke_owed(&self) {
        if let Link::Up(session) = &*self.link() {
            session.owed_news.notify_one();
        }
    }
}

/// Closes the connection when the last handle is gone.
struct LastHandle(Arc<Inner>);

impl Drop for LastHandle {
    fn drop(&mut self) {
        if let Link::Up(session) = &*self.0.link() {
            session.end(Ending::Requested);
        }
        self.0.events.close();
    }
}

/// A client of the interface: one account, at most one connection.
///
/// A cheap handle; clones are the same client. The connection closes when the last one is dropped. Methods may be called
/// from any task, in any order; what needs a connection says [`Error::NotConnected`] without one.
///
/// See the [crate's documentation](crate) for a whole example.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
    _alive: Arc<LastHandle>,
}

impl Client {
    pub(crate) fn new(inner: Inner) -> Self {
        let inner = Arc::new(inner);
        let alive = Arc::new(LastHandle(Arc::clone(&inner)));
        Self { inner, _alive: alive }
    }

    /// Settings for a new client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The stream of events. Call it before [`connect`](Self::connect); a second call ends the first stream.
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.inner))
    }

    /// Makes the user known at WhatsApp as `identifier` of the partner `integrator` (1..=999), and gives the user's
    /// address there.
    ///
    /// The keys are made and stored before the request is sent, so a lost answer is healed by calling this again. An
    /// account that is enlisted already is not enlisted anew.
    ///
    /// # Cancel safety
    ///
    /// The request may have been sent; call it again.
    ///
    /// # Errors
    ///
    /// [`Error::BadIdentity`], [`Error::OtherAccount`], [`Error::Token`], the `Enlistment…` errors, [`Error::Store`].
    /// Refusals that ask to wait are waited for when the wait is a minute at most, and reported otherwise.
    pub async fn enlist(&self, identifier: &str, integrator: u16) -> Result<Jid, Error> {
        crate::account::enlist(&self.inner, identifier, integrator).await
    }

    /// The account's own address, if it is enlisted.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn address(&self) -> Result<Option<Jid>, Error> {
        crate::account::address(&self.inner).await
    }

    /// Opens one connection and logs in. When it returns, the login is accepted, keys are uploaded if it was the first
    /// one, and the mailbox is being delivered; messages that wait to be sent go out.
    ///
    /// How the connection ends is told by [`Event::Disconnected`] and [`closed`](Self::closed);
    /// [`run`](Self::run) connects again by itself.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyConnected`], [`Error::NotEnlisted`], [`Error::Token`], [`Error::Transport`],
    /// [`Error::Handshake`], [`Error::TimedOut`], [`Error::LoginRefused`] and others; see [`Error::reaction`].
    pub async fn connect(&self) -> Result<(), Error> {
        crate::connection::connect(&self.inner, ConnectPlan::default()).await
    }

    /// Waits until the present connection ends, and says how. Without one, how the last one ended; `None` if there was
    /// none or one is being made.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    pub async fn closed(&self) -> Option<Arc<Ending>> {
        self.inner.closed().await
    }

    /// Connects, and connects again whenever the connection ends, until there is no point in it: the error says why.
    /// [`disconnect`](Self::disconnect) ends it, too.
    ///
    /// What each end leads to is one table, [`Cause`], and a page of the documentation, `docs/reconnect.md`.
    ///
    /// [`wake`](Self::wake) and [`network_changed`](Self::network_changed) end a wait early.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the reconnecting; a connection that is up stays up.
    pub async fn run(&self) -> Error {
        crate::run::run(&self.inner).await
    }

    /// Ends a wait of [`run`](Self::run) before its time: the user acts, or a push has come. At most once per minute, so that
    /// a burst of pushes does not undo the back-off.
    pub fn wake(&self) {
        self.inner.end_wait(BETWEEN_WAKES);
    }

    /// The device has another network, or has one again: a wait of [`run`](Self::run) ends, and a connection that is up is
    /// tried with a ping, which ends it if it did not live through the change.
    pub fn network_changed(&self) {
        match &*self.inner.link() {
            Link::Up(session) if !session.has_ended() => session.probe.notify_one(),
            _ => self.inner.end_wait(BETWEEN_NETWORKS),
        }
    }

    /// Enlists the account anew after [`Event::MustReenlist`], with the keys that are there: identity, sessions and messages
    /// stay, the address may be another one. [`run`](Self::run) does it by itself.
    ///
    /// # Cancel safety
    ///
    /// The request may have been sent; call it again.
    ///
    /// # Errors
    ///
    /// [`Error::NotEnlisted`] if there is no account, [`Error::Token`], the `Enlistment…` errors, [`Error::Store`].
    pub async fn reenlist(&self) -> Result<Jid, Error> {
        crate::account::reenlist(&self.inner).await
    }

    /// Why a message has failed; `None` if it has not, or is not known.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn why_failed(&self, to: &Jid, id: &MessageId) -> Result<Option<SendFailure>, Error> {
        crate::messages::why_failed(&self.inner, to, id).await
    }

    /// Closes the connection in order: what is on its way out is written, and the server has read it when this returns, if
    /// it closes its side within two seconds. What waits to be sent stays stored.
    ///
    /// # Cancel safety
    ///
    /// The connection closes all the same.
    pub async fn disconnect(&self) {
        if let Ok(session) = self.inner.session() {
            session.end(Ending::Requested);
            session.written_out().await;
        }
    }

    /// Connects after a push, takes what waits in the mailbox, and leaves: within `limit`, the connecting included. What
    /// waits to be sent goes out meanwhile, but is not waited for.
    ///
    /// # Cancel safety
    ///
    /// What has come is stored. A connection that is up stays up; [`disconnect`](Self::disconnect) closes it.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and [`Error::Store`]. A mailbox that is not empty in time, or a connection that ends
    /// before, is no error: see [`Fetched::caught_up`].
    pub async fn fetch_once(&self, limit: Duration) -> Result<Fetched, Error> {
        crate::fetch::once(&self.inner, limit).await
    }

    /// Sends a text. When it returns, the message is encrypted and stored, and it goes out now or after the next login;
    /// [`Event::MessageState`] tells how far it has got.
    ///
    /// Without a connection, or while sending to the peer is held, the content is stored as it is and encrypted later.
    ///
    /// # Cancel safety
    ///
    /// The message is either stored, and then it goes out, or nothing has happened.
    ///
    /// # Errors
    ///
    /// [`Error::Content`], [`Error::BadAddress`], [`Error::NotEnlisted`], [`Error::NoKeys`], [`Error::BadKeys`],
    /// [`Error::Encrypt`], [`Error::Store`].
    pub async fn send_text(&self, to: &Jid, text: &str) -> Result<MessageId, Error> {
        self.send(to, content::text(text)).await
    }

    /// Sends any content that `landbridge-proto` can build. Otherwise as [`send_text`](Self::send_text).
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text).
    pub async fn send(
        &self,
        to: &Jid,
        content: landbridge_proto::message::Message,
    ) -> Result<MessageId, Error> {
        crate::messages::send(&self.inner, to, &content).await
    }

    /// Answers a message of the chat, of either side, with a text. A copy of what it answers travels along.
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text), and [`Error::NoSuchMessage`] if the store holds no `quoted` of this chat.
    pub async fn reply(&self, to: &Jid, quoted: &MessageId, text: &str) -> Result<MessageId, Error> {
        crate::messages::relate::send(&self.inner, to, quoted, Act::Reply { text }).await
    }

    /// Reacts to a message of the chat, of either side, with one emoji. It replaces the reaction before.
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text), and [`Error::NoSuchMessage`] if the store holds no `target` of this chat.
    pub async fn react(&self, to: &Jid, target: &MessageId, emoji: &str) -> Result<MessageId, Error> {
        crate::messages::relate::send(&self.inner, to, target, Act::React { emoji }).await
    }

    /// Takes the reaction to a message back.
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text), and [`Error::NoSuchMessage`] if the store holds no `target` of this chat.
    pub async fn unreact(&self, to: &Jid, target: &MessageId) -> Result<MessageId, Error> {
        crate::messages::relate::send(&self.inner, to, target, Act::Unreact).await
    }

    /// Takes a message of our own back, for both sides.
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text), and [`Error::NoSuchMessage`] if the store holds no `target` of this chat.
    pub async fn revoke(&self, to: &Jid, target: &MessageId) -> Result<MessageId, Error> {
        crate::messages::relate::send(&self.inner, to, target, Act::Revoke).await
    }

    /// Replaces a text of our own, for both sides, as long as the profile allows: 15 minutes.
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text), and [`Error::NoSuchMessage`] if the store holds no `target` of this chat.
    pub async fn edit(&self, to: &Jid, target: &MessageId, text: &str) -> Result<MessageId, Error> {
        crate::messages::relate::send(&self.inner, to, target, Act::Edit { text }).await
    }

    /// Shows the peer that the user writes, records, or has stopped. Only peers who are there see it; nothing is stored.
    ///
    /// Call it with every keystroke, if that is simplest: the peer is told at once, then every 10 seconds at most, and that the user has
    /// stopped after 5 seconds without a call, or when a message goes out. A recording goes on until it is ended. (The times are
    /// the profile's.)
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// # Errors
    ///
    /// [`Error::NotConnected`], [`Error::BadAddress`], [`Error::Disconnected`].
    pub async fn set_typing(&self, to: &Jid, state: ChatState) -> Result<(), Error> {
        let session = self.inner.session()?;
        let to = crate::messages::recipient(&self.inner, to)?;
        session.set_typing(&to, state).await
    }

    /// Tells whether the app is in front: peers' typing and presence come only while it is (PEERS). It is, until something else is
    /// said, and each later login says the same; [`fetch_once`](Self::fetch_once) alone comes as one who is not there.
    ///
    /// # Cancel safety
    ///
    /// The next login says it at the latest.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`]. Without a connection, it is remembered for the next one.
    pub async fn set_presence(&self, availability: Availability) -> Result<(), Error> {
        *self.inner.presence.lock().unwrap_or_else(PoisonError::into_inner) = availability;
        match self.inner.session() {
            Ok(session) => session.tell_presence(availability).await,
            Err(_) => Ok(()),
        }
    }

    /// One message of a chat, of either side: what it says now, the reactions to it, what it answers, how far it has got. `None` if the
    /// store holds no such message.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn message(&self, chat: &Jid, id: &MessageId) -> Result<Option<StoredMessage>, Error> {
        crate::messages::message(&self.inner, chat, id).await
    }

    /// How far a message has got, or `None` if there is no such message.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn message_state(&self, to: &Jid, id: &MessageId) -> Result<Option<OutState>, Error> {
        crate::messages::state(&self.inner, to, id).await
    }

    /// Waits until a message has got at least as far as `goal` or has failed, and says how far it has got. Nothing is taken
    /// from the [stream of events](Self::events).
    ///
    /// The end of a connection does not end the wait, for the message goes on with the next one; watch
    /// [`closed`](Self::closed) beside it if there will be none.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchMessage`], [`Error::Store`].
    pub async fn wait_for(&self, to: &Jid, id: &MessageId, goal: OutState) -> Result<OutState, Error> {
        crate::messages::wait_for(&self.inner, to, id, goal).await
    }

    /// Tells the author that messages were read, unless the client was built to withhold that. Goes out now or after the
    /// next login: one receipt for all of them, or several if there are more than the profile allows in one.
    ///
    /// # Cancel safety
    ///
    /// The receipts are either stored, and then they go out, or nothing has happened.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], [`Error::Encode`].
    pub async fn mark_read(&self, chat: &Jid, ids: &[MessageId]) -> Result<(), Error> {
        crate::receipts::mark(&self.inner, chat, ids, Mark::Read).await
    }

    /// Tells the author that voice messages were played, or what can be opened once was opened. Otherwise as
    /// [`mark_read`](Self::mark_read).
    ///
    /// # Cancel safety
    ///
    /// As [`mark_read`](Self::mark_read).
    ///
    /// # Errors
    ///
    /// As [`mark_read`](Self::mark_read).
    pub async fn mark_played(&self, chat: &Jid, ids: &[MessageId]) -> Result<(), Error> {
        crate::receipts::mark(&self.inner, chat, ids, Mark::Played).await
    }

    /// Waits until every receipt and acknowledgement that is owed so far has been written to the connection: before an
    /// application that has marked messages as read goes to sleep.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::NotConnected`], [`Error::Disconnected`], [`Error::Store`].
    pub async fn receipts_written(&self) -> Result<(), Error> {
        let session = self.inner.session()?;
        tokio::select! {
            biased;
            ending = session.ended() => Err(Error::Disconnected { ending }),
            written = session.nothing_owed() => written,
        }
    }

    /// Asks the server for an answer, and measures it.
    ///
    /// # Cancel safety
    ///
    /// Safe: a late answer is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::NotConnected`], [`Error::TimedOut`], [`Error::Disconnected`].
    pub async fn ping(&self) -> Result<RoundTrip, Error> {
        let session = self.inner.session()?;
        session.ping().await
    }

    /// Fetches a peer's keys and begins a session with them. Not needed before sending: that does it by itself. Each call
    /// uses up one of the peer's one-time keys.
    ///
    /// # Cancel safety
    ///
    /// A key of the peer may have been used up for nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NoKeys`], [`Error::BadKeys`], [`Error::BadAddress`], [`Error::NotConnected`], [`Error::Store`].
    pub async fn fetch_keys(&self, of: &Jid) -> Result<PeerKeys, Error> {
        crate::keys::fetch(&self.inner, of).await
    }

    /// Blocks a user: what they send is no longer shown.
    ///
    /// # Cancel safety
    ///
    /// The server may have done it; [`blocklist`](Self::blocklist) tells.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::NotConnected`], [`Error::Store`].
    pub async fn block(&self, user: &Jid) -> Result<(), Error> {
        crate::blocking::change(&self.inner, user, landbridge_stanza::blocklist::BlockAction::Block).await
    }

    /// Takes a block back. What was sent meanwhile does not come.
    ///
    /// # Cancel safety
    ///
    /// As [`block`](Self::block).
    ///
    /// # Errors
    ///
    /// As [`block`](Self::block).
    pub async fn unblock(&self, user: &Jid) -> Result<(), Error> {
        crate::blocking::change(&self.inner, user, landbridge_stanza::blocklist::BlockAction::Unblock).await
    }

    /// The blocked users: as the server has them if there is a connection, else as they were last known.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::Store`].
    pub async fn blocklist(&self) -> Result<Vec<Jid>, Error> {
        crate::blocking::list(&self.inner).await
    }

    /// Deletes the account at WhatsApp, then every key in the store. Messages stay; they are the application's. There is no
    /// way back: a new enlistment gives a new address.
    ///
    /// # Cancel safety
    ///
    /// Once asked for, the deletion is asked for again after the next login until it is confirmed.
    ///
    /// # Errors
    ///
    /// [`Error::NotConnected`], [`Error::Refused`], [`Error::Disconnected`], [`Error::Store`].
    pub async fn delete_account(&self) -> Result<(), Error> {
        crate::account::delete(&self.inner).await
    }

    /// How many logins have failed since the last good one.
    pub fn failed_logins(&self) -> u32 {
        self.inner.failed_logins.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let link = match &*self.inner.link() {
            Link::Down(_) => "down",
            Link::Opening => "opening",
            Link::Up(_) => "up",
        };
        f.debug_struct("Client").field("connection", &link).finish_non_exhaustive()
    }
}

pub(crate) fn disconnected(inner: &Inner, ending: Arc<Ending>) {
    let cause = Cause::of_ending(&ending);
    let will_retry = inner.running.load(Ordering::Relaxed) > 0 && cause.action() != Action::Stop;
    inner.events.push(Event::Disconnected { ending, cause, will_retry, at: inner.clock.now() });
}

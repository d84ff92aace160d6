//! What stands behind every handle.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landbridge_noise::ServerTrust;
use landbridge_proto::content;
use landbridge_proto::login::Device;
use landbridge_stanza::Profile;
use landbridge_stanza::presence::Availability;
use landbridge_transport::{HttpClient, Transport};
use landbridge_wire::{EncodeOptions, Jid, Limits};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ReadReceipts;
use crate::error::{Ending, Error};
use crate::event::{Event, EventQueue};
use crate::media::uploads::Uploads;
use crate::messages::flood::Floods;
use crate::reconnect::{Action, Cause};
use crate::seams::{Clock, SharedRng};
use crate::session::Session;
use crate::token::TokenSource;
use crate::trace::Tracer;
use crate::trust::IdentityPolicy;
use crate::vault::Vault;

/// A login whose answer never came may be acted upon so much later (ASSUMED).
const LATE_LOGIN: Duration = Duration::from_secs(120);

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
    /// Files on their way out.
    pub(crate) uploads: Uploads,
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
    pub(super) fn end_wait(&self, least: Duration) {
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

pub(crate) fn disconnected(inner: &Inner, ending: Arc<Ending>) {
    let cause = Cause::of_ending(&ending);
    let will_retry = inner.running.load(Ordering::Relaxed) > 0 && cause.action() != Action::Stop;
    inner.events.push(Event::Disconnected { ending, cause, will_retry, at: inner.clock.now() });
}

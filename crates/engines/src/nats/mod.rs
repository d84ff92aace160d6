//! Servers of one partner, tied together by NATS.

mod bucket;
mod config;
mod link;
mod routes;
mod words;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::connection::State;
use async_trait::async_trait;
use landbridge_partner::wake::{DeviceKey, HandOver, HeldStreams, Switchboard, UserKey};
use tokio::task::JoinSet;

use link::{Found, Link};
use words::{Answer, WakeCall, Word};

pub use config::{NatsConfig, NatsError};

/// What the answer to a hand-over may take.
const ANSWER_TIME: Duration = Duration::from_millis(500);
/// What the last word may take.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// A [`Switchboard`] over NATS with JetStream (2.9 or later), for one server.
///
/// Which server holds a device's stream is an entry of a key-value bucket in the memory of NATS. Every server watches the
/// bucket, so that a push asks nobody; wake-ups are handed over by request and reply. A server says every quarter of
/// [`alive_seconds`](NatsConfig::alive_seconds) that it is there, and counts as gone when nothing is heard of it for so long.
/// Keys and subjects name users and devices by digests.
///
/// While NATS is away, a server knows its own streams only: pushes are accepted, and rows find their way later. The client
/// reconnects by itself, and says again which streams are open.
///
/// ```no_run
/// use std::sync::Arc;
/// use landbridge_engines::{NatsConfig, NatsSwitchboard};
/// use landbridge_partner::{Partner, PartnerConfig};
///
/// # async fn run(config: PartnerConfig) -> Result<(), Box<dyn std::error::Error>> {
/// let nats = NatsConfig { url: "nats://127.0.0.1:4222".to_owned(), ..NatsConfig::default() };
/// let switchboard = NatsSwitchboard::new(nats).await?;
/// let partner = Partner::builder(config).switchboard(Arc::new(switchboard)).start().await?;
/// # Ok(()) }
/// ```
pub struct NatsSwitchboard {
    link: Arc<Link>,
    /// Ends with this.
    tasks: std::sync::Mutex<JoinSet<()>>,
}

impl NatsSwitchboard {
    /// Makes the client, which connects by itself as soon as NATS is there. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`NatsError`]: settings that cannot be used.
    pub async fn new(config: NatsConfig) -> Result<Self, NatsError> {
        let link = Arc::new(Link::new(config).await?);
        Ok(Self { link, tasks: std::sync::Mutex::default() })
    }
}

impl fmt::Debug for NatsSwitchboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsSwitchboard").field("server", &self.link.own).finish_non_exhaustive()
    }
}

#[async_trait]
impl Switchboard for NatsSwitchboard {
    fn attach(&self, server: Weak<dyn HeldStreams>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tasks.spawn(link::answer_calls(Arc::clone(&self.link), Weak::clone(&server)));
        tasks.spawn(link::talk(Arc::clone(&self.link), Weak::clone(&server)));
        tasks.spawn(bucket::keep_routes(Arc::clone(&self.link), server));
    }

    fn changed(&self, device: &DeviceKey) {
        self.link.changed(*device);
    }

    fn is_connected(&self, user: &UserKey) -> bool {
        self.link.is_connected(user)
    }

    async fn hand_over(&self, device: &DeviceKey, wake_id: &str) -> HandOver {
        if !self.is_linked() {
            return HandOver::Unreachable;
        }
        let (server, revision) = match self.link.find(device) {
            Found::At(server, revision) => (server, revision),
            Found::Nowhere => return HandOver::NoStream,
            Found::Unknown => return HandOver::Unreachable,
        };
        let call = WakeCall { device: *device, wake_id: wake_id.to_owned() };
        let request = async_nats::Request::new().payload(call.to_bytes()).timeout(Some(ANSWER_TIME));
        let answered = self.link.client.send_request(self.link.inbox_of(server), request).await;
        let answer = match answered {
            Ok(message) => Answer::from_bytes(&message.payload),
            // Its process is gone, or only its link is: then it has the stream and will see the row.
            Err(_) => None,
        };
        match answer {
            Some(Answer::Taken) => HandOver::Taken,
            Some(Answer::NoStream) => {
                self.link.forget(device, revision);
                HandOver::NoStream
            }
            None => HandOver::Unreachable,
        }
    }

    fn user_left(&self, user: &UserKey) {
        self.link.say(Word::UserLeft(self.link.own, *user));
    }

    fn due(&self) {
        self.link.say(Word::Due(self.link.own));
    }

    fn is_linked(&self) -> bool {
        self.link.client.connection_state() == State::Connected
    }

    async fn leave(&self) {
        // The tasks first: none of them may say after this that the server is there.
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        tasks.shutdown().await;
        let leaving = async {
            for word in [Word::Due(self.link.own), Word::Gone(self.link.own)] {
                self.link.client.publish(self.link.all(), word.to_bytes()).await.ok();
            }
            self.link.client.flush().await.ok();
        };
        if self.is_linked() && tokio::time::timeout(LEAVE_TIME, leaving).await.is_err() {
            tracing::debug!("the other servers were not told of the end");
        }
    }
}

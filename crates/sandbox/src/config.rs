//! What a sandbox is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use landbridge_stanza::Profile;
use landbridge_transport::http_client::{HttpClient, HttpClientBuilder};
use serde::Serialize;

use crate::Clock;
use crate::faults::{Fault, Probability};

/// Whether enlistment and sending are limited in rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateLimits {
    /// They are, as the real service does.
    #[default]
    On,
    /// They are not: for load tests.
    Off,
}

/// Whether pushes go to partners, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pushing {
    /// Over HTTP/1.1.
    #[default]
    Http1,
    /// Over HTTP/2: agreed on by TLS, taken for granted without.
    Http2,
    /// Not at all.
    Off,
}

/// How many faults are injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Calm {
    /// None.
    #[default]
    Calm,
    /// At their default rates.
    #[serde(rename = "default")]
    Faults,
    /// At ten times their default rates.
    Storm,
}

/// Times of the faults that have some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultTimes {
    /// A slow answer of enlistment comes at most so late.
    pub http: Duration,
    /// A write that waits for the next one waits at most so long.
    pub coalesced: Duration,
    /// A late ack comes at most so late.
    pub ack: Duration,
    /// A late answer to a request comes at most so late.
    pub iq: Duration,
    /// A message that others overtake comes at most so late.
    pub reorder: Duration,
    /// How often it is decided whether a stream ends.
    pub stream_end: Duration,
    /// A connection that has died without a word is kept for at most so long.
    pub half_open: Duration,
    /// A late push, and one that waits for others to go first, comes at most so late.
    pub push: Duration,
    /// How late the slow magic number takes its messages.
    pub slow_phone: Duration,
}

impl Default for FaultTimes {
    fn default() -> Self {
        Self {
            http: Duration::from_secs(3),
            coalesced: Duration::from_millis(50),
            ack: Duration::from_secs(3),
            iq: Duration::from_secs(10),
            reorder: Duration::from_secs(1),
            stream_end: Duration::from_secs(60),
            half_open: Duration::from_secs(180),
            push: Duration::from_secs(3),
            slow_phone: Duration::from_secs(5),
        }
    }
}

/// Whether every stanza is written to the journal, as XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trace {
    /// It is not.
    #[default]
    Off,
    /// It is, which costs time.
    On,
}

/// Limits of the chat listener. All are ASSUMED but where the profile says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatLimits {
    /// From the connection to its first byte.
    pub first_byte: Duration,
    /// From the first byte to the end of the handshake.
    pub handshake: Duration,
    /// For one write to a client that does not read.
    pub write: Duration,
    /// Stanzas that were delivered and not acked for so long end the stream.
    pub unacked: Duration,
    /// Connections at once; the next ones wait in the system's queue.
    pub connections: usize,
    /// Ended connections may still write their last stanza for so long when the sandbox shuts down.
    pub drain: Duration,
    /// Messages that one account may send per second, on average, while rate limits are on.
    pub messages_per_second: u32,
    /// Messages that one account may send at once, while rate limits are on.
    pub message_burst: u32,
}

impl Default for ChatLimits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            handshake: Duration::from_secs(20),
            write: Duration::from_secs(60),
            unacked: Duration::from_secs(60),
            connections: 10_000,
            drain: Duration::from_secs(5),
            messages_per_second: 50,
            message_burst: 1_000,
        }
    }
}

/// What a sandbox is started with. The default listens on free loopback ports and keeps everything in memory.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Where the chat server listens.
    pub chat_addr: SocketAddr,
    /// Where enlistment, key set and control API listen.
    pub http_addr: SocketAddr,
    /// Where the media server listens.
    pub media_addr: SocketAddr,
    /// Integrator id (1 to 999) and base URL of each partner.
    pub partners: Vec<(u16, String)>,
    /// Root certificates (DER) of partners that are believed besides the system's: for pushes, key sets and files. See
    /// [`roots_from_pem`](landbridge_transport::http_client::roots_from_pem).
    pub trust_roots: Vec<Vec<u8>>,
    /// Where state lives; `None`: in memory.
    pub data_dir: Option<PathBuf>,
    /// Whether rates are limited.
    pub rate_limits: RateLimits,
    /// Whether pushes go to partners, and how.
    pub pushing: Pushing,
    /// How many faults are injected.
    pub calm: Calm,
    /// Faults whose probabilities are others than those of `calm`.
    pub faults: Vec<(Fault, Probability)>,
    /// Times of the faults that have some.
    pub fault_times: FaultTimes,
    /// Whether stanzas are traced.
    pub trace: Trace,
    /// Seed of everything random; `None`: from the system. Keys made under a seed are no secrets.
    pub seed: Option<u64>,
    /// What the pages leave open.
    pub profile: Profile,
    /// Limits of the chat listener.
    pub chat: ChatLimits,
    /// The time.
    pub clock: Clock,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            chat_addr: loopback,
            http_addr: loopback,
            media_addr: loopback,
            partners: Vec::new(),
            trust_roots: Vec::new(),
            data_dir: None,
            rate_limits: RateLimits::default(),
            pushing: Pushing::default(),
            calm: Calm::default(),
            faults: Vec::new(),
            fault_times: FaultTimes::default(),
            trace: Trace::default(),
            seed: None,
            profile: Profile::default(),
            chat: ChatLimits::default(),
            clock: Clock::real(),
        }
    }
}

impl SandboxConfig {
    /// Adds a partner. Its base URL is also the issuer of its tokens.
    #[must_use]
    pub fn partner(mut self, integrator: u16, base_url: impl Into<String>) -> Self {
        self.partners.push((integrator, base_url.into()));
        self
    }

    /// The beginning of every client that calls partners.
    pub(crate) fn http_client(&self) -> HttpClientBuilder {
        HttpClient::builder().extra_roots(self.trust_roots.iter().cloned())
    }

    /// Keeps state in a directory, which is made if it is not there.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }
}

//! What servers say to each other over NATS. All of it is JSON; what cannot be read is passed over.

use std::fmt;

use bytes::Bytes;
use landbridge_partner::wake::{Chat, DeviceKey, UserKey};
use serde::{Deserialize, Serialize};

/// Longest id of a wake-up that is taken from another server, in bytes.
const MAX_WAKE_ID: usize = 64;

/// The name of one run of one server: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ServerId([u8; 16]);

impl ServerId {
    /// A new one; `None` if the system has no random bytes.
    pub(super) fn random() -> Option<Self> {
        let mut id = [0; 16];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut id).ok()?;
        Some(Self(id))
    }

    fn parse(text: &str) -> Option<Self> {
        // More than 32 digits are not read.
        let digits: &[u8; 32] = text.as_bytes().try_into().ok()?;
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is said to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Its routes are good.
    Alive(ServerId),
    /// It stops.
    Gone(ServerId),
    /// There is more due in the store than it can see to.
    Due(ServerId),
    /// The user has left.
    UserLeft(ServerId, UserKey),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
enum Written {
    Alive { server: String },
    Gone { server: String },
    Due { server: String },
    UserLeft { server: String, user: String },
}

impl Word {
    pub(super) fn to_bytes(self) -> Bytes {
        let written = match self {
            Self::Alive(server) => Written::Alive { server: server.to_string() },
            Self::Gone(server) => Written::Gone { server: server.to_string() },
            Self::Due(server) => Written::Due { server: server.to_string() },
            Self::UserLeft(server, user) => {
                Written::UserLeft { server: server.to_string(), user: user.to_string() }
            }
        };
        to_json(&written)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(match serde_json::from_slice(bytes).ok()? {
            Written::Alive { server } => Self::Alive(ServerId::parse(&server)?),
            Written::Gone { server } => Self::Gone(ServerId::parse(&server)?),
            Written::Due { server } => Self::Due(ServerId::parse(&server)?),
            Written::UserLeft { server, user } => {
                Self::UserLeft(ServerId::parse(&server)?, user.parse().ok()?)
            }
        })
    }
}

/// Where a device's stream is: the value of its key in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) server: ServerId,
    pub(super) chat: Chat,
}

#[derive(Serialize, Deserialize)]
struct WrittenPlace {
    server: String,
    connected: bool,
}

impl Place {
    pub(super) fn to_bytes(self) -> Bytes {
        let connected = self.chat == Chat::Connected;
        to_json(&WrittenPlace { server: self.server.to_string(), connected })
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let WrittenPlace { server, connected } = serde_json::from_slice(bytes).ok()?;
        let chat = if connected { Chat::Connected } else { Chat::Unknown };
        Some(Self { server: ServerId::parse(&server)?, chat })
    }
}

/// "Put this into the stream of that device."
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WakeCall {
    pub(super) device: DeviceKey,
    pub(super) wake_id: String,
}

#[derive(Serialize, Deserialize)]
struct WrittenCall {
    device: String,
    wake_id: String,
}

impl WakeCall {
    pub(super) fn to_bytes(&self) -> Bytes {
        to_json(&WrittenCall { device: self.device.to_string(), wake_id: self.wake_id.clone() })
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let WrittenCall { device, wake_id } = serde_json::from_slice(bytes).ok()?;
        let is_id = (1..=MAX_WAKE_ID).contains(&wake_id.len());
        is_id.then_some(Self { device: device.parse().ok()?, wake_id })
    }
}

/// What is answered to a [`WakeCall`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The stream has it.
    Taken,
    /// There is none.
    NoStream,
}

impl Answer {
    pub(super) fn to_bytes(self) -> Bytes {
        to_json(&self)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Structures of strings always have a JSON form; an empty message is what no reader takes.
fn to_json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let server = ServerId::random().unwrap();
        let user = UserKey::of("alice");
        for word in [Word::Alive(server), Word::Gone(server), Word::Due(server), Word::UserLeft(server, user)]
        {
            assert_eq!(Word::from_bytes(&word.to_bytes()), Some(word));
            assert!(!String::from_utf8_lossy(&word.to_bytes()).contains("alice"));
        }
        for chat in [Chat::Connected, Chat::Unknown] {
            let place = Place { server, chat };
            assert_eq!(Place::from_bytes(&place.to_bytes()), Some(place));
        }
        let call = WakeCall { device: DeviceKey::of("alice", "phone"), wake_id: "x".repeat(64) };
        assert_eq!(WakeCall::from_bytes(&call.to_bytes()), Some(call));
        for answer in [Answer::Taken, Answer::NoStream] {
            assert_eq!(Answer::from_bytes(&answer.to_bytes()), Some(answer));
        }
    }

    #[test]
    fn what_is_not_understood_is_nothing() {
        let device = DeviceKey::of("a", "b");
        let long = format!("{{\"device\":\"{device}\",\"wake_id\":\"{}\"}}", "x".repeat(65));
        let empty = format!("{{\"device\":\"{device}\",\"wake_id\":\"\"}}");
        let nested = "[".repeat(100_000);
        for text in [
            "",
            "x",
            "[]",
            "{}",
            "{\"word\":\"alive\"}",
            "{\"word\":\"alive\",\"server\":\"\"}",
            "{\"word\":\"alive\",\"server\":\"+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1\"}",
            "{\"word\":\"alive\",\"server\":\"éééééééééééééééé\"}",
            "{\"word\":\"nonsense\",\"server\":\"00000000000000000000000000000000\"}",
            "{\"word\":\"user_left\",\"server\":\"00000000000000000000000000000000\",\"user\":\"x\"}",
            "{\"server\":\"00000000000000000000000000000000\"}",
            "\"taken\"x",
            &long,
            &empty,
            &nested,
        ] {
            let bytes = text.as_bytes();
            assert_eq!(Word::from_bytes(bytes), None, "{text}");
            assert_eq!(Place::from_bytes(bytes), None, "{text}");
            assert_eq!(WakeCall::from_bytes(bytes), None, "{text}");
            assert_eq!(Answer::from_bytes(bytes), None, "{text}");
        }
    }
}

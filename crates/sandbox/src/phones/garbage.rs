//! Messages that a client cannot use, sent on purpose.

use std::str::FromStr;

use landbridge_proto::content;
use landbridge_proto::message::{Message, MessageKey};
use landbridge_proto::padding::pad;
use landbridge_stanza::MessageId;
use landbridge_wire::Jid;
use rand::CryptoRng;
use thiserror::Error;

use super::{Output, Phone, PhoneError};

/// From the end of a Signal message: inside the MAC of a pkmsg, whatever ids stand behind it, and inside the ciphertext of
/// a msg.
const DAMAGE_FROM_END: usize = 12;
/// What the message says once it can be read.
const TEXT: &str = "this could not be read at first";

/// No garbage has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no garbage named {name:?}")]
pub struct UnknownGarbage {
    /// The name.
    pub name: String,
}

/// What is wrong with a message that a test phone sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Garbage {
    /// The ciphertext is damaged: it does not open. The copy that answers a retry receipt does.
    Ciphertext,
    /// It opens, and its padding is none (D1). The ratchet has moved: the next message opens.
    Padding,
    /// It opens, and what is inside is no protobuf.
    Protobuf,
    /// A reaction of two emojis: it reads well and breaks a rule of its kind (V13).
    Content,
}

impl Garbage {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Ciphertext, Self::Padding, Self::Protobuf, Self::Content];

    /// Its name in the control API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ciphertext => "ciphertext",
            Self::Padding => "padding",
            Self::Protobuf => "protobuf",
            Self::Content => "content",
        }
    }

    fn content(self, chat: &Jid, now: u64) -> Message {
        match self {
            Self::Content => {
                let now_ms = i64::try_from(now).unwrap_or(i64::MAX).saturating_mul(1_000);
                content::react(MessageKey::own(chat.to_string(), "3EB0000000000000000000"), "👍👎", now_ms)
            }
            _ => content::text(TEXT),
        }
    }

    /// What is encrypted in the place of the padded content.
    pub(super) fn plaintext<R: CryptoRng + ?Sized>(self, plaintext: &[u8], rng: &mut R) -> Vec<u8> {
        let mut bytes = match self {
            // An unfinished field of an impossible type.
            Self::Protobuf => vec![0xff; 16],
            _ => plaintext.to_vec(),
        };
        match self {
            Self::Padding => bytes.push(0),
            _ => pad(&mut bytes, rng),
        }
        bytes
    }

    /// What becomes of the ciphertext.
    pub(super) fn damage(self, ciphertext: &mut [u8]) {
        if self == Self::Ciphertext {
            damage(ciphertext);
        }
    }
}

impl FromStr for Garbage {
    type Err = UnknownGarbage;

    fn from_str(name: &str) -> Result<Self, UnknownGarbage> {
        let found = Self::ALL.iter().find(|garbage| garbage.name() == name);
        found.copied().ok_or_else(|| UnknownGarbage { name: name.to_owned() })
    }
}

/// Changes one byte of a Signal message so that it does not open; `None` if it is too short to be one.
pub(crate) fn damage(ciphertext: &mut [u8]) -> Option<()> {
    let at = ciphertext.len().checked_sub(DAMAGE_FROM_END)?;
    *ciphertext.get_mut(at)? ^= 0x55;
    Some(())
}

impl Phone {
    /// Sends a message that cannot be used.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) fn send_garbage(
        &mut self,
        to: &Jid,
        garbage: Garbage,
        now: u64,
    ) -> Result<(MessageId, Vec<Output>), PhoneError> {
        let id = MessageId::generate(&mut *self.rng);
        if garbage != Garbage::Content {
            self.spoiled.insert(id.to_string(), garbage);
        }
        match self.send_as(to, &id, &garbage.content(to, now), now) {
            Ok(out) => Ok((id, out)),
            Err(error) => {
                self.spoiled.remove(id.as_str());
                Err(error)
            }
        }
    }
}

//! Every ciphertext and every one-time prekey that passes the server, to see that none is used twice.

use std::collections::{BTreeMap, BTreeSet};

use landbridge::proto::signal::{PreKeySignalMessage, SignalMessage};
use landbridge::stanza::message::{Enc, EncType, MessageContent, MessageIn, MessageOut};
use landbridge::wire::xml;
use landbridge_sandbox::events::{Direction, Event, EventKind};
use prost::Message as _;

use crate::connections::Connections;

/// Bytes of the MAC at the end of a Signal message.
const MAC: usize = 8;

/// Sender, ratchet key and counter.
type MessageKey = (String, Vec<u8>, u32);

#[derive(Default)]
pub(crate) struct Recorder {
    /// Sender, recipient, id and count of the retry to the ciphertext.
    copies: BTreeMap<(String, String, String, u8), Vec<u8>>,
    /// Message keys to the ciphertext.
    keys: BTreeMap<MessageKey, Vec<u8>>,
    /// Whose prekeys were given away.
    prekeys: BTreeSet<(String, u32)>,
    pub(crate) connections: Connections,
    violations: Vec<String>,
}

impl Recorder {
    pub(crate) fn event(&mut self, event: &Event) {
        let own = event.user.as_deref().unwrap_or_default();
        match &event.kind {
            EventKind::Stanza { direction, xml, .. } if xml.starts_with("<message") => {
                if let Err(what) = self.message(own, *direction, xml) {
                    self.violations.push(what);
                }
            }
            EventKind::BundleFetched { of, prekey: Some(prekey) }
                if !self.prekeys.insert((of.clone(), *prekey)) =>
            {
                self.violations.push(format!("one-time prekey {prekey} of {of} was given away twice"));
            }
            EventKind::Connected { .. } | EventKind::Disconnected { .. } | EventKind::Broken { .. } => {
                self.violations.extend(self.connections.event(event));
            }
            EventKind::Internal { detail } => self.violations.push(format!("the sandbox failed: {detail}")),
            EventKind::IdentityChanged { .. } | EventKind::PhoneNotice { .. } => {
                self.violations.push(format!("an identity changed: {:?}", event.kind));
            }
            _ => {}
        }
    }

    fn message(&mut self, own: &str, direction: Direction, text: &str) -> Result<(), String> {
        let node = xml::parse(text).map_err(|error| format!("a stanza cannot be read again: {error}"))?;
        match direction {
            Direction::In => {
                let message = MessageOut::from_node(node.view()).map_err(|error| error.to_string())?;
                let (to, id) = (message.to.to_string(), message.id.to_string());
                message.encs.iter().for_each(|enc| self.enc(own, &to, &id, enc));
            }
            Direction::Out => {
                let message = MessageIn::from_node(node.view()).map_err(|error| error.to_string())?;
                let (from, id) = (message.from.to_string(), message.id.to_string());
                if let MessageContent::Encrypted(encs) = &message.content {
                    encs.iter().for_each(|enc| self.enc(&from, own, &id, enc));
                }
            }
        }
        Ok(())
    }

    fn enc(&mut self, from: &str, to: &str, id: &str, enc: &Enc) {
        let copy = (from.to_owned(), to.to_owned(), id.to_owned(), enc.count.unwrap_or(0));
        let old = self.copies.entry(copy).or_insert_with(|| enc.ciphertext.clone());
        if *old != enc.ciphertext {
            self.violations.push(format!("message {id} of {from} has two ciphertexts"));
        }
        let Some((ratchet, counter)) = key_of(enc) else {
            return self.violations.push(format!("message {id} of {from} holds no Signal message"));
        };
        let key = (from.to_owned(), ratchet, counter);
        let old = self.keys.entry(key).or_insert_with(|| enc.ciphertext.clone());
        if *old != enc.ciphertext {
            self.violations.push(format!("{from} used a message key twice, the second time in {id}"));
        }
    }

    /// How many message keys and how many prekeys were seen.
    pub(crate) fn seen(&self) -> (usize, usize) {
        (self.keys.len(), self.prekeys.len())
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }
}

/// Ratchet key and counter: together they stand for one message key and its IV.
fn key_of(enc: &Enc) -> Option<(Vec<u8>, u32)> {
    let inner = match enc.kind {
        EncType::PreKey => PreKeySignalMessage::decode(enc.ciphertext.get(1..)?).ok()?.message?,
        EncType::Message => enc.ciphertext.clone(),
        _ => return None,
    };
    let body = inner.get(1..inner.len().checked_sub(MAC)?)?;
    let message = SignalMessage::decode(body).ok()?;
    Some((message.ratchet_key?, message.counter?))
}

//! Every ciphertext that passes, to see that no key is used twice.

use std::collections::BTreeMap;

use landbridge::proto::signal::{PreKeySignalMessage, SignalMessage};
use landbridge::stanza::message::{Enc, EncType, MessageContent, MessageIn, MessageOut};
use landbridge::wire::xml;
use landbridge::{Direction, TracedStanza};
use prost::Message as _;

use crate::trace::Trace;

/// Bytes of the MAC at the end of a Signal message.
const MAC: usize = 8;

/// Sender, ratchet key and counter.
type MessageKey = (String, Vec<u8>, u32);

/// Looks at the stanzas of all clients.
pub(crate) struct Recorder {
    trace: Trace,
    /// Sender, recipient, id and count of the retry to the ciphertext.
    copies: BTreeMap<(String, String, String, u8), Vec<u8>>,
    /// Message keys to the message and its ciphertext.
    keys: BTreeMap<MessageKey, (String, Vec<u8>)>,
}

impl Recorder {
    pub(crate) fn new(trace: Trace) -> Self {
        Self { trace, copies: BTreeMap::new(), keys: BTreeMap::new() }
    }

    /// Takes a stanza of the client with address `own`.
    pub(crate) fn stanza(&mut self, own: &str, stanza: &TracedStanza) {
        if stanza.tag != "message" {
            return;
        }
        let Ok(node) = xml::parse(&stanza.xml) else {
            return self.trace.violation(format!("a stanza of {own} cannot be read again"));
        };
        match stanza.direction {
            Direction::Out => match MessageOut::from_node(node.view()) {
                Ok(message) => {
                    let (to, id) = (message.to.to_string(), message.id.to_string());
                    message.encs.iter().for_each(|enc| self.enc(own, &to, &id, enc));
                }
                Err(error) => self.trace.violation(format!("a message of {own} is none: {error}")),
            },
            Direction::In => match MessageIn::from_node(node.view()) {
                Ok(message) => {
                    let (from, id) = (message.from.to_string(), message.id.to_string());
                    if let MessageContent::Encrypted(encs) = &message.content {
                        encs.iter().for_each(|enc| self.enc(&from, own, &id, enc));
                    }
                }
                Err(error) => self.trace.violation(format!("a message for {own} is none: {error}")),
            },
        }
    }

    fn enc(&mut self, from: &str, to: &str, id: &str, enc: &Enc) {
        let copy = (from.to_owned(), to.to_owned(), id.to_owned(), enc.count.unwrap_or(0));
        let old = self.copies.entry(copy).or_insert_with(|| enc.ciphertext.clone());
        if *old != enc.ciphertext {
            self.trace.odd(&[id], (from, to), format!("message {id} of {from} has two ciphertexts"));
        }
        let Some((ratchet, counter)) = key_of(enc) else {
            let what = format!("message {id} of {from} holds no Signal message");
            return self.trace.odd(&[id], (from, to), what);
        };
        let key = (from.to_owned(), ratchet, counter);
        let old = self.keys.entry(key).or_insert_with(|| (id.to_owned(), enc.ciphertext.clone()));
        if old.1 != enc.ciphertext {
            let what = format!("{from} used a message key twice, the second time in {id}");
            self.trace.odd(&[id, old.0.as_str()], (from, to), what);
        }
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

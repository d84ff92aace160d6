//! What a phone's user does with messages that are there, and what happens to phones: a lost session, a second look at a
//! message, another installation.

use landbridge_proto::content::{self, Quote};
use landbridge_proto::message::{Message, MessageKey};
use landbridge_stanza::MessageId;
use landbridge_store::MessageKey as StoredKey;
use landbridge_wire::Jid;

use super::phone::{address, begin_account};
use super::step::Plan;
use super::{Direction, MessageState, Output, Phone, PhoneError, PhoneMessage};

/// A message and the stanzas that send it.
type Sent = Result<(MessageId, Vec<Output>), PhoneError>;

impl Phone {
    /// Answers a message with a text that quotes it.
    ///
    /// # Errors
    /// [`PhoneError::NoMessage`] if it is not on the screen, and as [`send_text`](Self::send_text).
    pub(crate) fn reply(&mut self, peer: &Jid, about: &MessageId, text: &str, now: u64) -> Sent {
        self.check_text(text)?;
        let direction = self.find(peer, about)?;
        let author = match direction {
            Direction::Received => peer.to_string(),
            Direction::Sent => self.jid.to_string(),
        };
        let plaintext = self.plaintext(direction, peer, about)?;
        let message: Message = landbridge_proto::parse(&plaintext, &self.limits.parse)?;
        let quote = Quote { id: about.as_str(), author: &author, message: &message };
        self.send(peer, &content::reply(content::text(text), &quote), now)
    }

    /// Reacts to a message; an empty `emoji` takes the reaction back.
    ///
    /// # Errors
    /// [`PhoneError::NoMessage`] if it is not on the screen, and as [`send`](Self::send).
    pub(crate) fn react(&mut self, peer: &Jid, about: &MessageId, emoji: &str, now: u64) -> Sent {
        let key = match self.find(peer, about)? {
            Direction::Received => MessageKey::theirs(peer.to_string(), about.as_str()),
            Direction::Sent => MessageKey::own(peer.to_string(), about.as_str()),
        };
        self.send(peer, &content::react(key, emoji, millis(now)), now)
    }

    /// Takes back a message that the phone sent.
    ///
    /// # Errors
    /// [`PhoneError::NoMessage`] if it sent none of this id, and as [`send`](Self::send).
    pub(crate) fn revoke(&mut self, peer: &Jid, about: &MessageId, now: u64) -> Sent {
        let key = self.own(peer, about)?;
        self.send(peer, &content::revoke(key), now)
    }

    /// Gives a message that the phone sent another text.
    ///
    /// # Errors
    /// [`PhoneError::NoMessage`] if it sent none of this id, and as [`send_text`](Self::send_text).
    pub(crate) fn edit(&mut self, peer: &Jid, about: &MessageId, text: &str, now: u64) -> Sent {
        self.check_text(text)?;
        let key = self.own(peer, about)?;
        self.send(peer, &content::edit(key, content::text(text), millis(now)), now)
    }

    /// Forgets the session with a peer, as a phone with a damaged memory does: what the peer sends next does not open and
    /// is asked for again.
    ///
    /// # Errors
    /// [`PhoneError`] if the store fails.
    pub(crate) fn lose_session(&mut self, peer: &Jid) -> Result<Vec<Output>, PhoneError> {
        self.rebuilt.remove(peer);
        self.step(|_, tx| {
            tx.delete_session(&address(peer))?;
            Ok(Plan::default())
        })
    }

    /// Asks for a message that was received once more, though it could be read.
    ///
    /// # Errors
    /// [`PhoneError::NoMessage`] if it is not on the screen, [`PhoneError::AskedOften`] if it was asked for as often as
    /// anybody answers.
    pub(crate) fn ask_once_more(&mut self, peer: &Jid, id: &MessageId) -> Result<Vec<Output>, PhoneError> {
        let line = self.screen.get(Direction::Received, &peer.to_string(), id.as_str());
        let Some(t) = line.map(|line| line.t) else { return Err(self.no_message(peer, id)) };
        let most = self.profile.receipts.retries_answered;
        let count = self.asked_again.get(&(peer.clone(), id.to_string())).copied().unwrap_or(0) + 1;
        if count > most {
            return Err(PhoneError::AskedOften { id: id.to_string(), most });
        }
        self.step(|desk, tx| {
            let receipt = desk.retry_receipt(tx, peer, (id, t), count, None)?;
            Ok(Plan::of([Output::Send(receipt)]))
        })
    }

    /// Installs the app anew, with the history that a backup had: new identity and keys, no session, nothing owed; what
    /// was not sent has failed. The server has to be told of the keys, and the phone to [connect](Self::connect).
    ///
    /// # Errors
    /// [`PhoneError`] if the store fails; then it is the old installation.
    pub(crate) fn reinstall(&mut self, now: u64) -> Result<(), PhoneError> {
        let mut tx = self.store.begin()?;
        tx.wipe_keys(now)?;
        self.screen.remember(&mut *tx)?;
        begin_account(&mut *tx, &self.number, &self.jid, &mut *self.rng, now)?;
        tx.commit()?;
        self.asked.clear();
        self.changed.clear();
        self.rebuilt.clear();
        self.waiting.clear();
        self.resends.clear();
        self.spoiled.clear();
        self.asked_again.clear();
        self.batch_left = 0;
        self.again = false;
        let pending = self.screen.iter().filter(|line| line.state == MessageState::Pending);
        let pending: Vec<_> = pending.map(|line| (line.peer.clone(), line.id.clone())).collect();
        for (peer, id) in pending {
            self.screen.update(Direction::Sent, &peer, &id, |line: &mut PhoneMessage| {
                line.state = MessageState::Failed;
                line.failure = Some("the phone was set up anew".to_owned());
            });
        }
        Ok(())
    }

    /// On which side of a chat a message is.
    fn find(&self, peer: &Jid, id: &MessageId) -> Result<Direction, PhoneError> {
        let chat = peer.to_string();
        let sides = [Direction::Received, Direction::Sent];
        let found = sides.into_iter().find(|side| self.screen.get(*side, &chat, id.as_str()).is_some());
        found.ok_or_else(|| self.no_message(peer, id))
    }

    /// The key of a message that the phone sent.
    fn own(&self, peer: &Jid, id: &MessageId) -> Result<MessageKey, PhoneError> {
        let chat = peer.to_string();
        match self.screen.get(Direction::Sent, &chat, id.as_str()) {
            Some(_) => Ok(MessageKey::own(chat, id.as_str())),
            None => Err(self.no_message(peer, id)),
        }
    }

    fn plaintext(&mut self, direction: Direction, peer: &Jid, id: &MessageId) -> Result<Vec<u8>, PhoneError> {
        let (chat, tx) = (peer.to_string(), self.store.begin()?);
        let stored = match direction {
            Direction::Received => {
                tx.message(&StoredKey::direct(chat, id.as_str()))?.map(|entry| entry.message.plaintext)
            }
            Direction::Sent => tx.outgoing(&chat, id.as_str())?.map(|entry| entry.message.plaintext),
        };
        drop(tx);
        // A placeholder has no content.
        stored.ok_or_else(|| self.no_message(peer, id))
    }

    fn no_message(&self, peer: &Jid, id: &MessageId) -> PhoneError {
        PhoneError::NoMessage { peer: peer.to_string(), id: id.to_string() }
    }
}

fn millis(now: u64) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX).saturating_mul(1_000)
}

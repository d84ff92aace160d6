//! Test phones: what they are told to do.

use std::sync::Arc;

use landbridge_proto::message::Message;
use landbridge_stanza::MessageId;
use landbridge_stanza::blocklist::BlockAction;
use landbridge_stanza::chatstate::ChatState;
use landbridge_stanza::keys::UploadKeys;
use landbridge_wire::Jid;

use super::SandboxHandle;
use crate::phones::{self, Attached, Done, Output, Phone};
use crate::{Garbage, OutsidePhone, PhoneError, PhoneInfo, PhoneMessage, SandboxError};

impl SandboxHandle {
    /// Makes a test phone: a WhatsApp user with keys and a store of its own. `number` has 5 to 15 digits. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// [`PhoneError::Number`], [`PhoneError::Exists`], or a failure of its store.
    pub fn create_phone(&self, number: &str, name: &str) -> Result<PhoneInfo, SandboxError> {
        phones::create(&self.state, number, name).map_err(|source| failed(number, source))
    }

    /// Makes a WhatsApp user whose phone the caller plays: it announces `keys`, and its stanzas are written and read by
    /// the caller.
    ///
    /// # Errors
    /// [`PhoneError::Number`], [`PhoneError::Exists`], or a failure of the database.
    pub fn outside_phone(
        &self,
        number: &str,
        name: &str,
        keys: &UploadKeys,
    ) -> Result<OutsidePhone, SandboxError> {
        OutsidePhone::attach(&self.state, number, name, keys).map_err(|source| failed(number, source))
    }

    /// All test phones, in the order of their numbers.
    ///
    /// # Errors
    /// A phone's store fails.
    pub fn phones(&self) -> Result<Vec<PhoneInfo>, SandboxError> {
        let info = |phone: &Arc<Attached>| phone.info().map_err(|source| failed("", source));
        self.state.phones.all().iter().map(info).collect()
    }

    /// One test phone.
    ///
    /// # Errors
    /// No such phone, or its store fails.
    pub fn phone_info(&self, number: &str) -> Result<PhoneInfo, SandboxError> {
        self.phone(number)?.info().map_err(|source| failed(number, source))
    }

    /// Lets a phone write a text. `to` is an address (`1-108@interop`), the user-visible identifier of an enlisted user or
    /// the number of another phone. The message is encrypted, stored and, unless the phone is away, accepted by the server when this returns.
    ///
    /// # Errors
    /// [`PhoneError`]: no such phone or recipient, a text that is too long, no keys, or the server refuses it.
    pub fn phone_send_text(&self, number: &str, to: &str, text: &str) -> Result<MessageId, SandboxError> {
        let (phone, to) = self.phone_and_user(number, to)?;
        phone.send_text(&self.state, &to, text).map_err(|source| failed(number, source))
    }

    /// As [`phone_send_text`](Self::phone_send_text), with any content, also one that breaks rules.
    ///
    /// # Errors
    /// The same.
    pub fn phone_send(&self, number: &str, to: &str, content: &Message) -> Result<MessageId, SandboxError> {
        let (phone, to) = self.phone_and_user(number, to)?;
        phone.send(&self.state, &to, content).map_err(|source| failed(number, source))
    }

    /// What a phone shows: received and sent messages, in order.
    ///
    /// # Errors
    /// No such phone.
    pub fn phone_messages(&self, number: &str) -> Result<Vec<PhoneMessage>, SandboxError> {
        Ok(self.phone_changes(number, 0)?.0)
    }

    /// The messages of a phone that have changed after change number `after`, in the order of its screen, and the number
    /// of its last change. A number that was not reached, from before a restart, stands for 0.
    ///
    /// # Errors
    /// No such phone.
    pub fn phone_changes(&self, number: &str, after: u64) -> Result<(Vec<PhoneMessage>, u64), SandboxError> {
        Ok(self.phone(number)?.messages(after))
    }

    /// The number of a phone's last change, as it grows. Ends with the sandbox.
    ///
    /// # Errors
    /// No such phone.
    pub fn watch_phone(&self, number: &str) -> Result<tokio::sync::watch::Receiver<u64>, SandboxError> {
        Ok(self.phone(number)?.changes())
    }

    /// Lets a phone answer a message of either side with a text that quotes it.
    ///
    /// # Errors
    /// No such phone, user or message; and as [`phone_send_text`](Self::phone_send_text).
    pub fn phone_reply(
        &self,
        number: &str,
        peer: &str,
        about: &MessageId,
        text: &str,
    ) -> Result<MessageId, SandboxError> {
        self.phone_sends(number, peer, |phone, peer, now| phone.reply(peer, about, text, now))
    }

    /// Lets a phone react to a message of either side; an empty `emoji` takes the reaction back.
    ///
    /// # Errors
    /// As [`phone_reply`](Self::phone_reply).
    pub fn phone_react(
        &self,
        number: &str,
        peer: &str,
        about: &MessageId,
        emoji: &str,
    ) -> Result<MessageId, SandboxError> {
        self.phone_sends(number, peer, |phone, peer, now| phone.react(peer, about, emoji, now))
    }

    /// Lets a phone take back a message that it sent.
    ///
    /// # Errors
    /// As [`phone_reply`](Self::phone_reply).
    pub fn phone_revoke(
        &self,
        number: &str,
        peer: &str,
        about: &MessageId,
    ) -> Result<MessageId, SandboxError> {
        self.phone_sends(number, peer, |phone, peer, now| phone.revoke(peer, about, now))
    }

    /// Lets a phone give a message that it sent another text.
    ///
    /// # Errors
    /// As [`phone_reply`](Self::phone_reply).
    pub fn phone_edit(
        &self,
        number: &str,
        peer: &str,
        about: &MessageId,
        text: &str,
    ) -> Result<MessageId, SandboxError> {
        self.phone_sends(number, peer, |phone, peer, now| phone.edit(peer, about, text, now))
    }

    /// Lets a phone send what a client cannot use.
    ///
    /// # Errors
    /// As [`phone_send_text`](Self::phone_send_text).
    pub fn phone_send_garbage(
        &self,
        number: &str,
        to: &str,
        garbage: Garbage,
    ) -> Result<MessageId, SandboxError> {
        self.phone_sends(number, to, |phone, to, now| phone.send_garbage(to, garbage, now))
    }

    /// Lets a phone type, record or stop. Who is away, or has blocked it, does not hear of it.
    ///
    /// # Errors
    /// No such phone or user.
    pub fn phone_type(&self, number: &str, peer: &str, state: ChatState) -> Result<(), SandboxError> {
        let (phone, peer) = self.phone_and_user(number, peer)?;
        phone.typing(&self.state, &peer, state).map_err(|source| failed(number, source))
    }

    /// Lets a phone say that it has read a message.
    ///
    /// # Errors
    /// No such phone, user or message.
    pub fn phone_read(&self, number: &str, from: &str, id: &MessageId) -> Result<(), SandboxError> {
        self.phone_sees(number, from, Some(id), Done::Read).map(drop)
    }

    /// Lets a phone say that it has read everything of a chat, and gives the ids.
    ///
    /// # Errors
    /// No such phone or user.
    pub fn phone_read_all(&self, number: &str, from: &str) -> Result<Vec<MessageId>, SandboxError> {
        self.phone_sees(number, from, None, Done::Read)
    }

    /// Lets a phone say that it has played a message.
    ///
    /// # Errors
    /// No such phone, user or message.
    pub fn phone_played(&self, number: &str, from: &str, id: &MessageId) -> Result<(), SandboxError> {
        self.phone_sees(number, from, Some(id), Done::Played).map(drop)
    }

    /// Lets a phone ask for a message once more, though it could read it.
    ///
    /// # Errors
    /// No such phone, user or message, or it was asked for as often as anybody answers.
    pub fn phone_ask_again(&self, number: &str, from: &str, id: &MessageId) -> Result<(), SandboxError> {
        let (phone, from) = self.phone_and_user(number, from)?;
        phone.ask_once_more(&self.state, &from, id).map_err(|source| failed(number, source))
    }

    /// Lets a phone forget its session with somebody: what comes next does not open, and is asked for again.
    ///
    /// # Errors
    /// No such phone or user.
    pub fn phone_lose_session(&self, number: &str, peer: &str) -> Result<(), SandboxError> {
        let (phone, peer) = self.phone_and_user(number, peer)?;
        phone.lose_session(&self.state, &peer).map_err(|source| failed(number, source))
    }

    /// Sets a phone up anew, with its history and without its keys: everybody who has exchanged a message with it of late
    /// is told that its identity has changed.
    ///
    /// # Errors
    /// No such phone, or its store fails.
    pub fn phone_reinstall(&self, number: &str) -> Result<PhoneInfo, SandboxError> {
        let phone = self.phone(number)?;
        phone.reinstall(&self.state).map_err(|source| failed(number, source))?;
        self.phone_info(number)
    }

    /// Lets a phone go away: its mailbox waits, and what it is told to send waits, too.
    ///
    /// # Errors
    /// No such phone.
    pub fn phone_go_offline(&self, number: &str) -> Result<(), SandboxError> {
        self.phone(number)?.go_offline(&self.state);
        Ok(())
    }

    /// Lets a phone come back.
    ///
    /// # Errors
    /// No such phone, or its store fails.
    pub fn phone_come_online(&self, number: &str) -> Result<(), SandboxError> {
        self.phone(number)?.come_online(&self.state).map_err(|source| failed(number, source))
    }

    /// Deletes a phone: its user is nobody any more. A fetch of its keys and messages to it give error 404. A magic number
    /// comes back, with another identity, when somebody asks for it.
    ///
    /// # Errors
    /// No such phone, or the database fails.
    pub fn delete_phone(&self, number: &str) -> Result<(), SandboxError> {
        phones::remove(&self.state, number).map_err(|source| failed(number, source))
    }

    /// Lets a phone block or unblock somebody.
    ///
    /// # Errors
    /// No such phone or user, or the server refuses it.
    pub fn phone_block(&self, number: &str, whom: &str, action: BlockAction) -> Result<(), SandboxError> {
        let (phone, whom) = self.phone_and_user(number, whom)?;
        phone.block(&self.state, &whom, action).map_err(|source| failed(number, source))
    }

    fn phone_sends(
        &self,
        number: &str,
        to: &str,
        make: impl FnOnce(&mut Phone, &Jid, u64) -> Result<(MessageId, Vec<Output>), PhoneError>,
    ) -> Result<MessageId, SandboxError> {
        let (phone, to) = self.phone_and_user(number, to)?;
        let sent = phone.sent(&self.state, &to, |phone| make(phone, &to, self.state.now()));
        sent.map_err(|source| failed(number, source))
    }

    fn phone_sees(
        &self,
        number: &str,
        from: &str,
        id: Option<&MessageId>,
        done: Done,
    ) -> Result<Vec<MessageId>, SandboxError> {
        let (phone, from) = self.phone_and_user(number, from)?;
        let seen = phone.see(&self.state, &from, id.map(std::slice::from_ref), done);
        seen.map_err(|source| failed(number, source))
    }

    fn phone(&self, number: &str) -> Result<Arc<Attached>, SandboxError> {
        self.state.phones.get(number).ok_or_else(|| failed(number, PhoneError::NoSuchPhone))
    }

    pub(super) fn phone_and_user(
        &self,
        number: &str,
        user: &str,
    ) -> Result<(Arc<Attached>, Jid), SandboxError> {
        let phone = self.phone(number)?;
        let user = self.resolve(user)?.ok_or_else(|| failed(number, PhoneError::NoSuchUser))?;
        Ok((phone, user))
    }
}

pub(super) fn failed(number: &str, source: PhoneError) -> SandboxError {
    SandboxError::Phone { number: number.to_owned(), source }
}

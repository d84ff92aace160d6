//! Messages whose file is to be fetched.

use landbridge_proto::content::{self, Content, Context};
use landbridge_stanza::MessageId;
use landbridge_store::MessageKey;
use landbridge_wire::Jid;

use super::attached::Attached;
use super::{Phone, PhoneError};

impl Phone {
    /// What was received in a message, if the phone has it.
    ///
    /// # Errors
    /// [`PhoneError`] if the store fails.
    pub(crate) fn content(&mut self, from: &Jid, id: &MessageId) -> Result<Option<Content>, PhoneError> {
        let (peer, me) = (from.to_string(), self.jid.to_string());
        let tx = self.store.begin()?;
        let entry = tx.message(&MessageKey::direct(peer.as_str(), id.as_str()))?;
        let context = Context::direct(&peer, &me);
        // One that no longer reads has no file either.
        Ok(entry.and_then(|entry| content::decode(&entry.message.plaintext, &context, &self.limits).ok()))
    }
}

impl Attached {
    /// As [`Phone::content`].
    pub(crate) fn content(&self, from: &Jid, id: &MessageId) -> Result<Option<Content>, PhoneError> {
        self.lock().content(from, id)
    }
}

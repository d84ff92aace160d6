//! Messages and receipts.

use landbridge_proto::content;
use landbridge_stanza::MessageId;
use landbridge_store::OutState;
use landbridge_wire::Jid;

use super::Client;
use crate::error::Error;
use crate::message::StoredMessage;
use crate::messages::relate::Act;
use crate::receipts::Mark;
use crate::send_failure::SendFailure;

impl Client {
    /// Sends a text. When it returns, the message is encrypted and stored, and it goes out now or after the next login;
    /// [`Event::MessageState`](crate::Event::MessageState) tells how far it has got.
    ///
    /// Without a connection, or while sending to the peer is held, the content is stored as it is and encrypted later.
    ///
    /// # Cancel safety
    ///
    /// The message is either stored, and then it goes out, or nothing has happened.
    ///
    /// # Errors
    ///
    /// [`Error::Content`], [`Error::BadAddress`], [`Error::NotEnlisted`], [`Error::NoKeys`], [`Error::BadKeys`],
    /// [`Error::Encrypt`], [`Error::Store`].
    pub async fn send_text(&self, to: &Jid, text: &str) -> Result<MessageId, Error> {
        self.send(to, content::text(text)).await
    }

    /// Sends any content that `landbridge-proto` can build. Otherwise as [`send_text`](Self::send_text).
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text).
    pub async fn send(
        &self,
        to: &Jid,
        content: landbridge_proto::message::Message,
    ) -> Result<MessageId, Error> {
        crate::messages::send(&self.inner, to, &content).await
    }

    /// Answers a message of the chat, of either side, with a text. A copy of what it answers travels along.
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text), and [`Error::NoSuchMessage`] if the store holds no `quoted` of this chat.
    pub async fn reply(&self, to: &Jid, quoted: &MessageId, text: &str) -> Result<MessageId, Error> {
        crate::messages::relate::send(&self.inner, to, quoted, Act::Reply { text }).await
    }

    /// Reacts to a message of the chat, of either side, with one emoji. It replaces the reaction before.
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text), and [`Error::NoSuchMessage`] if the store holds no `target` of this chat.
    pub async fn react(&self, to: &Jid, target: &MessageId, emoji: &str) -> Result<MessageId, Error> {
        crate::messages::relate::send(&self.inner, to, target, Act::React { emoji }).await
    }

    /// Takes the reaction to a message back.
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text), and [`Error::NoSuchMessage`] if the store holds no `target` of this chat.
    pub async fn unreact(&self, to: &Jid, target: &MessageId) -> Result<MessageId, Error> {
        crate::messages::relate::send(&self.inner, to, target, Act::Unreact).await
    }

    /// Takes a message of our own back, for both sides.
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text), and [`Error::NoSuchMessage`] if the store holds no `target` of this chat.
    pub async fn revoke(&self, to: &Jid, target: &MessageId) -> Result<MessageId, Error> {
        crate::messages::relate::send(&self.inner, to, target, Act::Revoke).await
    }

    /// Replaces a text of our own, for both sides, as long as the profile allows: 15 minutes.
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text), and [`Error::NoSuchMessage`] if the store holds no `target` of this chat.
    pub async fn edit(&self, to: &Jid, target: &MessageId, text: &str) -> Result<MessageId, Error> {
        crate::messages::relate::send(&self.inner, to, target, Act::Edit { text }).await
    }

    /// One message of a chat, of either side: what it says now, the reactions to it, what it answers, how far it has got. `None` if the
    /// store holds no such message.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn message(&self, chat: &Jid, id: &MessageId) -> Result<Option<StoredMessage>, Error> {
        crate::messages::message(&self.inner, chat, id).await
    }

    /// How far a message has got, or `None` if there is no such message.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn message_state(&self, to: &Jid, id: &MessageId) -> Result<Option<OutState>, Error> {
        crate::messages::state(&self.inner, to, id).await
    }

    /// Waits until a message has got at least as far as `goal` or has failed, and says how far it has got. Nothing is taken
    /// from the [stream of events](Self::events).
    ///
    /// The end of a connection does not end the wait, for the message goes on with the next one; watch
    /// [`closed`](Self::closed) beside it if there will be none.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchMessage`], [`Error::Store`].
    pub async fn wait_for(&self, to: &Jid, id: &MessageId, goal: OutState) -> Result<OutState, Error> {
        crate::messages::wait_for(&self.inner, to, id, goal).await
    }

    /// Why a message has failed; `None` if it has not, or is not known.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn why_failed(&self, to: &Jid, id: &MessageId) -> Result<Option<SendFailure>, Error> {
        crate::messages::why_failed(&self.inner, to, id).await
    }

    /// Tells the author that messages were read, unless the client was built to withhold that. Goes out now or after the
    /// next login: one receipt for all of them, or several if there are more than the profile allows in one.
    ///
    /// # Cancel safety
    ///
    /// The receipts are either stored, and then they go out, or nothing has happened.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], [`Error::Encode`].
    pub async fn mark_read(&self, chat: &Jid, ids: &[MessageId]) -> Result<(), Error> {
        crate::receipts::mark(&self.inner, chat, ids, Mark::Read).await
    }

    /// Tells the author that voice messages were played, or what can be opened once was opened. Otherwise as
    /// [`mark_read`](Self::mark_read).
    ///
    /// # Cancel safety
    ///
    /// As [`mark_read`](Self::mark_read).
    ///
    /// # Errors
    ///
    /// As [`mark_read`](Self::mark_read).
    pub async fn mark_played(&self, chat: &Jid, ids: &[MessageId]) -> Result<(), Error> {
        crate::receipts::mark(&self.inner, chat, ids, Mark::Played).await
    }

    /// Waits until every receipt and acknowledgement that is owed so far has been written to the connection: before an
    /// application that has marked messages as read goes to sleep.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::NotConnected`], [`Error::Disconnected`], [`Error::Store`].
    pub async fn receipts_written(&self) -> Result<(), Error> {
        let session = self.inner.session()?;
        tokio::select! {
            biased;
            ending = session.ended() => Err(Error::Disconnected { ending }),
            written = session.nothing_owed() => written,
        }
    }
}

//! What the phone's user does beside writing: reads and plays, types, blocks.

use landbridge_stanza::{
    MessageId, Request,
    blocklist::{BlockAction, UpdateBlocklist},
    chatstate::{ChatState, ChatStateOut},
    receipt::{ReceiptOut, ReceiptType},
};
use landbridge_store::{OwedAnswer, OwedClass};
use landbridge_wire::Jid;

use super::phone::{Asked, encode};
use super::step::Plan;
use super::{Direction, MessageState, Output, Phone, PhoneError, PhoneMessage};

/// What a phone's user has done with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Read,
    Played,
}

impl Done {
    const fn state(self) -> MessageState {
        match self {
            Self::Read => MessageState::Read,
            Self::Played => MessageState::Played,
        }
    }

    const fn owed(self) -> (OwedClass, ReceiptType) {
        match self {
            Self::Read => (OwedClass::Read, ReceiptType::Read),
            Self::Played => (OwedClass::Played, ReceiptType::Played),
        }
    }
}

impl Phone {
    /// Marks messages of a chat as read or played and says so, with one receipt for up to 256 of them.
    ///
    /// # Errors
    /// [`PhoneError::NoMessage`] if one of them is not on the screen; then none is marked.
    pub(crate) fn see(
        &mut self,
        peer: &Jid,
        ids: &[MessageId],
        done: Done,
        now: u64,
    ) -> Result<Vec<Output>, PhoneError> {
        let chat = peer.to_string();
        for id in ids {
            let line = self.screen.get(Direction::Received, &chat, id.as_str());
            if line.is_none_or(|line| line.state == MessageState::Waiting) {
                return Err(PhoneError::NoMessage { peer: chat, id: id.to_string() });
            }
        }
        let (class, kind) = done.owed();
        let out = self.step(|desk, tx| {
            let names: Vec<_> = ids.iter().map(MessageId::as_str).collect();
            desk.screen.remember_seen(tx, &chat, &names, done.state())?;
            let mut plan = Plan::default();
            for some in ids.chunks(desk.profile.receipts.ids_per_receipt.max(1)) {
                let Some((first, more)) = some.split_first() else { continue };
                let receipt = ReceiptOut {
                    kind: kind.clone(),
                    more_ids: more.to_vec(),
                    ..ReceiptOut::read(peer.clone(), first.clone(), now)
                };
                let node = receipt.to_node(desk.profile);
                tx.owe(&OwedAnswer {
                    class,
                    to: chat.clone(),
                    participant: None,
                    id: first.to_string(),
                    stanza: encode(&node)?,
                })?;
                plan.out.push(Output::Send(node));
            }
            Ok(plan)
        })?;
        for id in ids {
            let seen = |line: &mut PhoneMessage| line.state = line.state.max(done.state());
            self.screen.update(Direction::Received, &chat, id.as_str(), seen);
        }
        Ok(out)
    }

    /// Says that the phone's user writes, records or has stopped. Not stored: who is away does not hear of it.
    ///
    /// # Errors
    /// [`PhoneError::Recipient`] if the address is no other user's.
    pub(crate) fn typing(&self, peer: &Jid, state: ChatState) -> Result<Output, PhoneError> {
        self.check_peer(peer)?;
        Ok(Output::Send(ChatStateOut { to: peer.clone(), state }.to_node(&self.profile)))
    }

    /// A user other than the phone itself, without a device.
    pub(super) fn check_peer(&self, peer: &Jid) -> Result<(), PhoneError> {
        let is_peer = (peer.is_user() || peer.is_interop()) && peer.device() == 0 && *peer != self.jid;
        if is_peer { Ok(()) } else { Err(PhoneError::Recipient { jid: peer.to_string() }) }
    }

    /// The messages of a chat that are shown and not read, in order.
    pub(crate) fn unread(&self, peer: &Jid) -> Vec<MessageId> {
        let chat = peer.to_string();
        let lines = self.screen.iter().filter(|line| line.peer == chat && line.is_unread());
        lines.filter_map(|line| line.id.parse().ok()).collect()
    }

    /// Blocks or unblocks a user: asks the server, and takes its list over when it answers.
    ///
    /// # Errors
    /// [`PhoneError`] if the store fails or the address is no user's.
    pub(crate) fn set_blocked(&mut self, peer: &Jid, action: BlockAction) -> Result<Vec<Output>, PhoneError> {
        self.check_peer(peer)?;
        Ok(vec![self.ask_to_block(peer.clone(), action, 1)?])
    }

    pub(super) fn ask_to_block(
        &mut self,
        jid: Jid,
        action: BlockAction,
        attempt: u8,
    ) -> Result<Output, PhoneError> {
        let dhash = self.store.begin()?.blocklist_hash()?;
        let id = self.ask(Asked::Block(jid.clone(), action, attempt));
        let request = UpdateBlocklist { jid, action, dhash, pn_jid: None };
        Ok(Output::Send(request.to_node(&id, &self.profile)))
    }
}

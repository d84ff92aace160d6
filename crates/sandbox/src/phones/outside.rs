//! A phone that is played from outside: its account is here, its keys, sessions and manners are another program's.

use std::collections::VecDeque;
use std::sync::Arc;

use landbridge_stanza::keys::UploadKeys;
use landbridge_wire::{Jid, Node};

use super::PhoneError;
use crate::SandboxError;
use crate::db::NewPhone;
use crate::router::{Ears, Session};
use crate::state::State;

/// Stanzas that are read from the mailbox at a time.
const PAGE: u32 = 64;

/// A WhatsApp user whose stanzas are made and read by the caller, as they would go over the phone's socket. For tests
/// with end-to-end encryption of others. Gone when dropped; its account and its mailbox stay.
pub struct OutsidePhone {
    state: Arc<State>,
    session: Arc<Session>,
    ears: Ears,
    /// Read from the mailbox and not yet given away.
    page: VecDeque<(i64, Node)>,
    /// Position of the last stanza that was given away.
    taken: i64,
}

impl std::fmt::Debug for OutsidePhone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutsidePhone").field("jid", &self.session.jid).finish_non_exhaustive()
    }
}

impl OutsidePhone {
    /// Makes an account with these keys and connects it.
    pub(crate) fn attach(
        state: &Arc<State>,
        number: &str,
        name: &str,
        keys: &UploadKeys,
    ) -> Result<Self, PhoneError> {
        if !super::phone::is_number(number) {
            return Err(PhoneError::Number);
        }
        let jid = Jid::user(number);
        let user = state.db.write(|tx| {
            if tx.user(&jid)?.is_some() {
                return Ok(None);
            }
            let UploadKeys { registration, identity, signed_prekey, prekeys } = keys.clone();
            let phone = NewPhone { jid: &jid, name, registration, identity, signed_prekey };
            let user = tx.add_phone_user(&phone, state.now())?;
            tx.add_prekeys(user, &prekeys)?;
            Ok(Some(user))
        })?;
        let user = user.ok_or(PhoneError::Exists)?;
        let (session, ears) = Session::new(state.next_connection(), state.next_login(), user, jid);
        session.set_active(true);
        session.set_available(true);
        state.router.attach(&session);
        Ok(Self { state: Arc::clone(state), session, ears, page: VecDeque::new(), taken: 0 })
    }

    /// Its address.
    pub fn jid(&self) -> &Jid {
        &self.session.jid
    }

    /// Hands in a stanza as if it had come from the phone's socket, and gives the server's answers.
    pub fn send(&self, stanza: &Node) -> Vec<Node> {
        self.state.handle(&self.session, stanza.view()).replies
    }

    /// The next stanza of the mailbox, or somebody's typing; waits for one. It stays in the mailbox until a receipt or an
    /// ack for it is sent. `None`: the connection has ended.
    pub async fn next(&mut self) -> Option<Node> {
        loop {
            if let Some((seq, stanza)) = self.page.pop_front() {
                self.taken = seq;
                return Some(stanza);
            }
            match self.state.db.read(|tx| tx.mail(self.session.user, self.taken, PAGE)) {
                Ok(entries) => self.page.extend(entries.into_iter().map(|entry| (entry.seq, entry.stanza))),
                Err(error) => {
                    self.state.internal("a phone's mailbox cannot be read", &error);
                    return None;
                }
            }
            if !self.page.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                _ = self.ears.end.wait_for(Option::is_some) => return None,
                Some(stanza) = self.ears.ephemeral.recv() => return Some(stanza),
                () = self.session.poked() => {}
            }
        }
    }

    /// Sets the phone up anew, with these keys. Everybody who has to know is told.
    ///
    /// # Errors
    /// The database fails.
    pub fn reinstall(&self, keys: &UploadKeys) -> Result<(), SandboxError> {
        let user = self.state.db.write(|tx| {
            tx.replace_keys(self.session.user, keys.registration, &keys.identity, &keys.signed_prekey)?;
            tx.add_prekeys(self.session.user, &keys.prekeys)?;
            tx.user_by_id(self.session.user)
        })?;
        user.map_or(Ok(()), |user| self.state.tell_identity(&user))
    }
}

impl Drop for OutsidePhone {
    fn drop(&mut self) {
        self.state.router.detach(&self.session);
    }
}

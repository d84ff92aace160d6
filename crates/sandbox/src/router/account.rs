//! Block list, deletion, reaching.

use landbridge_stanza::Request;
use landbridge_stanza::account::DeleteAccount;
use landbridge_stanza::blocklist::{BlockAction, UpdateBlocklist};
use landbridge_stanza::codes::IqErrorCode;
use landbridge_stanza::reach::{Reach, ReachStatus};

use super::Session;
use super::dispatch::{Finish, Outcome, refuse};
use crate::SandboxError;
use crate::events::{EventKind, Rule};
use crate::state::State;

impl State {
    pub(super) fn update_blocklist(
        &self,
        who: &Session,
        id: &str,
        update: &UpdateBlocklist,
    ) -> Result<Outcome, SandboxError> {
        let broken = |rule, detail: &str| self.broken(Some(who.connection), Some(&who.jid), rule, detail);
        let is_user = update.jid.is_user() || update.jid.is_interop() || update.jid.is_lid();
        if !is_user || update.jid.same_user(&who.jid) {
            broken(Rule::BLOCK_ITEM, "the item names no other user");
            return Ok(refuse(id, IqErrorCode::BadRequest));
        }
        // Who has gone can still be taken off the list.
        self.summon(&update.jid)?;
        if update.action == BlockAction::Block && self.live_user(&update.jid)?.is_none() {
            return Ok(refuse(id, IqErrorCode::ItemNotFound));
        }
        let most = self.profile().blocking.max_blocked as usize;
        let changed = self.db.write(|tx| {
            let old = tx.blocklist(who.user)?;
            if update.dhash.is_some() && update.dhash != old.dhash {
                return Ok(Err(IqErrorCode::Conflict));
            }
            if update.action == BlockAction::Block && old.items.len() >= most {
                return Ok(Err(IqErrorCode::ResourceLimit));
            }
            tx.block(who.user, &update.jid, update.action, self.now())?;
            Ok(Ok(tx.blocklist(who.user)?))
        })?;
        match changed {
            Ok(list) => {
                let kind =
                    EventKind::Blocklist { action: update.action.as_str(), whom: update.jid.to_string() };
                self.note(Some(who.connection), Some(&who.jid), kind);
                Ok(Outcome::reply(update.reply_node(&Some(list), id, self.profile())))
            }
            Err(code) => {
                if code == IqErrorCode::Conflict {
                    broken(Rule::BLOCK_DHASH, "dhash is not that of the present list");
                }
                Ok(refuse(id, code))
            }
        }
    }

    pub(super) fn delete_account(
        &self,
        who: &Session,
        id: &str,
        delete: DeleteAccount,
    ) -> Result<Outcome, SandboxError> {
        if let Some(user) = self.db.read(|tx| tx.user_by_id(who.user))? {
            // The connection that asked gets its result before the end; it is let go first, so that it is not cut.
            self.detach(who);
            self.remove(&user, "deleted by its user")?;
        }
        let reply = delete.reply_node(&(), id, self.profile());
        Ok(Outcome { finish: Some(Finish::ByServer("account deleted")), ..Outcome::reply(reply) })
    }

    /// Test phones take part, nobody else can be reached.
    pub(super) fn reach(&self, who: &Session, id: &str, reach: &Reach) -> Result<Outcome, SandboxError> {
        self.summon(&reach.jid)?;
        let status = match self.live_user(&reach.jid)? {
            Some(user) if user.authkey.is_none() => {
                self.db.write(|tx| tx.met(who.user, user.id, self.now()))?;
                ReachStatus::Enabled
            }
            _ => ReachStatus::NotEligible,
        };
        Ok(Outcome::reply(reach.reply_node(&status, id, self.profile())))
    }
}

//! Account and facts in SQLite.

use landbridge_signal::IdentityKeyPair;

use super::tx::{SqliteTx, number, private_key, public_key, signed, unsigned};
use crate::outbox::ACCOUNT_DELETED;
use crate::{Account, AccountStore, Enlistment, Fact, OutState, StoreError, Upload, Uploads};

const WHAT: &str = "account";

type Columns = (Vec<u8>, Vec<u8>, i64, Vec<u8>, i64, String, i64, Option<String>, i64);

fn account(columns: Columns) -> Result<Account, StoreError> {
    let (identity, public, registration_id, noise_static, integrator, identifier, stage, login, at) = columns;
    Ok(Account {
        identity: IdentityKeyPair::from_halves(private_key(WHAT, &identity)?, public_key(WHAT, &public)?),
        registration_id: number(WHAT, registration_id)?,
        noise_static: private_key(WHAT, &noise_static)?,
        integrator: number(WHAT, integrator)?,
        identifier,
        enlistment: enlistment(stage, login, unsigned(at))?,
    })
}

fn enlistment(stage: i64, login: Option<String>, at: u64) -> Result<Enlistment, StoreError> {
    match (stage, login) {
        (0, None) => Ok(Enlistment::Prepared),
        (1, Some(login)) => Ok(Enlistment::Enlisted { login, at }),
        (2, Some(login)) => Ok(Enlistment::Lapsed { login, at }),
        (3, Some(login)) => Ok(Enlistment::Deleting { login, at }),
        _ => Err(StoreError::Record { what: WHAT, source: None }),
    }
}

/// Stage number, login, time.
fn enlistment_columns(enlistment: &Enlistment) -> (i64, Option<&str>, i64) {
    match enlistment {
        Enlistment::Prepared => (0, None, 0),
        Enlistment::Enlisted { login, at } => (1, Some(login), signed(*at)),
        Enlistment::Lapsed { login, at } => (2, Some(login), signed(*at)),
        Enlistment::Deleting { login, at } => (3, Some(login), signed(*at)),
    }
}

impl SqliteTx<'_> {
    pub(super) fn existing_account(&self) -> Result<Account, StoreError> {
        self.account()?.ok_or(StoreError::NoAccount)
    }
}

impl AccountStore for SqliteTx<'_> {
    fn account(&self) -> Result<Option<Account>, StoreError> {
        let sql = "SELECT identity, identity_public, registration_id, noise_static, integrator, identifier, enlistment, \
                   login, enlistment_at FROM account";
        self.one("read the account", sql, [], |row| Columns::try_from(row))?.map(account).transpose()
    }

    fn create_account(&mut self, account: &Account) -> Result<(), StoreError> {
        let (stage, login, at) = enlistment_columns(&account.enlistment);
        let sql = "INSERT INTO account (only_row, identity, identity_public, registration_id, noise_static, integrator, \
                   identifier, enlistment, login, enlistment_at) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
                   ON CONFLICT DO NOTHING";
        let columns = (
            account.identity.private().as_bytes(),
            account.identity.public().as_bytes(),
            account.registration_id,
            account.noise_static.as_bytes(),
            account.integrator,
            &account.identifier,
            stage,
            login,
            at,
        );
        match self.run("store the account", sql, columns)? {
            0 => Err(StoreError::AccountExists),
            _ => Ok(()),
        }
    }

    fn set_enlistment(&mut self, enlistment: &Enlistment) -> Result<(), StoreError> {
        let sql = "UPDATE account SET enlistment = ?1, login = ?2, enlistment_at = ?3";
        match self.run("note the enlistment", sql, enlistment_columns(enlistment))? {
            0 => Err(StoreError::NoAccount),
            _ => Ok(()),
        }
    }

    fn wipe_keys(&mut self, at: u64) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM account",
            "DELETE FROM fact",
            "DELETE FROM session",
            "DELETE FROM remote_identity",
            "DELETE FROM prekey",
            "DELETE FROM signed_prekey",
            "DELETE FROM owed",
            "DELETE FROM blocked",
            "DELETE FROM blocklist_version",
            "DELETE FROM peer",
            "DELETE FROM held_retry",
        ] {
            self.run("wipe keys", sql, [])?;
        }
        let sql = "UPDATE outbox SET state = ?1, failed_at = ?2, failure = ?3 WHERE state = ?4";
        let columns = (OutState::Failed.code(), signed(at), ACCOUNT_DELETED, OutState::Pending.code());
        self.run("fail pending messages", sql, columns)?;
        for entry in self.uploads(0, usize::MAX)? {
            let Upload { recipient, id, .. } = entry.upload;
            self.fail_upload(&recipient, &id, ACCOUNT_DELETED, at)?;
        }
        Ok(())
    }

    fn fact(&self, fact: Fact) -> Result<Option<Vec<u8>>, StoreError> {
        self.one("read a fact", "SELECT value FROM fact WHERE name = ?1", [fact.name()], |row| row.get(0))
    }

    fn set_fact(&mut self, fact: Fact, value: Option<&[u8]>) -> Result<(), StoreError> {
        match value {
            Some(value) => {
                let sql = "INSERT INTO fact (name, value) VALUES (?1, ?2) \
                           ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                self.run("store a fact", sql, (fact.name(), value)).map(drop)
            }
            None => self.run("forget a fact", "DELETE FROM fact WHERE name = ?1", [fact.name()]).map(drop),
        }
    }
}

//! Accounts: partners' users and test phones.

use landbridge_enlist::{IntegratorId, UserIdentifier};
use landbridge_wire::Jid;
use rand::CryptoRng;
use rusqlite::{OptionalExtension, Row};
use serde::Serialize;

use super::{Tx, array, signed, unsigned};
use crate::SandboxError;

/// Bits of an account id: as many as the one in the published example has (ASSUMED).
const ACCOUNT_BITS: u32 = 43;

/// Row of an account. Ids are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct UserId(pub(super) i64);

#[cfg(test)]
impl UserId {
    /// One that no database gave.
    pub(crate) const fn of(row: i64) -> Self {
        Self(row)
    }
}

/// An account.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) jid: Jid,
    /// The user-visible identifier; a phone has none.
    pub(crate) identifier: Option<String>,
    /// The enlisted static key; a phone has none.
    pub(crate) authkey: Option<[u8; 32]>,
    pub(crate) registration: u32,
    pub(crate) identity: [u8; 32],
    pub(crate) signed_prekey: landbridge_stanza::keys::SignedPreKey,
    pub(crate) name: Option<String>,
    pub(crate) last_seen: u64,
}

/// An account, as the control API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserInfo {
    /// Address.
    pub jid: String,
    /// Partner; none for a phone.
    pub integrator: Option<u16>,
    /// User-visible identifier; none for a phone.
    pub identifier: Option<String>,
    /// Name that the user shows.
    pub name: Option<String>,
    /// Registration id.
    pub registration: u32,
    /// Id of the signed prekey.
    pub signed_prekey: u32,
    /// One-time prekeys held.
    pub prekeys: u32,
    /// Stanzas in the mailbox.
    pub mailbox: u32,
    /// When it was enlisted, unix seconds.
    pub created: u64,
    /// When it was last connected, unix seconds.
    pub last_seen: u64,
    /// Whether it is connected.
    pub connected: bool,
}

/// The keys that an enlistment brings. Their signature and points have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnlistKeys {
    /// Static key of the Noise channel.
    pub authkey: [u8; 32],
    /// Registration id.
    pub registration: u32,
    /// Identity key.
    pub identity: [u8; 32],
    /// Signed prekey: id, key, signature.
    pub signed_prekey: landbridge_stanza::keys::SignedPreKey,
}

impl From<&landbridge_enlist::DeviceKeys> for EnlistKeys {
    fn from(keys: &landbridge_enlist::DeviceKeys) -> Self {
        Self {
            authkey: *keys.auth_key.as_bytes(),
            registration: keys.registration_id,
            identity: *keys.identity_key.as_bytes(),
            signed_prekey: landbridge_stanza::keys::SignedPreKey {
                id: keys.signed_prekey.id,
                value: *keys.signed_prekey.key.as_bytes(),
                signature: keys.signed_prekey.signature,
            },
        }
    }
}

/// What an enlistment changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A new account.
    New,
    /// Nothing: the same keys again.
    None,
    /// The signed prekey alone.
    SignedPreKey,
    /// The static key, and perhaps the signed prekey. A live connection under the old one was closed.
    AuthKey,
    /// Identity or registration id. One-time prekeys were dropped and contacts told.
    Identity,
}

/// What came of an enlistment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enlisted {
    /// The login, also the account's address.
    pub login: landbridge_enlist::Login,
    /// What changed.
    pub change: Change,
}

/// A test phone's account.
pub(crate) struct NewPhone<'a> {
    pub(crate) jid: &'a Jid,
    pub(crate) name: &'a str,
    pub(crate) registration: u32,
    pub(crate) identity: [u8; 32],
    pub(crate) signed_prekey: landbridge_stanza::keys::SignedPreKey,
}

pub(super) const COLUMNS: &str =
    "id, jid, identifier, authkey, registration, identity, skey_id, skey_value, skey_sig, name, last_seen";

impl Tx<'_> {
    /// The account with an address.
    pub(crate) fn user(&self, jid: &Jid) -> Result<Option<User>, SandboxError> {
        let mut query = self.0.prepare_cached(&format!("SELECT {COLUMNS} FROM users WHERE jid = ?1"))?;
        query.query_row([jid.to_string()], raw).optional()?.map(user).transpose()
    }

    pub(crate) fn user_by_id(&self, id: UserId) -> Result<Option<User>, SandboxError> {
        let mut query = self.0.prepare_cached(&format!("SELECT {COLUMNS} FROM users WHERE id = ?1"))?;
        query.query_row([id.0], raw).optional()?.map(user).transpose()
    }

    /// The account of a partner's user.
    pub(crate) fn enlisted(
        &self,
        integrator: IntegratorId,
        identifier: &str,
    ) -> Result<Option<User>, SandboxError> {
        let mut query = self.0.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM users WHERE integrator = ?1 AND identifier = ?2"
        ))?;
        query.query_row((integrator.get(), identifier), raw).optional()?.map(user).transpose()
    }

    /// Enlists a user, or enlists again: the same address as long as the account lives.
    pub(crate) fn enlist(
        &self,
        integrator: IntegratorId,
        identifier: &UserIdentifier,
        keys: &EnlistKeys,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(User, Change), SandboxError> {
        let skey = &keys.signed_prekey;
        let Some(old) = self.enlisted(integrator, identifier.as_str())? else {
            let jid = self.new_account(integrator, rng)?;
            self.0.execute(
                "INSERT INTO users (jid, integrator, identifier, account, authkey, registration, identity, skey_id, \
                 skey_value, skey_sig, created, last_seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)",
                (
                    jid.to_string(),
                    integrator.get(),
                    identifier.as_str(),
                    jid.user_part(),
                    keys.authkey,
                    keys.registration,
                    keys.identity,
                    skey.id,
                    skey.value,
                    skey.signature.as_slice(),
                    signed(now),
                ),
            )?;
            let user = self.user(&jid)?.ok_or(SandboxError::Record { what: "user" })?;
            return Ok((user, Change::New));
        };
        let change = if old.identity != keys.identity || old.registration != keys.registration {
            Change::Identity
        } else if old.authkey != Some(keys.authkey) {
            Change::AuthKey
        } else if old.signed_prekey != *skey {
            Change::SignedPreKey
        } else {
            Change::None
        };
        if change == Change::Identity {
            self.0.execute("DELETE FROM prekeys WHERE user = ?1", [old.id.0])?;
        }
        // All at once: of two requests at a time the later one wins whole.
        self.0.execute(
            "UPDATE users SET authkey = ?2, registration = ?3, identity = ?4, skey_id = ?5, skey_value = ?6, \
             skey_sig = ?7, last_seen = ?8 WHERE id = ?1",
            (
                old.id.0,
                keys.authkey,
                keys.registration,
                keys.identity,
                skey.id,
                skey.value,
                skey.signature.as_slice(),
                signed(now),
            ),
        )?;
        Ok((old, change))
    }

    /// Draws an account id that nobody has.
    fn new_account(&self, integrator: IntegratorId, rng: &mut impl CryptoRng) -> Result<Jid, SandboxError> {
        loop {
            let account = rng.next_u64() >> (u64::BITS - ACCOUNT_BITS);
            let jid = Jid::interop(integrator.get(), account);
            if account != 0 && self.user(&jid)?.is_none() {
                return Ok(jid);
            }
        }
    }

    /// Adds a test phone.
    pub(crate) fn add_phone_user(&self, phone: &NewPhone<'_>, now: u64) -> Result<UserId, SandboxError> {
        let skey = &phone.signed_prekey;
        self.0.execute(
            "INSERT INTO users (jid, registration, identity, skey_id, skey_value, skey_sig, name, created, last_seen) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
            (
                phone.jid.to_string(),
                phone.registration,
                phone.identity,
                skey.id,
                skey.value,
                skey.signature.as_slice(),
                phone.name,
                signed(now),
            ),
        )?;
        Ok(UserId(self.0.last_insert_rowid()))
    }

    /// Notes that a user was connected, and the name shown, if one is given.
    pub(crate) fn seen(&self, id: UserId, now: u64, name: Option<&str>) -> Result<(), SandboxError> {
        self.0
            .prepare_cached(
                "UPDATE users SET last_seen = max(last_seen, ?2), name = coalesce(?3, name) WHERE id = ?1",
            )?
            .execute((id.0, signed(now), name))?;
        Ok(())
    }

    pub(crate) fn set_signed_prekey(
        &self,
        id: UserId,
        key: &landbridge_stanza::keys::SignedPreKey,
    ) -> Result<(), SandboxError> {
        self.0
            .prepare_cached("UPDATE users SET skey_id = ?2, skey_value = ?3, skey_sig = ?4 WHERE id = ?1")?
            .execute((id.0, key.id, key.value, key.signature.as_slice()))?;
        Ok(())
    }

    /// Puts the keys of a new installation in the place of the old ones. The one-time prekeys go.
    pub(crate) fn replace_keys(
        &self,
        id: UserId,
        registration: u32,
        identity: &[u8; 32],
        skey: &landbridge_stanza::keys::SignedPreKey,
    ) -> Result<(), SandboxError> {
        self.0.execute("DELETE FROM prekeys WHERE user = ?1", [id.0])?;
        self.0.execute(
            "UPDATE users SET registration = ?2, identity = ?3, skey_id = ?4, skey_value = ?5, skey_sig = ?6, \
             low_told = 0 WHERE id = ?1",
            (id.0, registration, identity, skey.id, skey.value, skey.signature.as_slice()),
        )?;
        Ok(())
    }

    /// Removes an account with its keys, mailbox, block list and contacts. What it sent stays with those who have it.
    pub(crate) fn remove_user(&self, id: UserId) -> Result<(), SandboxError> {
        self.0.execute("DELETE FROM users WHERE id = ?1", [id.0])?;
        Ok(())
    }

    /// Partners' users that were not connected since `before`.
    pub(crate) fn inactive(&self, before: u64) -> Result<Vec<User>, SandboxError> {
        let mut query = self.0.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM users WHERE authkey IS NOT NULL AND last_seen < ?1 ORDER BY id"
        ))?;
        let rows = query.query_map([signed(before)], raw)?.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().map(user).collect()
    }

    pub(crate) fn user_infos(&self) -> Result<Vec<UserInfo>, SandboxError> {
        let mut query = self.0.prepare_cached(
            "SELECT jid, integrator, identifier, name, registration, skey_id, \
             (SELECT count(*) FROM prekeys WHERE prekeys.user = users.id), \
             (SELECT count(*) FROM mailbox WHERE mailbox.user = users.id), created, last_seen FROM users ORDER BY id",
        )?;
        let rows = query.query_map([], |row| {
            Ok(UserInfo {
                jid: row.get(0)?,
                integrator: row.get(1)?,
                identifier: row.get(2)?,
                name: row.get(3)?,
                registration: row.get(4)?,
                signed_prekey: row.get(5)?,
                prekeys: row.get(6)?,
                mailbox: row.get(7)?,
                created: unsigned(row.get(8)?),
                last_seen: unsigned(row.get(9)?),
                connected: false,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether the user is due to be told that one-time prekeys run low, not having been told since `after`; notes that
    /// it is told now.
    pub(crate) fn tell_low(&self, id: UserId, after: u64, now: u64) -> Result<bool, SandboxError> {
        let changed = self
            .0
            .prepare_cached("UPDATE users SET low_told = ?3 WHERE id = ?1 AND low_told <= ?2")?
            .execute((id.0, signed(after), signed(now)))?;
        Ok(changed > 0)
    }

    /// After an upload the next low mark is told again.
    pub(crate) fn forget_low(&self, id: UserId) -> Result<(), SandboxError> {
        self.0.prepare_cached("UPDATE users SET low_told = 0 WHERE id = ?1")?.execute([id.0])?;
        Ok(())
    }
}

/// A row as SQLite has it.
pub(super) struct Raw {
    id: i64,
    jid: String,
    identifier: Option<String>,
    authkey: Option<Vec<u8>>,
    registration: u32,
    identity: Vec<u8>,
    skey: (u32, Vec<u8>, Vec<u8>),
    name: Option<String>,
    last_seen: i64,
}

pub(super) fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        id: row.get(0)?,
        jid: row.get(1)?,
        identifier: row.get(2)?,
        authkey: row.get(3)?,
        registration: row.get(4)?,
        identity: row.get(5)?,
        skey: (row.get(6)?, row.get(7)?, row.get(8)?),
        name: row.get(9)?,
        last_seen: row.get(10)?,
    })
}

pub(super) fn user(raw: Raw) -> Result<User, SandboxError> {
    let (skey_id, skey_value, skey_sig) = raw.skey;
    Ok(User {
        id: UserId(raw.id),
        jid: raw.jid.parse().map_err(|_| SandboxError::Record { what: "address" })?,
        identifier: raw.identifier,
        authkey: raw.authkey.map(|key| array(key, "static key")).transpose()?,
        registration: raw.registration,
        identity: array(raw.identity, "identity")?,
        signed_prekey: landbridge_stanza::keys::SignedPreKey {
            id: skey_id,
            value: array(skey_value, "signed prekey")?,
            signature: array(skey_sig, "signature")?,
        },
        name: raw.name,
        last_seen: unsigned(raw.last_seen),
    })
}

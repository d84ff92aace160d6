//! Key requests.

use std::collections::BTreeSet;

use landbridge_curve::PublicKey;
use landbridge_stanza::codes::IqErrorCode;
use landbridge_stanza::keys::{
    DigestKeys, FetchKeys, FetchedUser, KeyBundle, KeyDigest, MAX_KEY_ID, RotateSignedPreKey, SignedPreKey,
    UploadKeys,
};
use landbridge_stanza::notification::Notification;
use landbridge_stanza::{IqError, Request};
use landbridge_wire::Jid;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::Session;
use super::dispatch::{Outcome, refuse};
use crate::SandboxError;
use crate::db::{MailClass, User};
use crate::events::{EventKind, Rule};
use crate::faults::{Fault, Magic};
use crate::state::{State, notification_id};

impl State {
    pub(super) fn upload_keys(
        &self,
        who: &Session,
        id: &str,
        upload: &UploadKeys,
    ) -> Result<Outcome, SandboxError> {
        let Some(user) = self.db.read(|tx| tx.user_by_id(who.user))? else {
            return Ok(refuse(id, IqErrorCode::NotAuthorized));
        };
        if let Err((rule, code, detail)) = self.check_upload(&user, upload) {
            self.broken(Some(who.connection), Some(&who.jid), rule, detail);
            return Ok(refuse(id, code));
        }
        let (added, held) = self.db.write(|tx| {
            tx.set_signed_prekey(user.id, &upload.signed_prekey)?;
            let added = tx.add_prekeys(user.id, &upload.prekeys)?;
            tx.forget_low(user.id)?;
            Ok((added, tx.count_prekeys(user.id)?))
        })?;
        self.note(Some(who.connection), Some(&who.jid), EventKind::KeysStored { added, held });
        Ok(Outcome::reply(upload.reply_node(&(), id, self.profile())))
    }

    fn check_upload(&self, user: &User, upload: &UploadKeys) -> Result<(), (Rule, IqErrorCode, String)> {
        let most = self.profile().keys.max_upload as usize;
        if upload.identity != user.identity {
            return Err((
                Rule::KEYS_IDENTITY,
                IqErrorCode::NotAcceptable,
                "the identity is another one".to_owned(),
            ));
        }
        if upload.registration != user.registration {
            let detail = format!(
                "registration id {} was uploaded, {} was enlisted",
                upload.registration, user.registration
            );
            return Err((Rule::KEYS_IDENTITY, IqErrorCode::NotAcceptable, detail));
        }
        check_signed(&user.identity, &upload.signed_prekey)?;
        if upload.prekeys.len() > most {
            let detail =
                format!("{} one-time prekeys were uploaded, at most {most} are taken", upload.prekeys.len());
            return Err((Rule::KEYS_COUNT, IqErrorCode::BadRequest, detail));
        }
        for key in &upload.prekeys {
            if !(1..=MAX_KEY_ID).contains(&key.id) {
                let detail = format!("one-time prekey id {} is out of range", key.id);
                return Err((Rule::KEYS_COUNT, IqErrorCode::NotAcceptable, detail));
            }
            if PublicKey::from_bytes(key.value).is_low_order() {
                let detail = format!("one-time prekey {} is a low-order point", key.id);
                return Err((Rule::KEYS_POINT, IqErrorCode::NotAcceptable, detail));
            }
        }
        Ok(())
    }

    pub(super) fn rotate_key(
        &self,
        who: &Session,
        id: &str,
        rotate: &RotateSignedPreKey,
    ) -> Result<Outcome, SandboxError> {
        let Some(user) = self.db.read(|tx| tx.user_by_id(who.user))? else {
            return Ok(refuse(id, IqErrorCode::NotAuthorized));
        };
        if let Err((rule, code, detail)) = check_signed(&user.identity, &rotate.signed_prekey) {
            self.broken(Some(who.connection), Some(&who.jid), rule, detail);
            return Ok(refuse(id, code));
        }
        let held = self.db.write(|tx| {
            tx.set_signed_prekey(user.id, &rotate.signed_prekey)?;
            tx.count_prekeys(user.id)
        })?;
        self.note(Some(who.connection), Some(&who.jid), EventKind::KeysStored { added: 0, held });
        Ok(Outcome::reply(rotate.reply_node(&(), id, self.profile())))
    }

    pub(super) fn digest_keys(
        &self,
        who: &Session,
        id: &str,
        digest: DigestKeys,
    ) -> Result<Outcome, SandboxError> {
        let found = self.db.read(|tx| Ok((tx.user_by_id(who.user)?, tx.prekeys(who.user)?)))?;
        let (Some(user), prekeys) = found else { return Ok(refuse(id, IqErrorCode::ItemNotFound)) };
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(&user.identity);
        context.update(&user.signed_prekey.value);
        context.update(&user.signed_prekey.signature);
        for key in &prekeys {
            context.update(&key.value);
        }
        let hash =
            context.finish().as_ref().try_into().map_err(|_| SandboxError::Record { what: "digest" })?;
        let reply = KeyDigest {
            registration: user.registration,
            identity: user.identity,
            signed_prekey: user.signed_prekey,
            prekey_ids: prekeys.iter().map(|key| key.id).collect(),
            hash,
        };
        Ok(Outcome::reply(digest.reply_node(&reply, id, self.profile())))
    }

    pub(super) fn fetch_keys(
        &self,
        who: &Session,
        id: &str,
        fetch: FetchKeys,
    ) -> Result<Outcome, SandboxError> {
        let most = self.profile().keys.max_fetch as usize;
        if fetch.users.len() > most {
            let detail =
                format!("keys of {} users were asked for at once, at most {most}", fetch.users.len());
            self.broken(Some(who.connection), Some(&who.jid), Rule::STANZA, detail);
            return Ok(refuse(id, IqErrorCode::BadRequest));
        }
        // One key per user and fetch, however often the user is named.
        let mut asked = BTreeSet::new();
        let mut users = Vec::with_capacity(fetch.users.len());
        for user in fetch.users.iter().filter(|user| asked.insert(user.jid.clone())) {
            users.push(self.bundle(who, &user.jid)?);
        }
        Ok(Outcome::reply(fetch.reply_node(&users, id, self.profile())))
    }

    /// Gives one bundle away; the one-time prekey in it is gone for everybody else.
    fn bundle(&self, who: &Session, jid: &Jid) -> Result<FetchedUser, SandboxError> {
        let refused = |code| Ok(FetchedUser { jid: jid.clone(), bundle: Err(IqError::new(code)) });
        let magic = self.summon(jid)?;
        if let Some((magic, code)) = magic.and_then(|magic| Some((magic, magic.keys_refused()?))) {
            self.magic(magic, None, format!("its keys are refused with {}", code.number()));
            return refused(code);
        }
        let Some(user) = self.live_user(jid)? else { return refused(IqErrorCode::ItemNotFound) };
        let runs_out = if magic == Some(Magic::PrekeysOut) {
            self.magic(Magic::PrekeysOut, None, "its bundle has no one-time prekey");
            true
        } else if self.faults.roll(Fault::PrekeysOut).is_some() {
            let detail = format!("the bundle of {jid} has no one-time prekey");
            self.injected(Fault::PrekeysOut, Some(who.connection), Some(&who.jid), None, detail);
            true
        } else {
            false
        };
        let (now, keys) = (self.now(), &self.profile().keys);
        // The account may have been enlisted anew since it was read: what is given away is of one moment.
        let (user, prekey, left, told) = self.db.write(|tx| {
            let user = tx.user_by_id(user.id)?.unwrap_or(user);
            let prekey = if runs_out { None } else { tx.take_prekey(user.id)? };
            let left = tx.count_prekeys(user.id)?;
            let low = left < keys.server_low_mark
                && tx.tell_low(user.id, now.saturating_sub(keys.server_low_repeat_s), now)?;
            if low {
                let notice = Notification::prekeys_low(notification_id(&mut self.rng()), now, left);
                tx.post(user.id, MailClass::Notification, &notice.to_node(self.profile()), now)?;
            }
            Ok((user, prekey, left, low))
        })?;
        if told {
            self.router.poke(user.id);
        }
        let kind = EventKind::BundleFetched { of: jid.to_string(), prekey: prekey.map(|key| key.id) };
        self.note(Some(who.connection), Some(&who.jid), kind);
        tracing::debug!(left, "one-time prekeys left");
        let bundle = KeyBundle {
            t: Some(now),
            registration: user.registration,
            identity: user.identity,
            signed_prekey: user.signed_prekey,
            prekey,
            device_identity: None,
        };
        Ok(FetchedUser { jid: jid.clone(), bundle: Ok(Box::new(bundle)) })
    }
}

fn check_signed(identity: &[u8; 32], key: &SignedPreKey) -> Result<(), (Rule, IqErrorCode, String)> {
    let value = PublicKey::from_bytes(key.value);
    if value.is_low_order() {
        return Err((
            Rule::KEYS_POINT,
            IqErrorCode::NotAcceptable,
            "the signed prekey is a low-order point".to_owned(),
        ));
    }
    PublicKey::from_bytes(*identity).verify(&[&value.to_typed()], &key.signature).map_err(|_| {
        let detail = format!("the signature of signed prekey {} does not verify over 05 and the key", key.id);
        (Rule::KEYS_SIGNATURE, IqErrorCode::NotAcceptable, detail)
    })
}

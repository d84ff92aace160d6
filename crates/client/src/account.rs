//! The account: enlistment, and its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use landbridge_curve::PrivateKey;
use landbridge_enlist::{
    Answer, DeviceKeys, EnlistmentRequest, FormKind, IntegratorId, Login, Reaction, SignedPreKeyPublic,
    UserIdentifier, react, retry_delay, with_jitter,
};
use landbridge_signal::{IdentityKeyPair, SignedPreKey, SignedPreKeyId, prekeys};
use landbridge_stanza::account::DeleteAccount;
use landbridge_stanza::profile::EnlistmentForm;
use landbridge_store::{Account, Enlistment, Fact, Lineage, StoreTx};
use landbridge_transport::HttpError;
use landbridge_wire::Jid;

use crate::client::Inner;
use crate::error::{Ending, Error};
use crate::event::Event;
use crate::session::Session;
use crate::token::Freshness;

/// The longest wait that the server may ask for before the caller is told instead.
const PATIENCE: u64 = 60;

pub(crate) async fn enlist(inner: &Arc<Inner>, identifier: &str, integrator: u16) -> Result<Jid, Error> {
    let identifier = UserIdentifier::new(identifier)
        .map_err(|e| Error::BadIdentity { what: "user identifier", source: Some(e.into()) })?;
    let integrator =
        IntegratorId::new(integrator).ok_or(Error::BadIdentity { what: "integrator id", source: None })?;
    let prepared = prepare(inner, &identifier, integrator).await?;
    if let Enlistment::Enlisted { login, .. } = &prepared.account.enlistment {
        return login.parse().map_err(|_| Error::Setup { what: "the stored login is none", source: None });
    }
    request(inner, &prepared).await
}

/// When the account was last enlisted anew, in unix seconds.
const REENLISTED: Fact = Fact::new("client.reenlisted");

/// Notes that WhatsApp has forgotten the account, and tells the application.
pub(crate) async fn lapsed(inner: &Arc<Inner>) {
    let now = inner.clock.now();
    let step = move |tx: &mut dyn StoreTx| match tx.account()?.map(|account| account.enlistment) {
        Some(Enlistment::Enlisted { login, .. }) => {
            tx.set_enlistment(&Enlistment::Lapsed { login: login.clone(), at: now })?;
            Ok::<_, Error>(Some(login))
        }
        _ => Ok(None),
    };
    match inner.vault.write(step).await {
        Ok(Some(login)) => {
            if let Ok(address) = login.parse() {
                inner.events.push(Event::MustReenlist { address });
            }
        }
        Ok(None) => {}
        // The next login is refused in the same way.
        Err(error) => tracing::warn!(error = error.for_log(), "the lapse could not be noted"),
    }
}

/// Enlists the account anew without being asked, unless that was done a short while ago. Whether it was.
pub(crate) async fn reenlist_by_itself(inner: &Arc<Inner>) -> Result<bool, Error> {
    let last = inner.vault.read(|tx| tx.fact(REENLISTED).map_err(Error::from)).await?;
    let last = last.and_then(|text| String::from_utf8(text).ok()).and_then(|text| text.parse::<u64>().ok());
    let every = inner.profile.login.reenlist_every_s;
    if last.is_some_and(|at| inner.clock.now() < at.saturating_add(every)) {
        return Ok(false);
    }
    reenlist(inner).await.map(|_| true)
}

/// Enlists the stored account anew, with the same keys: WhatsApp has forgotten it.
pub(crate) async fn reenlist(inner: &Arc<Inner>) -> Result<Jid, Error> {
    let now = inner.clock.now();
    let step = move |tx: &mut dyn StoreTx| {
        let account = tx.account()?.ok_or(Error::NotEnlisted)?;
        match &account.enlistment {
            // The server does not know the account, and it was to be deleted: that is done, then.
            Enlistment::Deleting { .. } => {
                tx.wipe_keys(now)?;
                return Ok(None);
            }
            Enlistment::Enlisted { login, .. } => {
                tx.set_enlistment(&Enlistment::Lapsed { login: login.clone(), at: now })?;
            }
            Enlistment::Prepared | Enlistment::Lapsed { .. } => {}
        }
        let signed = tx.signed_prekeys()?;
        let signed = signed.first().ok_or(Error::NotEnlisted)?.key.clone();
        Ok::<_, Error>(Some(Prepared { account, signed }))
    };
    let prepared = inner.vault.write(step).await?.ok_or(Error::NotEnlisted)?;
    let address = request(inner, &prepared).await?;
    inner.events.push(Event::Reenlisted { address: address.clone() });
    Ok(address)
}

pub(crate) async fn address(inner: &Arc<Inner>) -> Result<Option<Jid>, Error> {
    let account = inner.vault.read(|tx| tx.account().map_err(Error::from)).await?;
    Ok(account.and_then(|account| match account.enlistment {
        Enlistment::Enlisted { login, .. } => login.parse().ok(),
        _ => None,
    }))
}

struct Prepared {
    account: Account,
    signed: SignedPreKey,
}

/// Makes the keys, unless they are there, and stores them before anybody is asked anything.
async fn prepare(
    inner: &Arc<Inner>,
    identifier: &UserIdentifier,
    integrator: IntegratorId,
) -> Result<Prepared, Error> {
    let (identifier, integrator) = (identifier.as_str().to_owned(), integrator.get());
    let (mut rng, now) = (inner.rng.fork(), inner.clock.now());
    let step = move |tx: &mut dyn StoreTx| {
        if let Some(account) = tx.account()? {
            if account.identifier != identifier || account.integrator != integrator {
                return Err(Error::OtherAccount);
            }
            let signed = tx.signed_prekeys()?;
            let signed = signed.first().ok_or(Error::OtherAccount)?.key.clone();
            return Ok(Prepared { account, signed });
        }
        let identity = IdentityKeyPair::generate(&mut rng);
        let account = Account {
            registration_id: prekeys::generate_registration_id(&mut rng),
            noise_static: PrivateKey::generate(&mut rng),
            integrator,
            identifier,
            enlistment: Enlistment::Prepared,
            identity: identity.clone(),
        };
        tx.create_account(&account)?;
        let id: SignedPreKeyId = tx.next_signed_prekey_id()?;
        let signed = SignedPreKey::generate(id, &identity, &mut rng);
        tx.add_signed_prekey(&signed, now)?;
        Ok(Prepared { account, signed })
    };
    inner.vault.write(step).await
}

/// Sends the request until there is an answer to act on, and stores the login.
async fn request(inner: &Arc<Inner>, prepared: &Prepared) -> Result<Jid, Error> {
    let integrator = IntegratorId::new(prepared.account.integrator).ok_or(Error::OtherAccount)?;
    let mut freshness = Freshness::MayBeCached;
    let mut rng = inner.rng.fork();
    let mut tries = 0;
    loop {
        let body = form(inner, prepared, integrator, freshness).await?;
        let answer = inner.http.post(&inner.enlistment_url, EnlistmentRequest::CONTENT_TYPE, body, &[]).await;
        tries += 1;
        let reaction = match &answer {
            Ok(answer) => {
                react(Answer::Http { status: answer.status.as_u16(), body: &answer.body }, integrator)
            }
            Err(HttpError::BodyTooLarge { limit, .. }) => {
                let body = vec![0; limit.saturating_add(1)];
                react(Answer::Http { status: 200, body: &body }, integrator)
            }
            Err(HttpError::Url | HttpError::Header { .. }) => {
                return Err(Error::Setup { what: "the enlistment URL cannot be called", source: None });
            }
            Err(_) => react(Answer::None, integrator),
        };
        match patience(inner, reaction) {
            Reaction::Enlisted(login) => return keep_login(inner, login, prepared).await,
            Reaction::RetryLater { seconds, refusal } if seconds > PATIENCE => {
                return Err(Error::EnlistmentRefused { refusal, retry_after: Some(seconds) });
            }
            Reaction::RetryLater { seconds, refusal } => {
                if tries >= inner.profile.enlistment.tries {
                    return Err(Error::EnlistmentRefused { refusal, retry_after: Some(seconds) });
                }
                tokio::time::sleep(with_jitter(seconds, &mut rng)).await;
            }
            Reaction::FreshToken(refusal) if freshness == Freshness::New => {
                return Err(Error::EnlistmentRefused { refusal, retry_after: None });
            }
            Reaction::FreshToken(_) => freshness = Freshness::New,
            Reaction::Permanent(refusal) => {
                return Err(Error::EnlistmentRefused { refusal, retry_after: None });
            }
            Reaction::RetrySame => match retry_delay(tries, &mut rng) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(Error::EnlistmentUnreachable { tries }),
            },
            Reaction::Protocol(source) => return Err(Error::EnlistmentProtocol { source }),
            _ => return Err(Error::EnlistmentUnreachable { tries }),
        }
    }
}

/// A wait as the profile bounds it.
fn patience(inner: &Inner, reaction: Reaction) -> Reaction {
    let profile = &inner.profile.enlistment;
    match reaction {
        Reaction::RetryLater { refusal, .. } => {
            let seconds = refusal.retry_after.unwrap_or(profile.retry_after_s);
            Reaction::RetryLater { seconds: seconds.min(profile.retry_after_max_s).max(1), refusal }
        }
        other => other,
    }
}

async fn form(
    inner: &Arc<Inner>,
    prepared: &Prepared,
    integrator: IntegratorId,
    freshness: Freshness,
) -> Result<String, Error> {
    let token = inner.tokens.token(freshness).await.map_err(|source| Error::Token { source })?;
    let account = &prepared.account;
    let signed = prepared.signed.public();
    let request = EnlistmentRequest {
        keys: DeviceKeys {
            auth_key: account.noise_static.public(),
            registration_id: account.registration_id,
            identity_key: *account.identity.public(),
            signed_prekey: SignedPreKeyPublic {
                id: signed.id.get(),
                key: signed.key,
                signature: signed.signature,
            },
        },
        integrator,
        identifier: UserIdentifier::new(account.identifier.as_str())
            .map_err(|e| Error::BadIdentity { what: "stored user identifier", source: Some(e.into()) })?,
        token,
    };
    let profile = &inner.profile;
    let kind = match profile.enlistment.form {
        EnlistmentForm::Full => FormKind::Full,
        EnlistmentForm::V103 => FormKind::V103,
    };
    let version = profile.login.protocol_version.to_string();
    Ok(match profile.enlistment.version_field.as_str() {
        "" => request.to_form(kind),
        field => request.to_form_with(kind, &[(field, &version)]),
    })
}

async fn keep_login(inner: &Arc<Inner>, login: Login, prepared: &Prepared) -> Result<Jid, Error> {
    let text = login.to_string();
    let jid = text.parse().map_err(|_| Error::Setup { what: "the login is no address", source: None })?;
    let (now, signed) = (inner.clock.now(), prepared.signed.id);
    let again = prepared.account.enlistment.login().is_some();
    let step = move |tx: &mut dyn StoreTx| {
        if again {
            // The server has forgotten every key but the one that the request carried; it may have given some away before.
            let lineage = tx.lineage()?;
            tx.set_lineage(&Lineage { keys_due: true, ..lineage })?;
            tx.set_fact(REENLISTED, Some(now.to_string().as_bytes()))?;
        }
        tx.set_enlistment(&Enlistment::Enlisted { login: text, at: now })?;
        tx.mark_signed_uploaded(signed)?;
        Ok::<_, Error>(())
    };
    inner.vault.write(step).await?;
    Ok(jid)
}

/// What is looked after once the server may deliver.
pub(crate) async fn after_active(session: Arc<Session>) -> Result<(), Error> {
    if session.inner.deleting.load(Ordering::Relaxed) {
        return finish_deletion(&session).await;
    }
    // Each of these can wait for the next login, so one that is refused does not keep the others from being tried.
    for outcome in [crate::own_keys::look_after(&session).await, crate::blocking::fetch(&session).await] {
        match outcome {
            Ok(()) => {}
            Err(error @ (Error::Store { .. } | Error::Disconnected { .. })) => return Err(error),
            Err(error) => tracing::warn!(error = error.for_log(), "the login's housekeeping is not complete"),
        }
    }
    let days = u64::from(session.inner.profile.receipts.plaintext_days);
    let before = session.inner.clock.now().saturating_sub(days * 86_400);
    let days = u64::from(session.inner.profile.content.waiting_days);
    let waits_since = session.inner.clock.now().saturating_sub(days * 86_400);
    let forget = move |tx: &mut dyn StoreTx| {
        tx.forget_sent_content(before)?;
        tx.discard_waiting(waits_since)?;
        Ok(())
    };
    session.inner.vault.write(forget).await
}

pub(crate) async fn delete(inner: &Arc<Inner>) -> Result<(), Error> {
    let now = inner.clock.now();
    let connected = inner.session().is_ok();
    let step = move |tx: &mut dyn StoreTx| {
        let account = tx.account()?.ok_or(Error::NotEnlisted)?;
        match account.enlistment {
            // The server knows no such account: what is left to be deleted is here.
            Enlistment::Prepared | Enlistment::Lapsed { .. } => {
                tx.wipe_keys(now)?;
                return Ok(Wish::Done);
            }
            _ if !connected => return Err(Error::NotConnected),
            Enlistment::Enlisted { login, .. } => {
                tx.set_enlistment(&Enlistment::Deleting { login, at: now })?;
            }
            Enlistment::Deleting { .. } => {}
        }
        Ok::<_, Error>(Wish::ToldTheServer)
    };
    match inner.vault.write(step).await? {
        Wish::Done => messages_are_over(inner).await,
        Wish::ToldTheServer => {
            inner.deleting.store(true, Ordering::Relaxed);
            finish_deletion(&inner.session()?).await?;
        }
    }
    Ok(())
}

/// What the wish to delete the account has led to.
enum Wish {
    Done,
    /// Or will be, after the next login.
    ToldTheServer,
}

async fn finish_deletion(session: &Arc<Session>) -> Result<(), Error> {
    match session.request("deletion of the account", &DeleteAccount).await {
        Ok(()) => {}
        Err(error) => {
            if let Error::Refused { .. } = &error {
                take_back(session).await?;
            }
            return Err(error);
        }
    }
    let now = session.inner.clock.now();
    session.inner.vault.write(move |tx| tx.wipe_keys(now).map_err(Error::from)).await?;
    session.inner.deleting.store(false, Ordering::Relaxed);
    messages_are_over(&session.inner).await;
    session.end(Ending::Requested);
    Ok(())
}

/// Messages and files that waited have failed with the account.
async fn messages_are_over(inner: &Arc<Inner>) {
    inner.events.moved.notify_waiters();
    let owner = Arc::clone(inner);
    // What is left all the same goes at the next start.
    let _gone = tokio::task::spawn_blocking(move || owner.uploads.all_ended()).await;
}

/// The server will not delete the account: it lives on.
async fn take_back(session: &Arc<Session>) -> Result<(), Error> {
    let step = |tx: &mut dyn StoreTx| {
        if let Some(Account { enlistment: Enlistment::Deleting { login, at }, .. }) = tx.account()? {
            tx.set_enlistment(&Enlistment::Enlisted { login, at })?;
        }
        Ok::<_, Error>(())
    };
    session.inner.vault.write(step).await?;
    session.inner.deleting.store(false, Ordering::Relaxed);
    Ok(())
}

/// The account's own address as text; empty without an account.
pub(crate) fn own_address(tx: &dyn StoreTx) -> Result<String, Error> {
    let account = tx.account()?;
    Ok(account.and_then(|account| account.enlistment.login().map(str::to_owned)).unwrap_or_default())
}

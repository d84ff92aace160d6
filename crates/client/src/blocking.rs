//! Blocking.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use landbridge_stanza::ack::AckOut;
use landbridge_stanza::blocklist::{BlockAction, Blocklist as ServerList, GetBlocklist, UpdateBlocklist};
use landbridge_stanza::codes::IqErrorCode;
use landbridge_stanza::notification::BlocklistChange;
use landbridge_store::{BlockChange, OwedClass, StoreTx};
use landbridge_wire::Jid;
use tokio::sync::Mutex;

use crate::client::Inner;
use crate::error::Error;
use crate::messages::cipher::chat_of;
use crate::receipts::owe;
use crate::session::Session;

const CHANGE: &str = "change of the blocklist";

/// Keeps the answers of the server in order. One that comes late must not take the place of what was learnt since: a user
/// who is not blocked any more would go unheard.
#[derive(Default)]
pub(crate) struct Order {
    /// Held from a request until its answer is stored.
    one_at_a_time: Mutex<()>,
    /// Counts the changes that the server has told of unasked.
    news: AtomicU64,
}

pub(crate) async fn change(inner: &Arc<Inner>, user: &Jid, action: BlockAction) -> Result<(), Error> {
    let user = user.clone().without_device();
    if !(user.is_user() || user.is_lid() || user.is_interop()) {
        return Err(Error::BadAddress { jid: user, what: "blocked" });
    }
    let session = inner.session()?;
    let _one_at_a_time = inner.blocklist.one_at_a_time.lock().await;
    match try_change(&session, &user, action).await {
        // The list has changed elsewhere: fetch it and ask again, once.
        Err(Error::Refused { source, .. }) if source.code == IqErrorCode::Conflict => {
            fetch_locked(&session).await?;
            try_change(&session, &user, action).await
        }
        other => other,
    }
}

async fn try_change(session: &Arc<Session>, user: &Jid, action: BlockAction) -> Result<(), Error> {
    let vault = &session.inner.vault;
    let dhash = vault.read(|tx| tx.blocklist_hash().map_err(Error::from)).await?;
    let request = UpdateBlocklist { jid: user.clone(), action, dhash, pn_jid: None };
    let news = session.inner.blocklist.news.load(Ordering::Relaxed);
    match session.request(CHANGE, &request).await? {
        Some(list) if keep(session, &list, news).await? => Ok(()),
        // The server has done it, and says no more or said more meanwhile: what the list is now, it has to be asked.
        _ => fetch_locked(session).await,
    }
}

pub(crate) async fn fetch(session: &Arc<Session>) -> Result<(), Error> {
    let _one_at_a_time = session.inner.blocklist.one_at_a_time.lock().await;
    fetch_locked(session).await
}

async fn fetch_locked(session: &Arc<Session>) -> Result<(), Error> {
    loop {
        let news = session.inner.blocklist.news.load(Ordering::Relaxed);
        let list = session.request("blocklist", &GetBlocklist).await?;
        if keep(session, &list, news).await? {
            return Ok(());
        }
    }
}

/// Stores the list of an answer, unless a change was told of since it was asked for: nobody knows which of them is newer.
async fn keep(session: &Arc<Session>, list: &ServerList, news: u64) -> Result<bool, Error> {
    let jids: Vec<String> = list.items.iter().map(|item| chat_of(&item.jid)).collect();
    let (dhash, inner) = (list.dhash.clone(), Arc::clone(&session.inner));
    let step = move |tx: &mut dyn StoreTx| {
        let newest = inner.blocklist.news.load(Ordering::Relaxed) == news;
        if newest {
            tx.replace_blocklist(&jids, dhash.as_deref())?;
        }
        Ok::<_, Error>(newest)
    };
    session.inner.vault.write(step).await
}

pub(crate) async fn list(inner: &Arc<Inner>) -> Result<Vec<Jid>, Error> {
    if let Ok(session) = inner.session() {
        fetch(&session).await?;
    }
    let blocked = inner.vault.read(|tx| tx.blocked().map_err(Error::from)).await?;
    Ok(blocked.iter().filter_map(|jid| jid.parse().ok()).collect())
}

/// The list was changed by another party than this client.
pub(crate) async fn notified(
    session: &Arc<Session>,
    change: BlocklistChange,
    ack: &AckOut,
) -> Result<(), Error> {
    let inner = &session.inner;
    let owed =
        owe(inner, OwedClass::Ack, &ack.to, ack.participant.as_ref(), &ack.id, &ack.to_node(&inner.profile))?;
    let counted = Arc::clone(inner);
    let step = move |tx: &mut dyn StoreTx| {
        counted.blocklist.news.fetch_add(1, Ordering::Relaxed);
        let follows = change.prev_dhash.is_some() && tx.blocklist_hash()? == change.prev_dhash;
        if follows {
            for (jid, action) in &change.items {
                let what = match action {
                    BlockAction::Block => BlockChange::Block,
                    BlockAction::Unblock => BlockChange::Unblock,
                };
                tx.change_block(&chat_of(jid), what, change.dhash.as_deref())?;
            }
        }
        tx.owe(&owed)?;
        Ok::<_, Error>(follows)
    };
    let follows = inner.vault.write(step).await?;
    session.owed_news.notify_one();
    if !follows {
        session.spawn(|session| async move { fetch(&session).await });
    }
    Ok(())
}

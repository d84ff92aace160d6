//! Whom the user has verified, what a change of identity leads to, and safety numbers.

use std::sync::Arc;

use landbridge_curve::PublicKey;
use landbridge_signal::fingerprint::{Fingerprint, ScanError, compare_scannable};
use landbridge_signal::{Address, IdentityChange};
use landbridge_store::{Noted, PeerRecord, Recrypt, Sighting, StoreTx};
use landbridge_wire::Jid;

use crate::client::{Client, Inner};
use crate::error::Error;
use crate::event::Event;
use crate::messages::cipher::{address, chat_of, store_failed};
use crate::messages::recipient;

/// Pending messages read from the store at a time.
const PAGE: usize = 64;

/// What happens when a peer appears under another identity. In each case the session is replaced and
/// [`Event::IdentityChanged`] tells of it: the security notice (SEED).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityPolicy {
    /// Sending goes on, as in WhatsApp's own apps.
    Notify,
    /// Sending waits for [`Client::accept_identity`] if the user had verified the identity before (ASSUMED).
    #[default]
    HoldVerified,
    /// Sending waits for it whoever the peer is.
    HoldAll,
}

/// What the user has said about a peer's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Nothing.
    NotVerified,
    /// It is the peer's.
    Verified,
    /// An earlier one was the peer's; this one was not verified.
    WasVerified,
}

/// Whether messages go out to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// They do.
    Open,
    /// They wait in the store, unencrypted, until [`Client::accept_identity`]. Receiving goes on.
    Held {
        /// Since when, in unix seconds.
        since: u64,
    },
}

/// How things stand with a peer's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerTrust {
    /// The identity as it was last seen, 32 bytes; `None` if none was, or if another one was announced since.
    pub identity: Option<PublicKey>,
    /// What the user has said about it.
    pub verification: Verification,
    /// Whether messages go out.
    pub sending: Sending,
}

/// What two people compare to know that nobody sits between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyNumber {
    peer: Jid,
    identity: PublicKey,
    fingerprint: Fingerprint,
    version: u32,
}

/// What a scanned code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a mismatch means that somebody may sit in between"]
pub enum Comparison {
    /// The peer sees the same two identities.
    Match,
    /// The peer sees others: it is another peer's code, an old one, or somebody sits in between.
    Mismatch,
}

impl SafetyNumber {
    /// The peer.
    pub fn peer(&self) -> &Jid {
        &self.peer
    }

    /// The identity of the peer that the number is for.
    pub fn identity(&self) -> &PublicKey {
        &self.identity
    }

    /// 60 decimal digits, the same on both sides.
    pub fn digits(&self) -> String {
        self.fingerprint.numeric()
    }

    /// The bytes for a QR code. The peer's code holds the same two halves the other way round.
    pub fn scannable(&self) -> Vec<u8> {
        self.fingerprint.scannable(self.version)
    }

    /// Compares with the code that was scanned from the peer's screen.
    ///
    /// # Errors
    ///
    /// [`ScanError`] if it is no such code, or one of another version.
    pub fn compare(&self, scanned: &[u8]) -> Result<Comparison, ScanError> {
        let same = compare_scannable(&self.scannable(), scanned)?;
        Ok(if same { Comparison::Match } else { Comparison::Mismatch })
    }
}

impl Client {
    /// The safety number with a peer: 60 digits, and bytes for a QR code. If the peer's identity is not known, or another
    /// one was announced, the peer's keys are fetched; without a connection that is an error.
    ///
    /// # Cancel safety
    ///
    /// A key of the peer may have been used up for nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NotEnlisted`], [`Error::NotConnected`], [`Error::NoKeys`], [`Error::BadKeys`], [`Error::BadAddress`],
    /// [`Error::Store`].
    pub async fn safety_number(&self, peer: &Jid) -> Result<SafetyNumber, Error> {
        let inner = &self.inner;
        let peer = recipient(inner, peer)?;
        if known(inner, &peer).await?.is_none() {
            crate::keys::fetch(inner, &peer).await?;
        }
        let known = known(inner, &peer).await?;
        let (own, own_identity, identity) = known.ok_or(Error::NotConnected)?;
        let fingerprint = Fingerprint::new(
            address(&own).name.as_bytes(),
            &own_identity,
            address(&peer).name.as_bytes(),
            &identity,
        );
        Ok(SafetyNumber { peer, identity, fingerprint, version: inner.profile.keys.safety_number_version })
    }

    /// Notes that the user has compared the number and found it right: the identity that it is for is verified, until
    /// the peer has another one. If sending to the peer was held, it goes on.
    ///
    /// # Cancel safety
    ///
    /// Noted or not; nothing in between.
    ///
    /// # Errors
    ///
    /// [`Error::OtherIdentity`] if the peer's identity is no longer the one that the number is for, [`Error::Store`].
    pub async fn mark_verified(&self, number: &SafetyNumber) -> Result<(), Error> {
        let (chat, whom, peer) = (chat_of(&number.peer), address(&number.peer), number.peer.clone());
        let identity = number.identity;
        let step = move |tx: &mut dyn StoreTx| {
            let record = tx.peer(&chat)?;
            let present = tx.remote_identity(&whom).map_err(store_failed)?;
            if record.awaits_identity || present != Some(identity) {
                return Err(Error::OtherIdentity { jid: peer });
            }
            tx.set_peer(&chat, &PeerRecord { verified: Some(identity), held_since: None, ..record })?;
            Ok(())
        };
        self.inner.vault.write(step).await?;
        self.inner.release(&number.peer);
        Ok(())
    }

    /// Takes the user's word back: the peer is not verified, and was not.
    ///
    /// # Cancel safety
    ///
    /// Noted or not; nothing in between.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn mark_unverified(&self, peer: &Jid) -> Result<(), Error> {
        let chat = chat_of(peer);
        let step = move |tx: &mut dyn StoreTx| {
            let record = tx.peer(&chat)?;
            tx.set_peer(&chat, &PeerRecord { verified: None, was_verified: None, ..record })?;
            Ok::<_, Error>(())
        };
        self.inner.vault.write(step).await
    }

    /// Takes a peer's new identity as it is, without verifying it: what was held goes out, in order, now or after the
    /// next login. Nothing happens if nothing is held.
    ///
    /// # Cancel safety
    ///
    /// Accepted or not; nothing in between.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn accept_identity(&self, peer: &Jid) -> Result<(), Error> {
        let chat = chat_of(peer);
        let step = move |tx: &mut dyn StoreTx| {
            let record = tx.peer(&chat)?;
            tx.set_peer(&chat, &PeerRecord { held_since: None, ..record })?;
            Ok::<_, Error>(())
        };
        self.inner.vault.write(step).await?;
        self.inner.release(peer);
        Ok(())
    }

    /// How things stand with a peer's identity.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn peer_trust(&self, peer: &Jid) -> Result<PeerTrust, Error> {
        let (chat, whom) = (chat_of(peer), address(peer));
        let step = move |tx: &mut dyn StoreTx| {
            let record = tx.peer(&chat)?;
            let identity = tx.remote_identity(&whom).map_err(store_failed)?;
            Ok::<_, Error>(PeerTrust {
                identity: identity.filter(|_| !record.awaits_identity),
                verification: verification(&record),
                sending: sending(&record),
            })
        };
        self.inner.vault.read(step).await
    }
}

pub(crate) const fn verification(record: &PeerRecord) -> Verification {
    match record {
        PeerRecord { verified: Some(_), .. } => Verification::Verified,
        PeerRecord { was_verified: Some(_), .. } => Verification::WasVerified,
        _ => Verification::NotVerified,
    }
}

pub(crate) const fn sending(record: &PeerRecord) -> Sending {
    match record.held_since {
        Some(since) => Sending::Held { since },
        None => Sending::Open,
    }
}

/// The own address and identity, and the peer's identity if it is known.
async fn known(inner: &Arc<Inner>, peer: &Jid) -> Result<Option<(Jid, PublicKey, PublicKey)>, Error> {
    let (chat, whom) = (chat_of(peer), address(peer));
    let step = move |tx: &mut dyn StoreTx| {
        let account = tx.account()?.ok_or(Error::NotEnlisted)?;
        let own =
            account.enlistment.login().and_then(|login| login.parse().ok()).ok_or(Error::NotEnlisted)?;
        let identity = present_identity(tx, &chat, &whom)?;
        Ok::<_, Error>(identity.map(|identity| (own, *account.identity.public(), identity)))
    };
    inner.vault.read(step).await
}

/// The identity as it was last seen, unless another one was announced since.
fn present_identity(tx: &dyn StoreTx, chat: &str, whom: &Address) -> Result<Option<PublicKey>, Error> {
    if tx.peer(chat)?.awaits_identity {
        return Ok(None);
    }
    tx.remote_identity(whom).map_err(store_failed)
}

/// How a change of identity is taken in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notice {
    pub(crate) policy: IdentityPolicy,
    /// Now, in unix seconds.
    pub(crate) now: u64,
}

impl Notice {
    pub(crate) fn new(inner: &Inner) -> Self {
        Self { policy: inner.identity_policy, now: inner.clock.now() }
    }

    /// A bundle has shown a peer's identity. Gives the event if that is a change and news.
    pub(crate) fn shown(
        self,
        tx: &mut dyn StoreTx,
        peer: &Jid,
        change: IdentityChange,
        shown: &PublicKey,
    ) -> Result<Option<Event>, Error> {
        if let IdentityChange::Changed { old } = change {
            return Ok(self.changed(tx, peer, Some(&old), Sighting::Key(shown))?.0);
        }
        let chat = chat_of(peer);
        let record = tx.peer(&chat)?;
        if record.awaits_identity {
            tx.set_peer(&chat, &PeerRecord { awaits_identity: false, ..record })?;
        }
        Ok(None)
    }

    /// Takes a change in: the user's word is for the old identity and no longer holds, and sending is held if the policy
    /// says so. Gives the event if the change is news, and what the store made of it.
    pub(crate) fn changed(
        self,
        tx: &mut dyn StoreTx,
        peer: &Jid,
        old: Option<&PublicKey>,
        sighting: Sighting<'_>,
    ) -> Result<(Option<Event>, Noted), Error> {
        let (chat, new) = (chat_of(peer), sighting.key());
        let noted = tx.note_identity_change(&chat, old, sighting, self.now)?;
        let news = matches!(noted, Noted::New { .. });
        let before = tx.peer(&chat)?;
        let mut record = before.clone();
        record.awaits_identity = new.is_none() && (news || before.awaits_identity);
        let broken = match (before.verified, new) {
            (Some(verified), Some(new)) => verified != *new,
            (Some(_), None) => news,
            (None, _) => false,
        };
        if broken {
            record.was_verified = record.verified.take();
        }
        let hold = match self.policy {
            IdentityPolicy::Notify => false,
            IdentityPolicy::HoldVerified => broken,
            IdentityPolicy::HoldAll => news || broken,
        };
        if hold && record.held_since.is_none() {
            record.held_since = Some(self.now);
            unseal(tx, &chat)?;
        }
        if record != before {
            tx.set_peer(&chat, &record)?;
        }
        let event = match noted {
            Noted::New { seq } => Some(notice(seq, peer, old.copied(), new.copied(), &record)),
            Noted::Known => None,
        };
        Ok((event, noted))
    }
}

/// What waits for its ack was encrypted for the old identity: it waits to be encrypted now.
fn unseal(tx: &mut dyn StoreTx, chat: &str) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let page = tx.pending(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        for entry in page.iter().filter(|entry| entry.message.recipient == chat) {
            tx.replace_stanza(chat, &entry.message.id, &[], Recrypt::NewIdentity)?;
        }
    }
}

/// The event of a change.
pub(crate) fn notice(
    seq: u64,
    peer: &Jid,
    old: Option<PublicKey>,
    new: Option<PublicKey>,
    record: &PeerRecord,
) -> Event {
    Event::IdentityChanged {
        seq,
        peer: peer.clone().without_device(),
        old,
        new,
        verification: verification(record),
        sending: sending(record),
    }
}

//! Changes of peers' identities: each becomes one security notice.

use landbridge_curve::PublicKey;

use crate::StoreError;

/// A peer's identity changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityEvent {
    /// Position in the order of events, from 1, growing.
    pub seq: u64,
    /// The peer's address as text.
    pub peer: String,
    /// The identity before, if it was known.
    pub old: Option<PublicKey>,
    /// The identity now; `None` while only a notification told of the change.
    pub new: Option<PublicKey>,
    /// Id of the server's notification that has told of it, if one has.
    pub announcement: Option<String>,
    /// When it was noticed, in unix seconds.
    pub at: u64,
    /// Whether the application has confirmed the notice.
    pub confirmed: bool,
}

/// How a change was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting<'a> {
    /// A message or a bundle showed the identity.
    Key(&'a PublicKey),
    /// The server's notification of this id told of it. It names no key.
    Notification(&'a str),
}

impl<'a> Sighting<'a> {
    /// The identity, if it was shown.
    pub const fn key(self) -> Option<&'a PublicKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Notification(_) => None,
        }
    }

    /// The notification, if it was one.
    pub const fn notification(self) -> Option<&'a str> {
        match self {
            Self::Notification(id) => Some(id),
            Self::Key(_) => None,
        }
    }
}

/// What [`IdentityEvents::note_identity_change`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// A change not known before: show the notice.
    New {
        /// Its position.
        seq: u64,
    },
    /// The same change, learnt a second way: it was noticed before. A key that was missing is filled in.
    Known,
}

/// What a report adds to the latest event of its peer.
pub(crate) enum Learnt {
    New,
    Known,
    /// Known, and the event now says more.
    More(IdentityEvent),
}

/// Decides for every backend about a sighting that is not a notification which some event of the peer has already. A
/// notification names no key, so it belongs to the latest event unless that one was announced already and its key has
/// been seen since.
pub(crate) fn learn(
    latest: Option<IdentityEvent>,
    old: Option<&PublicKey>,
    sighting: Sighting<'_>,
) -> Learnt {
    let Some(event) = latest else { return Learnt::New };
    match (sighting, event.new) {
        (Sighting::Key(new), Some(seen)) if *new == seen => Learnt::Known,
        (Sighting::Key(_), Some(_)) => Learnt::New,
        (Sighting::Key(new), None) => {
            Learnt::More(IdentityEvent { old: event.old.or(old.copied()), new: Some(*new), ..event })
        }
        (Sighting::Notification(_), Some(_)) if event.announcement.is_some() => Learnt::New,
        (Sighting::Notification(id), _) => {
            Learnt::More(IdentityEvent { announcement: Some(id.to_owned()), ..event })
        }
    }
}

/// Identity changes. Called wherever one is learnt (notification, `pkmsg`, bundle), in the transaction that replaces the session; and by the
/// application's event stream.
pub trait IdentityEvents {
    /// Notes a change. The two ways of learning one change, in either order, make one event; repeats make none: a key that
    /// was seen, and a notification that the server delivers again because its ack was lost.
    ///
    /// # Errors
    /// The backend fails.
    fn note_identity_change(
        &mut self,
        peer: &str,
        old: Option<&PublicKey>,
        sighting: Sighting<'_>,
        at: u64,
    ) -> Result<Noted, StoreError>;

    /// Changes that the application has not confirmed, in order, at most `limit`.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn unconfirmed_identity_changes(&self, limit: usize) -> Result<Vec<IdentityEvent>, StoreError>;

    /// The application has shown the notice. Unknown positions are passed over.
    ///
    /// # Errors
    /// The backend fails.
    fn confirm_identity_change(&mut self, seq: u64) -> Result<(), StoreError>;
}

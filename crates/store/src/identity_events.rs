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
    /// Whether the server's notification has told of it.
    pub announced: bool,
    /// When it was noticed, in unix seconds.
    pub at: u64,
    /// Whether the application has confirmed the notice.
    pub confirmed: bool,
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

/// Decides for every backend. A notification names no key, so it belongs to the latest event unless that one was
/// announced already and its key has been seen since.
pub(crate) fn learn(
    latest: Option<IdentityEvent>,
    old: Option<&PublicKey>,
    new: Option<&PublicKey>,
) -> Learnt {
    let Some(event) = latest else { return Learnt::New };
    match (new, event.new) {
        (Some(new), Some(seen)) if *new == seen => Learnt::Known,
        (Some(_), Some(_)) => Learnt::New,
        (Some(new), None) => {
            Learnt::More(IdentityEvent { old: event.old.or(old.copied()), new: Some(*new), ..event })
        }
        (None, None) => Learnt::Known,
        (None, Some(_)) if event.announced => Learnt::New,
        (None, Some(_)) => Learnt::More(IdentityEvent { announced: true, ..event }),
    }
}

/// Identity changes. Called wherever one is learnt (notification, `pkmsg`, bundle), in the transaction that replaces the session; and by the
/// application's event stream.
pub trait IdentityEvents {
    /// Notes a change: with the new key if a message or a bundle showed it, without if the server's notification told of
    /// it. The two ways of learning one change, in either order, make one event; repeats make none.
    ///
    /// # Errors
    /// The backend fails.
    fn note_identity_change(
        &mut self,
        peer: &str,
        old: Option<&PublicKey>,
        new: Option<&PublicKey>,
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

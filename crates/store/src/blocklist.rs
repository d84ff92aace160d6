//! Who is blocked.

use crate::StoreError;

/// A change of the blocklist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockChange {
    /// The address is blocked from now on.
    Block,
    /// It no longer is.
    Unblock,
}

/// The blocklist as the server last told it. Called by blocklist queries and notifications, and by the receiving path:
/// messages of a blocked user are acked and not shown.
pub trait Blocklist {
    /// The blocked addresses, sorted.
    ///
    /// # Errors
    /// The backend fails.
    fn blocked(&self) -> Result<Vec<String>, StoreError>;

    /// Whether an address is blocked.
    ///
    /// # Errors
    /// The backend fails.
    fn is_blocked(&self, jid: &str) -> Result<bool, StoreError>;

    /// The version (`dhash`) of the list, if the server gave one.
    ///
    /// # Errors
    /// The backend fails.
    fn blocklist_hash(&self) -> Result<Option<String>, StoreError>;

    /// Puts a fetched list in the place of the stored one.
    ///
    /// # Errors
    /// The backend fails.
    fn replace_blocklist(&mut self, jids: &[String], dhash: Option<&str>) -> Result<(), StoreError>;

    /// Applies one change and takes over the list's new version. Returns whether the list changed.
    ///
    /// # Errors
    /// The backend fails.
    fn change_block(
        &mut self,
        jid: &str,
        change: BlockChange,
        dhash: Option<&str>,
    ) -> Result<bool, StoreError>;
}

//! Who a session is with.

use std::fmt;

/// The local name of a peer's device: the key under which stores keep sessions and identities.
///
/// It never travels. ASSUMED: `name` is the user part of the peer's JID, `device` its device number, 0 for the
/// primary phone and for interop users.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The user part of the JID.
    pub name: String,
    /// The device number; 0 is the primary device.
    pub device: u32,
}

impl Address {
    /// An address from its two parts.
    pub fn new(name: impl Into<String>, device: u32) -> Self {
        Self { name: name.into(), device }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.device)
    }
}

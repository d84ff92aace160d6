//! Calls that step around a guarantee of this crate. Each says which one.

use landbridge_curve::PublicKey;

use crate::{KnownServer, Opener, Sealer, Validity, VerifiedServer};

/// Claims that a server is believed, without a check by this crate: for implementations of
/// [`ServerTrust`](crate::ServerTrust) that have their own.
///
/// The proof is good for no resumption, since there are no dates to hold against the clock.
pub const fn assert_verified(server_static: PublicKey) -> VerifiedServer {
    VerifiedServer::new(KnownServer {
        key: server_static,
        leaf: Validity::new(0, 0),
        intermediate_key: server_static,
        intermediate: Validity::new(0, 0),
    })
}

/// A sealer at counter 0 over a raw key of 32 bytes: for replaying recorded connections. To seal twice with one
/// key and counter gives plaintext and key of the authentication away.
pub fn sealer_from_key(key: &[u8; 32]) -> Sealer {
    Sealer::new(key)
}

/// An opener at counter 0 over a raw key of 32 bytes: for reading recorded connections.
pub fn opener_from_key(key: &[u8; 32]) -> Opener {
    Opener::new(key)
}

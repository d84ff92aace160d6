//! Who calls: the partner's own knowledge of its users.

mod front;
mod introspection;
mod jwt_users;
mod users;

use std::fmt;

use async_trait::async_trait;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use landbridge_enlist::{BadIdentifier, UserIdentifier};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

pub use front::{FRONT_HEADER, FrontConfig, FrontWord, TrustedFront};
pub use introspection::{Introspection, IntrospectionConfig};
pub use jwt_users::{JwtUsers, JwtUsersConfig};
pub use users::{UsersConfig, UsersError};

pub(crate) use users::Chosen;

/// The partner's way to tell who a request comes from. Called once per request of `/v1`, before its body is read.
///
/// Shipped: [`JwtUsers`], [`Introspection`], [`TrustedFront`], and [`StaticUsers`] for development. A partner with another
/// session store brings its own.
#[async_trait]
pub trait UserAuthenticator: Send + Sync {
    /// Finds the user of a request by its head.
    ///
    /// # Errors
    /// [`AuthError::Denied`] if there is no session or it is not valid, [`AuthError::Unavailable`] if that cannot be
    /// told now.
    async fn authenticate(&self, head: &Parts) -> Result<UserRecord, AuthError>;
}

/// A user as the partner knows it.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "made by authenticators outside this crate")]
pub struct UserRecord {
    /// Names the user for rate limits. Never leaves the server.
    pub user_id: String,
    /// What WhatsApp users see. Stable for the user; not given to another one within 60 days (ASSUMED: 30 days of
    /// mailbox and a margin).
    pub identifier: UserIdentifier,
    /// Whether the user has agreed to be reachable from WhatsApp.
    pub opted_in: bool,
}

/// Why there is no user.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No session, or not a valid one.
    #[error("the request has no valid session")]
    Denied,
    /// The authority behind the authenticator does not answer.
    #[error("sessions cannot be checked now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A fixed table of session tokens. For development: the tokens never expire and lie in a configuration file.
#[derive(Clone)]
pub struct StaticUsers {
    users: Vec<(Zeroizing<String>, UserRecord)>,
}

impl StaticUsers {
    /// Takes pairs of session token and user-visible identifier. All of them have opted in.
    ///
    /// # Errors
    /// [`BadIdentifier`] of the first identifier that breaks a rule.
    pub fn new(users: impl IntoIterator<Item = (String, String)>) -> Result<Self, BadIdentifier> {
        let record = |(token, identifier): (String, String)| {
            let identifier = UserIdentifier::new(identifier)?;
            let user_id = identifier.as_str().to_owned();
            Ok((Zeroizing::new(token), UserRecord { user_id, identifier, opted_in: true }))
        };
        Ok(Self { users: users.into_iter().map(record).collect::<Result<_, _>>()? })
    }
}

impl fmt::Debug for StaticUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticUsers([{} redacted])", self.users.len())
    }
}

#[async_trait]
impl UserAuthenticator for StaticUsers {
    async fn authenticate(&self, head: &Parts) -> Result<UserRecord, AuthError> {
        let session = bearer(head).ok_or(AuthError::Denied)?;
        // Every entry is compared, in constant time each.
        let mut found = None;
        for (token, user) in &self.users {
            if bool::from(token.as_bytes().ct_eq(session.as_bytes())) && !token.is_empty() {
                found = Some(user);
            }
        }
        found.cloned().ok_or(AuthError::Denied)
    }
}

/// The credential of the one `Authorization: Bearer` header.
pub(crate) fn bearer(head: &Parts) -> Option<&str> {
    let mut values = head.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| credential.trim_matches(' '))
}

//! The partner's HTTP server: what WhatsApp fetches from a partner and tells it, and what a partner's own clients ask of it.
//!
//! | call | for whom |
//! |---|---|
//! | `GET /.well-known/oauth/openid/jwks` | WhatsApp: the keys that verify user tokens (SEED) |
//! | `POST {base}/push` | WhatsApp: somebody has mail (SEED) |
//! | `GET {media base}/{storage_reference}` | WhatsApp: an encrypted file (SEED) |
//! | `POST /v1/token` | own clients: a token that proves who they are (ASSUMED, like all of `/v1`) |
//! | `GET, DELETE /v1/me` | own clients: who they are, and the figures of this server; forgets them |
//! | `/v1/wake-targets/{device}`, `GET /v1/wake` | own clients: where and how they are woken ([`wake`]) |
//! | `/v1/media/…`, `/v1/uploads` | own clients: encrypted files for WhatsApp to fetch ([`media`]) |
//! | `GET /openapi.json` | anyone: the description of these calls |
//! | `/health/…`, `/metrics`, `POST /admin/keys/rotate` | the operator, on a second listener |
//!
//! Who a user is, the server learns from a [`UserAuthenticator`]; the keys it signs with are [`SigningKeys`], of which
//! a standby is published all along, so that a lost key can be replaced at once. What has to outlive the process is in a
//! [`store::Store`] and in [`media::Blobs`]: SQLite and files, unless others are given.
//!
//! ```
//! use landbridge_partner::{Partner, PartnerConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let partner = Partner::start(PartnerConfig {
//!     addr: "127.0.0.1:0".parse()?,
//!     admin_addr: "127.0.0.1:0".parse()?,
//!     dev_users: [("session-of-alice".to_owned(), "alice".to_owned())].into(),
//!     insecure_dev_auth: true,
//!     ..PartnerConfig::default()
//! })
//! .await?;
//! println!("tokens are issued by {}", partner.base_url());
//! partner.shutdown().await;
//! # Ok(()) }
//! ```

mod admin;
mod auth;
mod base_url;
mod body;
mod clock;
mod config;
mod health;
mod key_files;
mod key_ring;
mod key_shelf;
mod key_source;
mod keys;
pub mod media;
mod metrics;
mod observe;
mod problem;
mod push;
mod rate;
mod remembered;
mod routes;
mod scan_guard;
mod senders;
mod server;
pub mod store;
pub mod wake;

pub use auth::{
    AuthError, FRONT_HEADER, FrontConfig, FrontWord, Introspection, IntrospectionConfig, JwtUsers,
    JwtUsersConfig, StaticUsers, TrustedFront, UserAuthenticator, UserRecord, UsersConfig, UsersError,
};
pub use base_url::BadBaseUrl;
pub use clock::Clock;
pub use config::{MinTls, PartnerConfig, TlsConfig};
pub use key_files::{KeyFileError, read_key_file};
pub use key_ring::{PUBLISHED_AFTER_USE, PUBLISHED_BEFORE_USE, RotateError, Rotation, prepare_keys};
pub use key_shelf::{Kept, KeyShelf, KeyShelfError, KeyState, KeyTimes, PrivatePem, Swapped};
pub use keys::{BadSigningKeys, SigningKeys};
pub use problem::PROBLEM_BASE;
pub use push::{
    BadPush, MAX_PUSH_TO, Presence, PushConfig, UnknownUser, WHATSAPP_KEYS_URL, recipient as push_recipient,
};
pub use senders::SenderError;
pub use server::{Partner, PartnerBuilder, StartError};

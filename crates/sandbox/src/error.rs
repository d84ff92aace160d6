//! Why a sandbox does not start, or cannot do what it is told.

use std::net::SocketAddr;

use thiserror::Error;

/// Why a sandbox does not start, or cannot do what it is told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A partner's number is not from 1 to 999, or is given twice.
    #[error("integrator id {integrator} is not from 1 to 999 or is given twice")]
    Integrator {
        /// The number.
        integrator: u16,
    },
    /// A partner's base URL is not one, names no machine of a partner (link-local addresses, spellings such as
    /// `http://2130706433`), or is another partner's, too.
    #[error(
        "the base URL of integrator {integrator} is no http or https URL of a machine, or is given twice"
    )]
    PartnerUrl {
        /// The partner.
        integrator: u16,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr} for {what}")]
    Listen {
        /// What would listen.
        what: &'static str,
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error("the data directory {} cannot be used", path.display())]
    DataDir {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The data was written by a later release.
    #[error("the data has schema {found}, this release knows schemas up to {known}")]
    NewerSchema {
        /// The schema of the file.
        found: i64,
        /// The newest schema known.
        known: i64,
    },
    /// The database failed.
    #[error("the sandbox's database failed")]
    Database(#[from] rusqlite::Error),
    /// A stored record cannot be read.
    #[error("the stored {what} cannot be read")]
    Record {
        /// Which.
        what: &'static str,
    },
    /// There is no such user.
    #[error("there is no user with this address or identifier")]
    NoSuchUser,
    /// Nobody pushes for this user.
    #[error("pushes are for partners' users, and this sandbox may send none")]
    NoPushes,
    /// A client for HTTP cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Http(#[source] landbridge_transport::HttpError),
    /// A test phone cannot do what it is told.
    #[error("the phone {number} failed")]
    Phone {
        /// Which.
        number: String,
        /// Why.
        #[source]
        source: crate::PhoneError,
    },
}

//! Why a run fails.

use std::error::Error;

/// Why a run of the kill test fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KillError {
    /// What has to hold does not.
    #[error("what has to hold does not: {what}")]
    Violation {
        /// Each violation, a line each.
        what: String,
    },
    /// A life ended in a way that nobody asked for.
    #[error("life {life} of the client ended by itself with {status} and said: {said}")]
    Died {
        /// The number of the life.
        life: u32,
        /// How it ended.
        status: String,
        /// Its standard error.
        said: String,
    },
    /// A life did not come to its end in time.
    #[error("life {life} of the client did not come to its end in time, and said: {said}")]
    Stuck {
        /// The number of the life.
        life: u32,
        /// Its standard error.
        said: String,
    },
    /// Something around the test does not work.
    #[error("cannot {doing}")]
    Broken {
        /// What was to be done.
        doing: &'static str,
        /// Why it cannot be done.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Says what was to be done when an error came.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, KillError>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, KillError> {
        self.map_err(|source| KillError::Broken { doing, source: source.into() })
    }
}

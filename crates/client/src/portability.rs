//! The account moves to another device, or comes back.

#[cfg(feature = "export")]
use std::io::Write;

use landbridge_store::ClientStore;
#[cfg(feature = "export")]
use landbridge_store::{ExportError, ExportSecret, StoreError};

use crate::client::Client;
#[cfg(feature = "export")]
use crate::error::Ending;
use crate::error::Error;

impl Client {
    /// Writes the whole account, encrypted, to `out`, for [`SqliteStore::import`](landbridge_store::SqliteStore::import) on another
    /// device: identity, sessions, messages. Peers see no change of the security code. Gives `out` back, for the caller to
    /// make it durable.
    ///
    /// The connection is closed first, and the account is then *handed over*: this client does not connect and sends
    /// nothing any more ([`Error::HandedOver`]), since two devices with the same sessions would use keys twice. Should the file
    /// be lost, [`take_back`](Self::take_back) undoes that. An export that fails leaves everything as it was.
    ///
    /// # Cancel safety
    ///
    /// The connection is closed, and the account may be handed over; what was written is to be thrown away, and the account
    /// taken back.
    ///
    /// # Errors
    ///
    /// [`Error::Export`], [`Error::HandedOver`].
    #[cfg(feature = "export")]
    pub async fn export<W: Write + Send + 'static>(&self, out: W, secret: ExportSecret) -> Result<W, Error> {
        self.disconnect().await;
        let (at, mut rng) = (self.inner.clock.now(), self.inner.rng.fork());
        let work = move |store: &mut dyn ClientStore| {
            let mut out = out;
            let store = store.portable().ok_or(Error::Export { source: ExportError::NotPortable })?;
            store.export(&mut out, &secret, at, &mut rng)?;
            Ok::<_, Error>(out)
        };
        let out = self.inner.vault.with_store(work).await?;
        // A login that was under way while the account was exported gets no further.
        if let Ok(session) = self.inner.session() {
            session.end(Ending::Store { source: StoreError::HandedOver { at } });
        }
        Ok(out)
    }

    /// Takes an account back that was handed over by an export, for the file was lost or is not to be used.
    /// Sessions are begun anew before anything is sent; whoever has imported the file must not use it any more.
    ///
    /// Nothing happens if the account was not handed over.
    ///
    /// # Cancel safety
    ///
    /// The account is taken back or not; call it again.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn take_back(&self) -> Result<(), Error> {
        let work = |store: &mut dyn ClientStore| {
            let mut tx = store.begin()?;
            tx.take_back()?;
            tx.commit()?;
            Ok::<_, Error>(())
        };
        self.inner.vault.with_store(work).await
    }
}

#[cfg(feature = "export")]
impl From<ExportError> for Error {
    fn from(source: ExportError) -> Self {
        match source {
            ExportError::Store { source: StoreError::HandedOver { at } } => Self::HandedOver { at },
            source => Self::Export { source },
        }
    }
}

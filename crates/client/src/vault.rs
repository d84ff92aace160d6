//! The store behind one door: one step at a time, each in a transaction of its own, and on the runtime's threads only if it
//! can never keep them waiting.

use std::sync::Arc;

use landbridge_store::{Blocking, ClientStore, StoreError, StoreTx};
use tokio::sync::Mutex;

#[derive(Clone)]
pub(crate) struct Vault {
    store: Arc<Mutex<Box<dyn ClientStore>>>,
}

impl Vault {
    pub(crate) fn new(store: Box<dyn ClientStore>) -> Self {
        Self { store: Arc::new(Mutex::new(store)) }
    }

    /// Runs a step and commits it if it gives `Ok`; on `Err` nothing of it is kept.
    ///
    /// Steps run in the order in which they were asked for. A caller that goes away while it waits leaves no trace; once
    /// the step has begun, it is finished whether or not the caller is still there.
    pub(crate) async fn write<T, E>(
        &self,
        step: impl FnOnce(&mut dyn StoreTx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(move |store| {
            let mut tx = store.begin()?;
            let value = step(&mut *tx)?;
            tx.commit()?;
            Ok(value)
        })
        .await
    }

    /// Runs a step that only reads.
    pub(crate) async fn read<T, E>(
        &self,
        step: impl FnOnce(&mut dyn StoreTx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(move |store| step(&mut *store.begin()?)).await
    }

    async fn run<T, E>(
        &self,
        work: impl FnOnce(&mut dyn ClientStore) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        // The lock is fair, and it is taken before the thread is: that is what keeps the order.
        let mut store = Arc::clone(&self.store).lock_owned().await;
        if store.blocking() == Blocking::Never {
            return work(&mut **store);
        }
        let joined = tokio::task::spawn_blocking(move || work(&mut **store)).await;
        joined.unwrap_or_else(|broken| {
            Err(E::from(StoreError::Backend { doing: "finish a step", source: Box::new(broken) }))
        })
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

//! The store behind one door: one step at a time, each in a transaction of its own, and on the runtime's threads only if it
//! can never keep them waiting.

use std::sync::Arc;

use landbridge_store::{Blocking, ClientStore, StoreError, StoreTx};
use tokio::sync::Mutex;

#[derive(Clone)]
pub(crate) struct Vault {
    kept: Arc<Mutex<Kept>>,
}

struct Kept {
    store: Box<dyn ClientStore>,
    standing: Standing,
}

/// Whether the account is still this store's. What was exported must not go on here, not even with what is under way.
#[derive(Clone, Copy)]
enum Standing {
    /// Not looked at since the start.
    Unknown,
    Ours,
    HandedOver {
        at: u64,
    },
}

impl Kept {
    fn write<T, E: From<StoreError>>(
        &mut self,
        step: impl FnOnce(&mut dyn StoreTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let Self { store, standing } = self;
        if let Standing::HandedOver { at } = *standing {
            return Err(E::from(StoreError::HandedOver { at }));
        }
        let mut tx = store.begin()?;
        if let Standing::Unknown = standing {
            if let Some(at) = tx.lineage()?.handed_over {
                *standing = Standing::HandedOver { at };
                return Err(E::from(StoreError::HandedOver { at }));
            }
            *standing = Standing::Ours;
        }
        let value = step(&mut *tx)?;
        tx.commit()?;
        Ok(value)
    }
}

impl Vault {
    pub(crate) fn new(store: Box<dyn ClientStore>) -> Self {
        Self { kept: Arc::new(Mutex::new(Kept { store, standing: Standing::Unknown })) }
    }

    /// Runs a step and commits it if it gives `Ok`; on `Err` nothing of it is kept. Refused once the account was handed over.
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
        self.run(move |kept| kept.write(step)).await
    }

    /// As [`write`](Self::write), and tells what came of it as soon as that is committed: also when the caller is gone by
    /// then, for what is stored must not go untold.
    pub(crate) async fn write_and_tell<T, E>(
        &self,
        step: impl FnOnce(&mut dyn StoreTx) -> Result<T, E> + Send + 'static,
        tell: impl FnOnce(&mut T) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(move |kept| {
            let mut value = kept.write(step)?;
            tell(&mut value);
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
        self.run(move |kept| step(&mut *kept.store.begin()?)).await
    }

    /// Runs something on the store as a whole. Afterwards, whose the account is is looked at anew.
    pub(crate) async fn with_store<T, E>(
        &self,
        work: impl FnOnce(&mut dyn ClientStore) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(move |kept| {
            kept.standing = Standing::Unknown;
            work(&mut *kept.store)
        })
        .await
    }

    async fn run<T, E>(&self, work: impl FnOnce(&mut Kept) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        // The lock is fair, and it is taken before the thread is: that is what keeps the order.
        let mut kept = Arc::clone(&self.kept).lock_owned().await;
        if kept.store.blocking() == Blocking::Never {
            return work(&mut kept);
        }
        let joined = tokio::task::spawn_blocking(move || work(&mut kept)).await;
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

//! Every backend runs the same suite.
#![expect(clippy::unwrap_used, reason = "tests")]

mod memory {
    landbridge_store::store_conformance!(landbridge_store::MemoryStore::new());
}

mod boxed {
    landbridge_store::store_conformance!(
        Box::new(landbridge_store::MemoryStore::new()) as Box<dyn landbridge_store::ClientStore>
    );
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use landbridge_store::{ClientStore, SqliteStore, StoreError, StoreTx};
    use tempfile::TempDir;

    struct InDirectory {
        store: SqliteStore,
        _directory: TempDir,
    }

    impl ClientStore for InDirectory {
        fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
            self.store.begin()
        }
    }

    fn empty() -> InDirectory {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("client.db")).unwrap();
        InDirectory { store, _directory: directory }
    }

    landbridge_store::store_conformance!(empty());

    /// Opens the file anew for every transaction: nothing may live in the process alone.
    struct Reopened {
        store: Option<SqliteStore>,
        directory: TempDir,
    }

    impl ClientStore for Reopened {
        fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
            self.store = None;
            self.store.insert(SqliteStore::open(self.directory.path().join("client.db"))?).begin()
        }
    }

    mod reopened {
        use super::Reopened;
        landbridge_store::store_conformance!(Reopened {
            store: None,
            directory: tempfile::tempdir().unwrap()
        });
    }
}

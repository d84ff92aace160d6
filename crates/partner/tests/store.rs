//! The shipped stores meet the contract of stores.

mod memory {
    landbridge_partner::store_conformance!(landbridge_partner::store::SqliteStore::in_memory().unwrap());
}

mod file {
    landbridge_partner::store_conformance!({
        let directory = tempfile::tempdir().unwrap();
        // The open file outlives its name.
        landbridge_partner::store::SqliteStore::open(directory.path().join("partner.db")).unwrap()
    });
}

//! What a client must keep, one transaction per step: SQLite and memory backends

//! Tables and their history.

use rusqlite::Connection;

use crate::SandboxError;

/// One step per schema version; `PRAGMA user_version` counts the steps that were taken.
const STEPS: [&str; 2] = [
    "
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    jid           TEXT NOT NULL UNIQUE,
    integrator    INTEGER,
    identifier    TEXT,
    account       TEXT,
    authkey       BLOB,
    registration  INTEGER NOT NULL,
    identity      BLOB NOT NULL,
    skey_id       INTEGER NOT NULL,
    skey_value    BLOB NOT NULL,
    skey_sig      BLOB NOT NULL,
    name          TEXT,
    created       INTEGER NOT NULL,
    last_seen     INTEGER NOT NULL,
    low_told      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (integrator, identifier)
);

CREATE TABLE prekeys (
    user  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    id    INTEGER NOT NULL,
    value BLOB NOT NULL,
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    UNIQUE (user, id)
);

CREATE TABLE mailbox (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    user   INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    class  TEXT NOT NULL,
    peer   TEXT NOT NULL,
    id     TEXT NOT NULL,
    kind   TEXT NOT NULL,
    t      INTEGER NOT NULL,
    held   INTEGER NOT NULL DEFAULT 0,
    stanza BLOB NOT NULL
);
CREATE INDEX mailbox_by_user ON mailbox (user, seq);
CREATE INDEX mailbox_by_id ON mailbox (user, id);

CREATE TABLE accepted (
    sender    TEXT NOT NULL,
    recipient TEXT NOT NULL,
    id        TEXT NOT NULL,
    count     INTEGER NOT NULL,
    t         INTEGER NOT NULL,
    PRIMARY KEY (sender, recipient, id, count)
) WITHOUT ROWID;
CREATE INDEX accepted_by_time ON accepted (t);

CREATE TABLE passed (
    reader TEXT NOT NULL,
    author TEXT NOT NULL,
    kind   TEXT NOT NULL,
    id     TEXT NOT NULL,
    count  INTEGER NOT NULL,
    t      INTEGER NOT NULL,
    PRIMARY KEY (reader, author, kind, id, count)
) WITHOUT ROWID;
CREATE INDEX passed_by_time ON passed (t);

CREATE TABLE blocked (
    user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    jid  TEXT NOT NULL,
    t    INTEGER NOT NULL,
    PRIMARY KEY (user, jid)
) WITHOUT ROWID;

CREATE TABLE contacts (
    user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    peer INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    t    INTEGER NOT NULL,
    PRIMARY KEY (user, peer)
) WITHOUT ROWID;

CREATE TABLE phones (
    number TEXT PRIMARY KEY,
    name   TEXT NOT NULL
) WITHOUT ROWID;
",
    "
CREATE TABLE pushes (
    user  INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    why   TEXT,
    due   INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    first INTEGER,
    since INTEGER,
    tried INTEGER,
    seen  INTEGER NOT NULL
);
",
];

pub(super) fn migrate(connection: &mut Connection) -> Result<(), SandboxError> {
    let known = STEPS.len() as i64;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(SandboxError::NewerSchema { found, known });
    }
    for (step, version) in STEPS.iter().zip(1_i64..) {
        if version > found {
            let tx = connection.transaction()?;
            tx.execute_batch(step)?;
            tx.pragma_update(None, "user_version", version)?;
            tx.commit()?;
        }
    }
    Ok(())
}

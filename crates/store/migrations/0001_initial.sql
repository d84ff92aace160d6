-- The first schema. Times are unix seconds, addresses text, contents opaque bytes.
-- Rows of inbox, outbox and identity_event are never deleted, so their positions are never given twice; where rows come
-- and go, AUTOINCREMENT sees to that.
-- A released file of this folder is never edited: a change is a new file.

CREATE TABLE account (
    only_row        INTEGER PRIMARY KEY CHECK (only_row = 1),
    identity        BLOB    NOT NULL CHECK (length(identity) = 32),
    identity_public BLOB    NOT NULL CHECK (length(identity_public) = 32),
    registration_id INTEGER NOT NULL,
    noise_static    BLOB    NOT NULL CHECK (length(noise_static) = 32),
    integrator      INTEGER NOT NULL,
    identifier      TEXT    NOT NULL,
    -- 0 prepared, 1 enlisted, 2 lapsed, 3 deleting
    enlistment      INTEGER NOT NULL CHECK (enlistment BETWEEN 0 AND 3),
    login           TEXT    CHECK ((login IS NULL) = (enlistment = 0)),
    enlistment_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE fact (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE counter (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    name   TEXT    NOT NULL,
    device INTEGER NOT NULL,
    record BLOB    NOT NULL,
    PRIMARY KEY (name, device)
) STRICT;

CREATE TABLE remote_identity (
    name     TEXT    NOT NULL,
    device   INTEGER NOT NULL,
    -- as last seen
    seen     BLOB    CHECK (length(seen) = 32),
    -- as last approved for sending
    approved BLOB    CHECK (length(approved) = 32),
    PRIMARY KEY (name, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE prekey (
    -- order of making
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          INTEGER NOT NULL UNIQUE CHECK (id BETWEEN 0 AND 16777215),
    private_key BLOB    NOT NULL CHECK (length(private_key) = 32),
    uploaded    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX prekey_to_upload ON prekey (seq) WHERE uploaded = 0;

CREATE TABLE signed_prekey (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          INTEGER NOT NULL UNIQUE CHECK (id BETWEEN 0 AND 16777215),
    private_key BLOB    NOT NULL CHECK (length(private_key) = 32),
    signature   BLOB    NOT NULL CHECK (length(signature) = 64),
    created_at  INTEGER NOT NULL,
    uploaded    INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE inbox (
    -- order of arrival
    seq       INTEGER PRIMARY KEY,
    chat      TEXT    NOT NULL,
    sender    TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    t         INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    plaintext BLOB    NOT NULL,
    notify    TEXT,
    confirmed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (chat, sender, id)
) STRICT;
CREATE INDEX inbox_unconfirmed ON inbox (seq) WHERE confirmed = 0;

CREATE TABLE undecryptable (
    chat       TEXT    NOT NULL,
    sender     TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    t          INTEGER NOT NULL,
    failures   INTEGER NOT NULL,
    last_count INTEGER NOT NULL,
    asked      INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    PRIMARY KEY (chat, sender, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    -- order of sending
    seq          INTEGER PRIMARY KEY,
    recipient    TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    plaintext    BLOB    NOT NULL,
    stanza       BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    -- 0 pending, 1 sent, 2 failed, 3 delivered, 4 read, 5 played
    state        INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 5),
    sent_at      INTEGER,
    failed_at    INTEGER,
    delivered_at INTEGER,
    read_at      INTEGER,
    played_at    INTEGER,
    failure      TEXT,
    retries      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (recipient, id)
) STRICT;
CREATE INDEX outbox_pending ON outbox (seq) WHERE state = 0;

CREATE TABLE owed (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    -- 0 delivery, 1 read, 2 played, 3 retry, 4 ack
    class       INTEGER NOT NULL CHECK (class BETWEEN 0 AND 4),
    addressee   TEXT    NOT NULL,
    -- '' outside groups: NULLs would all be different to the constraint below
    participant TEXT    NOT NULL DEFAULT '',
    id          TEXT    NOT NULL,
    stanza      BLOB    NOT NULL,
    UNIQUE (class, addressee, participant, id)
) STRICT;

CREATE TABLE blocked (
    jid TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE blocklist_version (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    dhash    TEXT    NOT NULL
) STRICT;

CREATE TABLE identity_event (
    seq       INTEGER PRIMARY KEY,
    peer      TEXT    NOT NULL,
    old_key   BLOB    CHECK (length(old_key) = 32),
    new_key   BLOB    CHECK (length(new_key) = 32),
    announced INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    confirmed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX identity_event_by_peer ON identity_event (peer, seq);
CREATE INDEX identity_event_unconfirmed ON identity_event (seq) WHERE confirmed = 0;

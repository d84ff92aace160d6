-- What is remembered of peers: which identity the user has verified, whether sending is held, when a session was rebuilt.

CREATE TABLE peer (
    jid             TEXT    PRIMARY KEY,
    verified        BLOB    CHECK (length(verified) = 32),
    was_verified    BLOB    CHECK (length(was_verified) = 32),
    held_since      INTEGER,
    awaits_identity INTEGER NOT NULL,
    rebuilt_at      INTEGER
) STRICT, WITHOUT ROWID;

-- Requests for a message that are answered once sending is no longer held.
CREATE TABLE held_retry (
    peer  TEXT    NOT NULL,
    id    TEXT    NOT NULL,
    count INTEGER NOT NULL,
    t     INTEGER NOT NULL,
    PRIMARY KEY (peer, id)
) STRICT, WITHOUT ROWID;

-- Messages that wait to be encrypted.
CREATE INDEX outbox_unsealed ON outbox (recipient) WHERE state = 0 AND length(stanza) = 0;

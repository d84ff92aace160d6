-- Files on their way to the partner's server. Their messages go to the outbox once the files are there.
CREATE TABLE upload (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient  TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    -- the message but for the place of its file; it holds the file's key
    content    BLOB    NOT NULL,
    -- name of the encrypted file in the store's folder
    spool      TEXT    NOT NULL,
    length     INTEGER NOT NULL,
    sha256     BLOB    NOT NULL CHECK (length(sha256) = 32),
    -- where the server takes it, once something has been asked there
    place      TEXT,
    created_at INTEGER NOT NULL,
    UNIQUE (recipient, id)
) STRICT;

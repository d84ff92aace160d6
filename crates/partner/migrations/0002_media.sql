-- What users have stored, and what they are about to. Times are unix milliseconds; what has expired counts as deleted,
-- and goes once its bytes have gone.

CREATE TABLE media (
    name       TEXT PRIMARY KEY,
    reference  TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX media_user ON media (user_id, sha256);
CREATE INDEX media_expiry ON media (expires_at);

-- The name is that of the bytes once they are complete, so that what was published without a row in media is found.
CREATE TABLE uploads (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    reference  TEXT NOT NULL,
    name       TEXT NOT NULL,
    resumable  INTEGER NOT NULL,
    complete   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX uploads_user ON uploads (user_id);
CREATE INDEX uploads_expiry ON uploads (expires_at);

-- What was begun within a day, for the quota; deleting an object does not take it back.
CREATE TABLE uploaded (
    id      TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    size    INTEGER NOT NULL,
    at      INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX uploaded_user ON uploaded (user_id, at);
CREATE INDEX uploaded_at ON uploaded (at);

-- Who may be woken, what waits to be sent, what is stored. Times are unix milliseconds.

CREATE TABLE users (
    user_id    TEXT PRIMARY KEY,
    identifier TEXT NOT NULL UNIQUE,
    seen_at    BIGINT NOT NULL
);

-- updated_at is also the version of a target: no two settings of one have the same.
CREATE TABLE wake_targets (
    user_id    TEXT NOT NULL,
    device     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    address    TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, device)
);

-- A user's pushes: one that is not fanned out yet (due_at is set), and until when further ones are merged. Both in one row,
-- so that accepting a push is one statement that locks nothing but that row. merged: whether the last one was.
CREATE TABLE wakes (
    user_id     TEXT PRIMARY KEY,
    due_at      BIGINT,
    expires_at  BIGINT NOT NULL,
    window_ends BIGINT NOT NULL,
    merged      BOOLEAN NOT NULL
);
CREATE INDEX wakes_due ON wakes (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX wakes_idle ON wakes (window_ends) WHERE due_at IS NULL;

-- One wake-up per device that some sender still has to get through. It can be taken when it is due and nobody has it.
CREATE TABLE deliveries (
    user_id      TEXT NOT NULL,
    device       TEXT NOT NULL,
    kind         TEXT NOT NULL,
    wake_id      TEXT NOT NULL,
    attempt      BIGINT NOT NULL,
    due_at       BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    leased_until BIGINT NOT NULL,
    PRIMARY KEY (user_id, device)
);
CREATE INDEX deliveries_free ON deliveries (kind, greatest(due_at, leased_until));
CREATE INDEX deliveries_expiry ON deliveries (expires_at);

-- What has expired counts as deleted, and goes once its bytes have gone. 0 is said of what has been taken for garbage: it
-- never comes back, whatever another server's clock says.
CREATE TABLE media (
    name       TEXT PRIMARY KEY,
    reference  TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size       BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX media_user ON media (user_id, sha256);
CREATE INDEX media_expiry ON media (expires_at) INCLUDE (size);

-- The name is that of the bytes once they are complete, so that what was published without a row in media is found. The
-- holder appends to it until leased_until, and nobody else does.
CREATE TABLE uploads (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL,
    sha256       TEXT NOT NULL,
    size         BIGINT NOT NULL,
    reference    TEXT NOT NULL,
    name         TEXT NOT NULL,
    resumable    BOOLEAN NOT NULL,
    complete     BOOLEAN NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    holder       TEXT NOT NULL DEFAULT '',
    leased_until BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX uploads_user ON uploads (user_id);
CREATE INDEX uploads_expiry ON uploads (expires_at);

-- What was begun within a day, for the quota; deleting an object does not take it back.
CREATE TABLE uploaded (
    id      TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    size    BIGINT NOT NULL,
    at      BIGINT NOT NULL
);
CREATE INDEX uploaded_user ON uploaded (user_id, at);
CREATE INDEX uploaded_at ON uploaded (at);

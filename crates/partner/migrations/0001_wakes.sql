-- Who may be woken, what waits to be sent, and when a user's pushes are merged. Times are unix milliseconds.

CREATE TABLE users (
    user_id    TEXT PRIMARY KEY,
    identifier TEXT NOT NULL UNIQUE,
    seen_at    INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE wake_targets (
    user_id    TEXT NOT NULL,
    device     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    address    TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, device)
) WITHOUT ROWID, STRICT;

-- One accepted push per user that is not fanned out yet.
CREATE TABLE wakes (
    user_id    TEXT PRIMARY KEY,
    due_at     INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX wakes_due ON wakes (due_at);

-- Until when further pushes for a user are merged into one.
CREATE TABLE wake_windows (
    user_id TEXT PRIMARY KEY,
    ends_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX wake_windows_end ON wake_windows (ends_at);

-- One wake-up per device that some sender still has to get through.
CREATE TABLE deliveries (
    user_id      TEXT NOT NULL,
    device       TEXT NOT NULL,
    kind         TEXT NOT NULL,
    wake_id      TEXT NOT NULL,
    attempt      INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    leased_until INTEGER NOT NULL,
    PRIMARY KEY (user_id, device)
) WITHOUT ROWID, STRICT;
CREATE INDEX deliveries_due ON deliveries (kind, due_at);
CREATE INDEX deliveries_expiry ON deliveries (expires_at);

-- How many rows wait, so that the bound costs no scan.
CREATE TABLE depth (n INTEGER NOT NULL) STRICT;
INSERT INTO depth VALUES (0);
CREATE TRIGGER wakes_in AFTER INSERT ON wakes BEGIN UPDATE depth SET n = n + 1; END;
CREATE TRIGGER wakes_out AFTER DELETE ON wakes BEGIN UPDATE depth SET n = n - 1; END;
CREATE TRIGGER deliveries_in AFTER INSERT ON deliveries BEGIN UPDATE depth SET n = n + 1; END;
CREATE TRIGGER deliveries_out AFTER DELETE ON deliveries BEGIN UPDATE depth SET n = n - 1; END;

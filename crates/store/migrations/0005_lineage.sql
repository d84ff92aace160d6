-- Which store this is and how often it was opened, so that a copy that was put back is noticed.
CREATE TABLE lineage (
    only_row    INTEGER PRIMARY KEY CHECK (only_row = 1),
    store_id    BLOB    NOT NULL CHECK (length(store_id) = 16),
    epoch       INTEGER NOT NULL,
    -- when the account was exported, if it is not ours any more
    handed_over INTEGER,
    -- a notice of a copy put back that the application has not taken: its epoch, and the one expected
    found       INTEGER,
    expected    INTEGER,
    -- keys at the server have to be replaced
    keys_due    INTEGER NOT NULL
) STRICT;
INSERT INTO lineage VALUES (1, randomblob(16), 0, NULL, NULL, NULL, 0);

-- Messages about messages. A row of inbox may move to the end of the order: its old position is not given again.

-- it took the place of an undecryptable record
ALTER TABLE inbox ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0;
-- id of the message of the same chat that it is about and that has not come yet
ALTER TABLE inbox ADD COLUMN waits_for TEXT;
CREATE INDEX inbox_waiting ON inbox (chat, waits_for) WHERE waits_for IS NOT NULL;

-- What counts: one row per target, kind and sender.
CREATE TABLE relation (
    chat    TEXT    NOT NULL,
    target  TEXT    NOT NULL,
    -- of the target; '' this account
    author  TEXT    NOT NULL,
    -- 0 reaction, 1 edit, 2 revoke
    kind    INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),
    -- '' this account
    sender  TEXT    NOT NULL,
    -- of the message that brought it
    id      TEXT    NOT NULL,
    -- unix milliseconds, by the sender's clock
    at_ms   INTEGER NOT NULL,
    t       INTEGER NOT NULL,
    content BLOB    NOT NULL,
    PRIMARY KEY (chat, target, author, kind, sender)
) STRICT, WITHOUT ROWID;
CREATE INDEX relation_by_message ON relation (chat, sender, id);

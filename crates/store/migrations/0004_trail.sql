-- What happened to each message, step by step, without what it says. Bounded by number and age.
CREATE TABLE trail (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    chat   TEXT    NOT NULL,
    id     TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    step   INTEGER NOT NULL,
    number INTEGER,
    detail TEXT
) STRICT;
CREATE INDEX trail_by_message ON trail (id, chat, seq);

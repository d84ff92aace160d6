-- The private keys that all servers share, as one value: sealed with a key that the database never sees.
CREATE TABLE keyring (
    id      SMALLINT PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL,
    sealed  BYTEA NOT NULL
);

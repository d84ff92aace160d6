-- Who is appending to an upload, and until when nobody else may (unix milliseconds).

ALTER TABLE uploads ADD COLUMN holder TEXT NOT NULL DEFAULT '';
ALTER TABLE uploads ADD COLUMN leased_until INTEGER NOT NULL DEFAULT 0;

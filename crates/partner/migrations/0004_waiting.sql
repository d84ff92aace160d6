-- What waits to be fanned out is also known in memory: its order, its number and the windows need no rows. A delivery
-- has one time at which it may be taken next: while it is taken, that is the end of its lease.

DROP INDEX wakes_due;
DROP TABLE wake_windows;
DROP TRIGGER wakes_in;
DROP TRIGGER wakes_out;
UPDATE depth SET n = (SELECT count(*) FROM deliveries);

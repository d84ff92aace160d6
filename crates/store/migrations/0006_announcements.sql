-- Which notification told of a change: the same one, delivered again, tells of no other.
ALTER TABLE identity_event ADD COLUMN announcement TEXT;
UPDATE identity_event SET announcement = '' WHERE announced = 1;
ALTER TABLE identity_event DROP COLUMN announced;

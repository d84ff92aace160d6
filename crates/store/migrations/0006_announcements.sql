-- Which notification told of a change: the same one, delivered again, tells of no other. `announced` says whether one has.
ALTER TABLE identity_event ADD COLUMN announcement TEXT;
UPDATE identity_event SET announcement = '' WHERE announced = 1;

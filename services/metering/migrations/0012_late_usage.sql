-- The greatest sequence among a bucket's events, of buckets that count all events of a series; those of a backfill, whose
-- sequences are negative, are found by their backfill. It tells where events came late, without looking at events.
ALTER TABLE bucket ADD COLUMN last_sequence bigint;
UPDATE bucket SET last_sequence = (SELECT folded FROM rollup_progress) WHERE rollup_no = 0;  -- at most
ALTER TABLE bucket ADD CONSTRAINT last_sequence_of_all_events CHECK ((rollup_no = 0) = (last_sequence IS NOT NULL));

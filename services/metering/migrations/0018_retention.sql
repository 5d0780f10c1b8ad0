-- What is over is purged after a while. A window that was purged, and is touched again, begins with what it had come to
-- at the sequence `settled`: every window of the alert was evaluated up to there.
ALTER TABLE alert_window ADD COLUMN evaluate_time timestamptz NOT NULL DEFAULT now();
ALTER TABLE alert
    ADD COLUMN settled bigint,
    ADD COLUMN settled_end_time timestamptz,  -- of the last window that was purged
    ADD CHECK ((settled IS NULL) = (settled_end_time IS NULL));

CREATE INDEX outbox_delivered ON outbox (delivered_time) WHERE delivered_time IS NOT NULL;

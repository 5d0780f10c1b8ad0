-- What was received into backfills, counted beside the events in the transaction that records them. `day` is that of
-- reception, in UTC.
CREATE TABLE backfill_intake (
    backfill_no bigint NOT NULL REFERENCES backfill (backfill_no),
    day         date   NOT NULL,
    tenant_id   text   NOT NULL,
    event_count bigint NOT NULL CHECK (event_count > 0),
    PRIMARY KEY (backfill_no, day)
);
CREATE INDEX backfill_intake_by_day ON backfill_intake (tenant_id, day);

INSERT INTO backfill_intake (backfill_no, day, tenant_id, event_count)
SELECT backfill_no, (create_time AT TIME ZONE 'UTC')::date, tenant_id, event_count
FROM (
    SELECT backfill_no, create_time, tenant_id, coalesce(event_count, (
        SELECT sum(event_count) FROM backfill_series WHERE backfill_series.backfill_no = backfill.backfill_no
    ))::bigint AS event_count
    FROM backfill
) AS received
WHERE event_count > 0;

-- Events are added up into buckets, in the order in which they were committed. This row says how far: every event with a
-- sequence up to `folded` is in the buckets, and no other. Who folds holds its lock.
CREATE TABLE rollup_progress (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    folded   bigint  NOT NULL
);
INSERT INTO rollup_progress (folded) VALUES (1);

-- What is added up: a property's values, or with '' just events, of those events of a code that the filters admit. Meters
-- with the same definition share one. It has the buckets of series up to `built_series_no`, which ends as 2147483647.
-- Number 0 has no row: it counts all events of every series, from the first one on.
CREATE TABLE rollup (
    rollup_no       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       text    NOT NULL REFERENCES tenant (tenant_id),
    event_code      text    NOT NULL,
    value_property  text    NOT NULL,
    filters         jsonb   NOT NULL,
    built_series_no integer NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX rollup_by_definition ON rollup (tenant_id, event_code, value_property, md5(filters::text));
CREATE INDEX rollup_to_build ON rollup (rollup_no) WHERE built_series_no < 2147483647;

INSERT INTO rollup (tenant_id, event_code, value_property, filters)
SELECT DISTINCT tenant_id, event_code, value_property, filters FROM meter
WHERE aggregation IN ('count', 'sum', 'max', 'min', 'average') AND NOT (value_property = '' AND filters = '[]');

-- A series has buckets of every width up to its depth: 0 a month, 1 a day, 2 an hour, 3 a minute, all of them in UTC.
ALTER TABLE series ADD COLUMN depth smallint NOT NULL DEFAULT 0 CHECK (depth BETWEEN 0 AND 3);

CREATE TABLE bucket (
    tenant_no   integer     NOT NULL,
    series_no   integer     NOT NULL,
    rollup_no   integer     NOT NULL,
    width       smallint    NOT NULL CHECK (width BETWEEN 0 AND 3),
    start_time  timestamptz NOT NULL,
    event_count bigint      NOT NULL CHECK (event_count > 0),
    total       numeric     NOT NULL,
    smallest    numeric     NOT NULL,
    largest     numeric     NOT NULL,
    amount      numeric,               -- of the events that carry one
    PRIMARY KEY (tenant_no, series_no, rollup_no, width, start_time)
) WITH (fillfactor = 75);  -- room for the next version of a row beside it

-- Finds what is not folded yet, at next to no cost for those who record events.
CREATE INDEX event_by_sequence ON event USING brin (sequence) WITH (pages_per_range = 32);

-- Meters that declare dimensions have buckets for each combination of their values. A cell is such a combination: the
-- properties with their values, without those that an event does not have. Number 0, which has no row, is all events.
CREATE TABLE cell (
    cell_no    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no  integer NOT NULL,
    digest     bytea   NOT NULL,   -- SHA-256 of the properties as text, which may be too long for an index
    properties jsonb   NOT NULL,
    UNIQUE (tenant_no, digest)
);

-- `kept` beyond sums: the last value, or the sum of value × time.
ALTER TABLE rollup
    ADD COLUMN dimensions jsonb NOT NULL DEFAULT '[]',   -- sorted
    ADD COLUMN kept       text  NOT NULL DEFAULT 'sums' CHECK (kept IN ('sums', 'latest', 'moments'));
DROP INDEX rollup_by_definition;
CREATE UNIQUE INDEX rollup_by_definition
    ON rollup (tenant_id, event_code, value_property, kept, md5(filters::text), md5(dimensions::text));

-- Series with so many cells in a rollup that it keeps only their sum.
CREATE TABLE undivided (
    series_no integer NOT NULL,
    rollup_no integer NOT NULL,
    PRIMARY KEY (series_no, rollup_no)
);

ALTER TABLE bucket
    ADD COLUMN cell_no integer NOT NULL DEFAULT 0,
    ADD COLUMN moment  numeric,              -- sum of value × seconds since 1970
    ADD COLUMN latest  text[]  COLLATE "C",  -- time, transaction_id and value
    DROP CONSTRAINT bucket_pkey,
    ADD PRIMARY KEY (tenant_no, series_no, rollup_no, width, start_time, cell_no);

CREATE VIEW defined AS
SELECT DISTINCT tenant_id, definition.event_code, definition.value_property, definition.filters,
    (
        SELECT coalesce(jsonb_agg(name ORDER BY name COLLATE "C"), '[]') FROM unnest(definition.dimensions) AS name
    ) AS dimensions,
    CASE aggregation WHEN 'latest' THEN 'latest' WHEN 'weighted_sum' THEN 'moments' ELSE 'sums' END AS kept
FROM meter CROSS JOIN LATERAL (
    SELECT meter.event_code, meter.value_property, meter.filters, meter.dimensions
    UNION ALL
    SELECT event_code, value_property, filters, dimensions FROM meter_version
    WHERE tenant_id = meter.tenant_id AND code = meter.code
) AS definition
WHERE aggregation NOT IN ('unique_count', 'percentile');

INSERT INTO rollup (tenant_id, event_code, value_property, filters, dimensions, kept)
SELECT * FROM defined WHERE NOT (value_property = '' AND filters = '[]' AND dimensions = '[]')
ON CONFLICT DO NOTHING;

-- Those that were made for meters with dimensions are nobody's any more.
WITH unused AS (
    DELETE FROM rollup WHERE (tenant_id, event_code, value_property, filters, dimensions, kept) NOT IN (TABLE defined)
    RETURNING rollup_no
)
DELETE FROM bucket USING unused WHERE bucket.rollup_no = unused.rollup_no;

DROP VIEW defined;

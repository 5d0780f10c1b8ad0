-- Tenants that have made a meter. `catalog_version` grows with each meter: by it, servers see that what they have read is
-- stale. `tenant_no` stands for the tenant in the event table, where it costs four bytes an event.
CREATE TABLE tenant (
    tenant_id       text    PRIMARY KEY,
    tenant_no       integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    catalog_version bigint  NOT NULL DEFAULT 1
);

-- What is measured.
CREATE TABLE meter (
    tenant_id      text        NOT NULL REFERENCES tenant (tenant_id),
    code           text        NOT NULL CHECK (code <> ''),
    name           text        NOT NULL,
    description    text        NOT NULL,
    event_code     text        NOT NULL CHECK (event_code <> ''),
    aggregation    text        NOT NULL CHECK (aggregation IN ('count', 'sum')),
    value_property text        NOT NULL,
    filters        jsonb       NOT NULL,   -- [{"property": …, "values": […]}, …]; every one must admit
    create_time    timestamptz NOT NULL,
    request_id     uuid        NOT NULL,
    request_hash   bytea       NOT NULL,
    PRIMARY KEY (tenant_id, code),
    UNIQUE (tenant_id, request_id),
    CONSTRAINT value_property_unless_count CHECK ((aggregation = 'count') = (value_property = ''))
);

-- A series is all events of one subscription with one code. Its number stands for the two names in the event table.
CREATE TABLE series (
    tenant_id       text    NOT NULL,
    subscription_id text    NOT NULL,
    event_code      text    NOT NULL,
    series_no       integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    PRIMARY KEY (tenant_id, subscription_id, event_code)
);

-- The identity of every event ever recorded, by which it counts once, whatever its time: 16 bytes of BLAKE2b over
-- tenant, subscription and transaction_id. `content_hash` tells a repeat from an id that was used for something else.
CREATE TABLE event_key (
    key          uuid   PRIMARY KEY,
    content_hash bigint NOT NULL
);

-- One row for each commit that recorded events. Whoever inserts here holds a lock until the commit is done, so sequences
-- become visible in their order: a reader sees everything up to some sequence, which is its watermark. The first one
-- is 2: watermark 1 is that of the empty log.
CREATE TABLE event_batch (
    sequence    bigint      GENERATED ALWAYS AS IDENTITY (START WITH 2) PRIMARY KEY,
    record_time timestamptz NOT NULL
);

-- The events, append-only, partitioned by month of event_time; the server makes the partitions that events need.
CREATE TABLE event (
    event_time     timestamptz NOT NULL,
    sequence       bigint      NOT NULL,
    tenant_no      integer     NOT NULL,
    series_no      integer     NOT NULL,
    transaction_id text        NOT NULL,
    properties     jsonb       NOT NULL
) PARTITION BY RANGE (event_time);

CREATE INDEX event_by_series ON event (tenant_no, series_no, event_time);

-- Records of source connectors that are no events, or that ingestion refused, as they came. A connector maps those that
-- somebody has asked to replay once more, and ends with REPLAYED, or with WAITING and the reason as it is now.
CREATE TABLE dead_letter (
    tenant_id    text        NOT NULL,
    id           text        NOT NULL,
    connector    text        NOT NULL,
    position     text        NOT NULL,   -- where the record is in its source
    identity     bytea       NOT NULL,   -- SHA-256 of position and record: a record that is delivered again is known
    metadata     json        NOT NULL,   -- {"key": …}: what the source said beside the record
    record       bytea       NOT NULL,
    field        text        NOT NULL,   -- of the event; empty where the record as a whole is wrong
    reason       text        NOT NULL,
    message      text        NOT NULL,
    state        text        NOT NULL DEFAULT 'WAITING' CHECK (state IN ('WAITING', 'REQUESTED', 'REPLAYED')),
    create_time  timestamptz NOT NULL,
    request_time timestamptz,            -- when a replay was last asked for
    replay_time  timestamptz,            -- when one last ended
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, connector, identity),
    CONSTRAINT requested_unless_waiting CHECK (state = 'WAITING' OR request_time IS NOT NULL),
    CONSTRAINT replayed_at_some_time CHECK (state <> 'REPLAYED' OR replay_time IS NOT NULL)
);

CREATE INDEX dead_letter_requested ON dead_letter (connector, tenant_id, id) WHERE state = 'REQUESTED';

-- How far a connector has read each file or S3 object. `version` changes with the contents.
CREATE TABLE source_object (
    tenant_id   text        NOT NULL,
    connector   text        NOT NULL,
    name        text        NOT NULL,
    version     text        NOT NULL,
    records     bigint      NOT NULL CHECK (records >= 0),   -- recorded, from the first one on
    is_complete boolean     NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, connector, name)
);

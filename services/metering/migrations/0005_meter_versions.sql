-- What a meter computes its values from, when an event is recorded; '' for none.
ALTER TABLE meter
    ADD COLUMN expression text NOT NULL DEFAULT '',
    ADD CONSTRAINT expression_has_a_property CHECK (expression = '' OR value_property <> '');

-- Later versions of meters, from 2 on; the first one is the row of `meter`. A version counts the events from its
-- effective_time until that of the next one. `sequence` is that of the batch which it is in the log: an answer at an
-- earlier watermark does not know it.
CREATE TABLE meter_version (
    tenant_id          text        NOT NULL,
    code               text        NOT NULL,
    version            integer     NOT NULL CHECK (version > 1),
    effective_time     timestamptz NOT NULL,
    sequence           bigint      NOT NULL REFERENCES event_batch (sequence),
    event_code         text        NOT NULL CHECK (event_code <> ''),
    value_property     text        NOT NULL,
    filters            jsonb       NOT NULL,   -- as in meter
    dimensions         text[]      NOT NULL,
    rounding_function  text        CHECK (rounding_function IN ('round', 'ceil', 'floor')),
    rounding_precision integer     CHECK (rounding_precision BETWEEN -20 AND 20),
    expression         text        NOT NULL,
    create_time        timestamptz NOT NULL,
    request_id         uuid        NOT NULL,
    request_hash       bytea       NOT NULL,
    PRIMARY KEY (tenant_id, code, version),
    FOREIGN KEY (tenant_id, code) REFERENCES meter (tenant_id, code),
    UNIQUE (tenant_id, request_id),
    UNIQUE (tenant_id, code, effective_time),
    CONSTRAINT rounding_is_whole CHECK ((rounding_function IS NULL) = (rounding_precision IS NULL)),
    CONSTRAINT expression_has_a_property CHECK (expression = '' OR value_property <> '')
);

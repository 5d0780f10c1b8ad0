-- Alerts: what is watched. An alert that is deleted keeps its row, and its code.
CREATE TABLE alert (
    tenant_id           text        NOT NULL,
    code                text        NOT NULL CHECK (code <> ''),
    name                text        NOT NULL,
    subscription_id     text        NOT NULL,
    meter_code          text        NOT NULL,
    filters             jsonb       NOT NULL,
    direction           text        NOT NULL CHECK (direction IN ('increasing', 'decreasing')),
    thresholds          jsonb       NOT NULL,   -- [{"code": …, "value": "…"}, …]
    recurring_step      jsonb,                  -- {"code": …, "value": "…"}
    window_kind         text        NOT NULL CHECK (window_kind IN ('lifetime', 'hour', 'day', 'week', 'month')),
    time_zone           text        NOT NULL,
    since               bigint      NOT NULL,   -- the log's head when it was made: later events find it
    create_time         timestamptz NOT NULL,
    delete_time         timestamptz,
    request_id          uuid        NOT NULL,
    request_hash        bytea       NOT NULL,
    PRIMARY KEY (tenant_id, code),
    UNIQUE (tenant_id, request_id),
    FOREIGN KEY (tenant_id, meter_code) REFERENCES meter (tenant_id, code)
);
CREATE INDEX alert_by_subscription ON alert (tenant_id, subscription_id) WHERE delete_time IS NULL;

-- Every event with a sequence up to `sought` has had its alerts looked for. Who looks holds the row's lock, and so does
-- who makes an alert: no event falls between the two.
CREATE TABLE alert_progress (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    sought   bigint  NOT NULL
);
INSERT INTO alert_progress (sought) SELECT coalesce(max(sequence), 1) FROM event_batch;

-- Windows to be evaluated, at `due` or later: the row is the job. Whoever adds one never waits for who evaluates.
CREATE TABLE alert_due (
    tenant_id  text        NOT NULL,
    alert_code text        NOT NULL,
    start_time timestamptz NOT NULL,
    end_time   timestamptz NOT NULL,
    due        bigint      NOT NULL,
    PRIMARY KEY (tenant_id, alert_code, start_time, due)
);

-- What the usage of a window was, and at which watermark.
CREATE TABLE alert_window (
    tenant_id  text        NOT NULL,
    alert_code text        NOT NULL,
    start_time timestamptz NOT NULL,
    end_time   timestamptz NOT NULL,
    quantity   numeric     NOT NULL,
    watermark  bigint      NOT NULL,
    PRIMARY KEY (tenant_id, alert_code, start_time),
    FOREIGN KEY (tenant_id, alert_code) REFERENCES alert (tenant_id, code)
);

CREATE TABLE alert_trigger (
    tenant_id         text        NOT NULL,
    trigger_no        bigint      GENERATED ALWAYS AS IDENTITY,  -- in the order of recording
    trigger_id        text        NOT NULL,
    alert_code        text        NOT NULL,
    start_time        timestamptz NOT NULL,
    end_time          timestamptz NOT NULL,
    threshold_code    text        NOT NULL,
    threshold         numeric     NOT NULL,
    recurring         boolean     NOT NULL,
    previous_quantity numeric     NOT NULL,
    quantity          numeric     NOT NULL,
    watermark         bigint      NOT NULL,
    create_time       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, trigger_no),
    UNIQUE (tenant_id, trigger_id),
    UNIQUE (tenant_id, alert_code, start_time, threshold, watermark),
    FOREIGN KEY (tenant_id, alert_code) REFERENCES alert (tenant_id, code)
);
CREATE UNIQUE INDEX alert_trigger_once ON alert_trigger (tenant_id, alert_code, start_time, threshold)
    WHERE NOT recurring;

-- What others are to be told, committed with what it tells of.
CREATE TABLE outbox (
    id             text        PRIMARY KEY,
    tenant_id      text        NOT NULL,
    type           text        NOT NULL,
    payload        jsonb       NOT NULL,
    create_time    timestamptz NOT NULL,
    delivered_time timestamptz
);
CREATE INDEX outbox_undelivered ON outbox (id) WHERE delivered_time IS NULL;

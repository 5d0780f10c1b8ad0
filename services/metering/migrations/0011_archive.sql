-- Months whose events are older than they are kept. In states ARCHIVED and RESTORING they are in files only, otherwise in the
-- partition of the month. The files hold the month's events up to `watermark`.
CREATE TABLE archived_month (
    month          date        PRIMARY KEY CHECK (extract(day FROM month) = 1),
    state          text        NOT NULL CHECK (state IN ('DUE', 'WRITING', 'ARCHIVED', 'RESTORING', 'RESTORED')),
    obstacles      text[]      NOT NULL,  -- of one that is DUE
    watermark      bigint,
    last_rollup_no integer,               -- those with a greater number were made while the events were away
    archive_time   timestamptz,           -- the last time
    hold_end_time  timestamptz,
    CONSTRAINT obstacles_of_due_months CHECK (state = 'DUE' OR obstacles = '{}'),
    CONSTRAINT written_up_to_somewhere CHECK (state = 'DUE' OR watermark IS NOT NULL),
    CONSTRAINT archived_at_some_time CHECK ((archive_time IS NULL) = (last_rollup_no IS NULL)),
    CONSTRAINT away_once_archived CHECK (state IN ('DUE', 'WRITING') OR archive_time IS NOT NULL),
    CONSTRAINT held_while_restored CHECK (state NOT IN ('RESTORING', 'RESTORED') OR hold_end_time IS NOT NULL)
);

-- Files of a month, each of one tenant, in the order of tenant_no, series_no, event_time and transaction_id; the last
-- event tells where the next file begins.
CREATE TABLE archive_file (
    month               date        NOT NULL REFERENCES archived_month (month),
    file_no             integer     NOT NULL,
    tenant_no           integer     NOT NULL,
    location            text        NOT NULL,
    event_count         bigint      NOT NULL CHECK (event_count > 0),
    digest              bytea       NOT NULL,  -- of the events, whatever their order
    last_series_no      integer     NOT NULL,
    last_event_time     timestamptz NOT NULL,
    last_transaction_id text        NOT NULL,
    is_loaded           boolean     NOT NULL DEFAULT false,  -- while the month is RESTORING
    PRIMARY KEY (month, file_no)
);

-- Events of a month by tenant and day of reception, for the time when they are in files only.
CREATE TABLE archived_intake (
    month       date   NOT NULL REFERENCES archived_month (month),
    tenant_id   text   NOT NULL,
    day         date   NOT NULL,
    event_count bigint NOT NULL CHECK (event_count > 0),
    PRIMARY KEY (month, tenant_id, day)
);
CREATE INDEX archived_intake_by_tenant ON archived_intake (tenant_id, day);

-- Until when a tenant's usage has been billed.
CREATE TABLE billed (
    tenant_id       text        PRIMARY KEY,
    billed_end_time timestamptz NOT NULL
);

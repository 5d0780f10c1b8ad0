-- A test clock walks to its target: it stands at `now` until all that is due then is done, and goes on to the next instant
-- at which something falls due.
ALTER TABLE billing_clock
    ADD COLUMN target timestamptz,
    ADD CHECK (target > now),
    ADD CHECK (mode = 'test' OR target IS NULL);
CREATE INDEX billing_clock_walking ON billing_clock (tenant_id) WHERE target IS NOT NULL;

-- What a run did while the test clock stood at `step_time`.
CREATE TABLE billing_run_step (
    tenant_id       text NOT NULL,
    billing_run_id  text NOT NULL,
    step_time       timestamptz NOT NULL,
    made_count      integer NOT NULL DEFAULT 0 CHECK (made_count >= 0),
    finalized_count integer NOT NULL DEFAULT 0 CHECK (finalized_count >= 0),
    failed_count    integer NOT NULL DEFAULT 0 CHECK (failed_count >= 0),
    PRIMARY KEY (tenant_id, billing_run_id, step_time),
    FOREIGN KEY (tenant_id, billing_run_id) REFERENCES billing_run (tenant_id, id)
);

-- When metering is to be told where the test clock goes, or told again; unset once it knows. In real time.
ALTER TABLE billing_clock ADD COLUMN tell_time timestamptz, ADD CHECK (mode = 'test' OR tell_time IS NULL);
UPDATE billing_clock SET tell_time = '-infinity' WHERE mode = 'test';
CREATE INDEX billing_clock_to_tell ON billing_clock (tell_time) WHERE tell_time IS NOT NULL;

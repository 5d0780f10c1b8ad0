-- When metering is to be told how far the tenant's usage is billed, or told again; unset once it knows. In real time.
ALTER TABLE billing_run ADD COLUMN tell_time timestamptz;
UPDATE billing_run SET tell_time = complete_time;
CREATE INDEX billing_run_to_tell ON billing_run (tell_time) WHERE tell_time IS NOT NULL;

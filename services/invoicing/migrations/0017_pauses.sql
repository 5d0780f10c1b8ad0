-- A phase in which a subscription is paused: it charges no base fee.
ALTER TABLE subscription_phase ADD COLUMN is_paused boolean NOT NULL DEFAULT false;
ALTER TABLE subscription_phase ALTER COLUMN is_paused DROP DEFAULT;

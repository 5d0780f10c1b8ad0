-- Subscriptions that are active once their opening invoice is paid. While one is incomplete, its opening invoice alone is made;
-- that is decided by expire_time, which is in its first period. One that is canceled has ended where it began.
ALTER TABLE subscription
    ADD COLUMN activation text CHECK (activation IN ('incomplete', 'active', 'canceled')),
    ADD COLUMN payment_timeout interval,
    ADD COLUMN expire_time timestamptz,
    ADD COLUMN cancel_reason text CHECK (cancel_reason IN ('payment_failed', 'timeout')),
    ADD CONSTRAINT an_activation_expires
        CHECK ((activation IS NULL) = (expire_time IS NULL) AND (activation IS NULL) = (payment_timeout IS NULL)),
    ADD CONSTRAINT only_what_is_canceled_has_a_reason
        CHECK ((activation IS NOT DISTINCT FROM 'canceled') = (cancel_reason IS NOT NULL)),
    ADD CONSTRAINT what_is_incomplete_is_in_its_first_period
        CHECK (activation IS DISTINCT FROM 'incomplete' OR (period_start = start_time AND NOT is_closed));
CREATE INDEX subscription_incomplete ON subscription (tenant_id, expire_time) WHERE activation = 'incomplete';

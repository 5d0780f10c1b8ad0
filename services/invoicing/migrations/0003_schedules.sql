-- Periods of several lengths, which begin by the calendar or on the anniversary; base fees that are charged in advance; and
-- subscriptions that end. The period that `end_time` falls in is cut there; once that is billed, the subscription is closed.
ALTER TABLE subscription
    ADD COLUMN billing_interval text NOT NULL DEFAULT 'monthly'
        CHECK (billing_interval IN ('weekly', 'monthly', 'quarterly', 'semiannual', 'yearly')),
    ADD COLUMN billing_time text NOT NULL DEFAULT 'calendar' CHECK (billing_time IN ('calendar', 'anniversary')),
    ADD COLUMN end_time timestamptz,
    ADD COLUMN is_closed boolean NOT NULL DEFAULT false,
    ADD COLUMN is_opening boolean NOT NULL DEFAULT false;  -- the fee of the current period is due when that begins
ALTER TABLE subscription
    ALTER COLUMN billing_interval DROP DEFAULT,
    ALTER COLUMN billing_time DROP DEFAULT,
    ALTER COLUMN is_opening DROP DEFAULT,
    ADD COLUMN due_time timestamptz
        GENERATED ALWAYS AS (CASE WHEN NOT is_closed THEN CASE WHEN is_opening THEN period_start ELSE period_end END END)
        STORED,
    ADD CHECK (end_time IS NULL OR period_end <= end_time OR is_closed),
    ADD CHECK (NOT is_closed OR end_time IS NOT NULL);

-- Changes of subscriptions that were asked for, by request: asked again, they are answered and not made again.
CREATE TABLE subscription_change (
    tenant_id       text        NOT NULL,
    request_id      uuid        NOT NULL,
    request_hash    bytea       NOT NULL,
    subscription_id text        NOT NULL,
    create_time     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (tenant_id, subscription_id) REFERENCES subscription (tenant_id, id)
);

DROP INDEX subscription_due;
CREATE INDEX subscription_due ON subscription (tenant_id, due_time);

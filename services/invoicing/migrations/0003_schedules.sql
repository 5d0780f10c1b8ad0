-- Periods of several lengths, which begin by the calendar or on the anniversary; base fees that are charged in advance.
ALTER TABLE subscription
    ADD COLUMN billing_interval text NOT NULL DEFAULT 'monthly'
        CHECK (billing_interval IN ('weekly', 'monthly', 'quarterly', 'semiannual', 'yearly')),
    ADD COLUMN billing_time text NOT NULL DEFAULT 'calendar' CHECK (billing_time IN ('calendar', 'anniversary')),
    ADD COLUMN is_opening boolean NOT NULL DEFAULT false;  -- the fee of the current period is due when that begins
ALTER TABLE subscription
    ALTER COLUMN billing_interval DROP DEFAULT,
    ALTER COLUMN billing_time DROP DEFAULT,
    ALTER COLUMN is_opening DROP DEFAULT,
    ADD COLUMN due_time timestamptz NOT NULL
        GENERATED ALWAYS AS (CASE WHEN is_opening THEN period_start ELSE period_end END) STORED;

DROP INDEX subscription_due;
CREATE INDEX subscription_due ON subscription (tenant_id, due_time);

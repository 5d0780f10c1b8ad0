-- Usage that came after the bill. Everything that metering recorded up to `billed_watermark` for the time before the current
-- period is billed; what came later is billed with the next period, as what its period comes to at the new watermark less what it
-- came to at the prior one.
ALTER TABLE subscription ADD COLUMN billed_watermark bigint NOT NULL DEFAULT 0 CHECK (billed_watermark >= 0);
UPDATE subscription s SET billed_watermark = coalesce((
    SELECT max(l.watermark) FROM invoice_line l WHERE l.tenant_id = s.tenant_id AND l.subscription_id = s.id
), 0);

-- A subscription that has ended is looked at again a few times.
ALTER TABLE subscription
    DROP COLUMN due_time,
    ADD COLUMN late_check_time timestamptz,
    ADD CHECK (late_check_time IS NULL OR is_closed);
UPDATE subscription SET late_check_time = end_time + interval '30 days' WHERE is_closed;
ALTER TABLE subscription
    ADD COLUMN due_time timestamptz GENERATED ALWAYS AS (
        CASE WHEN is_closed THEN late_check_time ELSE coalesce(opening_time, period_end) END
    ) STORED;
CREATE INDEX subscription_due ON subscription (tenant_id, due_time);
CREATE INDEX subscription_due_of_customer ON subscription (tenant_id, customer_id, due_time);

ALTER TABLE invoice_line
    DROP CONSTRAINT invoice_line_kind_check,
    DROP CONSTRAINT usage_is_rated,
    ADD COLUMN prior_watermark bigint CHECK (prior_watermark >= 0),
    ADD CONSTRAINT invoice_line_kind_check CHECK (kind IN ('base_fee', 'usage', 'late_usage')),
    ADD CONSTRAINT usage_is_rated CHECK ((kind IN ('usage', 'late_usage')) = (rating IS NOT NULL)),
    ADD CONSTRAINT late_usage_was_billed_before CHECK ((kind = 'late_usage') = (prior_watermark IS NOT NULL)),
    ADD CONSTRAINT the_log_goes_on CHECK (prior_watermark < watermark);
CREATE INDEX invoice_line_subscription ON invoice_line (tenant_id, subscription_id);

-- Progressive billing: usage that passes a threshold of its plan has an invoice at once. The log is looked at up to
-- `threshold_watermark`; whoever moves that writes the invoice in the same transaction. What such an invoice billed is taken off
-- the next one of the period; a settlement with that `is_fixed`: what comes late is on a later invoice, no draft is refreshed with it.
ALTER TABLE subscription_phase ADD COLUMN has_thresholds boolean NOT NULL DEFAULT false;
ALTER TABLE subscription_phase ALTER COLUMN has_thresholds DROP DEFAULT;
CREATE INDEX subscription_phase_with_thresholds ON subscription_phase (tenant_id, subscription_id) WHERE has_thresholds;
ALTER TABLE subscription ADD COLUMN threshold_watermark bigint NOT NULL DEFAULT 0 CHECK (threshold_watermark >= 0);
ALTER TABLE invoice_settlement ADD COLUMN is_fixed boolean NOT NULL DEFAULT false;

-- All usage of a phase in a period came to `usage_minor` at `watermark`, and was billed.
CREATE TABLE progressive_invoice (
    tenant_id       text NOT NULL,
    subscription_id text NOT NULL,
    phase_number    integer NOT NULL CHECK (phase_number > 0),
    period_start    timestamptz NOT NULL,
    watermark       bigint NOT NULL CHECK (watermark > 0),
    usage_minor     bigint NOT NULL CHECK (usage_minor > 0),
    invoice_id      text NOT NULL,
    PRIMARY KEY (tenant_id, subscription_id, phase_number, period_start, watermark),
    UNIQUE (tenant_id, subscription_id, phase_number, period_start, usage_minor),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoice (tenant_id, id)
);

ALTER TABLE invoice_line
    DROP CONSTRAINT invoice_line_kind_check,
    DROP CONSTRAINT usage_is_rated,
    DROP CONSTRAINT usage_is_read_at_a_watermark,
    ADD CONSTRAINT invoice_line_kind_check
        CHECK (kind IN (
            'base_fee', 'usage', 'late_usage', 'fixed_charge', 'commitment', 'add_on', 'advance_usage', 'progressive_credit'
        )),
    ADD CONSTRAINT usage_is_rated
        CHECK ((kind IN ('usage', 'late_usage', 'fixed_charge', 'advance_usage', 'progressive_credit')) = (rating IS NOT NULL)),
    ADD CONSTRAINT usage_is_read_at_a_watermark
        CHECK ((kind IN ('usage', 'late_usage', 'advance_usage', 'progressive_credit')) = (watermark IS NOT NULL));

ALTER TABLE invoice
    DROP CONSTRAINT invoice_kind_check,
    ADD CONSTRAINT invoice_kind_check CHECK (kind IN ('subscription', 'one_off', 'advance_usage', 'progressive'));

-- Fees in advance may wait until they are paid, and are on an invoice of paid fees when their period is over. Units that are
-- renewed with a period have a fee, too, where they wait so.
ALTER TABLE advance_fee
    ADD COLUMN is_regrouped boolean NOT NULL DEFAULT false,
    ADD COLUMN is_renewal boolean NOT NULL DEFAULT false,
    ADD COLUMN paid_time timestamptz,
    ADD CONSTRAINT what_waits_is_paid CHECK (paid_time IS NULL OR is_regrouped);
CREATE INDEX advance_fee_paid ON advance_fee (tenant_id, period_end) WHERE paid_time IS NOT NULL AND NOT is_billed;

CREATE TABLE fee_payment_request (
    tenant_id       text NOT NULL,
    request_id      uuid NOT NULL,
    request_hash    bytea NOT NULL,
    subscription_id text NOT NULL,
    create_time     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id)
);

ALTER TABLE invoice
    DROP CONSTRAINT invoice_kind_check,
    ADD CONSTRAINT invoice_kind_check
        CHECK (kind IN ('subscription', 'one_off', 'advance_usage', 'progressive', 'advance_fees'));

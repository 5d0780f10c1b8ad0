-- A subscription is a list of phases, each on a plan version; `phase_number` is the one that is billed next. A change of plan
-- cuts the period that it falls in. `opening_time` is when the base fee of the current period has an invoice of its own. `revision` moves with every change by request: a worker that billed another one saves nothing.
CREATE TABLE subscription_phase (
    tenant_id        text NOT NULL,
    subscription_id  text NOT NULL,
    number           integer NOT NULL CHECK (number > 0),
    start_time       timestamptz NOT NULL,
    plan_code        text NOT NULL,
    plan_version     integer NOT NULL CHECK (plan_version > 0),
    billing_interval text NOT NULL
        CHECK (billing_interval IN ('weekly', 'monthly', 'quarterly', 'semiannual', 'yearly')),
    billing_time     text NOT NULL CHECK (billing_time IN ('calendar', 'anniversary')),
    anchor_time      timestamptz NOT NULL,
    fee_start_time   timestamptz NOT NULL CHECK (fee_start_time >= start_time),
    in_advance       boolean NOT NULL,
    PRIMARY KEY (tenant_id, subscription_id, number),
    FOREIGN KEY (tenant_id, subscription_id) REFERENCES subscription (tenant_id, id)
);

INSERT INTO subscription_phase
SELECT tenant_id, id, 1, start_time, plan_code, plan_version, billing_interval, billing_time, start_time, start_time, false
FROM subscription;

ALTER TABLE subscription
    DROP COLUMN plan_code,
    DROP COLUMN plan_version,
    DROP COLUMN billing_interval,
    DROP COLUMN due_time,
    DROP COLUMN is_opening,
    ADD COLUMN opening_time timestamptz,
    ADD COLUMN phase_number integer NOT NULL DEFAULT 1 CHECK (phase_number > 0),
    ADD COLUMN fee_paid_until timestamptz,
    ADD COLUMN revision bigint NOT NULL DEFAULT 0;
ALTER TABLE subscription
    ADD COLUMN due_time timestamptz
        GENERATED ALWAYS AS (CASE WHEN NOT is_closed THEN coalesce(opening_time, period_end) END) STORED,
    ADD CHECK (opening_time >= period_start AND opening_time < period_end);
CREATE INDEX subscription_due ON subscription (tenant_id, due_time);

-- With fees in advance, the invoice that closes a phase is for a period whose fee another one charged: what tells the two
-- apart is when they fell due.
ALTER TABLE invoice
    ADD COLUMN phase_number integer NOT NULL DEFAULT 1 CHECK (phase_number > 0),
    ADD COLUMN is_opening boolean NOT NULL DEFAULT false,
    ADD COLUMN due_time timestamptz;
ALTER TABLE invoice DISABLE TRIGGER finalized_invoice_is_immutable;
UPDATE invoice SET due_time = period_end;
ALTER TABLE invoice ENABLE TRIGGER finalized_invoice_is_immutable;
ALTER TABLE invoice
    ALTER COLUMN phase_number DROP DEFAULT,
    ALTER COLUMN is_opening DROP DEFAULT,
    ALTER COLUMN due_time SET NOT NULL,
    DROP CONSTRAINT invoice_tenant_id_subscription_id_period_start_kind_key,
    ADD UNIQUE (tenant_id, subscription_id, phase_number, due_time, is_opening, kind);

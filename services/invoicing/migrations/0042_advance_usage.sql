-- Usage in advance: each event is charged when it is recorded, once. Events up to `charged_watermark` are; whoever moves that writes
-- their fees in the same transaction. A fee waits for an invoice while it is not billed; one of 0 has none.
ALTER TABLE subscription_phase ADD COLUMN has_advance_usage boolean NOT NULL DEFAULT false;
ALTER TABLE subscription_phase ALTER COLUMN has_advance_usage DROP DEFAULT;
ALTER TABLE subscription ADD COLUMN charged_watermark bigint NOT NULL DEFAULT 0 CHECK (charged_watermark >= 0);
CREATE INDEX subscription_phase_in_advance ON subscription_phase (tenant_id, subscription_id) WHERE has_advance_usage;

CREATE TABLE advance_fee (
    tenant_id        text NOT NULL,
    subscription_id  text NOT NULL,
    serial           bigint GENERATED ALWAYS AS IDENTITY,
    phase_number     integer NOT NULL CHECK (phase_number > 0),
    plan_code        text NOT NULL,
    plan_version     integer NOT NULL CHECK (plan_version > 0),
    charge_code      text NOT NULL,
    transaction_id   text NOT NULL,
    sequence         bigint NOT NULL CHECK (sequence > 0),
    event_time       timestamptz NOT NULL,
    period_start     timestamptz NOT NULL,
    period_end       timestamptz NOT NULL,
    part             text NOT NULL,
    group_values     jsonb NOT NULL,
    quantity_before  numeric NOT NULL,
    quantity         numeric NOT NULL CHECK (quantity >= quantity_before),
    description      text NOT NULL,
    currency         char(3) NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor >= 0),
    unrounded_amount numeric NOT NULL,
    rating           bytea NOT NULL,
    watermark        bigint NOT NULL,
    tax_codes        text[] NOT NULL,
    meter_code       text NOT NULL,
    is_tax_inclusive boolean NOT NULL,
    is_billed        boolean NOT NULL,
    create_time      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, subscription_id, charge_code, transaction_id, sequence),
    FOREIGN KEY (tenant_id, subscription_id) REFERENCES subscription (tenant_id, id)
);
CREATE INDEX advance_fee_waiting ON advance_fee (tenant_id, subscription_id) WHERE NOT is_billed;
CREATE INDEX advance_fee_serial ON advance_fee (tenant_id, subscription_id, serial);

ALTER TABLE invoice_line
    ADD COLUMN transaction_id text,
    DROP CONSTRAINT invoice_line_kind_check,
    DROP CONSTRAINT usage_is_rated,
    DROP CONSTRAINT usage_is_read_at_a_watermark,
    ADD CONSTRAINT invoice_line_kind_check
        CHECK (kind IN (
            'base_fee', 'usage', 'late_usage', 'fixed_charge', 'commitment', 'add_on', 'advance_usage'
        )),
    ADD CONSTRAINT usage_is_rated
        CHECK ((kind IN ('usage', 'late_usage', 'fixed_charge', 'advance_usage')) = (rating IS NOT NULL)),
    ADD CONSTRAINT usage_is_read_at_a_watermark
        CHECK ((kind IN ('usage', 'late_usage', 'advance_usage')) = (watermark IS NOT NULL)),
    ADD CONSTRAINT an_event_is_charged_in_advance CHECK ((kind = 'advance_usage') = (transaction_id IS NOT NULL));

-- An invoice of usage in advance is made when the usage is recorded, by no billing run, and settles no period.
ALTER TABLE invoice
    DROP CONSTRAINT invoice_kind_check,
    DROP CONSTRAINT what_is_billed_is_of_a_run,
    ADD CONSTRAINT invoice_kind_check CHECK (kind IN ('subscription', 'one_off', 'advance_usage')),
    ADD CONSTRAINT what_is_billed_is_of_a_run CHECK ((kind = 'subscription') = (billing_run_id IS NOT NULL));

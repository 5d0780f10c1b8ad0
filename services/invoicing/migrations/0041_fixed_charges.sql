-- Fixed charges: units of add-ons that every period has. Units that a subscription has changed, by when; a change that has begun
-- never changes. At the `addition_time` units in advance are to be billed for the rest of the current period.
CREATE TABLE subscription_units (
    tenant_id       text NOT NULL,
    subscription_id text NOT NULL,
    phase_number    integer NOT NULL CHECK (phase_number > 0),
    code            text NOT NULL,
    effective_time  timestamptz NOT NULL,
    units           numeric(38, 12) NOT NULL CHECK (units >= 0),
    in_advance      boolean NOT NULL,
    PRIMARY KEY (tenant_id, subscription_id, phase_number, code, effective_time),
    FOREIGN KEY (tenant_id, subscription_id) REFERENCES subscription (tenant_id, id)
);

ALTER TABLE subscription_phase ADD COLUMN has_advance_units boolean NOT NULL DEFAULT false;
ALTER TABLE subscription_phase ALTER COLUMN has_advance_units DROP DEFAULT;
ALTER TABLE subscription
    DROP COLUMN due_time,
    ADD COLUMN addition_time timestamptz,
    ADD CHECK (addition_time >= period_start AND addition_time < period_end);
ALTER TABLE subscription
    ADD COLUMN due_time timestamptz GENERATED ALWAYS AS (
        CASE WHEN is_closed THEN late_check_time ELSE least(addition_time, coalesce(opening_time, period_end)) END
    ) STORED;
CREATE INDEX subscription_due ON subscription (tenant_id, due_time);
CREATE INDEX subscription_turn ON subscription (tenant_id, turn, due_time);
CREATE INDEX subscription_due_of_customer ON subscription (tenant_id, customer_id, due_time);

ALTER TABLE invoice_settlement
    ADD COLUMN is_addition boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT invoice_settlement_pkey,
    ADD PRIMARY KEY (tenant_id, invoice_id, subscription_id, phase_number, due_time, is_opening, is_addition);
DROP INDEX invoice_settlement_once;
CREATE UNIQUE INDEX invoice_settlement_once
    ON invoice_settlement (tenant_id, subscription_id, phase_number, due_time, is_opening, is_addition) WHERE NOT is_void;

ALTER TABLE invoice_line
    DROP CONSTRAINT invoice_line_kind_check,
    DROP CONSTRAINT usage_is_rated,
    DROP CONSTRAINT invoice_line_check4,
    ADD CONSTRAINT invoice_line_kind_check
        CHECK (kind IN ('base_fee', 'usage', 'late_usage', 'fixed_charge', 'commitment', 'add_on')),
    ADD CONSTRAINT usage_is_rated CHECK ((kind IN ('usage', 'late_usage', 'fixed_charge')) = (rating IS NOT NULL)),
    ADD CONSTRAINT usage_is_read_at_a_watermark CHECK ((kind IN ('usage', 'late_usage')) = (watermark IS NOT NULL));

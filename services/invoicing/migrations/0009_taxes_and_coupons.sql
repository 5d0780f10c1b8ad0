-- Taxes: a line's own are those of its charge or plan. Lines without any bear those of the customer, or the tenant's
-- defaults, which the invoice keeps. A tax that is contained in amounts has an entry of its own beside one that is added.
ALTER TABLE customer ADD COLUMN tax_codes text[] NOT NULL DEFAULT '{}';

ALTER TABLE invoice_line
    ADD COLUMN meter_code text NOT NULL DEFAULT '',
    ADD COLUMN is_tax_inclusive boolean NOT NULL DEFAULT false;

ALTER TABLE credit_note_tax
    DROP CONSTRAINT credit_note_tax_tenant_id_invoice_id_code_fkey,
    DROP CONSTRAINT credit_note_tax_pkey,
    ADD COLUMN is_included boolean NOT NULL DEFAULT false;
ALTER TABLE invoice_tax
    DROP CONSTRAINT invoice_tax_pkey,
    ADD COLUMN is_included boolean NOT NULL DEFAULT false,
    ADD PRIMARY KEY (tenant_id, invoice_id, code, is_included);
ALTER TABLE credit_note_tax
    ADD PRIMARY KEY (tenant_id, credit_note_id, code, is_included),
    ADD FOREIGN KEY (tenant_id, invoice_id, code, is_included)
        REFERENCES invoice_tax (tenant_id, invoice_id, code, is_included);

-- tax_minor is what is added to the lines.
ALTER TABLE invoice
    DROP CONSTRAINT invoice_check1,
    ADD COLUMN default_tax_codes text[] NOT NULL DEFAULT '{}',
    ADD COLUMN discount_minor bigint NOT NULL DEFAULT 0 CHECK (discount_minor >= 0),
    ADD CONSTRAINT a_total_adds_up CHECK (total_minor = subtotal_minor - discount_minor + tax_minor);

ALTER TABLE credit_note
    DROP CONSTRAINT credit_note_check,
    ADD COLUMN discount_minor bigint NOT NULL DEFAULT 0 CHECK (discount_minor >= 0),
    ADD CONSTRAINT a_note_adds_up CHECK (total_minor = subtotal_minor - discount_minor + tax_minor);

-- A coupon that a customer has, with the terms agreed when it was applied: a fixed amount or a percentage. What is left of
-- it is an amount (fixed, taken off once), a number of invoices, or, where both are null, without end.
CREATE TABLE applied_coupon (
    tenant_id       text NOT NULL,
    id              text NOT NULL,
    serial          bigint GENERATED ALWAYS AS IDENTITY,  -- the order that coupons of one kind are used in
    customer_id     text NOT NULL,
    coupon_code     text NOT NULL,
    name            text NOT NULL,
    amount_minor    bigint CHECK (amount_minor > 0),
    currency        char(3),
    rate_percent    numeric(38, 12) CHECK (rate_percent > 0 AND rate_percent <= 100),
    frequency       text NOT NULL CHECK (frequency IN ('once', 'recurring', 'forever')),
    periods         integer NOT NULL CHECK (periods >= 0),
    plan_codes      text[] NOT NULL,
    meter_codes     text[] NOT NULL,
    remaining_minor bigint CHECK (remaining_minor BETWEEN 0 AND amount_minor),
    remaining_uses  integer CHECK (remaining_uses BETWEEN 0 AND greatest(periods, 1)),
    state           text NOT NULL CHECK (state IN ('active', 'used_up', 'removed')),
    create_time     timestamptz NOT NULL,
    request_id      uuid NOT NULL,
    request_hash    bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, request_id),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES customer (tenant_id, id),
    CONSTRAINT an_amount_or_a_percentage CHECK (num_nonnulls(amount_minor, rate_percent) = 1),
    CONSTRAINT an_amount_has_a_currency CHECK ((amount_minor IS NULL) = (currency IS NULL)),
    CONSTRAINT limited_to_plans_or_meters CHECK (plan_codes = '{}' OR meter_codes = '{}'),
    CONSTRAINT a_balance_is_taken_off_once
        CHECK ((remaining_minor IS NOT NULL) = (frequency = 'once' AND amount_minor IS NOT NULL)),
    CONSTRAINT uses_have_an_end CHECK (
        (remaining_uses IS NOT NULL) = (frequency = 'recurring' OR (frequency = 'once' AND rate_percent IS NOT NULL))
    ),
    CONSTRAINT what_is_used_up_has_nothing_left
        CHECK (state = 'removed' OR (state = 'used_up') = (0 IN (coalesce(remaining_minor, 1), coalesce(remaining_uses, 1))))
);

CREATE INDEX applied_coupon_active ON applied_coupon (tenant_id, customer_id, serial) WHERE state = 'active';
CREATE INDEX applied_coupon_customer ON applied_coupon (tenant_id, customer_id, id);

-- What a coupon takes off an invoice: at most available_minor, or rate_percent, of what the lines it applies to come to.
CREATE TABLE invoice_discount (
    tenant_id         text NOT NULL,
    invoice_id        text NOT NULL,
    position          integer NOT NULL CHECK (position >= 0),
    applied_coupon_id text NOT NULL,
    available_minor   bigint CHECK (available_minor > 0),
    base_amount       numeric NOT NULL CHECK (base_amount > 0),
    amount_minor      bigint NOT NULL CHECK (amount_minor > 0),
    is_returned       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, invoice_id, applied_coupon_id),
    UNIQUE (tenant_id, invoice_id, position),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoice (tenant_id, id),
    FOREIGN KEY (tenant_id, applied_coupon_id) REFERENCES applied_coupon (tenant_id, id)
);

-- A line's share of it, in major units to 5 digits below the minor unit.
CREATE TABLE invoice_line_discount (
    tenant_id         text NOT NULL,
    invoice_id        text NOT NULL,
    line_position     integer NOT NULL,
    applied_coupon_id text NOT NULL,
    amount            numeric NOT NULL,
    PRIMARY KEY (tenant_id, invoice_id, line_position, applied_coupon_id),
    FOREIGN KEY (tenant_id, invoice_id, applied_coupon_id)
        REFERENCES invoice_discount (tenant_id, invoice_id, applied_coupon_id)
);

-- The terms of an applied coupon never change: only what is left of it moves.
CREATE FUNCTION keep_applied_coupon() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    movable constant text[] := '{remaining_minor,remaining_uses,state}';
BEGIN
    IF to_jsonb(OLD) - movable <> to_jsonb(NEW) - movable OR (OLD.state = 'removed' AND NEW.state <> 'removed') THEN
        RAISE EXCEPTION 'applied coupon % never changes', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION keep_invoice_discount() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.is_returned OR to_jsonb(OLD) - 'is_returned' <> to_jsonb(NEW) - 'is_returned' THEN
        RAISE EXCEPTION 'a coupon on % is only returned, once', OLD.invoice_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER applied_coupon_is_immutable BEFORE UPDATE ON applied_coupon
    FOR EACH ROW EXECUTE FUNCTION keep_applied_coupon();
CREATE TRIGGER applied_coupon_is_kept BEFORE DELETE OR TRUNCATE ON applied_coupon
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();
CREATE TRIGGER discount_is_on_draft AFTER INSERT ON invoice_discount REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION require_draft();
CREATE TRIGGER discount_is_immutable BEFORE UPDATE ON invoice_discount
    FOR EACH ROW EXECUTE FUNCTION keep_invoice_discount();
CREATE TRIGGER discount_is_kept BEFORE DELETE OR TRUNCATE ON invoice_discount
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();
CREATE TRIGGER line_discount_is_on_draft AFTER INSERT ON invoice_line_discount REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION require_draft();
CREATE TRIGGER line_discount_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON invoice_line_discount
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();

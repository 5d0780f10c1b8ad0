-- Credit notes: what is given back of an invoice. The balance of one pays the customer's next invoices; what an invoice has
-- used is a row. total = balance + voided + the applications that were not returned + what it offset.
CREATE TABLE credit_note (
    tenant_id      text NOT NULL,
    id             text NOT NULL,
    serial         bigint GENERATED ALWAYS AS IDENTITY,  -- the order that balances are used in
    invoice_id     text NOT NULL,
    sequence       integer NOT NULL CHECK (sequence > 0),
    number         text NOT NULL,
    customer_id    text NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('credit', 'offset')),
    reason         text NOT NULL CHECK (reason IN (
        'duplicated_charge', 'product_unsatisfactory', 'order_change', 'order_cancellation', 'fraudulent_charge', 'other'
    )),
    description    text NOT NULL,
    currency       char(3) NOT NULL,
    subtotal_minor bigint NOT NULL CHECK (subtotal_minor >= 0),
    tax_minor      bigint NOT NULL CHECK (tax_minor >= 0),
    total_minor    bigint NOT NULL CHECK (total_minor > 0),
    balance_minor  bigint NOT NULL CHECK (balance_minor >= 0),
    voided_minor   bigint NOT NULL DEFAULT 0 CHECK (voided_minor >= 0),
    create_time    timestamptz NOT NULL,
    request_id     uuid NOT NULL,
    request_hash   bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, invoice_id, sequence),
    UNIQUE (tenant_id, number),
    UNIQUE (tenant_id, request_id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoice (tenant_id, id),
    CHECK (total_minor = subtotal_minor + tax_minor),
    CONSTRAINT nothing_out_of_nothing CHECK (balance_minor + voided_minor <= total_minor),
    CONSTRAINT an_offset_is_used_at_once CHECK (kind = 'credit' OR balance_minor + voided_minor = 0)
);

CREATE INDEX credit_note_balance ON credit_note (tenant_id, customer_id, serial) WHERE balance_minor > 0;
CREATE INDEX credit_note_customer ON credit_note (tenant_id, customer_id, id);

CREATE TABLE credit_note_item (
    tenant_id      text NOT NULL,
    credit_note_id text NOT NULL,
    invoice_id     text NOT NULL,
    line_position  integer NOT NULL,
    amount_minor   bigint NOT NULL CHECK (amount_minor <> 0),
    PRIMARY KEY (tenant_id, credit_note_id, line_position),
    FOREIGN KEY (tenant_id, credit_note_id) REFERENCES credit_note (tenant_id, id),
    FOREIGN KEY (tenant_id, invoice_id, line_position) REFERENCES invoice_line (tenant_id, invoice_id, position)
);

-- name and rate_percent are the invoice's.
CREATE TABLE credit_note_tax (
    tenant_id        text NOT NULL,
    credit_note_id   text NOT NULL,
    invoice_id       text NOT NULL,
    code             text NOT NULL,
    taxable_minor    bigint NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor >= 0),
    unrounded_amount numeric NOT NULL,
    PRIMARY KEY (tenant_id, credit_note_id, code),
    FOREIGN KEY (tenant_id, credit_note_id) REFERENCES credit_note (tenant_id, id),
    FOREIGN KEY (tenant_id, invoice_id, code) REFERENCES invoice_tax (tenant_id, invoice_id, code)
);

-- What a note pays of an invoice; it goes back to the note when the invoice is voided.
CREATE TABLE credit_application (
    tenant_id      text NOT NULL,
    invoice_id     text NOT NULL,
    credit_note_id text NOT NULL,
    amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
    is_returned    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, invoice_id, credit_note_id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoice (tenant_id, id),
    FOREIGN KEY (tenant_id, credit_note_id) REFERENCES credit_note (tenant_id, id)
);

-- Voids of invoices and credit notes that were asked for, by request: asked again, they are answered and not made again.
CREATE TABLE void_request (
    tenant_id    text        NOT NULL,
    request_id   uuid        NOT NULL,
    request_hash bytea       NOT NULL,
    voided_id    text        NOT NULL,
    create_time  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id)
);

-- What a note says never changes: only its balance moves.
CREATE FUNCTION keep_credit_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    movable constant text[] := '{balance_minor,voided_minor}';
BEGIN
    IF to_jsonb(OLD) - movable <> to_jsonb(NEW) - movable THEN
        RAISE EXCEPTION 'credit note % never changes', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION keep_credit_application() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.is_returned OR to_jsonb(OLD) - 'is_returned' <> to_jsonb(NEW) - 'is_returned' THEN
        RAISE EXCEPTION 'a credit on % is only returned, once', OLD.invoice_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER credit_note_is_immutable BEFORE UPDATE ON credit_note
    FOR EACH ROW EXECUTE FUNCTION keep_credit_note();
CREATE TRIGGER credit_note_is_kept BEFORE DELETE OR TRUNCATE ON credit_note
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();
CREATE TRIGGER credit_note_item_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON credit_note_item
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();
CREATE TRIGGER credit_note_tax_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON credit_note_tax
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();
CREATE TRIGGER credit_application_is_on_draft AFTER INSERT ON credit_application REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION require_draft();
CREATE TRIGGER credit_application_is_immutable BEFORE UPDATE ON credit_application
    FOR EACH ROW EXECUTE FUNCTION keep_credit_application();
CREATE TRIGGER credit_application_is_kept BEFORE DELETE OR TRUNCATE ON credit_application
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();

-- An invoice: the sum of its applications, that of the offsets made since, and what is left to pay. `is_with_payments` is set
-- before payments is asked to collect, who may have the invoice from then on, and unset once payments has given it back;
-- `payment_version` grows each time it is to give it back. A void invoice keeps what it says.
CREATE OR REPLACE FUNCTION keep_finalized_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    movable constant text[] := '{payment_status,amount_paid_minor,payment_id,payment_revision,hand_over_time,'
        'is_with_payments,payment_version,state,offset_minor,amount_due_minor}';
BEGIN
    IF to_jsonb(OLD) - movable <> to_jsonb(NEW) - movable THEN
        RAISE EXCEPTION 'invoice % is finalized and never changes', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state NOT IN (OLD.state, 'voided') OR NEW.offset_minor < OLD.offset_minor
        OR (OLD.state = 'voided' AND NEW.offset_minor <> OLD.offset_minor) THEN
        RAISE EXCEPTION 'invoice % is only voided, or offset until then', OLD.number
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
DROP TRIGGER finalized_invoice_is_immutable ON invoice;
CREATE TRIGGER finalized_invoice_is_immutable BEFORE UPDATE ON invoice
    FOR EACH ROW WHEN (OLD.state <> 'draft') EXECUTE FUNCTION keep_finalized_invoice();

ALTER TABLE invoice
    DROP CONSTRAINT invoice_state_check,
    DROP CONSTRAINT invoice_check2,
    DROP CONSTRAINT invoice_check3,
    DROP CONSTRAINT invoice_check4,
    DROP CONSTRAINT invoice_check5,
    DROP CONSTRAINT invoice_check6,
    ADD COLUMN credits_minor bigint NOT NULL DEFAULT 0 CHECK (credits_minor >= 0),
    ADD COLUMN offset_minor bigint NOT NULL DEFAULT 0 CHECK (offset_minor >= 0),
    ADD COLUMN amount_due_minor bigint GENERATED ALWAYS AS (total_minor - credits_minor - offset_minor) STORED,
    ADD COLUMN payment_version bigint NOT NULL DEFAULT 0 CHECK (payment_version >= 0),
    ADD COLUMN is_with_payments boolean NOT NULL DEFAULT true;  -- of those that are there already
ALTER TABLE invoice
    ALTER COLUMN is_with_payments SET DEFAULT false,
    ADD CHECK (state IN ('draft', 'finalized', 'voided')),
    ADD CONSTRAINT a_draft_has_no_number CHECK ((state = 'draft') = (number IS NULL)),
    ADD CONSTRAINT a_draft_has_no_sequence CHECK ((state = 'draft') = (sequence IS NULL)),
    ADD CONSTRAINT a_draft_has_no_finalize_time CHECK ((state = 'draft') = (finalize_time IS NULL)),
    ADD CONSTRAINT a_draft_is_not_collected
        CHECK (state <> 'draft' OR (payment_status = 'pending' AND payment_id IS NULL AND hand_over_time IS NULL)),
    ADD CONSTRAINT what_is_due_is_collected
        CHECK (hand_over_time IS NULL OR (state = 'finalized' AND amount_due_minor > 0)),
    ADD CONSTRAINT nobody_owes_less_than_nothing CHECK (amount_due_minor >= 0);

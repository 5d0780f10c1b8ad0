-- Prepaid credit. A sealed draft has its totals and gets nothing more; what is asked for it is recorded before it is asked,
-- and what was drawn when the invoice is finalized; not before the ask_time. At the return_time what a voided invoice has drawn is to be given back.
ALTER TABLE invoice
    DROP COLUMN amount_due_minor,
    ADD COLUMN is_sealed boolean NOT NULL DEFAULT false,
    ADD COLUMN prepaid_minor bigint NOT NULL DEFAULT 0 CHECK (prepaid_minor >= 0);
ALTER TABLE invoice
    ADD COLUMN amount_due_minor bigint
        GENERATED ALWAYS AS (total_minor - credits_minor - prepaid_minor - offset_minor) STORED;
ALTER TABLE invoice
    ADD CONSTRAINT what_is_due_is_collected
        CHECK (hand_over_time IS NULL OR (state = 'finalized' AND amount_due_minor > 0)),
    ADD CONSTRAINT nobody_owes_less_than_nothing
        CHECK (state = 'draft' OR (subtotal_minor >= 0 AND tax_minor >= 0 AND amount_due_minor >= 0));

DROP INDEX invoice_collecting;
CREATE UNIQUE INDEX invoice_collecting ON invoice (tenant_id, customer_id, currency, due_time, alone_subscription_id)
    WHERE state = 'draft' AND kind = 'subscription' AND NOT is_sealed;

CREATE TABLE prepaid_draw (
    tenant_id   text NOT NULL,
    invoice_id  text NOT NULL,
    asked_minor bigint NOT NULL CHECK (asked_minor > 0),
    ask_time    timestamptz NOT NULL,
    drawn_minor bigint CHECK (drawn_minor BETWEEN 0 AND asked_minor),
    return_time timestamptz,
    is_returned boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, invoice_id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoice (tenant_id, id),
    CONSTRAINT only_what_was_drawn_is_returned
        CHECK (drawn_minor > 0 OR (return_time IS NULL AND NOT is_returned)),
    CONSTRAINT it_is_returned_once CHECK (return_time IS NULL OR NOT is_returned)
);
CREATE INDEX prepaid_draw_return ON prepaid_draw (return_time) WHERE return_time IS NOT NULL;

CREATE OR REPLACE FUNCTION require_draft() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    drafts bigint;
BEGIN
    SELECT count(*) INTO drafts FROM (
        SELECT i.state, i.is_sealed FROM invoice i
        JOIN (SELECT DISTINCT tenant_id, invoice_id FROM added) a ON i.tenant_id = a.tenant_id AND i.id = a.invoice_id
        FOR SHARE OF i
    ) locked WHERE state = 'draft' AND NOT is_sealed;
    IF drafts < (SELECT count(DISTINCT (tenant_id, invoice_id)) FROM added) THEN
        RAISE EXCEPTION '% is for drafts only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

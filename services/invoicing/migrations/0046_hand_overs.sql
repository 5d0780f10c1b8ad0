-- Invoices that payments is to be asked to collect: a row for as long as it does not have them. It `is_asked` from before the
-- first question on, since who has no answer may have been heard, until payments has given the invoice back; `version` is
-- the invoice's payment_version. Without a row, what is due of a finalized invoice is with payments.
--
-- The row is narrow: leasing it and giving it up costs a fraction of an update of the invoice with its dozen indexes.
CREATE TABLE hand_over (
    tenant_id  text NOT NULL,
    invoice_id text NOT NULL,
    version    bigint NOT NULL CHECK (version >= 0),
    is_asked   boolean NOT NULL DEFAULT false,
    due_time   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, invoice_id)
);
CREATE INDEX hand_over_due ON hand_over (due_time);
INSERT INTO hand_over (tenant_id, invoice_id, version, is_asked, due_time)
SELECT tenant_id, id, payment_version, is_with_payments, hand_over_time FROM invoice WHERE hand_over_time IS NOT NULL;

ALTER TABLE invoice
    DROP COLUMN hand_over_time,
    DROP COLUMN is_with_payments,
    ADD CONSTRAINT a_draft_is_not_collected
        CHECK (state <> 'draft' OR (payment_status = 'pending' AND payment_id IS NULL));

-- The same rule as before, without writing both rows as JSON.
CREATE OR REPLACE FUNCTION keep_finalized_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kept invoice := NEW;
BEGIN
    kept.payment_status := OLD.payment_status;
    kept.amount_paid_minor := OLD.amount_paid_minor;
    kept.payment_id := OLD.payment_id;
    kept.payment_revision := OLD.payment_revision;
    kept.payment_version := OLD.payment_version;
    kept.state := OLD.state;
    kept.offset_minor := OLD.offset_minor;
    kept.amount_due_minor := OLD.amount_due_minor;
    kept.payment_overdue := OLD.payment_overdue;
    kept.overdue_time := OLD.overdue_time;
    IF kept IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'invoice % is finalized and never changes', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.state <> OLD.state AND (OLD.state, NEW.state) <> ('finalized', 'voided'))
        OR NEW.offset_minor < OLD.offset_minor
        OR (OLD.state = 'voided' AND NEW.offset_minor <> OLD.offset_minor) THEN
        RAISE EXCEPTION 'invoice % is only voided, or offset until then', OLD.number
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

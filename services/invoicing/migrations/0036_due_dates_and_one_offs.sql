-- An invoice is due to be paid on its due_date; from `overdue_from` on, by the tenant's clock, it is overdue unless it is paid.
-- `overdue_time` is when that was found.
ALTER TABLE invoice
    ADD COLUMN due_date date,
    ADD COLUMN overdue_from timestamptz,
    ADD COLUMN payment_overdue boolean NOT NULL DEFAULT false,
    ADD COLUMN overdue_time timestamptz,
    ADD CONSTRAINT what_is_overdue_is_owed
        CHECK (NOT payment_overdue OR (state = 'finalized' AND payment_status <> 'succeeded' AND overdue_time IS NOT NULL));
CREATE INDEX invoice_overdue ON invoice (tenant_id, overdue_from)
    WHERE state = 'finalized' AND payment_status <> 'succeeded' AND NOT payment_overdue;

CREATE OR REPLACE FUNCTION keep_finalized_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    movable constant text[] := '{payment_status,amount_paid_minor,payment_id,payment_revision,hand_over_time,'
        'is_with_payments,payment_version,state,offset_minor,amount_due_minor,payment_overdue,overdue_time}';
BEGIN
    IF to_jsonb(OLD) - movable <> to_jsonb(NEW) - movable THEN
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

-- A one-off invoice settles nothing, and is made by a request.
ALTER TABLE invoice
    DROP CONSTRAINT invoice_kind_check,
    ALTER COLUMN billing_run_id DROP NOT NULL,
    ADD COLUMN request_id uuid,
    ADD COLUMN request_hash bytea,
    ADD UNIQUE (tenant_id, request_id),
    ADD CONSTRAINT invoice_kind_check CHECK (kind IN ('subscription', 'one_off')),
    ADD CONSTRAINT what_is_billed_is_of_a_run CHECK ((kind = 'one_off') = (billing_run_id IS NULL)),
    ADD CONSTRAINT a_one_off_is_asked_for CHECK ((kind = 'one_off') = (request_id IS NOT NULL)),
    ADD CHECK ((request_id IS NULL) = (request_hash IS NULL));

-- A voided invoice may be made again, once: the new one takes over its settlements, which are void then where they were.
ALTER TABLE invoice
    ADD COLUMN regenerated_from text,
    ADD UNIQUE (tenant_id, regenerated_from),
    ADD FOREIGN KEY (tenant_id, regenerated_from) REFERENCES invoice (tenant_id, id);
DROP INDEX invoice_collecting;
CREATE UNIQUE INDEX invoice_collecting ON invoice (tenant_id, customer_id, currency, due_time, alone_subscription_id)
    WHERE state = 'draft' AND kind = 'subscription' AND NOT is_sealed AND regenerated_from IS NULL;

ALTER TABLE invoice_settlement
    DROP CONSTRAINT invoice_settlement_pkey,
    ADD COLUMN is_void boolean NOT NULL DEFAULT false,
    ADD PRIMARY KEY (tenant_id, invoice_id, subscription_id, phase_number, due_time, is_opening);
CREATE UNIQUE INDEX invoice_settlement_once
    ON invoice_settlement (tenant_id, subscription_id, phase_number, due_time, is_opening) WHERE NOT is_void;
DROP INDEX invoice_settlement_invoice;

CREATE FUNCTION keep_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.is_void OR to_jsonb(OLD) - 'is_void' <> to_jsonb(NEW) - 'is_void'
        OR NOT EXISTS (SELECT FROM invoice WHERE tenant_id = OLD.tenant_id AND id = OLD.invoice_id AND state = 'voided')
    THEN
        RAISE EXCEPTION 'a settlement of % is only taken over once it is void', OLD.invoice_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
DROP TRIGGER settlement_is_immutable ON invoice_settlement;
CREATE TRIGGER settlement_is_immutable BEFORE UPDATE ON invoice_settlement
    FOR EACH ROW EXECUTE FUNCTION keep_settlement();
CREATE TRIGGER settlement_is_kept BEFORE DELETE OR TRUNCATE ON invoice_settlement
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();

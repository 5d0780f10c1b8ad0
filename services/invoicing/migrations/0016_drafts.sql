-- A draft waits until `draft_until`, by the tenant's clock: its lines may be replaced until it is finalized. A settlement says
-- which usage it bills; once its draft was refreshed, that is billed up to the draft's `watermark`, whatever is the
-- subscription's. A draft that `needs_refresh` is refreshed before it is finalized. `revision` moves with its contents.
ALTER TABLE invoice_settlement DISABLE TRIGGER settlement_is_immutable;
ALTER TABLE invoice_settlement
    ADD COLUMN usage_start timestamptz,
    ADD COLUMN usage_end timestamptz,
    ADD COLUMN fee_start timestamptz,
    ADD COLUMN fee_end timestamptz;
UPDATE invoice_settlement s SET usage_start = l.period_start, usage_end = l.period_end
FROM invoice_line l WHERE l.tenant_id = s.tenant_id AND l.invoice_id = s.invoice_id AND l.kind = 'usage'
    AND l.subscription_id = s.subscription_id AND l.phase_number = s.phase_number AND NOT s.is_opening;
UPDATE invoice_settlement s SET fee_start = l.period_start, fee_end = l.period_end
FROM invoice_line l WHERE l.tenant_id = s.tenant_id AND l.invoice_id = s.invoice_id AND l.kind = 'base_fee'
    AND l.subscription_id = s.subscription_id AND l.phase_number = s.phase_number;
ALTER TABLE invoice_settlement ENABLE TRIGGER settlement_is_immutable;
ALTER TABLE invoice_settlement
    ADD CHECK ((usage_start IS NULL) = (usage_end IS NULL) AND (fee_start IS NULL) = (fee_end IS NULL)),
    ADD CHECK (usage_start < usage_end AND fee_start < fee_end);

DROP INDEX invoice_draft;
ALTER TABLE invoice DISABLE TRIGGER finalized_invoice_is_immutable;
ALTER TABLE invoice
    ADD COLUMN draft_until timestamptz,
    ADD COLUMN needs_refresh boolean NOT NULL DEFAULT false,
    ADD COLUMN watermark bigint NOT NULL DEFAULT 0 CHECK (watermark >= 0),
    ADD COLUMN revision bigint NOT NULL DEFAULT 0;
UPDATE invoice SET draft_until = due_time;
ALTER TABLE invoice ENABLE TRIGGER finalized_invoice_is_immutable;
ALTER TABLE invoice
    ALTER COLUMN draft_until SET NOT NULL,
    ADD CONSTRAINT what_is_final_is_fresh CHECK (state = 'draft' OR NOT needs_refresh);
CREATE INDEX invoice_draft ON invoice (tenant_id, draft_until, id) WHERE state = 'draft';

-- Lines of a draft are replaced, those of another invoice never.
DROP TRIGGER line_is_immutable ON invoice_line;
CREATE TRIGGER line_is_immutable BEFORE UPDATE OR TRUNCATE ON invoice_line
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();
CREATE TRIGGER line_is_taken_off_draft AFTER DELETE ON invoice_line REFERENCING OLD TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION require_draft();

-- What comes to nothing may be closed without a number.
ALTER TABLE invoice
    DROP CONSTRAINT invoice_state_check,
    DROP CONSTRAINT a_draft_has_no_number,
    DROP CONSTRAINT a_draft_has_no_sequence,
    ADD CONSTRAINT invoice_state_check CHECK (state IN ('draft', 'finalized', 'voided', 'closed')),
    ADD CONSTRAINT a_draft_has_no_number CHECK ((state IN ('draft', 'closed')) = (number IS NULL)),
    ADD CONSTRAINT a_draft_has_no_sequence CHECK ((state IN ('draft', 'closed')) = (sequence IS NULL)),
    ADD CONSTRAINT what_is_closed_is_nothing CHECK (state <> 'closed' OR total_minor = 0);

-- Draft requests that were made, by request.
CREATE TABLE draft_request (
    tenant_id    text        NOT NULL,
    request_id   uuid        NOT NULL,
    request_hash bytea       NOT NULL,
    invoice_id   text        NOT NULL,
    create_time  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoice (tenant_id, id)
);

-- Units and what one costs: of an add-on, or as a line of a draft was adjusted; adjusted units without an amount are priced by the
-- plan.
ALTER TABLE invoice_line
    DROP CONSTRAINT invoice_line_kind_check,
    ADD COLUMN units numeric(38, 12) CHECK (units >= 0),
    ADD COLUMN unit_amount numeric(38, 12) CHECK (unit_amount >= 0),
    ADD COLUMN is_adjusted boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT invoice_line_kind_check CHECK (kind IN ('base_fee', 'usage', 'late_usage', 'add_on')),
    ADD CONSTRAINT an_amount_is_of_units CHECK (unit_amount IS NULL OR units IS NOT NULL),
    ADD CONSTRAINT an_add_on_has_units CHECK (kind <> 'add_on' OR unit_amount IS NOT NULL),
    ADD CONSTRAINT only_an_add_on_or_an_adjustment_has_units CHECK (units IS NULL OR is_adjusted OR kind = 'add_on');

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

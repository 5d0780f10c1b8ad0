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

-- An invoice is a customer's: it settles the periods of one or several subscriptions, and a line says what it is for. Lines are
-- collected on a draft, one for each customer, currency and due time, until every subscription that is due then is billed;
-- one that is `invoiced_alone` has drafts of its own. What totals and taxes a draft comes to is computed when it is finalized.
CREATE TABLE invoice_settlement (
    tenant_id       text NOT NULL,
    invoice_id      text NOT NULL,
    subscription_id text NOT NULL,
    phase_number    integer NOT NULL CHECK (phase_number > 0),
    plan_code       text NOT NULL,
    plan_version    integer NOT NULL CHECK (plan_version > 0),
    period_start    timestamptz NOT NULL,
    period_end      timestamptz NOT NULL,
    due_time        timestamptz NOT NULL,
    is_opening      boolean NOT NULL,
    PRIMARY KEY (tenant_id, subscription_id, phase_number, due_time, is_opening),
    FOREIGN KEY (tenant_id, subscription_id) REFERENCES subscription (tenant_id, id),
    CHECK (period_start < period_end)
);

INSERT INTO invoice_settlement
SELECT tenant_id, id, subscription_id, phase_number, plan_code, plan_version, period_start, period_end, due_time, is_opening
FROM invoice;

CREATE INDEX invoice_settlement_invoice ON invoice_settlement (tenant_id, invoice_id);
CREATE TRIGGER settlement_is_on_draft AFTER INSERT ON invoice_settlement REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION require_draft();
CREATE TRIGGER settlement_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON invoice_settlement
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();

ALTER TABLE invoice_line DISABLE TRIGGER line_is_immutable;
ALTER TABLE invoice_line
    ADD COLUMN kind text CHECK (kind IN ('base_fee', 'usage')),
    ADD COLUMN subscription_id text,
    ADD COLUMN phase_number integer,
    ADD COLUMN plan_code text,
    ADD COLUMN plan_version integer;
UPDATE invoice_line l
SET kind = CASE WHEN l.rating IS NULL THEN 'base_fee' ELSE 'usage' END, subscription_id = s.subscription_id,
    phase_number = s.phase_number, plan_code = s.plan_code, plan_version = s.plan_version
FROM invoice_settlement s WHERE s.tenant_id = l.tenant_id AND s.invoice_id = l.invoice_id;
ALTER TABLE invoice_line ENABLE TRIGGER line_is_immutable;
ALTER TABLE invoice_line
    ALTER COLUMN kind SET NOT NULL,
    DROP CONSTRAINT invoice_line_check1,
    ADD CONSTRAINT a_base_fee_is_a_part_of_one CHECK ((kind = 'base_fee') = (fee_minor IS NOT NULL)),
    ADD CONSTRAINT usage_is_rated CHECK ((kind = 'usage') = (rating IS NOT NULL)),
    ADD CONSTRAINT a_source_is_whole CHECK (
        num_nulls(subscription_id, phase_number, plan_code, plan_version) IN (0, 4)
    );

DROP INDEX invoice_draft;
ALTER TABLE invoice
    DROP COLUMN subscription_id,
    DROP COLUMN phase_number,
    DROP COLUMN plan_code,
    DROP COLUMN plan_version,
    DROP COLUMN period_start,
    DROP COLUMN period_end,
    DROP COLUMN is_opening,
    DROP CONSTRAINT invoice_subtotal_minor_check,
    DROP CONSTRAINT invoice_tax_minor_check,
    DROP CONSTRAINT nobody_owes_less_than_nothing,
    ADD COLUMN alone_subscription_id text NOT NULL DEFAULT '',
    ADD COLUMN line_count integer NOT NULL DEFAULT 0 CHECK (line_count >= 0),
    ADD CONSTRAINT nobody_owes_less_than_nothing
        CHECK (state = 'draft' OR (subtotal_minor >= 0 AND tax_minor >= 0 AND amount_due_minor >= 0));
CREATE UNIQUE INDEX invoice_collecting ON invoice (tenant_id, customer_id, currency, due_time, alone_subscription_id)
    WHERE state = 'draft' AND kind = 'subscription';
CREATE INDEX invoice_draft ON invoice (tenant_id, due_time, id) WHERE state = 'draft';

ALTER TABLE subscription ADD COLUMN invoiced_alone boolean NOT NULL DEFAULT false;
CREATE INDEX subscription_due_of_customer ON subscription (tenant_id, customer_id, due_time);

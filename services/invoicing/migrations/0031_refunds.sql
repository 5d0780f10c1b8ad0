-- Money that payments gives back. A note of kind refund is its own outbox row: at refund_due_time payments is asked for it.
ALTER TABLE credit_note
    DROP CONSTRAINT credit_note_kind_check,
    ADD CHECK (kind IN ('credit', 'offset', 'refund')),
    ADD COLUMN refund_state text CHECK (refund_state IN ('pending', 'succeeded', 'failed')),
    ADD COLUMN refund_failure text NOT NULL DEFAULT '',
    ADD COLUMN refund_due_time timestamptz,
    ADD CONSTRAINT a_refund_has_a_state CHECK ((kind = 'refund') = (refund_state IS NOT NULL)),
    ADD CONSTRAINT only_what_failed_has_a_reason CHECK ((refund_failure <> '') = (refund_state IS NOT DISTINCT FROM 'failed')),
    ADD CONSTRAINT only_pending_refunds_are_asked_for CHECK (refund_due_time IS NULL OR refund_state = 'pending');
CREATE INDEX credit_note_refund_due ON credit_note (refund_due_time) WHERE refund_due_time IS NOT NULL;

CREATE OR REPLACE FUNCTION keep_credit_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    movable constant text[] := '{balance_minor,voided_minor,refund_state,refund_failure,refund_due_time}';
BEGIN
    IF to_jsonb(OLD) - movable <> to_jsonb(NEW) - movable THEN
        RAISE EXCEPTION 'credit note % never changes', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

-- Every refund that payments has told of, by the latest revision; credit_note_id is empty when it was asked for in payments.
CREATE TABLE refund (
    tenant_id      text NOT NULL,
    id             text NOT NULL,
    invoice_id     text NOT NULL,
    credit_note_id text NOT NULL,
    amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
    currency       char(3) NOT NULL,
    state          text NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed')),
    failure        text NOT NULL,
    revision       bigint NOT NULL CHECK (revision > 0),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoice (tenant_id, id),
    CONSTRAINT failed_iff_reason CHECK ((state = 'failed') = (failure <> ''))
);
CREATE INDEX refund_of_invoice ON refund (tenant_id, invoice_id);

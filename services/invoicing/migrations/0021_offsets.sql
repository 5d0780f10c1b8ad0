-- Days paid in advance that are not used may be refunded, or offset against what is still due of their invoice. Where payments has that, it must
-- give it back first, so the offset waits here for a sweep.
ALTER TABLE subscription_phase
    DROP CONSTRAINT subscription_phase_on_unused_fee_check,
    ADD CONSTRAINT subscription_phase_on_unused_fee_check CHECK (on_unused_fee IN ('keep', 'credit', 'offset', 'refund'));

CREATE TABLE waiting_offset (
    tenant_id      text        NOT NULL,
    request_id     uuid        NOT NULL,  -- that of the note to be made
    invoice_id     text        NOT NULL,
    description    text        NOT NULL,
    line_positions integer[]   NOT NULL CHECK (cardinality(line_positions) > 0),
    amounts_minor  bigint[]    NOT NULL CHECK (cardinality(amounts_minor) = cardinality(line_positions)),
    available_time timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoice (tenant_id, id)
);

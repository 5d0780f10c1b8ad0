-- What was collected and given back, on the rows that it is about: an attempt is over what was due when it began.
ALTER TABLE payment_attempt
    ADD COLUMN minor_units bigint,
    ADD COLUMN refunded_minor bigint NOT NULL DEFAULT 0;
UPDATE payment_attempt a SET minor_units = p.minor_units
FROM payment p WHERE p.tenant_id = a.tenant_id AND p.id = a.payment_id;
ALTER TABLE payment_attempt
    ALTER COLUMN minor_units SET NOT NULL,
    ADD CHECK (minor_units > 0),
    ADD CONSTRAINT only_what_was_charged_is_refunded CHECK (
        refunded_minor BETWEEN 0 AND CASE state WHEN 'SUCCEEDED' THEN minor_units ELSE 0 END
    );

-- charged_minor is the sum of its succeeded attempts; refunded_minor that of its refunds that did not fail.
ALTER TABLE payment
    ADD COLUMN charged_minor bigint NOT NULL DEFAULT 0 CHECK (charged_minor >= 0),
    ADD COLUMN manual_minor bigint NOT NULL DEFAULT 0 CHECK (manual_minor >= 0),
    ADD COLUMN refunded_minor bigint NOT NULL DEFAULT 0;
UPDATE payment p SET charged_minor = a.minor_units
FROM (SELECT tenant_id, payment_id, sum(minor_units) AS minor_units FROM payment_attempt
      WHERE state = 'SUCCEEDED' GROUP BY tenant_id, payment_id) a
WHERE p.tenant_id = a.tenant_id AND p.id = a.payment_id;
ALTER TABLE payment
    ADD CONSTRAINT only_what_was_paid_is_refunded CHECK (refunded_minor BETWEEN 0 AND charged_minor + manual_minor),
    ADD CONSTRAINT succeeded_when_paid CHECK (state <> 'SUCCEEDED' OR charged_minor + manual_minor >= minor_units);

-- Money given back. It is recorded as SUBMITTING before the processor is called; attempt_number is of the charge that is
-- given back of, none when the money went back past the processors.
CREATE TABLE refund (
    tenant_id         text NOT NULL,
    id                text NOT NULL,
    payment_id        text NOT NULL,
    attempt_number    int,
    credit_note_id    text NOT NULL DEFAULT '',
    reason            text NOT NULL DEFAULT '',
    manual_reference  text NOT NULL DEFAULT '',
    minor_units       bigint NOT NULL CHECK (minor_units > 0),
    currency          char(3) NOT NULL,
    state             text NOT NULL CHECK (state IN ('SUBMITTING', 'UNKNOWN', 'PENDING', 'SUCCEEDED', 'FAILED')),
    key_generation    int NOT NULL DEFAULT 1,
    submit_time       timestamptz,  -- when the key was first sent
    reference         text NOT NULL DEFAULT '',
    failure_code      text NOT NULL DEFAULT '',
    failure_message   text NOT NULL DEFAULT '',
    due_time          timestamptz,  -- when the processor is called or asked next
    tries             int NOT NULL DEFAULT 0,
    revision          bigint NOT NULL DEFAULT 1,
    reported_revision bigint NOT NULL DEFAULT 0,
    report_due_time   timestamptz NOT NULL,
    report_tries      int NOT NULL DEFAULT 0,
    create_time       timestamptz NOT NULL,
    request_id        uuid NOT NULL,
    request_hash      bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, request_id),
    FOREIGN KEY (tenant_id, payment_id) REFERENCES payment (tenant_id, id),
    FOREIGN KEY (tenant_id, payment_id, attempt_number) REFERENCES payment_attempt (tenant_id, payment_id, number),
    CONSTRAINT by_a_processor_or_by_hand CHECK ((attempt_number IS NULL) = (manual_reference <> '')),
    CONSTRAINT known_to_processor CHECK (reference <> '' OR manual_reference <> '' OR state NOT IN ('PENDING', 'SUCCEEDED')),
    CONSTRAINT concluded_iff_not_due CHECK ((state IN ('SUCCEEDED', 'FAILED')) = (due_time IS NULL)),
    CONSTRAINT failed_iff_code CHECK ((state = 'FAILED') = (failure_code <> '')),
    CONSTRAINT reported_is_past CHECK (reported_revision <= revision)
);
CREATE UNIQUE INDEX refund_of_credit_note ON refund (tenant_id, credit_note_id) WHERE credit_note_id <> '';
CREATE INDEX refund_of_payment ON refund (tenant_id, payment_id, id);
CREATE INDEX refund_due ON refund (due_time) WHERE due_time IS NOT NULL;
CREATE INDEX refund_report_due ON refund (report_due_time) WHERE reported_revision < revision;
CREATE INDEX refund_reference ON refund (tenant_id, reference) WHERE reference <> '';

CREATE TABLE refund_retry (
    tenant_id    text NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL,
    refund_id    text NOT NULL,
    create_time  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (tenant_id, refund_id) REFERENCES refund (tenant_id, id)
);

-- What `reference` is the id of.
ALTER TABLE webhook_event ADD COLUMN subject text NOT NULL DEFAULT 'CHARGE';
ALTER TABLE webhook_event ALTER COLUMN subject DROP DEFAULT;

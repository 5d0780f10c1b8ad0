CREATE TABLE processor_account (
    tenant_id    text NOT NULL,
    id           text NOT NULL,
    processor    text NOT NULL CHECK (processor IN ('stripe')),
    credentials  bytea NOT NULL,  -- encrypted, see vault.py
    create_time  timestamptz NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, request_id)
);

CREATE TABLE processor_customer (
    tenant_id            text NOT NULL,
    processor_account_id text NOT NULL,
    customer_id          text NOT NULL,
    reference            text NOT NULL DEFAULT '',  -- the processor's id of the customer; empty until it is known
    key_generation       int NOT NULL DEFAULT 0,
    create_time          timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, processor_account_id, customer_id),
    FOREIGN KEY (tenant_id, processor_account_id) REFERENCES processor_account (tenant_id, id)
);

CREATE TABLE payment_method (
    tenant_id            text NOT NULL,
    id                   text NOT NULL,
    customer_id          text NOT NULL,
    processor_account_id text NOT NULL,
    processor_token      text NOT NULL,
    state                text NOT NULL CHECK (state IN ('SAVING', 'ACTIVE', 'REFUSED')),
    reference            text NOT NULL DEFAULT '',
    label                text NOT NULL DEFAULT '',
    refusal_code         text NOT NULL DEFAULT '',
    refusal_message      text NOT NULL DEFAULT '',
    key_generation       int NOT NULL DEFAULT 0,
    due_time             timestamptz,  -- when the worker looks at it next
    tries                int NOT NULL DEFAULT 0,
    create_time          timestamptz NOT NULL,
    request_id           uuid NOT NULL,
    request_hash         bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, request_id),
    FOREIGN KEY (tenant_id, processor_account_id, customer_id)
        REFERENCES processor_customer (tenant_id, processor_account_id, customer_id),
    CONSTRAINT active_iff_known_to_processor CHECK ((state = 'ACTIVE') = (reference <> '')),
    CONSTRAINT refused_iff_reason CHECK ((state = 'REFUSED') = (refusal_code <> '')),
    CONSTRAINT saving_iff_due CHECK ((state = 'SAVING') = (due_time IS NOT NULL))
);
CREATE INDEX payment_method_of_customer ON payment_method (tenant_id, customer_id, id);
CREATE INDEX payment_method_due ON payment_method (due_time) WHERE state = 'SAVING';

CREATE TABLE payment (
    tenant_id         text NOT NULL,
    id                text NOT NULL,
    invoice_id        text NOT NULL,
    invoice_number    text NOT NULL,
    customer_id       text NOT NULL,
    minor_units       bigint NOT NULL CHECK (minor_units > 0),
    currency          char(3) NOT NULL,
    state             text NOT NULL CHECK (
        state IN ('PENDING', 'PROCESSING', 'SUCCEEDED', 'FAILED', 'REQUIRES_ACTION', 'AWAITING_METHOD')
    ),
    due_time          timestamptz,  -- of the next attempt
    revision          bigint NOT NULL DEFAULT 1,
    reported_revision bigint NOT NULL DEFAULT 0,
    report_due_time   timestamptz NOT NULL,
    report_tries      int NOT NULL DEFAULT 0,
    create_time       timestamptz NOT NULL,
    request_id        uuid NOT NULL,
    request_hash      bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, invoice_id),
    UNIQUE (tenant_id, request_id),
    CONSTRAINT pending_iff_due CHECK ((state = 'PENDING') = (due_time IS NOT NULL)),
    CONSTRAINT reported_is_past CHECK (reported_revision <= revision)
);
CREATE INDEX payment_of_customer ON payment (tenant_id, customer_id, id);
CREATE INDEX payment_due ON payment (due_time) WHERE state = 'PENDING';
CREATE INDEX payment_report_due ON payment (report_due_time) WHERE reported_revision < revision;

CREATE TABLE payment_retry (
    tenant_id    text NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL,
    payment_id   text NOT NULL,
    create_time  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (tenant_id, payment_id) REFERENCES payment (tenant_id, id)
);

CREATE TABLE payment_attempt (
    tenant_id            text NOT NULL,
    payment_id           text NOT NULL,
    number               int NOT NULL CHECK (number > 0),
    payment_method_id    text NOT NULL,
    processor_account_id text NOT NULL,
    state                text NOT NULL CHECK (
        state IN ('SUBMITTING', 'PENDING', 'SUCCEEDED', 'DECLINED', 'REQUIRES_ACTION', 'UNKNOWN')
    ),
    idempotency_key      text NOT NULL,
    reference            text NOT NULL DEFAULT '',
    decline_code         text NOT NULL DEFAULT '',
    decline_message      text NOT NULL DEFAULT '',
    due_time             timestamptz,  -- end of the lease of whoever submits it, then when the processor is asked next
    tries                int NOT NULL DEFAULT 0,
    create_time          timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, payment_id, number),
    UNIQUE (tenant_id, idempotency_key),
    FOREIGN KEY (tenant_id, payment_id) REFERENCES payment (tenant_id, id),
    FOREIGN KEY (tenant_id, payment_method_id) REFERENCES payment_method (tenant_id, id),
    CONSTRAINT known_to_processor CHECK (reference <> '' OR state NOT IN ('PENDING', 'SUCCEEDED', 'REQUIRES_ACTION')),
    CONSTRAINT concluded_iff_not_due CHECK ((state IN ('SUCCEEDED', 'DECLINED')) = (due_time IS NULL)),
    CONSTRAINT declined_with_code CHECK ((state IN ('DECLINED', 'REQUIRES_ACTION')) = (decline_code <> ''))
);
CREATE UNIQUE INDEX payment_attempt_one_under_way ON payment_attempt (tenant_id, payment_id)
    WHERE state IN ('SUBMITTING', 'PENDING', 'UNKNOWN');
CREATE INDEX payment_attempt_due ON payment_attempt (due_time) WHERE due_time IS NOT NULL;
CREATE INDEX payment_attempt_reference ON payment_attempt (tenant_id, processor_account_id, reference)
    WHERE reference <> '';

CREATE TABLE webhook_event (
    tenant_id            text NOT NULL,
    processor_account_id text NOT NULL,
    id                   text NOT NULL,
    type                 text NOT NULL,
    reference            text NOT NULL,
    body                 bytea NOT NULL,  -- as received
    state                text NOT NULL CHECK (state IN ('RECEIVED', 'PROCESSED', 'PARKED')),
    due_time             timestamptz,
    tries                int NOT NULL DEFAULT 0,
    receive_time         timestamptz NOT NULL,
    processed_time       timestamptz,
    error                text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, processor_account_id, id),
    FOREIGN KEY (tenant_id, processor_account_id) REFERENCES processor_account (tenant_id, id),
    CONSTRAINT received_iff_due CHECK ((state = 'RECEIVED') = (due_time IS NOT NULL)),
    CONSTRAINT processed_iff_time CHECK ((state = 'PROCESSED') = (processed_time IS NOT NULL)),
    CONSTRAINT parked_with_reason CHECK (state <> 'PARKED' OR error <> '')
);
CREATE INDEX webhook_event_due ON webhook_event (due_time) WHERE state = 'RECEIVED';
CREATE INDEX webhook_event_parked ON webhook_event (tenant_id, receive_time) WHERE state = 'PARKED';

-- Money that came past the processors, and a receipt for all that came.
CREATE TABLE manual_payment (
    tenant_id    text NOT NULL,
    id           text NOT NULL,
    payment_id   text NOT NULL,
    minor_units  bigint NOT NULL CHECK (minor_units > 0),
    currency     char(3) NOT NULL,
    reference    text NOT NULL CHECK (reference <> ''),
    receive_date date NOT NULL,
    create_time  timestamptz NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, request_id),
    FOREIGN KEY (tenant_id, payment_id) REFERENCES payment (tenant_id, id)
);
CREATE INDEX manual_payment_of_payment ON manual_payment (tenant_id, payment_id, id);

-- The numbers of a tenant's receipts are 1, 2, 3 …: this row is locked until a number is committed.
CREATE TABLE receipt_counter (
    tenant_id text NOT NULL PRIMARY KEY,
    last      bigint NOT NULL CHECK (last > 0)
);

-- Money received, of a charge (attempt_number) or by hand (manual_payment_id).
CREATE TABLE receipt (
    tenant_id         text NOT NULL,
    id                text NOT NULL,
    sequence          bigint NOT NULL CHECK (sequence > 0),
    payment_id        text NOT NULL,
    attempt_number    int,
    manual_payment_id text,
    minor_units       bigint NOT NULL CHECK (minor_units > 0),
    currency          char(3) NOT NULL,
    create_time       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, sequence),
    UNIQUE (tenant_id, payment_id, attempt_number),
    UNIQUE (tenant_id, manual_payment_id),
    FOREIGN KEY (tenant_id, payment_id) REFERENCES payment (tenant_id, id),
    FOREIGN KEY (tenant_id, payment_id, attempt_number) REFERENCES payment_attempt (tenant_id, payment_id, number),
    FOREIGN KEY (tenant_id, manual_payment_id) REFERENCES manual_payment (tenant_id, id),
    CONSTRAINT of_one_of_them CHECK ((attempt_number IS NULL) <> (manual_payment_id IS NULL))
);
CREATE INDEX receipt_of_payment ON receipt (tenant_id, payment_id, id);

-- A page of a processor's on which a customer pays. Its attempt waits for the customer, has no method, and no reference before
-- there is a charge. `reference` and `url` are empty until the processor has answered.
ALTER TABLE payment_attempt
    ALTER COLUMN payment_method_id DROP NOT NULL,
    DROP CONSTRAINT known_to_processor,
    ADD CONSTRAINT known_to_processor CHECK (
        reference <> '' OR state NOT IN ('PENDING', 'SUCCEEDED', 'REQUIRES_ACTION')
        OR (state = 'REQUIRES_ACTION' AND payment_method_id IS NULL)
    );

CREATE TABLE payment_page (
    tenant_id            text NOT NULL,
    id                   text NOT NULL,
    payment_id           text NOT NULL,
    attempt_number       int NOT NULL,
    processor_account_id text NOT NULL,
    return_url           text NOT NULL,
    reference            text NOT NULL DEFAULT '',
    url                  text NOT NULL DEFAULT '',
    expire_time          timestamptz NOT NULL,
    create_time          timestamptz NOT NULL,
    request_id           uuid NOT NULL,
    request_hash         bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, request_id),
    UNIQUE (tenant_id, payment_id, attempt_number),
    FOREIGN KEY (tenant_id, payment_id, attempt_number) REFERENCES payment_attempt (tenant_id, payment_id, number),
    CONSTRAINT shown_when_known CHECK ((reference = '') = (url = ''))
);

-- What the card's network, or the processor, advises with a decline.
ALTER TABLE payment_attempt ADD COLUMN advice_code text NOT NULL DEFAULT '';

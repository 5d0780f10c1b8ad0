-- Accounts at more processors than Stripe, whose keys can be replaced, and which count the webhooks that nobody signed.
ALTER TABLE processor_account
    DROP CONSTRAINT processor_account_processor_check,
    ADD CHECK (processor IN ('stripe', 'adyen', 'gocardless')),
    ADD COLUMN caught_up_time timestamptz,  -- what happened before has been listed
    ADD COLUMN catch_up_due_time timestamptz,
    ADD COLUMN refused_webhook_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN refused_webhook_time timestamptz,
    ADD CONSTRAINT refused_iff_time CHECK ((refused_webhook_count > 0) = (refused_webhook_time IS NOT NULL));

UPDATE processor_account SET catch_up_due_time = create_time;
ALTER TABLE processor_account ALTER COLUMN catch_up_due_time SET NOT NULL;
CREATE INDEX processor_account_behind ON processor_account (catch_up_due_time);

CREATE TABLE processor_account_update (
    tenant_id            text NOT NULL,
    request_id           uuid NOT NULL,
    request_hash         bytea NOT NULL,
    processor_account_id text NOT NULL,
    create_time          timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (tenant_id, processor_account_id) REFERENCES processor_account (tenant_id, id)
);

-- Pages on which customers save methods: who asked for one, with which request.
CREATE TABLE setup_page (
    tenant_id            text NOT NULL,
    request_id           uuid NOT NULL,
    request_hash         bytea NOT NULL,
    processor_account_id text NOT NULL,
    customer_id          text NOT NULL,
    create_time          timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (tenant_id, processor_account_id, customer_id)
        REFERENCES processor_customer (tenant_id, processor_account_id, customer_id)
);

-- An event about a method that a customer has saved says whose it is, in the processor's words.
ALTER TABLE webhook_event ADD COLUMN customer_reference text NOT NULL DEFAULT '';
CREATE INDEX payment_method_token ON payment_method (tenant_id, processor_account_id, processor_token);
CREATE INDEX processor_customer_reference ON processor_customer (tenant_id, processor_account_id, reference)
    WHERE reference <> '';

-- Comparing our records with a processor's, a UTC day of an account at a time. The row is the job.
CREATE TABLE reconciliation (
    tenant_id            text NOT NULL,
    processor_account_id text NOT NULL,
    day                  date NOT NULL,
    state                text NOT NULL CHECK (state IN ('PENDING', 'DONE')),
    due_time             timestamptz,
    tries                int NOT NULL DEFAULT 0,
    error                text NOT NULL DEFAULT '',  -- why the last try came to nothing
    charge_count         int NOT NULL DEFAULT 0,
    refund_count         int NOT NULL DEFAULT 0,
    payout_count         int NOT NULL DEFAULT 0,
    difference_count     int NOT NULL DEFAULT 0,
    end_time             timestamptz,
    PRIMARY KEY (tenant_id, processor_account_id, day),
    FOREIGN KEY (tenant_id, processor_account_id) REFERENCES processor_account (tenant_id, id),
    CONSTRAINT pending_iff_due CHECK ((state = 'PENDING') = (due_time IS NOT NULL)),
    CONSTRAINT done_with_end CHECK (state <> 'DONE' OR end_time IS NOT NULL)
);
CREATE INDEX reconciliation_due ON reconciliation (due_time) WHERE state = 'PENDING';

CREATE TABLE reconciliation_difference (
    tenant_id            text NOT NULL,
    processor_account_id text NOT NULL,
    day                  date NOT NULL,
    number               int NOT NULL CHECK (number > 0),
    kind                 text NOT NULL,
    reference            text NOT NULL,
    name                 text NOT NULL,
    here                 text NOT NULL,
    there                text NOT NULL,
    PRIMARY KEY (tenant_id, processor_account_id, day, number),
    FOREIGN KEY (tenant_id, processor_account_id, day)
        REFERENCES reconciliation (tenant_id, processor_account_id, day)
);

CREATE TABLE reconciliation_request (
    tenant_id            text NOT NULL,
    request_id           uuid NOT NULL,
    request_hash         bytea NOT NULL,
    create_time          timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id)
);

-- What payouts are made of, as the processor lists it; amounts in major units of the currency, fees to any digit.
CREATE TABLE payout_item (
    tenant_id            text NOT NULL,
    processor_account_id text NOT NULL,
    payout_reference     text NOT NULL,
    number               int NOT NULL CHECK (number > 0),
    day                  date NOT NULL,  -- of the payout
    kind                 text NOT NULL CHECK (kind IN ('CHARGE', 'REFUND', 'DISPUTE', 'FEE', 'OTHER')),
    reference            text NOT NULL,
    currency             char(3) NOT NULL,
    gross                numeric(38, 12) NOT NULL,
    fee                  numeric(38, 12) NOT NULL,
    net                  numeric(38, 12) NOT NULL,
    PRIMARY KEY (tenant_id, processor_account_id, payout_reference, number),
    FOREIGN KEY (tenant_id, processor_account_id) REFERENCES processor_account (tenant_id, id)
);
CREATE INDEX payout_item_of ON payout_item (tenant_id, processor_account_id, kind, reference) WHERE reference <> '';

-- Yesterday's records are compared once the day is over.
ALTER TABLE processor_account ADD COLUMN reconcile_due_time timestamptz;
UPDATE processor_account SET reconcile_due_time = create_time;
ALTER TABLE processor_account ALTER COLUMN reconcile_due_time SET NOT NULL;
CREATE INDEX processor_account_to_reconcile ON processor_account (reconcile_due_time);

-- Through which account a payment is charged: versions of a tenant's rules, of which the last is in force.
CREATE TABLE routing_policy (
    tenant_id    text NOT NULL,
    version      int NOT NULL CHECK (version > 0),
    rules        jsonb NOT NULL,
    create_time  timestamptz NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, version),
    UNIQUE (tenant_id, request_id)
);

-- The circuit breaker of an account, of all workers: no row while nothing has gone wrong. Open until `open_until`; past that, one
-- charge at a time is a probe.
CREATE TABLE processor_health (
    tenant_id            text NOT NULL,
    processor_account_id text NOT NULL,
    failures             int NOT NULL CHECK (failures >= 0),  -- more than successes
    failure_time         timestamptz NOT NULL,
    times_opened         int NOT NULL CHECK (times_opened >= 0),  -- in a row
    open_until           timestamptz,
    PRIMARY KEY (tenant_id, processor_account_id),
    FOREIGN KEY (tenant_id, processor_account_id) REFERENCES processor_account (tenant_id, id),
    CONSTRAINT open_iff_opened CHECK ((open_until IS NULL) = (times_opened = 0))
);

-- What rules look at, as invoicing knew it when it asked. `failover` says why the next attempt is to go to another account.
ALTER TABLE payment
    ADD COLUMN country_code text NOT NULL DEFAULT '',
    ADD COLUMN segment text NOT NULL DEFAULT '',
    ADD COLUMN failover text CHECK (failover IN ('LOST', 'DECLINED')),
    ADD CONSTRAINT only_pending_fails_over CHECK (failover IS NULL OR state = 'PENDING');
ALTER TABLE payment_method
    ADD COLUMN kind text NOT NULL DEFAULT 'OTHER'
        CHECK (kind IN ('CARD', 'SEPA_DEBIT', 'BACS_DEBIT', 'ACH_DEBIT', 'OTHER'));

-- Why this account and this method; none where there were no rules and nothing to choose from.
ALTER TABLE payment_attempt ADD COLUMN decision jsonb;

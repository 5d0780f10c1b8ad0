-- Every day some finalized invoices of each tenant are computed again. The sample is drawn when the day's row is made;
-- `available_time` is in real time: no worker tries an invoice before it, and it is a lease while one is at it. It is unset
-- once there is a result.
CREATE TABLE replay (
    tenant_id   text NOT NULL REFERENCES billing_clock (tenant_id),
    day         date NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, day)
);

CREATE TABLE replayed_invoice (
    tenant_id              text NOT NULL,
    day                    date NOT NULL,
    invoice_id             text NOT NULL,
    available_time         timestamptz,
    outcome                text CHECK (outcome IN ('reproduced', 'different', 'failed')),
    recomputed_total_minor bigint,
    line_numbers           integer[] NOT NULL DEFAULT '{}',
    failure_reason         text,
    failure_message        text,
    PRIMARY KEY (tenant_id, day, invoice_id),
    FOREIGN KEY (tenant_id, day) REFERENCES replay (tenant_id, day),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoice (tenant_id, id),
    CHECK ((outcome IS NULL) = (available_time IS NOT NULL)),
    CHECK ((outcome IN ('reproduced', 'different')) = (recomputed_total_minor IS NOT NULL)),
    CHECK ((outcome IS NOT DISTINCT FROM 'failed') = (failure_reason IS NOT NULL)),
    CHECK ((failure_reason IS NULL) = (failure_message IS NULL))
);
CREATE INDEX replayed_invoice_waiting ON replayed_invoice (available_time) WHERE available_time IS NOT NULL;

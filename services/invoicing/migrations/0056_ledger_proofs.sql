-- Every day each tenant's documents are compared with its ledger, some invoices at a time: up to `checked_until`. `available_time` is in
-- real time: no worker goes on before it, and it is a lease while one is at it. It is unset at the end.
CREATE TABLE ledger_proof (
    tenant_id      text        NOT NULL REFERENCES billing_clock (tenant_id),
    day            date        NOT NULL,
    create_time    timestamptz NOT NULL,
    checked_until  text        NOT NULL DEFAULT '',
    available_time timestamptz,
    complete_time  timestamptz,
    PRIMARY KEY (tenant_id, day),
    CHECK ((available_time IS NULL) = (complete_time IS NOT NULL))
);
CREATE INDEX ledger_proof_waiting ON ledger_proof (available_time) WHERE available_time IS NOT NULL;

CREATE TABLE ledger_difference (
    tenant_id       text    NOT NULL,
    day             date    NOT NULL,
    invoice_id      text    NOT NULL,
    account         text    NOT NULL,
    currency        char(3) NOT NULL,
    documents_minor bigint  NOT NULL,
    ledger_minor    bigint  NOT NULL,
    PRIMARY KEY (tenant_id, day, invoice_id, account),
    FOREIGN KEY (tenant_id, day) REFERENCES ledger_proof (tenant_id, day),
    CHECK (documents_minor <> ledger_minor)
);

-- Journals and statements are read in this order.
DROP INDEX ledger_posting_day;
CREATE INDEX ledger_posting_day ON ledger_posting (tenant_id, effective_date, invoice_id, source, leg);

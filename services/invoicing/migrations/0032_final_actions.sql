-- What payments says is to be done about an invoice that it could not collect. A campaign ends once.
CREATE TABLE final_action (
    tenant_id   text NOT NULL,
    campaign_id text NOT NULL,
    invoice_id  text NOT NULL,
    action      text NOT NULL CHECK (action IN ('cancel', 'suspend', 'write_off')),
    time        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoice (tenant_id, id)
);
CREATE INDEX final_action_of_invoice ON final_action (tenant_id, invoice_id);

-- Money of an invoice that banks have taken back, as payments tells it, by the latest revision.
CREATE TABLE dispute (
    tenant_id    text NOT NULL,
    id           text NOT NULL,
    invoice_id   text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency     char(3) NOT NULL,
    state        text NOT NULL CHECK (state IN ('open', 'lost', 'won')),
    revision     bigint NOT NULL CHECK (revision > 0),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoice (tenant_id, id)
);
CREATE INDEX dispute_of_invoice ON dispute (tenant_id, invoice_id);

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

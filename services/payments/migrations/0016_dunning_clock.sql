-- Time that was let pass for campaigns that are tried out.
CREATE TABLE dunning_passing (
    tenant_id      text NOT NULL,
    request_id     uuid NOT NULL,
    request_hash   bytea NOT NULL,
    campaign_count int NOT NULL,
    create_time    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id)
);

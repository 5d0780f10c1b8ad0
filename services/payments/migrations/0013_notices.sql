-- Where a tenant is told what has happened, by signed posts. `types` are those that it wants, all if there are none; the secrets are
-- encrypted, see vault.py. The previous one signs too until `previous_until`.
CREATE TABLE notice_endpoint (
    tenant_id       text NOT NULL,
    id              text NOT NULL,
    url             text NOT NULL,
    types           text[] NOT NULL,
    secret          bytea NOT NULL,
    previous_secret bytea,
    previous_until  timestamptz,
    is_deleted      boolean NOT NULL DEFAULT false,
    create_time     timestamptz NOT NULL,
    request_id      uuid NOT NULL,
    request_hash    bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, request_id),
    CONSTRAINT previous_for_a_while CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
);

CREATE TABLE notice_secret_change (
    tenant_id    text NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL,
    endpoint_id  text NOT NULL,
    create_time  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES notice_endpoint (tenant_id, id)
);

-- One notice to one endpoint; it is its own job.
CREATE TABLE notice_delivery (
    tenant_id   text NOT NULL,
    endpoint_id text NOT NULL,
    serial      bigint NOT NULL,
    state       text NOT NULL CHECK (state IN ('WAITING', 'DELIVERED', 'FAILED')),
    due_time    timestamptz,
    tries       int NOT NULL DEFAULT 0,
    error       text NOT NULL DEFAULT '',
    end_time    timestamptz,
    PRIMARY KEY (tenant_id, endpoint_id, serial),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES notice_endpoint (tenant_id, id),
    FOREIGN KEY (tenant_id, serial) REFERENCES notice (tenant_id, serial),
    CONSTRAINT waiting_iff_due CHECK ((state = 'WAITING') = (due_time IS NOT NULL)),
    CONSTRAINT waiting_or_ended CHECK ((state = 'WAITING') = (end_time IS NULL)),
    CONSTRAINT failed_with_reason CHECK (state <> 'FAILED' OR error <> '')
);
CREATE INDEX notice_delivery_due ON notice_delivery (due_time) WHERE state = 'WAITING';
CREATE INDEX notice_delivery_newest ON notice_delivery (tenant_id, serial, endpoint_id);

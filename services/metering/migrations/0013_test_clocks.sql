-- Where the tenant's test clock is, or is going, as invoicing has said. Tenants on real time have none.
CREATE TABLE test_clock (
    tenant_id text        PRIMARY KEY,
    now       timestamptz NOT NULL
);

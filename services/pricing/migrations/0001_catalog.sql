-- Taxes, and plans with their versions.

CREATE TABLE tax (
    tenant_id    text NOT NULL,
    code         text NOT NULL,
    name         text NOT NULL CHECK (name <> ''),
    rate_percent numeric(38, 12) NOT NULL
        CHECK (rate_percent BETWEEN 0 AND 100 AND rate_percent = round(rate_percent, 6)),
    create_time  timestamptz NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, code),
    UNIQUE (tenant_id, request_id)
);

CREATE TABLE plan (
    tenant_id      text NOT NULL,
    code           text NOT NULL,
    name           text NOT NULL CHECK (name <> ''),
    description    text NOT NULL,
    latest_version integer NOT NULL CHECK (latest_version > 0),
    create_time    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, code)
);

-- Made by CreatePlan (version 1) and by CreatePlanVersion (the others): hence the request_id is here and not in plan.
CREATE TABLE plan_version (
    tenant_id            text NOT NULL,
    plan_code            text NOT NULL,
    version              integer NOT NULL CHECK (version > 0),
    currency             char(3) NOT NULL,
    billing_interval     text NOT NULL CHECK (billing_interval IN ('monthly')),
    base_fee_minor_units bigint CHECK (base_fee_minor_units >= 0),
    charges              jsonb NOT NULL CHECK (jsonb_typeof(charges) = 'array'),
    tax_codes            text[] NOT NULL,
    create_time          timestamptz NOT NULL,
    request_id           uuid NOT NULL,
    request_hash         bytea NOT NULL,
    PRIMARY KEY (tenant_id, plan_code, version),
    UNIQUE (tenant_id, request_id),
    FOREIGN KEY (tenant_id, plan_code) REFERENCES plan (tenant_id, code)
);

-- No plan without its newest version; checked at commit, since each of the two rows needs the other.
ALTER TABLE plan
    ADD FOREIGN KEY (tenant_id, code, latest_version) REFERENCES plan_version (tenant_id, plan_code, version)
    DEFERRABLE INITIALLY DEFERRED;

-- Invoices are explained by the version that billed them, for ever.
CREATE FUNCTION refuse_to_change_plan_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a plan version never changes' USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER plan_version_is_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON plan_version
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_plan_version();

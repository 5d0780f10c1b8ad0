-- Add-ons, features, coupons and experiments: each a row with its contents as one document.

CREATE TABLE add_on (
    tenant_id    text NOT NULL,
    code         text NOT NULL,
    contents     jsonb NOT NULL,
    create_time  timestamptz NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, code),
    UNIQUE (tenant_id, request_id)
);

CREATE TABLE feature (LIKE add_on INCLUDING ALL);

CREATE TABLE coupon (LIKE add_on INCLUDING ALL);

CREATE TABLE experiment (LIKE add_on INCLUDING ALL);

-- Taxes of whatever has none of its own.
ALTER TABLE tax ADD COLUMN tenant_default boolean NOT NULL DEFAULT false;

-- What a version says beside its base fee, charges and taxes.
ALTER TABLE plan_version ADD COLUMN terms jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(terms) = 'object');

ALTER TABLE plan_version DROP CONSTRAINT plan_version_billing_interval_check;
ALTER TABLE plan_version ADD CONSTRAINT plan_version_billing_interval_check
    CHECK (billing_interval IN ('weekly', 'monthly', 'quarterly', 'semiannual', 'yearly'));

-- Overrides are versions for one subscription, numbered apart so that the catalog's stay 1, 2, 3, ….
ALTER TABLE plan ADD COLUMN latest_override integer NOT NULL DEFAULT 1000000000;

ALTER TABLE plan_version
    ADD COLUMN subscription_id text,
    ADD COLUMN base_version integer,
    ADD CHECK ((version > 1000000000) = (subscription_id IS NOT NULL)),
    ADD CHECK ((base_version IS NULL) = (subscription_id IS NULL)),
    ADD FOREIGN KEY (tenant_id, plan_code, base_version) REFERENCES plan_version (tenant_id, plan_code, version);

-- Add-ons, features and coupons: each a row with its contents as one document.

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

-- What a version says beside its base fee, charges and taxes.
ALTER TABLE plan_version ADD COLUMN terms jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(terms) = 'object');

ALTER TABLE plan_version DROP CONSTRAINT plan_version_billing_interval_check;
ALTER TABLE plan_version ADD CONSTRAINT plan_version_billing_interval_check
    CHECK (billing_interval IN ('weekly', 'monthly', 'quarterly', 'semiannual', 'yearly'));

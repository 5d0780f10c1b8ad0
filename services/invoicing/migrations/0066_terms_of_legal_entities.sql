-- What customers of a legal entity have that have none of their own: numbers, currency, days to pay and taxes.
ALTER TABLE legal_entity_version
    ADD COLUMN number_prefix text NOT NULL DEFAULT '' CHECK (number_prefix <> 'INV'),
    ADD COLUMN default_currency_code text NOT NULL DEFAULT '',
    ADD COLUMN net_payment_term_days integer NOT NULL DEFAULT 0 CHECK (net_payment_term_days BETWEEN 0 AND 1000),
    ADD COLUMN tax_codes text[] NOT NULL DEFAULT '{}';

-- The sequences of PREFIX-YYYYMM-NNNNNN. They are taken under the lock of the tenant's row in invoice_counter: hence no gaps.
CREATE TABLE legal_entity_counter (
    tenant_id     text   NOT NULL,
    code          text   NOT NULL,
    last_sequence bigint NOT NULL CHECK (last_sequence > 0),
    PRIMARY KEY (tenant_id, code),
    FOREIGN KEY (tenant_id, code) REFERENCES legal_entity (tenant_id, code)
);

-- What counts of a customer now: its own, or that of who bills it, who is NULL where the tenant has no legal entity.
CREATE VIEW customer_terms AS
    SELECT c.tenant_id, c.id AS customer_id, e.code AS legal_entity_code, e.version AS legal_entity_version,
        coalesce(nullif(c.currency, ''), v.default_currency_code, '') AS currency,
        CASE WHEN c.net_payment_term_days = 0 THEN coalesce(v.net_payment_term_days, 0)
            ELSE c.net_payment_term_days END AS net_payment_term_days,
        CASE WHEN c.tax_codes = '{}' THEN coalesce(v.tax_codes, '{}') ELSE c.tax_codes END AS tax_codes
    FROM customer c
    LEFT JOIN customer_issuer e ON e.tenant_id = c.tenant_id AND e.customer_id = c.id
    LEFT JOIN legal_entity_version v ON v.tenant_id = e.tenant_id AND v.code = e.code AND v.version = e.version;

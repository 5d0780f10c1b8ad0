-- Who bills a customer; NULL: whichever is the tenant's default. Of an invoice that is totalled, it is on its row.
ALTER TABLE customer
    ADD COLUMN legal_entity_code text,
    ADD FOREIGN KEY (tenant_id, legal_entity_code) REFERENCES legal_entity (tenant_id, code);

-- By whom what is finalized now of a customer is issued; no row where the tenant has no legal entity.
CREATE VIEW customer_issuer AS
    SELECT c.tenant_id, c.id AS customer_id, e.code, e.version FROM customer c
    JOIN legal_entity e ON e.tenant_id = c.tenant_id
        AND CASE WHEN c.legal_entity_code IS NULL THEN e.is_default ELSE e.code = c.legal_entity_code END;

-- A charge has a line for each of its filters and groups, and one that leads to its minimum or its maximum, which takes away.
ALTER TABLE invoice_line
    DROP CONSTRAINT invoice_line_pkey,
    DROP CONSTRAINT invoice_line_tenant_id_invoice_id_position_key,
    DROP CONSTRAINT invoice_line_amount_minor_check,
    ADD PRIMARY KEY (tenant_id, invoice_id, position),
    ADD CONSTRAINT only_usage_takes_away CHECK (amount_minor >= 0 OR rating IS NOT NULL);

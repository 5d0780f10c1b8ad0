-- A commitment counts what other invoices bill for its period, too: fees in advance. Its line keeps what they came to.
ALTER TABLE invoice_line
    ADD COLUMN counted_apart_minor bigint,
    ADD CONSTRAINT a_commitment_counts CHECK (counted_apart_minor IS NULL OR kind = 'commitment');

-- A bank may take money back again after it was won: `stage` counts the turns. What is lost of a payment is on it, too.
ALTER TABLE dispute ADD COLUMN stage smallint;
UPDATE dispute SET stage = CASE state WHEN 'OPEN' THEN 0 WHEN 'LOST' THEN 1 ELSE 2 END;
ALTER TABLE dispute
    ALTER COLUMN stage SET NOT NULL,
    ADD CONSTRAINT state_is_that_of_the_stage
        CHECK (state = CASE stage WHEN 0 THEN 'OPEN' WHEN 1 THEN 'LOST' WHEN 2 THEN 'WON' WHEN 3 THEN 'LOST' WHEN 4 THEN 'WON' END);

ALTER TABLE payment ADD COLUMN disputed_minor bigint NOT NULL DEFAULT 0 CHECK (disputed_minor >= 0);
UPDATE payment p SET disputed_minor = d.lost FROM (
    SELECT tenant_id, payment_id, sum(minor_units) AS lost FROM dispute WHERE state = 'LOST' GROUP BY tenant_id, payment_id
) d WHERE d.tenant_id = p.tenant_id AND d.payment_id = p.id;

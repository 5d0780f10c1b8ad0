-- Billing takes turns: each customer's first subscription, then the next two of each, the next four, and so on. So a
-- customer with very many does not keep the others waiting. `subscription_count` counts what was ever made.
ALTER TABLE customer ADD COLUMN subscription_count integer NOT NULL DEFAULT 0 CHECK (subscription_count >= 0);
ALTER TABLE subscription ADD COLUMN turn smallint NOT NULL DEFAULT 0 CHECK (turn BETWEEN 0 AND 31);

UPDATE customer c SET subscription_count = (
    SELECT count(*) FROM subscription s WHERE s.tenant_id = c.tenant_id AND s.customer_id = c.id
);
UPDATE subscription s SET turn = floor(log(2, n.number))
FROM (
    SELECT tenant_id, id, row_number() OVER (PARTITION BY tenant_id, customer_id ORDER BY create_time, id) AS number
    FROM subscription
) n
WHERE s.tenant_id = n.tenant_id AND s.id = n.id;

ALTER TABLE subscription ALTER COLUMN turn DROP DEFAULT;
CREATE INDEX subscription_turn ON subscription (tenant_id, turn, due_time);

-- A claim changes no index: with room on its page, the row stays where the indexes find it.
ALTER TABLE subscription SET (fillfactor = 75);

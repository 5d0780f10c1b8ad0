-- What was received, counted beside the events and told apart by what became of it: 'ACCEPTED', 'DUPLICATE', or the reason
-- of a refusal. `day` is that of reception, in UTC. Those accepted are counted in the transaction that records them.
CREATE TABLE intake (
    tenant_id   text   NOT NULL,
    day         date   NOT NULL,
    fate        text   NOT NULL,
    event_count bigint NOT NULL CHECK (event_count > 0),
    PRIMARY KEY (tenant_id, day, fate)
) WITH (fillfactor = 50);  -- some rows change with every transaction

INSERT INTO intake (tenant_id, day, fate, event_count)
SELECT tenant_id, (record_time AT TIME ZONE 'UTC')::date, 'ACCEPTED', count(*)
FROM event JOIN event_batch USING (sequence) JOIN tenant USING (tenant_no)
GROUP BY 1, 2;

-- Finds the batches of a day.
CREATE INDEX event_batch_by_record_time ON event_batch USING brin (record_time) WITH (pages_per_range = 16);

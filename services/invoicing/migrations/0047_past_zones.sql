-- A subscription's days are those of the zones that its customer has left, each up to an instant, and then of the customer's.
ALTER TABLE subscription
    ADD COLUMN past_zones text[] NOT NULL DEFAULT '{}',
    ADD COLUMN past_zone_ends timestamptz[] NOT NULL DEFAULT '{}',
    ADD CHECK (cardinality(past_zones) = cardinality(past_zone_ends));

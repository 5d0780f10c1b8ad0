-- Charges, and their meters, whose whole units go on from period to period: the phase that cuts a period bills them, not both.
ALTER TABLE subscription_phase
    ADD COLUMN carried_charges text[] NOT NULL DEFAULT '{}',
    ADD COLUMN carried_meters text[] NOT NULL DEFAULT '{}',
    ADD CHECK (cardinality(carried_charges) = cardinality(carried_meters));
ALTER TABLE subscription_phase ALTER COLUMN carried_charges DROP DEFAULT, ALTER COLUMN carried_meters DROP DEFAULT;

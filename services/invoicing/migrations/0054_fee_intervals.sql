-- The base fee may be for a longer interval than usage is billed by.
ALTER TABLE subscription_phase
    ADD COLUMN fee_interval text CHECK (fee_interval IN ('quarterly', 'semiannual', 'yearly'));

-- What becomes, when a phase ends, of the days that its base fee in advance was paid for and that lie after that; and whether an end
-- of the subscription makes a last invoice.
ALTER TABLE subscription_phase
    ADD COLUMN on_unused_fee text NOT NULL DEFAULT 'credit' CHECK (on_unused_fee IN ('keep', 'credit'));
ALTER TABLE subscription_phase ALTER COLUMN on_unused_fee DROP DEFAULT;
ALTER TABLE subscription ADD COLUMN has_last_invoice boolean NOT NULL DEFAULT true;

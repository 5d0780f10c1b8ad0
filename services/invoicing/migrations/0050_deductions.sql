-- Units of an add-on that were paid in advance by the day are deducted from what the next plan charges for the add-on: a line below 0
-- that says of which line on which invoice.
ALTER TABLE invoice_line
    ADD COLUMN deducted_invoice_id text,
    ADD COLUMN deducted_position integer CHECK (deducted_position >= 0),
    DROP CONSTRAINT invoice_line_kind_check,
    DROP CONSTRAINT a_base_fee_or_a_commitment_is_a_part_of_one,
    ADD CONSTRAINT invoice_line_kind_check
        CHECK (kind IN (
            'base_fee', 'usage', 'late_usage', 'fixed_charge', 'commitment', 'add_on', 'advance_usage', 'progressive_credit',
            'deduction'
        )),
    ADD CONSTRAINT a_part_of_a_fee_is_prorated
        CHECK ((kind IN ('base_fee', 'commitment', 'deduction')) = (fee_minor IS NOT NULL)),
    DROP CONSTRAINT only_usage_takes_away,
    ADD CONSTRAINT only_usage_and_deductions_take_away
        CHECK (amount_minor >= 0 OR rating IS NOT NULL OR kind = 'deduction'),
    ADD CONSTRAINT a_deduction_is_of_a_line
        CHECK ((kind = 'deduction') = (deducted_invoice_id IS NOT NULL)
            AND (kind = 'deduction') = (deducted_position IS NOT NULL));
CREATE INDEX invoice_line_deduction ON invoice_line (tenant_id, deducted_invoice_id) WHERE deducted_invoice_id IS NOT NULL;

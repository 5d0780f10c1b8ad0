-- What is missing to a plan's minimum commitment has a line of its own, with the commitment that it was computed from.
ALTER TABLE invoice_line
    DROP CONSTRAINT invoice_line_kind_check,
    DROP CONSTRAINT a_base_fee_is_a_part_of_one,
    ADD CONSTRAINT invoice_line_kind_check
        CHECK (kind IN ('base_fee', 'usage', 'late_usage', 'fixed_charge', 'commitment', 'add_on')),
    ADD CONSTRAINT a_base_fee_or_a_commitment_is_a_part_of_one
        CHECK ((kind IN ('base_fee', 'commitment')) = (fee_minor IS NOT NULL));

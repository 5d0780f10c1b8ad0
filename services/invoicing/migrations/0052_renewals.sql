-- Units of recurring meters in advance that are there when a period begins are charged for all of it.
ALTER TABLE invoice_line
    DROP CONSTRAINT invoice_line_kind_check,
    DROP CONSTRAINT usage_is_rated,
    DROP CONSTRAINT usage_is_read_at_a_watermark,
    ADD CONSTRAINT invoice_line_kind_check
        CHECK (kind IN (
            'base_fee', 'usage', 'late_usage', 'fixed_charge', 'commitment', 'add_on', 'advance_usage', 'progressive_credit',
            'deduction', 'renewal'
        )),
    ADD CONSTRAINT usage_is_rated
        CHECK (
            (kind IN ('usage', 'late_usage', 'fixed_charge', 'advance_usage', 'progressive_credit', 'renewal'))
            = (rating IS NOT NULL)
        ),
    ADD CONSTRAINT usage_is_read_at_a_watermark
        CHECK (
            (kind IN ('usage', 'late_usage', 'advance_usage', 'progressive_credit', 'renewal')) = (watermark IS NOT NULL)
        );

-- What a meter computes its values from, when an event is recorded; '' for none.
ALTER TABLE meter
    ADD COLUMN expression text NOT NULL DEFAULT '',
    ADD CONSTRAINT expression_has_a_property CHECK (expression = '' OR value_property <> '');

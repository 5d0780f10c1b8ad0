-- What dunning ends with is done: a row is due until it is. `note` says why nothing was, or what of it was not.
ALTER TABLE final_action
    DROP CONSTRAINT final_action_action_check,
    ADD CHECK (action IN ('cancel', 'downgrade', 'suspend', 'write_off')),
    ADD COLUMN plan_code text NOT NULL DEFAULT '',
    ADD COLUMN due_time timestamptz,
    ADD COLUMN done_time timestamptz,
    ADD COLUMN note text NOT NULL DEFAULT '';
UPDATE final_action SET due_time = CASE WHEN action <> 'write_off' THEN time END,
    done_time = CASE WHEN action = 'write_off' THEN time END;
ALTER TABLE final_action
    ADD CONSTRAINT due_until_done CHECK ((due_time IS NULL) = (done_time IS NOT NULL)),
    ADD CONSTRAINT only_a_downgrade_has_a_plan CHECK ((action = 'downgrade') = (plan_code <> ''));
CREATE INDEX final_action_due ON final_action (due_time) WHERE due_time IS NOT NULL;

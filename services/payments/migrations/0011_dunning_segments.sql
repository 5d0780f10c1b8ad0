-- A policy for each segment of customers; '' is for those whose segment has none. A downgrade leads to a plan.
ALTER TABLE dunning_policy
    ADD COLUMN segment text NOT NULL DEFAULT '',
    ADD COLUMN final_plan_code text NOT NULL DEFAULT '',
    DROP CONSTRAINT dunning_policy_pkey,
    ADD PRIMARY KEY (tenant_id, segment),
    DROP CONSTRAINT dunning_policy_final_action_check,
    ADD CHECK (final_action IN ('NONE', 'CANCEL', 'DOWNGRADE', 'SUSPEND', 'WRITE_OFF')),
    ADD CONSTRAINT only_a_downgrade_has_a_plan CHECK ((final_action = 'DOWNGRADE') = (final_plan_code <> ''));

ALTER TABLE dunning_campaign
    ADD COLUMN final_plan_code text NOT NULL DEFAULT '',
    DROP CONSTRAINT dunning_campaign_final_action_check,
    ADD CHECK (final_action IN ('NONE', 'CANCEL', 'DOWNGRADE', 'SUSPEND', 'WRITE_OFF')),
    ADD CONSTRAINT only_a_downgrade_has_a_plan CHECK ((final_action = 'DOWNGRADE') = (final_plan_code <> ''));

-- Versions are drafts, then sold, then archived. What they say still never changes.

ALTER TABLE plan_version
    ADD COLUMN state text NOT NULL DEFAULT 'active' CHECK (state IN ('draft', 'active', 'archived'));

-- New subscriptions get the newest of these.
CREATE INDEX plan_version_active ON plan_version (tenant_id, plan_code, version) WHERE state = 'active';

CREATE FUNCTION refuse_to_change_plan_version_contents() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(NEW) - 'state' IS DISTINCT FROM to_jsonb(OLD) - 'state' THEN
        RAISE EXCEPTION 'a plan version never changes' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN
        (('draft', 'active'), ('draft', 'archived'), ('active', 'archived'))
    THEN
        RAISE EXCEPTION 'a plan version goes from draft to active to archived, never back'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

DROP TRIGGER plan_version_is_immutable ON plan_version;

CREATE TRIGGER plan_version_is_kept
    BEFORE DELETE OR TRUNCATE ON plan_version
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_plan_version();

CREATE TRIGGER plan_version_is_immutable
    BEFORE UPDATE ON plan_version
    FOR EACH ROW EXECUTE FUNCTION refuse_to_change_plan_version_contents();

-- When a version came into a state that it was not made in, and by which request.
CREATE TABLE plan_version_transition (
    tenant_id    text NOT NULL,
    plan_code    text NOT NULL,
    version      integer NOT NULL,
    state        text NOT NULL CHECK (state IN ('active', 'archived')),
    create_time  timestamptz NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, plan_code, version, state),
    UNIQUE (tenant_id, request_id),
    FOREIGN KEY (tenant_id, plan_code, version) REFERENCES plan_version (tenant_id, plan_code, version)
);

-- Customers, subscriptions, the billing clock, billing runs and invoices.

-- Every tenant with a customer has one. `now` is where a test clock stands.
CREATE TABLE billing_clock (
    tenant_id    text PRIMARY KEY,
    mode         text NOT NULL CHECK (mode IN ('real', 'test')),
    now          timestamptz,
    request_id   uuid,
    request_hash bytea,
    CHECK ((mode = 'test') = (now IS NOT NULL)),
    CHECK ((request_id IS NULL) = (request_hash IS NULL))
);

CREATE TABLE customer (
    tenant_id    text NOT NULL REFERENCES billing_clock (tenant_id),
    id           text NOT NULL CHECK (id <> ''),
    name         text NOT NULL CHECK (name <> ''),
    email        text NOT NULL,
    time_zone    text NOT NULL CHECK (time_zone <> ''),
    create_time  timestamptz NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, request_id)
);

-- [period_start, period_end) is billed once the tenant's clock has reached its end. `available_time` is in real time: no
-- worker tries before it. It is a lease while a worker is at it, and a delay after a failure.
CREATE TABLE subscription (
    tenant_id       text NOT NULL,
    id              text NOT NULL CHECK (id <> ''),
    customer_id     text NOT NULL,
    plan_code       text NOT NULL,
    plan_version    integer NOT NULL CHECK (plan_version > 0),
    start_time      timestamptz NOT NULL,
    period_start    timestamptz NOT NULL,
    period_end      timestamptz NOT NULL,
    available_time  timestamptz NOT NULL DEFAULT '-infinity',
    failure_count   integer NOT NULL DEFAULT 0 CHECK (failure_count >= 0),
    failure_reason  text,
    failure_message text,
    create_time     timestamptz NOT NULL,
    request_id      uuid NOT NULL,
    request_hash    bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, request_id),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES customer (tenant_id, id),
    CHECK (start_time <= period_start AND period_start < period_end),
    CHECK ((failure_count = 0) = (failure_reason IS NULL) AND (failure_count = 0) = (failure_message IS NULL))
);

CREATE INDEX subscription_customer ON subscription (tenant_id, customer_id, id);
CREATE INDEX subscription_due ON subscription (tenant_id, period_end);

-- Made by AdvanceClock with its request_id, or by the worker when something is due in real time.
CREATE TABLE billing_run (
    tenant_id       text NOT NULL REFERENCES billing_clock (tenant_id),
    id              text NOT NULL,
    as_of           timestamptz NOT NULL,
    state           text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'completed')),
    finalized_count integer NOT NULL DEFAULT 0 CHECK (finalized_count >= 0),
    create_time     timestamptz NOT NULL,
    complete_time   timestamptz,
    request_id      uuid,
    request_hash    bytea,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, request_id),
    CHECK ((state = 'completed') = (complete_time IS NOT NULL)),
    CHECK ((request_id IS NULL) = (request_hash IS NULL))
);

CREATE INDEX billing_run_open ON billing_run (tenant_id, as_of) WHERE state = 'running';

-- The last number given. Its row is locked by whoever numbers invoices, until they commit: hence no gaps.
CREATE TABLE invoice_counter (
    tenant_id     text PRIMARY KEY,
    last_sequence bigint NOT NULL CHECK (last_sequence > 0)
);

-- An invoice is unique for (subscription, period, kind): billing a period again is impossible. `hand_over_time` is in
-- real time: when payments is to be told, or asked again; it is unset once payments has it, or if there is nothing to pay.
CREATE TABLE invoice (
    tenant_id         text NOT NULL,
    id                text NOT NULL,
    kind              text NOT NULL DEFAULT 'subscription' CHECK (kind IN ('subscription')),
    state             text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'finalized')),
    sequence          bigint,
    number            text,
    customer_id       text NOT NULL,
    subscription_id   text NOT NULL,
    plan_code         text NOT NULL,
    plan_version      integer NOT NULL CHECK (plan_version > 0),
    billing_run_id    text NOT NULL,
    period_start      timestamptz NOT NULL,
    period_end        timestamptz NOT NULL,
    currency          char(3) NOT NULL,
    subtotal_minor    bigint NOT NULL CHECK (subtotal_minor >= 0),
    tax_minor         bigint NOT NULL CHECK (tax_minor >= 0),
    total_minor       bigint NOT NULL,
    issue_date        date NOT NULL,
    create_time       timestamptz NOT NULL,
    finalize_time     timestamptz,
    payment_status    text NOT NULL DEFAULT 'pending'
        CHECK (payment_status IN ('pending', 'succeeded', 'failed', 'requires_action')),
    amount_paid_minor bigint NOT NULL DEFAULT 0 CHECK (amount_paid_minor >= 0),
    payment_id        text,
    payment_revision  bigint NOT NULL DEFAULT 0 CHECK (payment_revision >= 0),
    hand_over_time    timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, subscription_id, period_start, kind),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES customer (tenant_id, id),
    FOREIGN KEY (tenant_id, subscription_id) REFERENCES subscription (tenant_id, id),
    FOREIGN KEY (tenant_id, billing_run_id) REFERENCES billing_run (tenant_id, id),
    CHECK (period_start < period_end),
    CHECK (total_minor = subtotal_minor + tax_minor),
    CHECK ((state = 'finalized') = (number IS NOT NULL)),
    CHECK ((state = 'finalized') = (sequence IS NOT NULL)),
    CHECK ((state = 'finalized') = (finalize_time IS NOT NULL)),
    CHECK (state = 'finalized' OR (payment_status = 'pending' AND payment_id IS NULL AND hand_over_time IS NULL)),
    CHECK (hand_over_time IS NULL OR total_minor > 0)
);

CREATE UNIQUE INDEX invoice_sequence ON invoice (tenant_id, sequence) WHERE sequence IS NOT NULL;
CREATE UNIQUE INDEX invoice_number ON invoice (tenant_id, number) WHERE number IS NOT NULL;

CREATE INDEX invoice_customer ON invoice (tenant_id, customer_id, id);
CREATE INDEX invoice_draft ON invoice (tenant_id, period_end, id) WHERE state = 'draft';
CREATE INDEX invoice_hand_over ON invoice (hand_over_time) WHERE hand_over_time IS NOT NULL;

-- A base fee keeps what it is a part of; usage keeps pricing's RatedCharge as it came, and the watermark.
-- unrounded_amount has as many digits as the exact product has. That the invoice exists is checked by the trigger below,
-- for a whole chunk at once.
CREATE TABLE invoice_line (
    tenant_id        text NOT NULL,
    invoice_id       text NOT NULL,
    position         integer NOT NULL CHECK (position >= 0),
    code             text NOT NULL,
    description      text NOT NULL,
    period_start     timestamptz NOT NULL,
    period_end       timestamptz NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor >= 0),
    unrounded_amount numeric NOT NULL,
    tax_codes        text[] NOT NULL,
    fee_minor        bigint,
    days             integer,
    period_days      integer,
    rating           bytea,
    watermark        bigint,
    PRIMARY KEY (tenant_id, invoice_id, code),
    UNIQUE (tenant_id, invoice_id, position),
    CHECK (period_start < period_end),
    CHECK ((code = 'base') = (fee_minor IS NOT NULL) AND (code = 'base') = (rating IS NULL)),
    CHECK ((fee_minor IS NULL) = (days IS NULL) AND (fee_minor IS NULL) = (period_days IS NULL)),
    CHECK (days BETWEEN 1 AND period_days),
    CHECK ((rating IS NULL) = (watermark IS NULL))
);

CREATE TABLE invoice_tax (
    tenant_id        text NOT NULL,
    invoice_id       text NOT NULL,
    position         integer NOT NULL CHECK (position >= 0),
    code             text NOT NULL,
    name             text NOT NULL,
    rate_percent     numeric(38, 12) NOT NULL CHECK (rate_percent BETWEEN 0 AND 100),
    taxable_minor    bigint NOT NULL,
    amount_minor     bigint NOT NULL,
    unrounded_amount numeric NOT NULL,
    PRIMARY KEY (tenant_id, invoice_id, code),
    UNIQUE (tenant_id, invoice_id, position)
);

-- A finalized invoice never changes (law 4): only its payment moves, and who has been told. Nothing is ever deleted, and
-- what is on an invoice is written with it, once.
CREATE FUNCTION keep_finalized_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    movable constant text[] := '{payment_status,amount_paid_minor,payment_id,payment_revision,hand_over_time}';
BEGIN
    IF to_jsonb(OLD) - movable <> to_jsonb(NEW) - movable THEN
        RAISE EXCEPTION 'invoice % is finalized and never changes', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION refuse_to_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no % on %', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

-- The share lock makes an addition wait for a finalization under way, and then fail.
CREATE FUNCTION require_draft() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    drafts bigint;
BEGIN
    SELECT count(*) INTO drafts FROM (
        SELECT i.state FROM invoice i
        JOIN (SELECT DISTINCT tenant_id, invoice_id FROM added) a ON i.tenant_id = a.tenant_id AND i.id = a.invoice_id
        FOR SHARE OF i
    ) locked WHERE state = 'draft';
    IF drafts < (SELECT count(DISTINCT (tenant_id, invoice_id)) FROM added) THEN
        RAISE EXCEPTION '% is for drafts only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER finalized_invoice_is_immutable BEFORE UPDATE ON invoice
    FOR EACH ROW WHEN (OLD.state = 'finalized') EXECUTE FUNCTION keep_finalized_invoice();
CREATE TRIGGER invoice_is_kept BEFORE DELETE OR TRUNCATE ON invoice
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();

CREATE TRIGGER line_is_on_draft AFTER INSERT ON invoice_line REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION require_draft();
CREATE TRIGGER line_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON invoice_line
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();

CREATE TRIGGER tax_is_on_draft AFTER INSERT ON invoice_tax REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION require_draft();
CREATE TRIGGER tax_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON invoice_tax
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();

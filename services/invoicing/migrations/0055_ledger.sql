-- The ledger: what documents and money come to, as double entry by tenant, legal entity and currency. Debits are above 0, credits
-- below. A booking is the legs of one source, each booked once; it is of one invoice, on one day, and comes to 0. `effective_date` is
-- the day that it counts from, in the customer's calendar; `recorded_time`, in real time, is when it was written down.
CREATE TABLE ledger_posting (
    tenant_id      text        NOT NULL,
    invoice_id     text        NOT NULL,
    source         text        NOT NULL,
    leg            smallint    NOT NULL CHECK (leg >= 0),
    legal_entity   text        NOT NULL,
    currency       char(3)     NOT NULL,
    account        text        NOT NULL CHECK (account IN (
        'receivable', 'cash', 'customer_credit', 'prepaid_credit', 'refunds_payable', 'tax_payable', 'deferred_revenue',
        'rounding', 'bad_debt', 'disputes', 'forfeited_credit'
    )),
    amount_minor   bigint      NOT NULL CHECK (amount_minor <> 0),
    effective_date date        NOT NULL,
    recorded_time  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, invoice_id, source, leg)
);
CREATE INDEX ledger_posting_day ON ledger_posting (tenant_id, effective_date);

-- How deferred revenue is earned: `amount_minor` evenly over `days` from `first_day` on, without the first `skipped_days` of them, and
-- nothing before `from_date`. What is taken back of a schedule is a row of the opposite sign that skips the days that are over.
-- Revenue is in no posting: it is what is earned of these rows on a day, taken from deferred revenue, or, until the day that the
-- invoice is booked on, from unbilled revenue.
CREATE TABLE ledger_earning (
    tenant_id     text        NOT NULL,
    invoice_id    text        NOT NULL,
    source        text        NOT NULL,
    position      smallint    NOT NULL CHECK (position >= 0),
    part          smallint    NOT NULL CHECK (part >= 0),
    legal_entity  text        NOT NULL,
    currency      char(3)     NOT NULL,
    amount_minor  bigint      NOT NULL CHECK (amount_minor <> 0),
    first_day     date        NOT NULL,
    days          integer     NOT NULL CHECK (days > 0),
    skipped_days  integer     NOT NULL CHECK (skipped_days BETWEEN 0 AND days),
    from_date     date        NOT NULL,
    booked_date   date        NOT NULL,
    recorded_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, invoice_id, source, position)
);

-- Bookings hold the row while they are made, so nothing slips into a period that is being closed.
CREATE TABLE ledger_book (
    tenant_id      text NOT NULL,
    legal_entity   text NOT NULL,
    closed_through date NOT NULL DEFAULT '1999-12-31',  -- billing begins in 2000
    PRIMARY KEY (tenant_id, legal_entity)
);

CREATE TABLE ledger_closing (
    tenant_id      text        NOT NULL,
    request_id     uuid        NOT NULL,
    request_hash   bytea       NOT NULL,
    legal_entity   text        NOT NULL,
    closed_through date        NOT NULL,
    create_time    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (tenant_id, legal_entity) REFERENCES ledger_book (tenant_id, legal_entity)
);

-- The part of `amount` that `elapsed` of `days` days come to: rounded half away from zero, so that days add up to the amount.
CREATE FUNCTION earned_part(amount bigint, elapsed integer, days integer) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (sign(amount) * div(2 * abs(amount::numeric) * elapsed + days, 2 * days))::bigint
$$;

-- What a row of ledger_earning has come to at the end of a day.
CREATE FUNCTION earned_by(day date, amount bigint, first_day date, days integer, skipped_days integer, from_date date)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN day < from_date OR day - first_day < skipped_days THEN 0
        ELSE earned_part(amount, least(day - first_day + 1, days), days) - earned_part(amount, skipped_days, days)
    END
$$;

CREATE FUNCTION require_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount_minor) <> 0 OR min(effective_date) <> max(effective_date)
            OR min(currency) <> max(currency) OR min(legal_entity) <> max(legal_entity)
        FROM ledger_posting
        WHERE tenant_id = NEW.tenant_id AND invoice_id = NEW.invoice_id AND source = NEW.source) THEN
        RAISE EXCEPTION 'booking % of invoice % is not balanced', NEW.source, NEW.invoice_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION require_open_period() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a JOIN ledger_book b ON b.tenant_id = a.tenant_id AND b.legal_entity = a.legal_entity
        WHERE a.effective_date <= b.closed_through
    ) THEN
        RAISE EXCEPTION 'nothing is booked in a closed period' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION require_open_earning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a JOIN ledger_book b ON b.tenant_id = a.tenant_id AND b.legal_entity = a.legal_entity
        WHERE earned_by(b.closed_through, a.amount_minor, a.first_day, a.days, a.skipped_days, a.from_date) <> 0
            OR a.booked_date <= b.closed_through
    ) THEN
        RAISE EXCEPTION 'nothing is earned in a closed period' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER booking_is_balanced AFTER INSERT ON ledger_posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_balance();
CREATE TRIGGER posting_is_in_open_period AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION require_open_period();
CREATE TRIGGER posting_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_posting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();
CREATE TRIGGER earning_is_in_open_period AFTER INSERT ON ledger_earning REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION require_open_earning();
CREATE TRIGGER earning_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_earning
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();

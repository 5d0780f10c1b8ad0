-- What a tenant does about payments that fail. Its latest request is on the row.
CREATE TABLE dunning_policy (
    tenant_id    text NOT NULL PRIMARY KEY,
    time_zone    text NOT NULL,
    hour         smallint NOT NULL CHECK (hour BETWEEN 0 AND 23),
    paydays      smallint[] NOT NULL,
    retry_days   smallint[] NOT NULL,
    reminders    jsonb NOT NULL,  -- [{"day", "subject", "body"}]
    final_day    smallint NOT NULL CHECK (final_day > 0),
    final_action text NOT NULL CHECK (final_action IN ('NONE', 'CANCEL', 'SUSPEND', 'WRITE_OFF')),
    update_time  timestamptz NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL
);

-- Dunning of one payment. `due_time` is that of its next step; `revision` grows when it ends with an action that invoicing is
-- to hear of.
CREATE TABLE dunning_campaign (
    tenant_id         text NOT NULL,
    id                text NOT NULL,
    payment_id        text NOT NULL,
    state             text NOT NULL CHECK (state IN ('ACTIVE', 'RECOVERED', 'STOPPED', 'EXHAUSTED')),
    final_action      text NOT NULL CHECK (final_action IN ('NONE', 'CANCEL', 'SUSPEND', 'WRITE_OFF')),
    start_time        timestamptz NOT NULL,
    end_time          timestamptz,
    due_time          timestamptz,
    revision          bigint NOT NULL DEFAULT 0,
    reported_revision bigint NOT NULL DEFAULT 0,
    report_due_time   timestamptz NOT NULL,
    report_tries      int NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, payment_id) REFERENCES payment (tenant_id, id),
    CONSTRAINT active_iff_due CHECK ((state = 'ACTIVE') = (due_time IS NOT NULL)),
    CONSTRAINT active_iff_not_ended CHECK ((state = 'ACTIVE') = (end_time IS NULL)),
    CONSTRAINT reported_is_past CHECK (reported_revision <= revision)
);
CREATE UNIQUE INDEX dunning_campaign_one_active ON dunning_campaign (tenant_id, payment_id) WHERE state = 'ACTIVE';
CREATE INDEX dunning_campaign_of_payment ON dunning_campaign (tenant_id, payment_id, id);
CREATE INDEX dunning_campaign_due ON dunning_campaign (due_time) WHERE state = 'ACTIVE';
CREATE INDEX dunning_campaign_report_due ON dunning_campaign (report_due_time) WHERE reported_revision < revision;

CREATE TABLE dunning_step (
    tenant_id   text NOT NULL,
    campaign_id text NOT NULL,
    position    int NOT NULL CHECK (position > 0),
    kind        text NOT NULL CHECK (kind IN ('RETRY', 'REMIND', 'FINAL')),
    due_time    timestamptz NOT NULL,
    subject     text NOT NULL,
    body        text NOT NULL,
    state       text NOT NULL CHECK (state IN ('WAITING', 'DONE', 'SKIPPED')),
    note        text NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, position),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES dunning_campaign (tenant_id, id),
    CONSTRAINT only_reminders_have_a_text CHECK ((kind = 'REMIND') = (body <> ''))
);

-- Messages to customers, each its own job.
CREATE TABLE message (
    tenant_id   text NOT NULL,
    id          text NOT NULL,
    payment_id  text NOT NULL,
    campaign_id text NOT NULL,
    subject     text NOT NULL,
    body        text NOT NULL,
    recipient   text NOT NULL DEFAULT '',
    state       text NOT NULL CHECK (state IN ('WAITING', 'SENT', 'DROPPED')),
    due_time    timestamptz,
    tries       int NOT NULL DEFAULT 0,
    error       text NOT NULL DEFAULT '',
    create_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES dunning_campaign (tenant_id, id),
    CONSTRAINT waiting_iff_due CHECK ((state = 'WAITING') = (due_time IS NOT NULL)),
    CONSTRAINT dropped_with_reason CHECK (state <> 'DROPPED' OR error <> '')
);
CREATE INDEX message_due ON message (due_time) WHERE state = 'WAITING';
CREATE INDEX message_of_campaign ON message (tenant_id, campaign_id, id);

-- What outgoing webhooks are to tell, in the order of `serial`.
CREATE TABLE notice (
    tenant_id   text NOT NULL,
    serial      bigint GENERATED ALWAYS AS IDENTITY,
    type        text NOT NULL,
    payment_id  text NOT NULL,
    body        jsonb NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, serial)
);

-- The payment's campaign, whatever has become of it; none begins while there is one, unless it was stopped.
ALTER TABLE payment ADD COLUMN campaign_id text;
CREATE INDEX payment_dunning ON payment (tenant_id, id)
    WHERE state IN ('FAILED', 'REQUIRES_ACTION', 'AWAITING_METHOD') AND campaign_id IS NULL;

-- For the limits of card networks.
CREATE INDEX payment_attempt_of_method ON payment_attempt (tenant_id, payment_method_id, create_time)
    WHERE state NOT IN ('SUCCEEDED');

-- Several overdue invoices of a customer, asked for together. Each keeps its own payment.
CREATE TABLE payment_request (
    tenant_id    text NOT NULL,
    id           text NOT NULL,
    customer_id  text NOT NULL,
    currency     char(3) NOT NULL,
    is_canceled  boolean NOT NULL DEFAULT false,
    create_time  timestamptz NOT NULL,
    request_id   uuid NOT NULL,
    request_hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, request_id)
);
CREATE INDEX payment_request_of_customer ON payment_request (tenant_id, customer_id, id);

-- asked_minor is what was due when it was asked for.
CREATE TABLE payment_request_item (
    tenant_id          text NOT NULL,
    payment_request_id text NOT NULL,
    payment_id         text NOT NULL,
    asked_minor        bigint NOT NULL CHECK (asked_minor > 0),
    PRIMARY KEY (tenant_id, payment_request_id, payment_id),
    FOREIGN KEY (tenant_id, payment_request_id) REFERENCES payment_request (tenant_id, id),
    FOREIGN KEY (tenant_id, payment_id) REFERENCES payment (tenant_id, id)
);

-- What is done about a request, by request: asked again, it is answered and not done again.
CREATE TABLE payment_request_call (
    tenant_id          text NOT NULL,
    request_id         uuid NOT NULL,
    request_hash       bytea NOT NULL,
    payment_request_id text NOT NULL,
    create_time        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (tenant_id, payment_request_id) REFERENCES payment_request (tenant_id, id)
);

-- Money that was collected and is taken back.
CREATE TABLE dispute (
    tenant_id         text NOT NULL,
    id                text NOT NULL,
    payment_id        text NOT NULL,
    attempt_number    int NOT NULL,
    minor_units       bigint NOT NULL CHECK (minor_units > 0),
    currency          char(3) NOT NULL,
    state             text NOT NULL CHECK (state IN ('OPEN', 'LOST', 'WON')),
    code              text NOT NULL,
    revision          bigint NOT NULL DEFAULT 1,
    reported_revision bigint NOT NULL DEFAULT 0,
    report_due_time   timestamptz NOT NULL,
    report_tries      int NOT NULL DEFAULT 0,
    create_time       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, payment_id, attempt_number),
    FOREIGN KEY (tenant_id, payment_id, attempt_number) REFERENCES payment_attempt (tenant_id, payment_id, number),
    CONSTRAINT reported_is_past CHECK (reported_revision <= revision)
);
CREATE INDEX dispute_report_due ON dispute (report_due_time) WHERE reported_revision < revision;

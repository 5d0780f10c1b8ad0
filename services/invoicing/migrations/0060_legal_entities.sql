-- Who bills. What was issued names the version it was issued by, so versions are never changed.
CREATE TABLE legal_entity (
    tenant_id   text        NOT NULL,
    code        text        NOT NULL,
    version     integer     NOT NULL CHECK (version > 0),
    is_default  boolean     NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, code)
);
CREATE UNIQUE INDEX legal_entity_default ON legal_entity (tenant_id) WHERE is_default;

CREATE TABLE legal_entity_version (
    tenant_id            text        NOT NULL,
    code                 text        NOT NULL,
    version              integer     NOT NULL,
    name                 text        NOT NULL,
    email                text        NOT NULL,
    phone                text        NOT NULL,
    website              text        NOT NULL,
    registration         text        NOT NULL,
    locale               text        NOT NULL,
    address              jsonb       NOT NULL,
    tax_ids              jsonb       NOT NULL,
    bank_account         jsonb       NOT NULL,
    payment_instructions text        NOT NULL,
    logo                 bytea       NOT NULL,
    accent_color         text        NOT NULL,
    footer               text        NOT NULL,
    template             text        NOT NULL,
    create_time          timestamptz NOT NULL,
    request_id           uuid        NOT NULL,
    request_hash         bytea       NOT NULL,
    PRIMARY KEY (tenant_id, code, version),
    UNIQUE (tenant_id, request_id),
    FOREIGN KEY (tenant_id, code) REFERENCES legal_entity (tenant_id, code)
);
CREATE TRIGGER legal_entity_version_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON legal_entity_version
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change();

-- What documents said of a customer before it was changed: invoices keep saying it. Erasure deletes it.
ALTER TABLE customer ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version > 0);
CREATE TABLE customer_version (
    tenant_id   text    NOT NULL,
    customer_id text    NOT NULL,
    version     integer NOT NULL,
    name        text    NOT NULL,
    locale      text    NOT NULL,
    address     jsonb   NOT NULL,
    tax_ids     jsonb   NOT NULL,
    PRIMARY KEY (tenant_id, customer_id, version),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES customer (tenant_id, id)
);

-- Whom it was issued by and to; NULL on drafts, and where there was no legal entity yet.
ALTER TABLE invoice
    ADD COLUMN legal_entity_code text,
    ADD COLUMN legal_entity_version integer,
    ADD COLUMN customer_version integer,
    ADD FOREIGN KEY (tenant_id, legal_entity_code, legal_entity_version)
        REFERENCES legal_entity_version (tenant_id, code, version);

-- What was made of the books, as it was given out. `contents` are gone where a customer was erased with his documents.
CREATE TABLE document (
    tenant_id   text        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('invoice', 'credit_note', 'receipt')),
    subject_id  text        NOT NULL,
    format      text        NOT NULL CHECK (format IN ('pdf', 'cii', 'ubl')),
    is_void     boolean     NOT NULL,
    customer_id text        NOT NULL,
    digest      bytea       NOT NULL CHECK (length(digest) = 32),
    contents    bytea,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, kind, subject_id, format, is_void),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES customer (tenant_id, id)
);
CREATE INDEX document_customer ON document (tenant_id, customer_id);
-- Both are compressed already.
ALTER TABLE document ALTER COLUMN contents SET STORAGE EXTERNAL;
ALTER TABLE legal_entity_version ALTER COLUMN logo SET STORAGE EXTERNAL;

-- Customers with a prefix have numbers of their own: PREFIX-CCC-III. A customer gets its sequence with the first of them. Both
-- sequences are taken under the lock of the tenant's row in invoice_counter: hence no gaps.
ALTER TABLE customer ADD COLUMN number_prefix text NOT NULL DEFAULT '' CHECK (number_prefix <> 'INV');

CREATE TABLE customer_counter (
    tenant_id         text NOT NULL,
    customer_id       text NOT NULL,
    customer_sequence bigint NOT NULL CHECK (customer_sequence > 0),
    last_sequence     bigint NOT NULL CHECK (last_sequence > 0),
    PRIMARY KEY (tenant_id, customer_id),
    UNIQUE (tenant_id, customer_sequence),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES customer (tenant_id, id)
);

-- A payment that invoicing has taken back, and may ask for again over another amount. What was asked with an older `version`
-- changes nothing. One that was canceled before it was asked for has no request.
ALTER TABLE payment
    DROP CONSTRAINT payment_state_check,
    ADD COLUMN version bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    ALTER COLUMN request_id DROP NOT NULL,
    ALTER COLUMN request_hash DROP NOT NULL,
    ADD CHECK (state IN (
        'PENDING', 'PROCESSING', 'SUCCEEDED', 'FAILED', 'REQUIRES_ACTION', 'AWAITING_METHOD', 'CANCELED'
    ));

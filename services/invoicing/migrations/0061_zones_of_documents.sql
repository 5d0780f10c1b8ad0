-- The days on a document are those of the customer's zone when the books were closed.
ALTER TABLE customer_version ADD COLUMN time_zone text NOT NULL DEFAULT 'UTC';
ALTER TABLE customer_version ALTER COLUMN time_zone DROP DEFAULT;

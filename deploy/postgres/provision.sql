-- One role and one schema per service, closed to the others. For psql 15 or newer, as a superuser (or a role that may
-- create roles), in the database that Weir shall use:
--   METERING_PASSWORD=… PRICING_PASSWORD=… INVOICING_PASSWORD=… PAYMENTS_PASSWORD=… psql --file provision.sql DSN
-- Can be repeated: creates what is missing, and sets the passwords given. The official Postgres image runs it from
-- /docker-entrypoint-initdb.d when its volume is empty.
\set ON_ERROR_STOP on

\getenv metering_password METERING_PASSWORD
\getenv pricing_password PRICING_PASSWORD
\getenv invoicing_password INVOICING_PASSWORD
\getenv payments_password PAYMENTS_PASSWORD

BEGIN;

SELECT format('CREATE ROLE %I', service)
  FROM unnest(ARRAY['metering', 'pricing', 'invoicing', 'payments']) AS service
 WHERE service NOT IN (SELECT rolname FROM pg_roles) \gexec

ALTER ROLE metering LOGIN PASSWORD :'metering_password';
ALTER ROLE pricing LOGIN PASSWORD :'pricing_password';
ALTER ROLE invoicing LOGIN PASSWORD :'invoicing_password';
ALTER ROLE payments LOGIN PASSWORD :'payments_password';

ALTER ROLE metering SET search_path TO metering;
ALTER ROLE pricing SET search_path TO pricing;
ALTER ROLE invoicing SET search_path TO invoicing;
ALTER ROLE payments SET search_path TO payments;

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO metering, pricing, invoicing, payments', current_database()) \gexec
REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- A role that is not a superuser may make a schema for another one only as its member.
GRANT metering, pricing, invoicing, payments TO CURRENT_USER;
CREATE SCHEMA IF NOT EXISTS metering AUTHORIZATION metering;
CREATE SCHEMA IF NOT EXISTS pricing AUTHORIZATION pricing;
CREATE SCHEMA IF NOT EXISTS invoicing AUTHORIZATION invoicing;
CREATE SCHEMA IF NOT EXISTS payments AUTHORIZATION payments;

COMMIT;

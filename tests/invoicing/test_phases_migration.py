"""What was subscribed and billed before there were phases is in its first phase."""

import shutil
from pathlib import Path

import asyncpg

from libs.common.postgres import migrate
from services.__main__ import migrations
from services.invoicing import store
from services.invoicing.domain.run import OpenRun
from tests.conftest import Database
from tests.invoicing.world import utc

EMPTY = """
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() LOOP
        EXECUTE 'DROP TABLE ' || name || ' CASCADE';
    END LOOP;
    FOR name IN SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = current_schema()::regnamespace LOOP
        EXECUTE 'DROP FUNCTION ' || name;
    END LOOP;
END
$$
"""
BEFORE = """
INSERT INTO billing_clock (tenant_id, mode) VALUES ('acme', 'real');
INSERT INTO customer VALUES ('acme', 'globex', 'Globex', '', 'UTC', '2024-01-01Z', gen_random_uuid(), '');
INSERT INTO subscription
    (tenant_id, id, customer_id, plan_code, plan_version, billing_interval, billing_time, start_time, period_start,
    period_end, is_opening, create_time, request_id, request_hash)
    VALUES ('acme', 's', 'globex', 'pro', 3, 'quarterly', 'anniversary', '2024-01-15Z', '2024-04-15Z',
    '2024-07-15Z', false, '2024-01-01Z', gen_random_uuid(), '');
INSERT INTO billing_run (tenant_id, id, as_of, create_time) VALUES ('acme', 'run_1', '2024-04-15Z', '2024-04-15Z');
INSERT INTO invoice
    (tenant_id, id, customer_id, subscription_id, plan_code, plan_version, billing_run_id, period_start, period_end,
    currency, subtotal_minor, tax_minor, total_minor, issue_date, create_time, state, sequence, number, finalize_time)
    VALUES ('acme', 'inv_1', 'globex', 's', 'pro', 3, 'run_1', '2024-01-15Z', '2024-04-15Z',
    'USD', 0, 0, 0, '2024-04-15', '2024-04-15Z', 'finalized', 1, 'INV-1', '2024-04-15Z')
"""


async def test_old_subscriptions_and_invoices_are_in_a_first_phase(database: Database, tmp_path: Path) -> None:
    for path in sorted(migrations("invoicing").glob("000[1-4]_*.sql")):
        shutil.copy(path, tmp_path)
    dsn = database.dsns["invoicing"]
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute(EMPTY)
        await migrate(dsn, tmp_path)
        await conn.execute(BEFORE)
        assert (await migrate(dsn, migrations("invoicing")))[0] == "0005_phases"
        found = await store.subscriptions.get(conn, "acme", "s")
        assert found is not None
        [phase] = found.phases
        assert (phase.plan_code, phase.plan_version, phase.billing_interval) == ("pro", 3, "quarterly")
        assert found.schedule.period_of(utc("2024-05-01")) == found.current_period
        invoice = await store.invoices.get(conn, "acme", "inv_1")
        assert invoice is not None
        assert [(each.source.phase_number, each.due_time, each.is_opening) for each in invoice.settlements] == [
            (1, utc("2024-04-15"), False)
        ]
        run, now = OpenRun("acme", "run_2", None, utc("2024-07-15")), utc("2024-07-15")
        assert await store.subscriptions.claim_due(conn, run, now, now, 10) == [found]
    finally:
        await conn.close()

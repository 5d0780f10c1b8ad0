"""What booking takes: 20,000 invoices of six lines each, with a tax, on a durable Postgres, 500 in a transaction, as a
billing run books them.

- ledger_postings_per_s: legs of bookings in a second, with all that is read of the documents for them, the schedules
  that are written beside them, and the checks at commit.
- ledger_invoice_us: processor time that it takes for an invoice, here and in Postgres together.
- ledger_balance_ms: the trial balance of all of them on a day within their periods.
"""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import asyncpg

from bench.stack import new_database, postgres, processor_seconds
from libs.common.clock import system_clock
from libs.common.money import Money
from services.invoicing import ledger_reading, store
from services.invoicing.booking import book_issued
from services.invoicing.domain.line import BASE, Line, LineKind, Source
from services.invoicing.domain.period import Period
from services.invoicing.domain.proration import Proration

TENANT = "bench"
INVOICES, CHUNK = 20_000, 500
NOVEMBER = Period(datetime(2023, 11, 1, tzinfo=UTC), datetime(2023, 12, 1, tzinfo=UTC))
DECEMBER = Period(NOVEMBER.end, datetime(2024, 1, 1, tzinfo=UTC))
SOURCE = Source("sub", 1, "classic", 1)
FEE, USAGE, USAGES, TAX = 2900, 1234, 5, 1814


async def measure() -> dict[str, float]:
    async with postgres() as server:
        dsn = await new_database(server, "invoicing")
        pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1, server_settings={"timezone": "UTC"})
        async with pool, pool.acquire() as conn:
            await _make_invoices(conn)
            began, used = time.perf_counter(), time.process_time() + processor_seconds(server.pid)
            for first in range(0, INVOICES, CHUNK):
                async with conn.transaction():
                    await book_issued(conn, TENANT, [_id(n) for n in range(first, first + CHUNK)], system_clock())
            seconds = time.perf_counter() - began
            used = time.process_time() + processor_seconds(server.pid) - used
            postings = await conn.fetchval("SELECT count(*) FROM ledger_posting")
            await conn.execute("VACUUM (ANALYZE) ledger_posting, ledger_earning")
            began = time.perf_counter()
            balances = await ledger_reading.balances(conn, TENANT, date(2023, 12, 15), None, None)
            balance_s = time.perf_counter() - began
    if postings != 3 * INVOICES or sum(each.amount for each in balances):
        raise RuntimeError("not everything is booked")
    return {
        "ledger_postings_per_s": round(postings / seconds),
        "ledger_invoice_us": round(1_000_000 * used / INVOICES),
        "ledger_balance_ms": round(1000 * balance_s, 1),
    }


async def _make_invoices(conn: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
    """Drafts with their totals, as they are when they get their numbers."""
    await store.clocks.ensure(conn, TENANT)
    now = system_clock()
    await conn.execute(
        "INSERT INTO customer (tenant_id, id, name, email, time_zone, create_time, request_id, request_hash)"
        " SELECT $1, 'customer_' || n, 'Customer', '', 'Europe/Berlin', $2, gen_random_uuid(), ''"
        " FROM generate_series(0, $3 - 1) AS n",
        TENANT,
        now,
        INVOICES,
    )
    run = "INSERT INTO billing_run (tenant_id, id, as_of, create_time) VALUES ($1, 'run', $2, $3)"
    await conn.execute(run, TENANT, DECEMBER.start, now)
    subtotal = FEE + USAGES * USAGE
    await conn.execute(
        "INSERT INTO invoice (tenant_id, id, kind, customer_id, billing_run_id, currency, subtotal_minor, tax_minor,"
        " total_minor, due_time, draft_until, issue_date, create_time, alone_subscription_id, line_count)"
        " SELECT $1, 'inv_' || lpad(n::text, 26, '0'), 'subscription', 'customer_' || n, 'run', 'USD', $2::bigint,"
        "  $3::bigint, $2::bigint + $3::bigint, $4, $4, $4::timestamptz::date, $5, '', 6"
        " FROM generate_series(0, $6 - 1) AS n",
        TENANT,
        subtotal,
        TAX,
        DECEMBER.start,
        now,
        INVOICES,
    )
    for first in range(0, INVOICES, CHUNK):
        lines = ((_id(n), i, line) for n in range(first, first + CHUNK) for i, line in enumerate(_lines()))
        await store.lines.insert(conn, TENANT, lines)
    await conn.execute("VACUUM (ANALYZE) customer, invoice, invoice_line")


def _lines() -> Iterator[Line]:
    fee = Proration(Money(FEE, "USD"), 31, 31)
    yield Line(
        LineKind.BASE_FEE, BASE, "Base fee", SOURCE, DECEMBER, fee.amount, fee.unrounded_amount, (), proration=fee
    )
    for n in range(USAGES):
        amount = Money(USAGE, "USD")
        yield Line(
            LineKind.USAGE, f"u{n}", "Usage", SOURCE, NOVEMBER, amount, Decimal("12.34"), (), rating=b"", watermark=1
        )


def _id(number: int) -> str:
    return f"inv_{number:026}"

"""Exporting the lines of invoices, for `python -m bench.books`.

A million lines of 100,000 invoices are made in the database of an invoicing server. `weir export lines` writes them to
a file as CSV, over gRPC; the limit is the same text by one COPY of bare asyncpg.
"""

import asyncio
import contextlib
import io
import json
import resource
import tempfile
import time
from pathlib import Path

import asyncpg

from bench.stack import Process
from bench.together import together
from cli.commands.exports import export_rows
from cli.stack.endpoint import SERVICES, Endpoint, write_endpoint
from libs.embedded.process import HOST
from services.invoicing.domain.export import Dataset, Export, Format
from services.invoicing.store.exports import Chunk, next_chunk, rows_of

INVOICES, LINES_EACH = 100_000, 10
TENANT = "bench"

MAKE_INVOICES = """
INSERT INTO invoice (tenant_id, id, kind, state, sequence, number, customer_id, billing_run_id, currency,
    subtotal_minor, tax_minor, total_minor, issue_date, due_time, draft_until, create_time, finalize_time,
    line_count)
SELECT 'bench', 'inv_' || lpad(n::text, 26, '0'), 'subscription', 'finalized', n,
    'INV-202401-' || lpad(n::text, 6, '0'), 'customer-' || n, 'run_1', 'USD', 1234, 0, 1234, '2024-02-01',
    now(), now(), now(), now(),
    $2::integer
FROM generate_series(1, $1::integer) AS n
"""
MAKE_LINES = """
INSERT INTO invoice_line (tenant_id, invoice_id, position, kind, code, description, subscription_id, phase_number,
    plan_code, plan_version, period_start, period_end, amount_minor, unrounded_amount, tax_codes, meter_code,
    rating, watermark)
SELECT 'bench', 'inv_' || lpad(n::text, 26, '0'), p, 'usage', 'input_tokens', 'Input tokens of the large model',
    's' || n, 1, 'llm-api', 1, '2024-01-01', '2024-02-01', 100 + p, 1.0012345 + p, '{}', 'input_tokens', '', 1
FROM generate_series(1, $1::integer) AS n, generate_series(0, $2::integer - 1) AS p
"""


async def measure(invoices: int = INVOICES) -> dict[str, float]:
    """Rows a second, the limit, how much memory this process has grown by, and the most that the server has had."""
    rows = invoices * LINES_EACH
    async with together(("invoicing",)) as running:
        conn = await asyncpg.connect(running.dsns["invoicing"])
        admin = await _superuser(running.postgres.admin_dsn, running.dsns["invoicing"])
        await admin.execute("SET search_path = invoicing")
        await admin.execute("SET session_replication_role = replica")  # no triggers: what is made here is no history
        await admin.execute(MAKE_INVOICES, invoices, LINES_EACH)
        await admin.execute(MAKE_LINES, invoices, LINES_EACH)
        await admin.execute("ANALYZE invoice, invoice_line")
        await admin.close()
        server = running.processes["invoicing"]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = await _exported_seconds(server, rows)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        limit_seconds = await _limit_seconds(conn, rows)
        await conn.close()
        rss_mb = server.peak_rss_mb
    return {
        "export_rows_per_s": round(rows / seconds),
        "export_limit_rows_per_s": round(rows / limit_seconds),
        "export_client_growth_mb": round(grown),
        "export_server_rss_mb": round(rss_mb),
    }


async def _superuser(admin_dsn: str, dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(admin_dsn, database=dsn.rpartition("/")[2].partition("?")[0])


async def _exported_seconds(server: Process, rows: int) -> float:
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        data, file = Path(folder), Path(folder) / "lines.csv"
        targets = {name: server.target if name == "invoicing" else f"{HOST}:1" for name in SERVICES}
        write_endpoint(data, Endpoint(TENANT, server.api_key, targets))
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            await export_rows(data, "invoice_lines", file, "csv", "", "", resume=False)
        seconds = time.perf_counter() - began
        with file.open("rb") as written:
            found = sum(1 for _ in written) - 1
    if found != rows:
        raise RuntimeError(f"{found} rows were exported, and not {rows}")
    return seconds


async def _limit_seconds(conn: "asyncpg.Connection[asyncpg.Record]", rows: int) -> float:
    export = Export(Dataset.INVOICE_LINES, Format.CSV)
    began = time.perf_counter()
    chunk = await next_chunk(conn, TENANT, export, (), rows)
    assert chunk is not None
    await rows_of(conn, TENANT, export, Chunk((), chunk.last, chunk.row_count))
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure()), indent=2))

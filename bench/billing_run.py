"""`python -m bench.billing_run [--json] [--sizes N ...] [--consolidated N]`: what billing a month takes.

Servers of metering, pricing, invoicing and payments, and one worker of invoicing, are processes on one durable
Postgres. Each subscription has five charges of three models, five events in the month, and a customer of its own; a
test clock is advanced to the end of the month, and the time is taken until the billing run is completed: each
subscription is then billed and its invoice finalized. Payments is told of the invoices meanwhile, and may be told of
the last ones later. Customers, subscriptions and events are made in the databases, as the services would have recorded
them.

- invoices_per_s_10k, invoices_per_s_100k: of so many subscriptions, each in databases of its own.
- rss_mb: the most memory that the worker has had, in any of this.
- consolidated_50k_s: one customer's 50,000 subscriptions, billed on one invoice.
- preview_p99_ms: of PreviewInvoice for 1,000 subscriptions, one call at a time, seen by the caller.
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg

from bench.simulating import make_plans, make_usage
from bench.stack import percentile, processor_seconds
from bench.subscribing import subscribe
from bench.together import NAMES, Together, together
from libs.common import logs
from libs.common.rpc.client import channel
from libs.common.wire import timestamp_out
from weir.invoicing.v1.invoicing_pb2 import AdvanceClockRequest, PreviewInvoiceRequest
from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceStub

SIZES = (10_000, 100_000)
CONSOLIDATED = 50_000
PREVIEWS = 1_000
WARM_UP_PREVIEWS = 50
BEFORE, MONTH_END = datetime(2023, 11, 30, tzinfo=UTC), datetime(2023, 12, 1, tzinfo=UTC)
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Billed:
    """Seconds until the run was completed, the processor time of each process meanwhile, and the worker's memory."""

    seconds: float
    processor_s: dict[str, float]
    rss_mb: float


async def measure(sizes: list[int], consolidated: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    rss_mb = []
    for size in sizes:
        async with prepared(size, size) as running:
            preview_ms = await _preview_ms(running, size)
            billed = await _bill(running, size)
        figures[f"invoices_per_s_{_short(size)}"] = round(size / billed.seconds)
        figures |= {f"{name}_s_{_short(size)}": round(used, 1) for name, used in billed.processor_s.items()}
        figures["preview_p99_ms"] = max(figures.get("preview_p99_ms", 0), round(percentile(preview_ms, 99), 2))
        rss_mb.append(billed.rss_mb)
    if consolidated:
        async with prepared(consolidated, 1) as running:
            billed = await _bill(running, 1)
        figures[f"consolidated_{_short(consolidated)}_s"] = round(billed.seconds, 1)
        rss_mb.append(billed.rss_mb)
    return figures | {"rss_mb": round(max(rss_mb))}


@asynccontextmanager
async def prepared(subscriptions: int, customers: int) -> AsyncIterator[Together]:
    async with together((*NAMES, "payments"), workers=["invoicing"]) as running:
        await make_plans(running)
        await make_usage(running, subscriptions)
        await subscribe(running.dsns["invoicing"], subscriptions, customers, test_now=BEFORE)
        yield running


async def _preview_ms(running: Together, subscriptions: int) -> list[float]:
    found = []
    process = running.processes["invoicing"]
    async with channel(process.target, process.api_key) as opened:
        invoicing = InvoicingServiceStub(opened)
        for number in range(WARM_UP_PREVIEWS + PREVIEWS):
            request = PreviewInvoiceRequest(subscription_id=f"sub_{number * 7919 % subscriptions}")
            sent = time.perf_counter()
            answer = await invoicing.PreviewInvoice(request)
            if number >= WARM_UP_PREVIEWS:
                found.append((time.perf_counter() - sent) * 1000)
            if not answer.invoice.total.minor_units:
                raise RuntimeError("a preview lacks its usage")
    return found


async def _bill(running: Together, invoices: int) -> Billed:
    process = running.processes["invoicing"]
    before = _processor_seconds(running)
    async with channel(process.target, process.api_key) as opened:
        request = AdvanceClockRequest(request_id=str(uuid4()), target_time=timestamp_out(MONTH_END))
        began = time.perf_counter()
        await InvoicingServiceStub(opened).AdvanceClock(request)
        finalized = await _completed(running.dsns["invoicing"])
        seconds = time.perf_counter() - began
    if finalized != invoices:
        raise RuntimeError(f"{finalized} invoices were finalized, and not {invoices}")
    used = {name: each - before[name] for name, each in _processor_seconds(running).items()}
    return Billed(seconds, used, running.workers["invoicing"].peak_rss_mb)


async def _completed(dsn: str) -> int:
    """Wait until the run is completed. How many invoices it has finalized."""
    conn = await asyncpg.connect(dsn)
    finalized = None
    while finalized is None:
        await asyncio.sleep(POLL_SECONDS)
        finalized = await conn.fetchval("SELECT finalized_count FROM billing_run WHERE state = 'completed'")
    await conn.close()
    return int(finalized)


def _processor_seconds(running: Together) -> dict[str, float]:
    pids = {name: process.pid for name, process in running.processes.items()}
    pids |= {"worker": running.workers["invoicing"].pid, "postgres": running.postgres.pid}
    return {name: processor_seconds(pid) for name, pid in pids.items()}


def _short(size: int) -> str:
    return f"{size // 1000}k" if size % 1000 == 0 else str(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, metavar="N", help="subscriptions to bill")
    parser.add_argument("--consolidated", type=int, default=CONSOLIDATED, metavar="N", help="0 leaves it out")
    arguments = parser.parse_args()
    logs.configure("bench.billing_run")  # to standard error: standard output is the figures alone
    figures = asyncio.run(measure(arguments.sizes, arguments.consolidated))
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value:>10,}")


if __name__ == "__main__":
    main()

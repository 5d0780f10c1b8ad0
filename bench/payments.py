"""`python -m bench.payments [--json] [--charges N] [--webhooks N] [--backlog N]`: collecting, and hearing of it.

A server and one worker of payments are processes on a durable Postgres; the sandbox stands in for Stripe, a client
process for its webhooks, all on the same machine.

- charges_per_s: due payments of 200 customers, from when the worker starts until the last has SUCCEEDED. The limit is
  the same requests by the bare SDK in one process, as many at a time.
- webhooks_per_s: signed webhooks of 2 KB, each a new event, over 32 connections; answered when they are committed. The
  limit is an endpoint that answers at once.
- webhook_p99_ms: at 500 a second, from when each was due.
- backlog_per_s: webhooks worked off that are about charges known to have succeeded. backlog_rss_mb is the most memory
  the worker has had then, backlog_growth_mb how much more that is than after a tenth of them.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace

from bench.collecting import (
    CARD,
    CURRENCY,
    SECRET_KEY,
    TENANT,
    WEBHOOK_PATH,
    WEBHOOK_SECRET,
    Collecting,
    at_a_time,
    collecting,
)
from bench.http_load import Post, Poster, poster, stripe_event
from bench.stack import empty_endpoint, percentile, processor_seconds, worker
from libs.common import logs
from libs.common.clock import system_clock
from libs.common.money import Money
from services.payments.domain.attempt import Succeeded
from services.payments.providers import Charge, SavedMethod
from services.payments.providers.stripe import Stripe

WARM_UP = 200
PER_SECOND = 500
PACED = 5_000
UNDONE = "SELECT count(*) FROM webhook_event WHERE state = 'RECEIVED'"


@dataclass(frozen=True, slots=True)
class Charged:
    """The worker's and Postgres's milliseconds of processor time for a charge."""

    charges_per_s: float
    charge_limit_per_s: float
    charge_worker_ms: float
    charge_postgres_ms: float
    charge_sandbox_ms: float


@dataclass(frozen=True, slots=True)
class Heard:
    """The server's and Postgres's microseconds of processor time for a webhook, in the fastest part."""

    webhooks_per_s: float
    webhook_limit_per_s: float
    webhook_server_us: float
    webhook_postgres_us: float
    webhook_p50_ms: float
    webhook_p99_ms: float
    webhook_limit_p99_ms: float


@dataclass(frozen=True, slots=True)
class WorkedOff:
    backlog_per_s: float
    backlog_worker_us: float
    backlog_postgres_us: float
    backlog_rss_mb: float
    backlog_growth_mb: float


async def measure(charges: int, webhooks: int, backlog: int) -> list[Charged | Heard | WorkedOff]:
    found: list[Charged | Heard | WorkedOff] = []
    with poster() as client:
        async with collecting() as running:
            found.append(await measure_charges(running, charges))
            references = await running.references(WARM_UP)
            found.append(await measure_intake(running, client, webhooks, references))
            if backlog:
                found.append(await measure_backlog(running, backlog, references))
    return found


async def measure_charges(running: Collecting, count: int) -> Charged:
    """A first few are collected before the clock starts: the worker has then opened its connections."""
    await running.bill(WARM_UP + count)
    await running.execute("UPDATE payment SET due_time = now() + interval '1 day'")
    limit = await measure_charge_limit(running, count)
    async with worker("payments", running.dsn, running.settings) as process:
        await running.charge(WARM_UP)
        pids = process.pid, running.postgres.pid, running.sandbox.pid
        before = [processor_seconds(pid) for pid in pids]
        began = time.perf_counter()
        await running.charge(count)
        seconds = time.perf_counter() - began
        used = [(processor_seconds(pid) - at_first) / count * 1e3 for pid, at_first in zip(pids, before, strict=True)]
    return Charged(round(count / seconds, 1), round(limit, 1), *(round(each, 2) for each in used))


async def measure_charge_limit(running: Collecting, count: int) -> float:
    """Charges a second of one customer's card."""
    async with aclosing(Stripe(running.sandbox.target, 40)) as connection:
        account = connection.account({"secret_key": SECRET_KEY, "webhook_secret": WEBHOOK_SECRET})
        customer = await account.create_customer(TENANT, "limit", "customer")
        assert isinstance(customer, str)
        method = await account.attach(customer, CARD, "method")
        assert isinstance(method, SavedMethod)

        async def charge(number: int) -> None:
            made = await account.charge(
                Charge(
                    tenant_id=TENANT,
                    payment_id="pay_limit",
                    number=number,
                    idempotency_key=f"limit:{number}",
                    invoice_id="inv_limit",
                    invoice_number="LIMIT",
                    customer_reference=customer,
                    method_reference=method.reference,
                    amount=Money(1_000, CURRENCY),
                    create_time=system_clock(),
                )
            )
            assert isinstance(made, Succeeded)

        began = time.perf_counter()
        await at_a_time(charge, range(count))
        return count / (time.perf_counter() - began)


async def measure_intake(running: Collecting, client: Poster, count: int, references: Sequence[str]) -> Heard:
    post = Post(running.webhook_port, WEBHOOK_PATH, WEBHOOK_SECRET, references, WARM_UP, "first")
    await client.send(post)
    pids = running.server.pid, running.postgres.pid
    before = [processor_seconds(pid) for pid in pids]
    fast = await client.send(replace(post, count=count, seed="fast"))
    used = [(processor_seconds(pid) - at_first) / count * 1e6 for pid, at_first in zip(pids, before, strict=True)]
    paced = replace(post, count=PACED, seed="paced", per_second=PER_SECOND)
    latencies = (await client.send(paced)).latencies_ms
    async with empty_endpoint() as port:
        await client.send(replace(post, port=port))
        limit = await client.send(replace(post, count=count, seed="fast", port=port))
        paced_limit = await client.send(replace(paced, port=port))
    return Heard(
        webhooks_per_s=round(count / fast.seconds),
        webhook_limit_per_s=round(count / limit.seconds),
        webhook_server_us=round(used[0]),
        webhook_postgres_us=round(used[1]),
        webhook_p50_ms=round(percentile(latencies, 50), 2),
        webhook_p99_ms=round(percentile(latencies, 99), 2),
        webhook_limit_p99_ms=round(percentile(paced_limit.latencies_ms, 99), 2),
    )


async def measure_backlog(running: Collecting, count: int, references: Sequence[str]) -> WorkedOff:
    """The rows are made in the table; what is there of the parts before is worked off first."""
    async with worker("payments", running.dsn, running.settings) as process:
        await running.wait_until(UNDONE, lambda undone: undone == 0)
    await running.execute("DELETE FROM webhook_event")
    await running.receive(
        stripe_event(f"evt_backlog_{number}", references[number % len(references)]) for number in range(count)
    )
    async with worker("payments", running.dsn, running.settings) as process:
        await running.wait_until(UNDONE, lambda undone: undone <= count * 9 // 10)
        pids = process.pid, running.postgres.pid
        before, at_first_mb = [processor_seconds(pid) for pid in pids], process.peak_rss_mb
        began, left = time.perf_counter(), await running.fetch(UNDONE)
        await running.wait_until(UNDONE, lambda undone: undone == 0)
        seconds = time.perf_counter() - began
        used = [(processor_seconds(pid) - at_first) / left * 1e6 for pid, at_first in zip(pids, before, strict=True)]
        peak_mb = process.peak_rss_mb
    return WorkedOff(
        backlog_per_s=round(left / seconds),
        backlog_worker_us=round(used[0]),
        backlog_postgres_us=round(used[1]),
        backlog_rss_mb=round(peak_mb, 1),
        backlog_growth_mb=round(peak_mb - at_first_mb, 1),
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.payments", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--charges", type=int, default=2_000, help="payments to collect")
    parser.add_argument("--webhooks", type=int, default=20_000, help="webhooks to take in")
    parser.add_argument("--backlog", type=int, default=100_000, help="webhooks to work off; 0 leaves it out")
    parser.add_argument("--json", action="store_true", help="one object of plain numbers")
    options = parser.parse_args(arguments)
    logs.configure("bench.payments")
    found = asyncio.run(measure(options.charges, options.webhooks, options.backlog))
    figures = {name: value for each in found for name, value in asdict(each).items()}
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value:>12,}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

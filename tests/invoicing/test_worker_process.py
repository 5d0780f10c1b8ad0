"""The worker as a process: rung by an advance of the clock, and killed at any instant."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.clock import system_clock
from tests.invoicing.world import REQUESTS, TOKENS, Tenant, World
from weir.invoicing.v1 import invoicing_pb2

COMPLETED = invoicing_pb2.BillingRun.STATE_COMPLETED
SUBSCRIPTIONS, MONTHS = 30, 3


@asynccontextmanager
async def process(world: World) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m services invoicing worker`, two subscriptions a chunk, with leases of a second."""
    settings = world.settings
    environ = {
        **os.environ,
        "WEIR_INVOICING_DSN": settings.dsn,
        "WEIR_REDIS_URL": settings.redis_url,
        "WEIR_PUBLIC_KEYS": settings.public_keys,
        "WEIR_SIGNING_KEY": settings.signing_key,
        "WEIR_METERING_TARGET": settings.metering_target,
        "WEIR_PRICING_TARGET": settings.pricing_target,
        "WEIR_PAYMENTS_TARGET": settings.payments_target,
        "WEIR_INVOICING_LEASE_SECONDS": "1",
        "WEIR_INVOICING_CHUNK_SIZE": "2",
    }
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "invoicing", "worker", env=environ, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield worker
    finally:
        if worker.returncode is None:
            worker.kill()
        await worker.wait()


async def prepared(acme: Tenant) -> None:
    await acme.tax("sales", "8.875")
    await acme.meter("requests")
    await acme.meter("tokens", "tokens")
    await acme.plan("llm-api", REQUESTS, TOKENS, taxes=["sales"])
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    for i in range(SUBSCRIPTIONS):
        await acme.subscribe(f"globex-{i}", "globex", "llm-api", "2023-11-01")
        await acme.events(f"globex-{i}", 10)


async def completed(acme: Tenant, run_id: str) -> invoicing_pb2.BillingRun:
    async with asyncio.timeout(20):
        while (run := await acme.run(run_id)).state != COMPLETED:  # noqa: ASYNC110 another process
            await asyncio.sleep(0.05)
    return run


async def test_a_worker_killed_mid_run_loses_and_doubles_nothing(world: World, acme: Tenant) -> None:
    await prepared(acme)
    run_id = await acme.advance("2024-02-01")
    async with world.database() as conn:
        for enough in (1, 20):
            async with process(world) as worker:
                async with asyncio.timeout(20):
                    while await conn.fetchval("SELECT count(*) FROM invoice") < enough:  # noqa: ASYNC110
                        await asyncio.sleep(0.002)
                worker.send_signal(signal.SIGKILL)
        left = await conn.fetchval("SELECT count(*) FROM invoice")
        assert 20 <= left < SUBSCRIPTIONS * MONTHS
    async with process(world):
        run = await completed(acme, run_id)

    invoices = await acme.invoices()
    assert run.finalized_count == len(invoices) == SUBSCRIPTIONS * MONTHS
    assert len({(each.subscription_id, each.period.start_time.seconds) for each in invoices}) == len(invoices)
    assert sorted(each.number[-6:] for each in invoices) == [f"{i + 1:06}" for i in range(len(invoices))]
    assert {each.total.minor_units for each in invoices if each.period.start_time.seconds == 1698796800} == {2181}
    assert {each.state for each in invoices} == {invoicing_pb2.Invoice.STATE_FINALIZED}


async def test_advancing_the_clock_rings_the_worker_and_sigterm_stops_it(world: World, acme: Tenant) -> None:
    await prepared(acme)
    async with process(world) as worker:
        await completed(acme, await acme.advance("2023-11-02"))
        started = system_clock()
        await completed(acme, await acme.advance("2023-12-01"))
        assert (system_clock() - started).total_seconds() < 5
        worker.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await worker.wait() == 0

"""The worker as a process of its own: rung by the server, and killed between the charge and its record."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.payments.shop import Deployment, Shop, eventually, states

PROCESSOR_TIMEOUT_SECONDS = 1
"""A lease lasts two seconds more."""


@asynccontextmanager
async def worker_process(deployment: Deployment) -> AsyncIterator[asyncio.subprocess.Process]:
    settings = deployment.worker_settings()
    environ = {
        **os.environ,
        "WEIR_PAYMENTS_DSN": settings.dsn,
        "WEIR_REDIS_URL": settings.redis_url,
        "WEIR_SIGNING_KEY": settings.signing_key,
        "WEIR_PAYMENTS_ENCRYPTION_KEY": settings.encryption_key,
        "WEIR_INVOICING_TARGET": settings.invoicing_target,
        "WEIR_STRIPE_API_URL": settings.stripe_api_url,
        "WEIR_PAYMENTS_PROCESSOR_TIMEOUT_SECONDS": str(PROCESSOR_TIMEOUT_SECONDS),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "payments", "worker", env=environ, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_worker_killed_between_the_charge_and_its_record_charges_once(deployment: Deployment) -> None:
    shop = await Shop(deployment).open()
    await shop.save()
    deployment.fault("delay", seconds=0.6)
    payment = await shop.bill()

    async def submitted() -> bool:
        return states(await shop.payment(payment.id)) == ("PROCESSING", ["SUBMITTING"])

    async def collected() -> bool:
        return states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])

    async with worker_process(deployment) as process:
        await eventually(submitted)
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert await submitted()
    await eventually(lambda: asyncio.to_thread(shop.charges))
    assert await submitted(), "charged, and nobody has written it down"
    async with worker_process(deployment) as process:
        await eventually(collected)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert len(shop.charges()) == 1


async def test_everything_happens_without_being_asked(deployment: Deployment) -> None:
    """Charge, webhook and status, through the processes as they are deployed."""
    shop = await Shop(deployment).open(webhooks=True)

    async def all_collected() -> bool:
        found = [await shop.payment(payment.id) for payment in payments]
        return all(states(payment) == ("SUCCEEDED", ["SUCCEEDED"]) for payment in found)

    async def all_processed() -> bool:
        events = await shop.events()
        return len(events) >= 8 and {event["state"] for event in events} == {"PROCESSED"}

    async with worker_process(deployment):
        payments = [await shop.bill(f"inv_{n}") for n in range(3)]
        await shop.save()
        await eventually(all_collected)
        await eventually(all_processed)
    assert len(shop.charges()) == 3

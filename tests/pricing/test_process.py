"""`python -m services pricing`, as it is deployed."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from libs.common.rpc.client import channel
from tests.conftest import Database, Keys
from weir.pricing.v1.pricing_pb2 import ListPlansRequest
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub

ROOT = Path(__file__).parents[2]


async def start(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "pricing", *arguments, cwd=ROOT, env={**os.environ, **environment},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def logged(process: asyncio.subprocess.Process, event: str) -> dict[str, object]:
    assert process.stderr is not None
    async with asyncio.timeout(20):
        async for line in process.stderr:
            if (entry := json.loads(line))["event"] == event:
                return dict(entry)
    raise AssertionError(f"the process ended before it logged {event!r}")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_serves_until_it_is_told_to_stop_and_then_ends_in_order(
    database: Database, keys: Keys, stop: signal.Signals
) -> None:
    process = await start(
        WEIR_PRICING_DSN=database.dsns["pricing"],
        WEIR_PUBLIC_KEYS=keys.public_pem,
        WEIR_SIGNING_KEY=keys.private_pem,
        WEIR_PRICING_LISTEN="127.0.0.1:0",
    )
    serving = await logged(process, "serving")
    async with channel(f"127.0.0.1:{serving['port']}", keys.api_key()) as opened:
        assert not (await PricingServiceStub(opened).ListPlans(ListPlansRequest())).plans
    process.send_signal(stop)
    assert (await logged(process, "stopped"))["service"] == "pricing"
    assert await process.wait() == 0


async def test_migrations_are_a_process_of_their_own(database: Database) -> None:
    process = await start("migrate", WEIR_PRICING_DSN=database.dsns["pricing"])
    assert (await logged(process, "migrated"))["applied"] == []
    assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("server",),
            b"pricing: WEIR_PRICING_DSN is not set; WEIR_PUBLIC_KEYS is not set; WEIR_SIGNING_KEY is not set\n",
        ),
        (("migrate",), b"pricing: WEIR_PRICING_DSN is not set\n"),
        (("worker",), b"pricing: there is no worker process\n"),
    ],
)
async def test_a_process_that_cannot_start_says_why_in_one_line(arguments: tuple[str, ...], complaint: bytes) -> None:
    process = await start(*arguments, WEIR_PRICING_DSN="", WEIR_PUBLIC_KEYS="", WEIR_SIGNING_KEY="")
    assert (await process.communicate())[1] == complaint
    assert process.returncode == 2

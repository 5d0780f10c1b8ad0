"""Metering, invoicing and pricing as processes that call each other, on one Postgres."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bench.stack import Process, new_database, postgres, service
from libs.common.credentials import generate_private_key
from libs.embedded.process import HOST, free_port

NAMES = ("metering", "invoicing", "pricing")
NO_REDIS = f"redis://{HOST}:1/0"
"""Nothing falls due here, so no alarm is ever set."""


@dataclass(frozen=True, slots=True)
class Together:
    """By service: its process and its database."""

    processes: dict[str, Process]
    dsns: dict[str, str]


@asynccontextmanager
async def together() -> AsyncIterator[Together]:
    targets = {name: f"{HOST}:{free_port()}" for name in NAMES}
    settings = {
        f"WEIR_{name.upper()}_{use}": target for name, target in targets.items() for use in ("LISTEN", "TARGET")
    }
    settings |= {"WEIR_SIGNING_KEY": generate_private_key(), "WEIR_REDIS_URL": NO_REDIS}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(postgres())
        dsns = {name: await new_database(server, name) for name in NAMES}
        processes = {
            name: await stack.enter_async_context(service(name, dsns[name], settings=settings)) for name in NAMES
        }
        yield Together(processes, dsns)

"""Services as processes that call each other, on one Postgres."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from cryptography.fernet import Fernet

from bench.stack import Process, new_database, postgres, service, valkey, worker
from libs.common.credentials import generate_private_key, public_pem
from libs.embedded.postgres import Postgres
from libs.embedded.process import HOST, free_port

NAMES = ("metering", "invoicing", "pricing")
NO_REDIS = f"redis://{HOST}:1/0"
"""Where nothing falls due, no alarm is ever set."""


@dataclass(frozen=True, slots=True)
class Together:
    """By service: its process, its worker's and its database."""

    postgres: Postgres
    processes: dict[str, Process]
    workers: dict[str, Process]
    dsns: dict[str, str]


@asynccontextmanager
async def together(names: Sequence[str] = NAMES, workers: Sequence[str] = ()) -> AsyncIterator[Together]:
    """The servers `names`, and the workers of some of them. A peer that is not named is away."""
    async with AsyncExitStack() as stack:
        settings = {
            f"WEIR_{name.upper()}_{use}": target
            for name in names
            for target in [f"{HOST}:{free_port()}"]
            for use in ("LISTEN", "TARGET")
        }
        private_pem = generate_private_key()
        settings |= {
            "WEIR_SIGNING_KEY": private_pem,
            "WEIR_PUBLIC_KEYS": public_pem(private_pem),
            "WEIR_PAYMENTS_ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "WEIR_PAYMENTS_WEBHOOK_LISTEN": f"{HOST}:{free_port()}",
            "WEIR_REDIS_URL": (await stack.enter_async_context(valkey())).url if workers else NO_REDIS,
        }
        server = await stack.enter_async_context(postgres())
        dsns = {name: await new_database(server, name) for name in names}
        processes = {
            name: await stack.enter_async_context(service(name, dsns[name], settings=settings)) for name in names
        }
        running = {name: await stack.enter_async_context(worker(name, dsns[name], settings)) for name in workers}
        yield Together(server, processes, running, dsns)

"""What a kubelet, or Compose, asks of a running server."""

import asyncio
import socket
import sys

import asyncpg
import httpx
from cryptography.fernet import Fernet

from libs.common.clock import system_clock
from libs.common.rpc.server import HEALTH_PERIOD_SECONDS, LIVENESS
from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from services.payments import main as payments
from services.pricing import main as pricing
from tests.conftest import Database, Keys
from tests.deploy.manifests import ROOT, WEBHOOK_HEALTH

PROBE = ROOT / "deploy" / "probe.py"


async def test_a_server_without_its_database_is_alive_and_not_ready(
    postgres: Postgres, database: Database, keys: Keys
) -> None:
    """So it gets no calls, and is not restarted for what a restart can't mend."""
    settings = pricing.Settings(database.dsns["pricing"], keys.public_pem, keys.private_pem, "127.0.0.1:0")
    names = ("", LIVENESS, *pricing.SERVICES)
    async with pricing.running(settings, system_clock) as port:
        assert [await probe(port, name) for name in names] == [0] * len(names)

        admin = await asyncpg.connect(postgres.admin_dsn)
        await admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false")
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database.name)
        await admin.close()
        await asyncio.sleep(2 * HEALTH_PERIOD_SECONDS)
        assert {name: await probe(port, name) for name in names} == {name: int(name != LIVENESS) for name in names}


async def test_the_webhook_port_says_whether_it_can_take_webhooks(
    database: Database, keys: Keys, valkey: Valkey
) -> None:
    settings = payments.Settings(
        dsn=database.dsns["payments"],
        redis_url=valkey.url,
        public_keys=keys.public_pem,
        encryption_key=Fernet.generate_key().decode(),
        listen="127.0.0.1:0",
        webhook_listen="127.0.0.1:0",
    )
    async with payments.running(settings, system_clock) as ports, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{ports.webhook}{WEBHOOK_HEALTH}")
        assert answer.status_code == 200


async def test_a_port_where_nobody_listens_is_not_ready() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert await probe(unused.getsockname()[1]) == 1


async def probe(port: int, service: str = "") -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROBE), f"127.0.0.1:{port}", service, stdout=asyncio.subprocess.DEVNULL
    )
    return await process.wait()

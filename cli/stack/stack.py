"""All of Weir on one machine: databases, sandbox, servers and workers, each a process of its own, on loopback."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from cli.errors import CliError
from cli.stack import health
from cli.stack.endpoint import SERVICES, Endpoint, remove_endpoint, write_endpoint
from cli.stack.lock import locked
from cli.stack.ports import Ports, choose_ports
from cli.stack.process import Process
from cli.stack.secrets import TENANT, issue, load_or_make
from cli.stack.supervision import Child, supervise
from libs.common.credentials import ALL_SCOPES, public_pem
from libs.common.postgres import migrate
from libs.embedded.postgres import Postgres, provision
from libs.embedded.valkey import Valkey
from services.__main__ import migrations

WORKERS = ("metering", "invoicing", "payments")
WEBHOOKS_HEALTH = "/health"
SANDBOX_HEALTH = "/_sandbox/health"


class Stack:
    """A running stack: where it answers, its children by name, how long each phase of the start took."""

    def __init__(self, data: Path, ports: Ports, environ: Mapping[str, str], report: Callable[[str], None]) -> None:
        self.data = data
        self.ports = ports
        self.report = report
        self.children: dict[str, Child] = {}
        self.seconds: dict[str, float] = {}
        self._environ = environ
        self._secrets = load_or_make(data)
        self._signing_key = environ.get("WEIR_SIGNING_KEY") or self._secrets.signing_key
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._restarted: dict[str, asyncio.Event] = {}

    @property
    def endpoint(self) -> Endpoint:
        is_ours = self._signing_key == self._secrets.signing_key
        return Endpoint(
            tenant_id=TENANT,
            api_key=self._secrets.api_key if is_ours else issue(self._signing_key, TENANT, ALL_SCOPES, live=False),
            services={service: self.ports.address(service) for service in SERVICES},
            webhooks_url=f"http://{self.ports.address('webhooks')}",
            sandbox_url=f"http://{self.ports.address('sandbox')}",
            process_id=os.getpid(),
        )

    def kill(self, name: str) -> None:
        """Kill a child as a crash would; supervision starts it again."""
        self._restarted[name].clear()
        os.kill(self.children[name].pid, signal.SIGKILL)

    async def until_restarted(self, name: str) -> None:
        """Return when the child that was killed is back and ready."""
        await self._restarted[name].wait()

    async def start(self) -> None:
        """Raises CliError or EmbeddedServerError; what has been started by then is for `stop`."""
        begin = monotonic()
        dsns, redis_url, _ = await _together(self._start_databases(), self._start_redis(), self._start_sandbox())
        environ = self._service_environ(dsns, redis_url)
        await self._timed("services", self._start_services(environ, redis_url))
        self.seconds["total"] = round(monotonic() - begin, 3)

    async def stop(self) -> None:
        """Workers first, since they call servers; then servers; then what both stand on."""
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)
        workers = [f"{service} worker" for service in WORKERS]
        for names in (workers, SERVICES, ("sandbox", "valkey", "postgres")):
            await asyncio.gather(*(self.children[name].stop() for name in names if name in self.children))

    async def _start_databases(self) -> dict[str, str]:
        """DSNs by service, migrated. Postgres is only started for services whose DSN the environment lacks."""
        dsns = {service: self._environ.get(_dsn(service), "") for service in SERVICES}
        missing = [service for service in SERVICES if not dsns[service]]
        if missing:
            postgres = Postgres(self.data / "postgres")
            await self._timed("postgres", self._start("postgres", postgres))
            dsns |= await provision(postgres.admin_dsn, missing, self._secrets.database_passwords)
        await self._timed("migrations", _migrate(dsns))
        return dsns

    async def _start_redis(self) -> str:
        redis_url = self._environ.get("WEIR_REDIS_URL")
        if redis_url:
            return redis_url
        valkey = Valkey(self.data / "valkey")
        await self._timed("valkey", self._start("valkey", valkey))
        await health.forget_workers(valkey.url, WORKERS)
        return valkey.url

    async def _start_sandbox(self) -> None:
        arguments = ("sandbox", "--port", str(self.ports.by_name["sandbox"]), "--data", str(self.data / "sandbox"))
        url = f"http://{self.ports.address('sandbox')}{SANDBOX_HEALTH}"
        process = self._process("sandbox", arguments, self._environ, lambda: health.http_is_ok(url))
        await self._timed("sandbox", self._start("sandbox", process))

    async def _start_services(self, environ: Mapping[str, str], redis_url: str) -> None:
        servers = [
            self._process(service, ("services", service), environ, self._server_check(service)) for service in SERVICES
        ]
        workers = [
            self._process(
                f"{service} worker", ("services", service, "worker"), environ, _worker_check(redis_url, service)
            )
            for service in WORKERS
        ]
        await _together(*(self._start(process.name, process) for process in (*servers, *workers)))

    def _process(self, name: str, arguments: Sequence[str], environ: Mapping[str, str], check: health.Check) -> Process:
        return Process(name, arguments, environ, self.data / "logs" / f"{name.replace(' ', '-')}.log", check)

    def _server_check(self, service: str) -> health.Check:
        webhooks = f"http://{self.ports.address('webhooks')}{WEBHOOKS_HEALTH}"

        async def check() -> bool:
            if service == "payments" and not await health.http_is_ok(webhooks):
                return False
            return await health.grpc_is_serving(self.ports.address(service))

        return check

    async def _start(self, name: str, child: Child) -> None:
        self.children[name] = child
        await child.start()
        self._restarted[name] = asyncio.Event()
        self._watchers[name] = asyncio.create_task(supervise(child, self.report, self._restarted[name].set))

    async def _timed(self, phase: str, work: Awaitable[None]) -> None:
        begin = monotonic()
        await work
        self.seconds[phase] = round(monotonic() - begin, 3)

    def _service_environ(self, dsns: Mapping[str, str], redis_url: str) -> dict[str, str]:
        """What the environment says about keys and the processor's address is stronger than what we would say."""
        addresses = {f"WEIR_{s.upper()}_{use}": self.ports.address(s) for s in SERVICES for use in ("LISTEN", "TARGET")}
        sandbox_url = f"http://{self.ports.address('sandbox')}"
        return {
            "WEIR_STRIPE_API_URL": sandbox_url,
            "WEIR_ADYEN_API_URL": sandbox_url,
            "WEIR_GOCARDLESS_API_URL": sandbox_url,
            "WEIR_PAYMENTS_ENCRYPTION_KEY": self._secrets.encryption_key,
            "WEIR_PUBLIC_KEYS": public_pem(self._signing_key),
            **self._environ,
            **addresses,
            **{_dsn(service): dsn for service, dsn in dsns.items()},
            "WEIR_SIGNING_KEY": self._signing_key,
            "WEIR_PAYMENTS_WEBHOOK_LISTEN": self.ports.address("webhooks"),
            "WEIR_REDIS_URL": redis_url,
        }


@asynccontextmanager
async def running(
    data: Path, report: Callable[[str], None], environ: Mapping[str, str] = os.environ, *, usual_ports: bool = False
) -> AsyncIterator[Stack]:
    """A stack on `data`, ready, until the block is left. `report` gets a line for whatever happens to a child.

    Listens on free ports, so that several stacks go together; with `usual_ports` where the documentation says.

    Raises CliError where the directory can't be used or is in use, and CliError or EmbeddedServerError, with nothing
    left running, where something does not start.
    """
    data = data.resolve()
    try:
        (data / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"the data directory {data} can't be used: {error.strerror}") from None
    async with AsyncExitStack() as cleanup:
        cleanup.enter_context(locked(data))
        stack = Stack(data, choose_ports(usual=usual_ports), environ, report)
        cleanup.push_async_callback(stack.stop)
        await stack.start()
        write_endpoint(data, stack.endpoint)
        cleanup.callback(remove_endpoint, data)
        yield stack


async def _together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """All results; where one fails, its error, once the others have been cancelled and have cleaned up."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _migrate(dsns: Mapping[str, str]) -> None:
    await _together(*(migrate(dsn, migrations(service)) for service, dsn in dsns.items()))


def _worker_check(redis_url: str, service: str) -> health.Check:
    return lambda: health.worker_is_polling(redis_url, service)


def _dsn(service: str) -> str:
    return f"WEIR_{service.upper()}_DSN"

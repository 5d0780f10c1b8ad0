"""Composition root of a connector: `python -m services metering connector`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from libs.common.clock import Clock, system_clock
from libs.common.credentials import Issuer, Verifier, load_private_key, load_public_keys
from libs.common.postgres import create_pool
from libs.common.rpc.client import channel
from libs.common.rpc.server import until_signal
from libs.common.settings import SettingsError, env, load
from services.metering.connectors.config import Config, read_config
from services.metering.connectors.delivery import Delivery
from services.metering.connectors.runner import Runner
from services.metering.connectors.sources import open_source
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

log = structlog.get_logger()

CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """`public_keys` only matter to a connector that serves HTTP."""

    dsn: str = env("WEIR_METERING_DSN")
    signing_key: str = env("WEIR_SIGNING_KEY")
    config: str = env("WEIR_CONNECTOR_CONFIG")
    public_keys: str = env("WEIR_PUBLIC_KEYS", "")
    target: str = env("WEIR_METERING_TARGET", "127.0.0.1:7001")


@asynccontextmanager
async def running(settings: Settings, clock: Clock) -> AsyncIterator[int]:
    """A connector, from its start to its orderly stop; yields its HTTP port, 0 where its source is read.

    On leaving, the batch in hand is finished, unless what it waits for is away.
    """
    config = read_config(settings.config)
    issuer = Issuer(load_private_key(settings.signing_key), clock)
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(await create_pool(settings.dsn, max_size=CONNECTIONS))
        metering = MeteringServiceStub(await stack.enter_async_context(channel(settings.target)))
        delivery = Delivery(config.name, config.tenant_id, config.mapping, pool, metering, issuer, clock)
        runner = Runner(delivery, stopping)
        if config.kind == "http":
            port = await stack.enter_async_context(_endpoint(config, settings, delivery, clock))
            work = [runner.replay()]
        else:
            port = 0
            source = await stack.enter_async_context(open_source(config, pool, clock))
            work = [runner.replay(), runner.run(source)]
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(stopping.set)
        for each in work:
            tasks.create_task(each)
        log.info("connected", connector=config.name, tenant=config.tenant_id, source=config.kind, port=port)
        yield port
    log.info("stopped", connector=config.name)


def _endpoint(config: Config, settings: Settings, delivery: Delivery, clock: Clock) -> AbstractAsyncContextManager[int]:
    from services.metering.connectors.sources import http

    if not settings.public_keys:
        raise SettingsError("WEIR_PUBLIC_KEYS is not set")
    return http.serving_events(config, delivery, Verifier(load_public_keys(settings.public_keys), clock))


async def connector() -> None:
    async with running(load(Settings), system_clock):
        await until_signal()

"""Composition root: settings, pool, server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from libs.common.clock import Clock, system_clock
from libs.common.credentials import Verifier, load_public_keys
from libs.common.postgres import create_pool
from libs.common.rpc.server import serving, until_signal
from libs.common.settings import env, load
from services.pricing import store
from services.pricing.servicer import PricingServicer
from weir.pricing.v1 import pricing_pb2
from weir.pricing.v1.pricing_pb2_grpc import add_PricingServiceServicer_to_server

SERVICES = (pricing_pb2.DESCRIPTOR.services_by_name["PricingService"].full_name,)


@dataclass(frozen=True, slots=True)
class Settings:
    dsn: str = env("WEIR_PRICING_DSN")
    public_keys: str = env("WEIR_PUBLIC_KEYS")
    listen: str = env("WEIR_PRICING_LISTEN", "127.0.0.1:7002")


@asynccontextmanager
async def running(settings: Settings, clock: Clock) -> AsyncIterator[int]:
    """The server, from its start to its orderly stop; yields its port."""
    verifier = Verifier(load_public_keys(settings.public_keys), clock)
    async with await create_pool(settings.dsn) as pool:

        async def ready() -> None:
            async with pool.acquire() as conn:
                await store.check(conn)

        servicer = PricingServicer(pool, clock)
        async with serving(
            settings.listen,
            SERVICES,
            lambda server: add_PricingServiceServicer_to_server(servicer, server),
            verifier,
            ready,
        ) as port:
            yield port


async def server() -> None:
    async with running(load(Settings), system_clock):
        await until_signal()

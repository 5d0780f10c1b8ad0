"""Composition root: settings, pool, peers, server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from libs.common.clock import Clock, system_clock
from libs.common.credentials import Issuer, Verifier, load_private_key, load_public_keys
from libs.common.postgres import create_pool
from libs.common.rpc.client import channel
from libs.common.rpc.server import serving, until_signal
from libs.common.settings import env, load
from services.pricing import store
from services.pricing.add_on_servicer import AddOnServicer
from services.pricing.coupon_servicer import CouponServicer
from services.pricing.estimation_servicer import EstimationServicer
from services.pricing.experiment_servicer import ExperimentServicer
from services.pricing.explanation_servicer import ExplanationServicer
from services.pricing.feature_servicer import FeatureServicer
from services.pricing.meters import Meters
from services.pricing.override_servicer import OverrideServicer
from services.pricing.peers import Peers
from services.pricing.servicer import PricingServicer
from services.pricing.simulation_servicer import SimulationServicer
from services.pricing.tax_servicer import TaxServicer
from services.pricing.threshold_servicer import ThresholdServicer
from services.pricing.versions import Versions
from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceStub
from weir.metering.v1.event_charges_pb2_grpc import EventChargeServiceStub
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub
from weir.pricing.v1 import (
    addons_pb2,
    coupons_pb2,
    estimation_pb2,
    experiments_pb2,
    explanation_pb2,
    features_pb2,
    overrides_pb2,
    pricing_pb2,
    simulation_pb2,
    taxes_pb2,
    thresholds_pb2,
)
from weir.pricing.v1.addons_pb2_grpc import add_AddOnServiceServicer_to_server
from weir.pricing.v1.coupons_pb2_grpc import add_CouponServiceServicer_to_server
from weir.pricing.v1.estimation_pb2_grpc import add_EstimationServiceServicer_to_server
from weir.pricing.v1.experiments_pb2_grpc import add_ExperimentServiceServicer_to_server
from weir.pricing.v1.explanation_pb2_grpc import add_ExplanationServiceServicer_to_server
from weir.pricing.v1.features_pb2_grpc import add_FeatureServiceServicer_to_server
from weir.pricing.v1.overrides_pb2_grpc import add_OverrideServiceServicer_to_server
from weir.pricing.v1.pricing_pb2_grpc import add_PricingServiceServicer_to_server
from weir.pricing.v1.simulation_pb2_grpc import add_SimulationServiceServicer_to_server
from weir.pricing.v1.taxes_pb2_grpc import add_TaxServiceServicer_to_server
from weir.pricing.v1.thresholds_pb2_grpc import add_ThresholdServiceServicer_to_server

CONTRACTS = (
    pricing_pb2,
    addons_pb2,
    coupons_pb2,
    estimation_pb2,
    experiments_pb2,
    explanation_pb2,
    features_pb2,
    overrides_pb2,
    simulation_pb2,
    taxes_pb2,
    thresholds_pb2,
)
SERVICES = tuple(
    service.full_name for contract in CONTRACTS for service in contract.DESCRIPTOR.services_by_name.values()
)


@dataclass(frozen=True, slots=True)
class Settings:
    dsn: str = env("WEIR_PRICING_DSN")
    public_keys: str = env("WEIR_PUBLIC_KEYS")
    signing_key: str = env("WEIR_SIGNING_KEY")
    listen: str = env("WEIR_PRICING_LISTEN", "127.0.0.1:7002")
    metering_target: str = env("WEIR_METERING_TARGET", "127.0.0.1:7001")
    invoicing_target: str = env("WEIR_INVOICING_TARGET", "127.0.0.1:7003")


@asynccontextmanager
async def running(settings: Settings, clock: Clock) -> AsyncIterator[int]:
    """The server, from its start to its orderly stop; yields its port."""
    verifier = Verifier(load_public_keys(settings.public_keys), clock)
    async with await create_pool(settings.dsn) as pool, calling_peers(settings, clock) as peers:
        versions, meters = Versions(pool), Meters(peers, clock)

        async def ready() -> None:
            async with pool.acquire() as conn:
                await store.check(conn)

        def register(server: grpc.aio.Server) -> None:
            add_PricingServiceServicer_to_server(PricingServicer(pool, versions, clock), server)
            add_AddOnServiceServicer_to_server(AddOnServicer(pool, clock), server)
            add_CouponServiceServicer_to_server(CouponServicer(pool, clock), server)
            add_FeatureServiceServicer_to_server(FeatureServicer(pool, clock), server)
            add_ExperimentServiceServicer_to_server(ExperimentServicer(pool, clock), server)
            add_OverrideServiceServicer_to_server(OverrideServicer(pool, clock), server)
            add_TaxServiceServicer_to_server(TaxServicer(pool), server)
            add_ThresholdServiceServicer_to_server(ThresholdServicer(pool), server)
            add_EstimationServiceServicer_to_server(EstimationServicer(versions, meters, clock), server)
            add_ExplanationServiceServicer_to_server(ExplanationServicer(versions), server)
            add_SimulationServiceServicer_to_server(SimulationServicer(versions, peers), server)

        async with serving(settings.listen, SERVICES, register, verifier, ready) as port:
            yield port


@asynccontextmanager
async def calling_peers(settings: Settings, clock: Clock) -> AsyncIterator[Peers]:
    """Channels connect when they are first used: pricing starts, and rates, without its peers."""
    async with channel(settings.metering_target) as metering, channel(settings.invoicing_target) as invoicing:
        issuer = Issuer(load_private_key(settings.signing_key), clock)
        yield Peers(
            MeteringServiceStub(metering), EventChargeServiceStub(metering), InvoicingServiceStub(invoicing), issuer
        )


async def server() -> None:
    async with running(load(Settings), system_clock):
        await until_signal()

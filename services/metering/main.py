"""Composition root: settings, pool, writers, server; and the worker."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import grpc

from libs.common.clock import Clock, system_clock
from libs.common.credentials import Verifier, load_public_keys
from libs.common.postgres import create_pool
from libs.common.rpc.server import serving, until_signal
from libs.common.settings import SettingsError, env, load
from libs.common.worker import run_worker
from services.metering import store
from services.metering.alerting import Alerter
from services.metering.alerts_servicer import AlertServicer
from services.metering.archive_files import storage
from services.metering.archive_servicer import ArchiveServicer
from services.metering.archiving import Archivist
from services.metering.backfilling import Backfilling
from services.metering.clock_servicer import ClockServicer
from services.metering.correction_servicer import CorrectionServicer
from services.metering.event_charge_servicer import EventChargeServicer
from services.metering.ingestion import Ingestion
from services.metering.late_usage_servicer import LateUsageServicer
from services.metering.meter_servicer import MeterServicer
from services.metering.purging import Purger
from services.metering.reading import Reader
from services.metering.reconciliation_servicer import ReconciliationServicer
from services.metering.servicer import MeteringServicer
from services.metering.worker import Folder, Releaser
from weir.metering.v1 import (
    alerts_pb2,
    archive_pb2,
    clocks_pb2,
    corrections_pb2,
    event_charges_pb2,
    late_usage_pb2,
    metering_pb2,
    meters_pb2,
    reconciliation_pb2,
)
from weir.metering.v1.alerts_pb2_grpc import add_AlertServiceServicer_to_server
from weir.metering.v1.archive_pb2_grpc import add_ArchiveServiceServicer_to_server
from weir.metering.v1.clocks_pb2_grpc import add_ClockServiceServicer_to_server
from weir.metering.v1.corrections_pb2_grpc import add_CorrectionServiceServicer_to_server
from weir.metering.v1.event_charges_pb2_grpc import add_EventChargeServiceServicer_to_server
from weir.metering.v1.late_usage_pb2_grpc import add_LateUsageServiceServicer_to_server
from weir.metering.v1.metering_pb2_grpc import add_MeteringServiceServicer_to_server
from weir.metering.v1.meters_pb2_grpc import add_MeterServiceServicer_to_server
from weir.metering.v1.reconciliation_pb2_grpc import add_ReconciliationServiceServicer_to_server

NAME = "metering"
SERVICES = (
    metering_pb2.DESCRIPTOR.services_by_name["MeteringService"].full_name,
    meters_pb2.DESCRIPTOR.services_by_name["MeterService"].full_name,
    alerts_pb2.DESCRIPTOR.services_by_name["AlertService"].full_name,
    archive_pb2.DESCRIPTOR.services_by_name["ArchiveService"].full_name,
    reconciliation_pb2.DESCRIPTOR.services_by_name["ReconciliationService"].full_name,
    corrections_pb2.DESCRIPTOR.services_by_name["CorrectionService"].full_name,
    event_charges_pb2.DESCRIPTOR.services_by_name["EventChargeService"].full_name,
    late_usage_pb2.DESCRIPTOR.services_by_name["LateUsageService"].full_name,
    clocks_pb2.DESCRIPTOR.services_by_name["ClockService"].full_name,
)

COLLECT_AFTER = 100_000, 20, 50
"""Objects made, before Python looks for cycles. The answers of a billing run are half a million objects and no cycle:
looking through them again and again takes a third of the time."""


@dataclass(frozen=True, slots=True)
class Settings:
    dsn: str = env("WEIR_METERING_DSN")
    public_keys: str = env("WEIR_PUBLIC_KEYS")
    listen: str = env("WEIR_METERING_LISTEN", "127.0.0.1:7001")
    late_days: int = env("WEIR_METERING_LATE_DAYS", 0)
    """How old events may be outside of a backfill; 0 sets no limit."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    dsn: str = env("WEIR_METERING_DSN")
    redis_url: str = env("WEIR_REDIS_URL")
    archive: str = env("WEIR_METERING_ARCHIVE", "")
    retention_months: int = env("WEIR_METERING_RETENTION_MONTHS", 0)
    keep_days: int = env("WEIR_METERING_KEEP_DAYS", 90)
    """For how long what is over is kept; 0 is for ever."""


@asynccontextmanager
async def running(settings: Settings, clock: Clock) -> AsyncIterator[int]:
    """The server, from its start to its orderly stop; yields its port.

    On leaving, streams are ended first, then calls under way, then the queue is emptied.
    """
    verifier = Verifier(load_public_keys(settings.public_keys), clock)
    ingestion = Ingestion(settings.dsn, clock, timedelta(days=settings.late_days) or None)
    async with await create_pool(settings.dsn) as pool, ingestion.running():

        async def ready() -> None:
            async with pool.acquire() as conn:
                await store.check(conn)

        reader = Reader()
        servicer = MeteringServicer(pool, ingestion, Backfilling(pool, reader, clock), clock)

        def register(server: grpc.aio.Server) -> None:
            add_MeteringServiceServicer_to_server(servicer, server)
            add_MeterServiceServicer_to_server(MeterServicer(pool, clock), server)
            add_AlertServiceServicer_to_server(AlertServicer(pool, clock), server)
            add_ArchiveServiceServicer_to_server(ArchiveServicer(pool, clock), server)
            add_ClockServiceServicer_to_server(ClockServicer(pool), server)
            add_ReconciliationServiceServicer_to_server(ReconciliationServicer(pool), server)
            add_CorrectionServiceServicer_to_server(CorrectionServicer(pool, reader, clock), server)
            add_EventChargeServiceServicer_to_server(EventChargeServicer(pool), server)
            add_LateUsageServiceServicer_to_server(LateUsageServicer(pool), server)

        async with serving(settings.listen, SERVICES, register, verifier, ready) as port:
            try:
                yield port
            finally:
                servicer.close_streams()


async def server() -> None:
    gc.set_threshold(*COLLECT_AFTER)
    async with running(load(Settings), system_clock):
        await until_signal()


async def worker() -> None:
    settings = load(WorkerSettings)
    if settings.retention_months and not settings.archive:
        raise SettingsError("WEIR_METERING_RETENTION_MONTHS is set and WEIR_METERING_ARCHIVE is not")
    archive = storage(settings.archive) if settings.archive else None
    async with await create_pool(settings.dsn) as pool:

        async def head() -> int:
            async with pool.acquire() as conn:
                return await store.read_head(conn)

        alerter = Alerter(pool, system_clock)
        workers = (
            Folder(pool),
            alerter,
            Releaser(pool, system_clock),
            Purger(pool, system_clock, settings.keep_days),
            Archivist(pool, system_clock, archive, settings.retention_months),
        )
        sweeps = {name: sweep for each in workers for name, sweep in each.sweeps().items()}
        await run_worker(NAME, settings.redis_url, sweeps, follow=head, followers=alerter.sweeps())

"""Composition root: settings, pool, processors, servers; and the worker."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import grpc

from libs.common import web
from libs.common.clock import Clock, system_clock
from libs.common.credentials import Issuer, Verifier, load_private_key, load_public_keys
from libs.common.postgres import create_pool
from libs.common.rpc.client import channel
from libs.common.rpc.server import serving, until_signal
from libs.common.settings import SettingsError, env, load
from libs.common.worker import Alarm, run_worker
from services.payments import notifying, webhook
from services.payments.accounts import Accounts, Connector
from services.payments.collection import Collection
from services.payments.collection_servicer import CollectionServicer
from services.payments.dispute_servicer import DisputeServicer
from services.payments.disputing import Disputing
from services.payments.dunning import Dunning
from services.payments.dunning_clock_servicer import DunningClockServicer
from services.payments.dunning_servicer import DunningServicer
from services.payments.hearing import Hearing
from services.payments.inbox import CatchingUp
from services.payments.intake import Intake
from services.payments.mail import MailServer
from services.payments.notice_servicer import NoticeServicer
from services.payments.notifying import Notifying
from services.payments.pace import Pace
from services.payments.paying import Paying
from services.payments.payment_page_servicer import PaymentPageServicer
from services.payments.payment_request_servicer import PaymentRequestServicer
from services.payments.processor_check_servicer import ProcessorCheckServicer
from services.payments.processor_servicer import ProcessorServicer
from services.payments.providers.adyen import Adyen
from services.payments.providers.gocardless import GoCardless
from services.payments.providers.stripe import Stripe
from services.payments.receipt_servicer import ManualPaymentServicer, ReceiptServicer
from services.payments.receiving import Receiving
from services.payments.reconciliation_servicer import ReconciliationServicer
from services.payments.reconciling import Reconciling
from services.payments.refund_servicer import RefundServicer
from services.payments.refunding import Refunding
from services.payments.reminding import Reminding
from services.payments.reporting import Reporting
from services.payments.requesting import Requesting
from services.payments.rotation import rewrap
from services.payments.routing_servicer import RoutingServicer
from services.payments.saving import Saving
from services.payments.servicer import PaymentsServicer
from services.payments.store import accounts as account_rows
from services.payments.vault import Vault
from services.payments.worker import Sweeps
from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceStub
from weir.invoicing.v1.reports_pb2_grpc import CollectionReportServiceStub
from weir.payments.v1 import (
    collections_pb2,
    disputes_pb2,
    dunning_clock_pb2,
    dunning_pb2,
    manual_payments_pb2,
    notices_pb2,
    payment_pages_pb2,
    payment_requests_pb2,
    payments_pb2,
    processor_checks_pb2,
    processors_pb2,
    receipts_pb2,
    reconciliations_pb2,
    refunds_pb2,
    routing_pb2,
)
from weir.payments.v1.collections_pb2_grpc import add_CollectionServiceServicer_to_server
from weir.payments.v1.disputes_pb2_grpc import add_DisputeServiceServicer_to_server
from weir.payments.v1.dunning_clock_pb2_grpc import add_DunningClockServiceServicer_to_server
from weir.payments.v1.dunning_pb2_grpc import add_DunningServiceServicer_to_server
from weir.payments.v1.manual_payments_pb2_grpc import add_ManualPaymentServiceServicer_to_server
from weir.payments.v1.notices_pb2_grpc import add_NoticeServiceServicer_to_server
from weir.payments.v1.payment_pages_pb2_grpc import add_PaymentPageServiceServicer_to_server
from weir.payments.v1.payment_requests_pb2_grpc import add_PaymentRequestServiceServicer_to_server
from weir.payments.v1.payments_pb2_grpc import add_PaymentsServiceServicer_to_server
from weir.payments.v1.processor_checks_pb2_grpc import add_ProcessorCheckServiceServicer_to_server
from weir.payments.v1.processors_pb2_grpc import add_ProcessorServiceServicer_to_server
from weir.payments.v1.receipts_pb2_grpc import add_ReceiptServiceServicer_to_server
from weir.payments.v1.reconciliations_pb2_grpc import add_ReconciliationServiceServicer_to_server
from weir.payments.v1.refunds_pb2_grpc import add_RefundServiceServicer_to_server
from weir.payments.v1.routing_pb2_grpc import add_RoutingServiceServicer_to_server

NAME = "payments"
SERVICES = (
    payments_pb2.DESCRIPTOR.services_by_name["PaymentsService"].full_name,
    collections_pb2.DESCRIPTOR.services_by_name["CollectionService"].full_name,
    processor_checks_pb2.DESCRIPTOR.services_by_name["ProcessorCheckService"].full_name,
    processors_pb2.DESCRIPTOR.services_by_name["ProcessorService"].full_name,
    refunds_pb2.DESCRIPTOR.services_by_name["RefundService"].full_name,
    manual_payments_pb2.DESCRIPTOR.services_by_name["ManualPaymentService"].full_name,
    reconciliations_pb2.DESCRIPTOR.services_by_name["ReconciliationService"].full_name,
    receipts_pb2.DESCRIPTOR.services_by_name["ReceiptService"].full_name,
    disputes_pb2.DESCRIPTOR.services_by_name["DisputeService"].full_name,
    dunning_clock_pb2.DESCRIPTOR.services_by_name["DunningClockService"].full_name,
    dunning_pb2.DESCRIPTOR.services_by_name["DunningService"].full_name,
    payment_requests_pb2.DESCRIPTOR.services_by_name["PaymentRequestService"].full_name,
    payment_pages_pb2.DESCRIPTOR.services_by_name["PaymentPageService"].full_name,
    notices_pb2.DESCRIPTOR.services_by_name["NoticeService"].full_name,
    routing_pb2.DESCRIPTOR.services_by_name["RoutingService"].full_name,
)
STRIPE_API_URL = "https://api.stripe.com"
PROCESSOR_TIMEOUT_SECONDS = 40
LEASE_MARGIN = timedelta(seconds=2)
WORKER_CONNECTIONS = 20


@dataclass(frozen=True, slots=True)
class Settings:
    dsn: str = env("WEIR_PAYMENTS_DSN")
    redis_url: str = env("WEIR_REDIS_URL")
    public_keys: str = env("WEIR_PUBLIC_KEYS")
    encryption_key: str = env("WEIR_PAYMENTS_ENCRYPTION_KEY")
    listen: str = env("WEIR_PAYMENTS_LISTEN", "127.0.0.1:7004")
    webhook_listen: str = env("WEIR_PAYMENTS_WEBHOOK_LISTEN", "127.0.0.1:7014")
    stripe_api_url: str = env("WEIR_STRIPE_API_URL", STRIPE_API_URL)
    adyen_api_url: str = env("WEIR_ADYEN_API_URL", "")
    gocardless_api_url: str = env("WEIR_GOCARDLESS_API_URL", "")
    processor_timeout_seconds: int = env("WEIR_PAYMENTS_PROCESSOR_TIMEOUT_SECONDS", PROCESSOR_TIMEOUT_SECONDS)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`processor_timeout_seconds` bounds one call with its retries; a worker killed in one is known dead soon after."""

    dsn: str = env("WEIR_PAYMENTS_DSN")
    redis_url: str = env("WEIR_REDIS_URL")
    signing_key: str = env("WEIR_SIGNING_KEY")
    encryption_key: str = env("WEIR_PAYMENTS_ENCRYPTION_KEY")
    invoicing_target: str = env("WEIR_INVOICING_TARGET", "127.0.0.1:7003")
    smtp_url: str = env("WEIR_SMTP_URL", "")
    mail_from: str = env("WEIR_MAIL_FROM", "")
    stripe_api_url: str = env("WEIR_STRIPE_API_URL", STRIPE_API_URL)
    adyen_api_url: str = env("WEIR_ADYEN_API_URL", "")
    gocardless_api_url: str = env("WEIR_GOCARDLESS_API_URL", "")
    processor_timeout_seconds: int = env("WEIR_PAYMENTS_PROCESSOR_TIMEOUT_SECONDS", PROCESSOR_TIMEOUT_SECONDS)


@dataclass(frozen=True, slots=True)
class Ports:
    rpc: int
    webhook: int


@asynccontextmanager
async def running(settings: Settings, clock: Clock) -> AsyncIterator[Ports]:
    """The server, from its start to its orderly stop; yields its ports."""
    vault = _vault(settings.encryption_key)
    verifier = Verifier(load_public_keys(settings.public_keys), clock)
    async with (
        await create_pool(settings.dsn, sessions=False) as pool,
        _processors(settings) as connectors,
        aclosing(Alarm(settings.redis_url, NAME)) as alarm,
    ):

        async def ready() -> None:
            async with pool.acquire() as conn:
                await account_rows.check(conn)

        accounts = Accounts(pool, vault, connectors)
        pace = _pace(settings.processor_timeout_seconds)
        saving, collection = Saving(pool, accounts, clock, pace), Collection(pool, accounts, clock, pace)
        servicer = PaymentsServicer(pool, vault, saving, collection, alarm, clock)

        def register(server: grpc.aio.Server) -> None:
            add_PaymentsServiceServicer_to_server(servicer, server)
            add_CollectionServiceServicer_to_server(CollectionServicer(pool, alarm, clock), server)
            add_RefundServiceServicer_to_server(RefundServicer(pool, alarm, clock), server)
            receiving = Receiving(collection)
            manual = ManualPaymentServicer(pool, receiving, alarm)
            add_ManualPaymentServiceServicer_to_server(manual, server)
            requests = PaymentRequestServicer(pool, Requesting(receiving), alarm, clock)
            add_PaymentRequestServiceServicer_to_server(requests, server)
            add_DunningClockServiceServicer_to_server(DunningClockServicer(pool, alarm, clock), server)
            add_DunningServiceServicer_to_server(DunningServicer(pool, clock), server)
            add_RoutingServiceServicer_to_server(RoutingServicer(pool, clock), server)
            add_ProcessorCheckServiceServicer_to_server(ProcessorCheckServicer(pool, accounts), server)
            add_DisputeServiceServicer_to_server(DisputeServicer(pool), server)
            add_PaymentPageServiceServicer_to_server(PaymentPageServicer(Paying(collection, saving)), server)
            add_NoticeServiceServicer_to_server(NoticeServicer(pool, vault, alarm, clock), server)
            add_ReconciliationServiceServicer_to_server(ReconciliationServicer(pool, alarm, clock), server)
            add_ReceiptServiceServicer_to_server(ReceiptServicer(pool), server)
            add_ProcessorServiceServicer_to_server(ProcessorServicer(pool, vault, saving, clock), server)

        intake = Intake(pool, alarm, clock)
        endpoint = webhook.Endpoint(pool, accounts, intake, clock)
        async with (
            intake.running(),
            web.serving(settings.webhook_listen, endpoint.app(), drain_seconds=webhook.DRAIN_SECONDS) as webhook_port,
            serving(
                settings.listen,
                SERVICES,
                register,
                verifier,
                ready,
            ) as rpc_port,
        ):
            yield Ports(rpc_port, webhook_port)


@asynccontextmanager
async def sweeping(settings: WorkerSettings, clock: Clock, pace: Pace) -> AsyncIterator[Sweeps]:
    """What the worker does, with all that it needs."""
    issuer = Issuer(load_private_key(settings.signing_key), clock)
    vault = _vault(settings.encryption_key)
    async with (
        await create_pool(settings.dsn, max_size=WORKER_CONNECTIONS, sessions=False) as pool,
        _processors(settings) as connectors,
        channel(settings.invoicing_target) as invoicing,
        notifying.client() as http,
    ):
        await rewrap(pool, vault)
        accounts = Accounts(pool, vault, connectors)
        collection = Collection(pool, accounts, clock, pace)
        refunding, saving = Refunding(pool, accounts, clock, pace), Saving(pool, accounts, clock, pace)
        reports = CollectionReportServiceStub(invoicing)
        yield Sweeps(
            pool=pool,
            collection=collection,
            refunding=refunding,
            hearing=Hearing(pool, accounts, collection, refunding, saving, Disputing(pool, clock), clock, pace),
            catching_up=CatchingUp(pool, accounts, clock, pace),
            saving=saving,
            dunning=Dunning(pool, clock),
            reminding=Reminding(pool, InvoicingServiceStub(invoicing), issuer, _mail_server(settings), clock, pace),
            notifying=Notifying(pool, vault, http, clock),
            reporting=Reporting(pool, InvoicingServiceStub(invoicing), reports, issuer, clock, pace),
            reconciling=Reconciling(pool, accounts, clock, pace),
            clock=clock,
            pace=pace,
        )


async def server() -> None:
    async with running(load(Settings), system_clock):
        await until_signal()


async def worker() -> None:
    settings = load(WorkerSettings)
    async with sweeping(settings, system_clock, _pace(settings.processor_timeout_seconds)) as sweeps:
        await run_worker(NAME, settings.redis_url, sweeps.all())


def _pace(processor_timeout_seconds: int) -> Pace:
    return Pace(lease=timedelta(seconds=processor_timeout_seconds) + LEASE_MARGIN)


def _vault(encryption_key: str) -> Vault:
    try:
        return Vault(encryption_key)
    except ValueError:
        raise SettingsError(
            "WEIR_PAYMENTS_ENCRYPTION_KEY must be one or more Fernet keys (32 bytes in URL-safe base64), separated by"
            " commas"
        ) from None


def _mail_server(settings: WorkerSettings) -> MailServer | None:
    """None where none is configured."""
    if not settings.smtp_url:
        return None
    try:
        return MailServer.parsed(settings.smtp_url, settings.mail_from)
    except ValueError:
        raise SettingsError(
            "WEIR_SMTP_URL must be smtp://[user:password@]host[:port] or smtps://…, and WEIR_MAIL_FROM an address"
        ) from None


@asynccontextmanager
async def _processors(settings: Settings | WorkerSettings) -> AsyncIterator[Mapping[str, Connector]]:
    """How to open an account at each processor; their connections end with this."""
    timeout_seconds = settings.processor_timeout_seconds
    async with (
        aclosing(Stripe(settings.stripe_api_url, timeout_seconds)) as stripe,
        aclosing(Adyen(settings.adyen_api_url, timeout_seconds)) as adyen,
        aclosing(GoCardless(settings.gocardless_api_url, timeout_seconds)) as gocardless,
    ):
        yield {"stripe": stripe.account, "adyen": adyen.account, "gocardless": gocardless.account}

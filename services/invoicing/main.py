"""Composition root: settings, pool, peers, server and worker."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import grpc

from libs.common.clock import Clock, system_clock
from libs.common.credentials import Issuer, Verifier, load_private_key, load_public_keys
from libs.common.postgres import create_pool
from libs.common.rpc.client import channel
from libs.common.rpc.server import serving, until_signal
from libs.common.settings import env, load
from libs.common.worker import Alarm, run_worker
from services.invoicing import store
from services.invoicing.advance_fee_servicer import AdvanceFeeServicer
from services.invoicing.analytics_servicer import AnalyticsServicer
from services.invoicing.billing_preview_servicer import BillingPreviewServicer
from services.invoicing.change_servicer import PlanChangeServicer
from services.invoicing.coupon_servicer import AppliedCouponServicer
from services.invoicing.credit_note_servicer import CreditNoteServicer
from services.invoicing.crediting import Till
from services.invoicing.customer_servicer import CustomerServicer
from services.invoicing.document_servicer import DocumentServicer
from services.invoicing.documenting import Documents
from services.invoicing.documents.press import printing
from services.invoicing.draft_servicer import DraftServicer
from services.invoicing.export_servicer import ExportServicer
from services.invoicing.fixed_charge_servicer import FixedChargeServicer
from services.invoicing.ledger_servicer import LedgerServicer
from services.invoicing.legal_entity_servicer import LegalEntityServicer
from services.invoicing.line_servicer import InvoiceLineServicer
from services.invoicing.one_off_servicer import OneOffInvoiceServicer
from services.invoicing.pause_servicer import PauseServicer
from services.invoicing.peers import Metering, Payments, Peers, Pricing
from services.invoicing.peers.keys import Keys
from services.invoicing.prepaid import PrepaidCredit
from services.invoicing.replay_servicer import ReplayServicer
from services.invoicing.report_servicer import CollectionReportServicer
from services.invoicing.servicer import InvoicingServicer
from services.invoicing.subscription_preview_servicer import SubscriptionPreviewServicer
from services.invoicing.worker import Biller
from weir.invoicing.v1 import (
    advance_fees_pb2,
    analytics_pb2,
    billing_previews_pb2,
    changes_pb2,
    coupons_pb2,
    credit_notes_pb2,
    customers_pb2,
    documents_pb2,
    drafts_pb2,
    exports_pb2,
    fixed_charges_pb2,
    invoicing_pb2,
    ledger_pb2,
    legal_entities_pb2,
    lines_pb2,
    one_offs_pb2,
    pauses_pb2,
    replays_pb2,
    reports_pb2,
    subscription_previews_pb2,
)
from weir.invoicing.v1.advance_fees_pb2_grpc import add_AdvanceFeeServiceServicer_to_server
from weir.invoicing.v1.analytics_pb2_grpc import add_AnalyticsServiceServicer_to_server
from weir.invoicing.v1.billing_previews_pb2_grpc import add_BillingPreviewServiceServicer_to_server
from weir.invoicing.v1.changes_pb2_grpc import add_PlanChangeServiceServicer_to_server
from weir.invoicing.v1.coupons_pb2_grpc import add_AppliedCouponServiceServicer_to_server
from weir.invoicing.v1.credit_notes_pb2_grpc import add_CreditNoteServiceServicer_to_server
from weir.invoicing.v1.customers_pb2_grpc import add_CustomerServiceServicer_to_server
from weir.invoicing.v1.documents_pb2_grpc import add_DocumentServiceServicer_to_server
from weir.invoicing.v1.drafts_pb2_grpc import add_DraftServiceServicer_to_server
from weir.invoicing.v1.exports_pb2_grpc import add_ExportServiceServicer_to_server
from weir.invoicing.v1.fixed_charges_pb2_grpc import add_FixedChargeServiceServicer_to_server
from weir.invoicing.v1.invoicing_pb2_grpc import add_InvoicingServiceServicer_to_server
from weir.invoicing.v1.ledger_pb2_grpc import add_LedgerServiceServicer_to_server
from weir.invoicing.v1.legal_entities_pb2_grpc import add_LegalEntityServiceServicer_to_server
from weir.invoicing.v1.lines_pb2_grpc import add_InvoiceLineServiceServicer_to_server
from weir.invoicing.v1.one_offs_pb2_grpc import add_OneOffInvoiceServiceServicer_to_server
from weir.invoicing.v1.pauses_pb2_grpc import add_PauseServiceServicer_to_server
from weir.invoicing.v1.replays_pb2_grpc import add_ReplayServiceServicer_to_server
from weir.invoicing.v1.reports_pb2_grpc import add_CollectionReportServiceServicer_to_server
from weir.invoicing.v1.subscription_previews_pb2_grpc import add_SubscriptionPreviewServiceServicer_to_server

NAME = "invoicing"
SERVICES = (
    invoicing_pb2.DESCRIPTOR.services_by_name["InvoicingService"].full_name,
    credit_notes_pb2.DESCRIPTOR.services_by_name["CreditNoteService"].full_name,
    coupons_pb2.DESCRIPTOR.services_by_name["AppliedCouponService"].full_name,
    customers_pb2.DESCRIPTOR.services_by_name["CustomerService"].full_name,
    drafts_pb2.DESCRIPTOR.services_by_name["DraftService"].full_name,
    changes_pb2.DESCRIPTOR.services_by_name["PlanChangeService"].full_name,
    subscription_previews_pb2.DESCRIPTOR.services_by_name["SubscriptionPreviewService"].full_name,
    reports_pb2.DESCRIPTOR.services_by_name["CollectionReportService"].full_name,
    lines_pb2.DESCRIPTOR.services_by_name["InvoiceLineService"].full_name,
    one_offs_pb2.DESCRIPTOR.services_by_name["OneOffInvoiceService"].full_name,
    pauses_pb2.DESCRIPTOR.services_by_name["PauseService"].full_name,
    exports_pb2.DESCRIPTOR.services_by_name["ExportService"].full_name,
    replays_pb2.DESCRIPTOR.services_by_name["ReplayService"].full_name,
    billing_previews_pb2.DESCRIPTOR.services_by_name["BillingPreviewService"].full_name,
    advance_fees_pb2.DESCRIPTOR.services_by_name["AdvanceFeeService"].full_name,
    fixed_charges_pb2.DESCRIPTOR.services_by_name["FixedChargeService"].full_name,
    ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"].full_name,
    analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"].full_name,
    legal_entities_pb2.DESCRIPTOR.services_by_name["LegalEntityService"].full_name,
    documents_pb2.DESCRIPTOR.services_by_name["DocumentService"].full_name,
)


@dataclass(frozen=True, slots=True)
class Settings:
    dsn: str = env("WEIR_INVOICING_DSN")
    redis_url: str = env("WEIR_REDIS_URL")
    public_keys: str = env("WEIR_PUBLIC_KEYS")
    signing_key: str = env("WEIR_SIGNING_KEY")
    listen: str = env("WEIR_INVOICING_LISTEN", "127.0.0.1:7003")
    metering_target: str = env("WEIR_METERING_TARGET", "127.0.0.1:7001")
    pricing_target: str = env("WEIR_PRICING_TARGET", "127.0.0.1:7002")
    payments_target: str = env("WEIR_PAYMENTS_TARGET", "127.0.0.1:7004")
    lease_seconds: int = env("WEIR_INVOICING_LEASE_SECONDS", 30)
    chunk_size: int = env("WEIR_INVOICING_CHUNK_SIZE", 500)
    replay_sample: int = env("WEIR_INVOICING_REPLAY_SAMPLE", 100)
    presses: int = env("WEIR_INVOICING_PRESSES", 1)


@asynccontextmanager
async def running(settings: Settings, clock: Clock, prepaid: PrepaidCredit | None = None) -> AsyncIterator[int]:
    """The server, from its start to its orderly stop; yields its port."""
    verifier = Verifier(load_public_keys(settings.public_keys), clock)
    async with (
        await create_pool(settings.dsn, sessions=False) as pool,
        calling_peers(settings, clock) as peers,
        aclosing(Alarm(settings.redis_url, NAME)) as alarm,
        printing(settings.presses) as press,
    ):
        documents = Documents(pool, peers, press, clock)

        async def ready() -> None:
            async with pool.acquire() as conn:
                await store.check(conn)

        def register(server: grpc.aio.Server) -> None:
            add_InvoicingServiceServicer_to_server(InvoicingServicer(pool, peers, alarm, clock), server)
            add_CreditNoteServiceServicer_to_server(CreditNoteServicer(pool, Till(pool, peers, clock), clock), server)
            add_AppliedCouponServiceServicer_to_server(AppliedCouponServicer(pool, peers, clock), server)
            add_CustomerServiceServicer_to_server(CustomerServicer(pool, documents, alarm, clock), server)
            add_DraftServiceServicer_to_server(DraftServicer(pool, peers, alarm, clock, prepaid), server)
            add_PlanChangeServiceServicer_to_server(PlanChangeServicer(pool, peers, alarm, clock), server)
            previews = SubscriptionPreviewServicer(pool, peers, clock)
            add_SubscriptionPreviewServiceServicer_to_server(previews, server)
            add_CollectionReportServiceServicer_to_server(CollectionReportServicer(pool, clock), server)
            add_InvoiceLineServiceServicer_to_server(InvoiceLineServicer(pool, peers), server)
            add_OneOffInvoiceServiceServicer_to_server(OneOffInvoiceServicer(pool, peers, alarm, clock), server)
            add_PauseServiceServicer_to_server(PauseServicer(pool, alarm, clock), server)
            add_ExportServiceServicer_to_server(ExportServicer(pool), server)
            add_ReplayServiceServicer_to_server(ReplayServicer(pool), server)
            add_BillingPreviewServiceServicer_to_server(BillingPreviewServicer(pool, peers, clock), server)
            add_AdvanceFeeServiceServicer_to_server(AdvanceFeeServicer(pool, clock), server)
            add_LedgerServiceServicer_to_server(LedgerServicer(pool, clock), server)
            add_AnalyticsServiceServicer_to_server(AnalyticsServicer(pool, peers, clock), server)
            add_FixedChargeServiceServicer_to_server(FixedChargeServicer(pool, peers, alarm, clock), server)
            add_LegalEntityServiceServicer_to_server(LegalEntityServicer(pool, peers, press, clock), server)
            add_DocumentServiceServicer_to_server(DocumentServicer(documents), server)

        async with serving(settings.listen, SERVICES, register, verifier, ready) as port:
            yield port


@asynccontextmanager
async def billing(settings: Settings, clock: Clock, prepaid: PrepaidCredit | None = None) -> AsyncIterator[Biller]:
    """What the worker runs; without `prepaid` credit, there is none on invoices."""
    async with (
        await create_pool(settings.dsn, sessions=False, plan_seconds=1) as pool,
        calling_peers(settings, clock) as peers,
        aclosing(Alarm(settings.redis_url, NAME)) as alarm,
    ):
        lease = timedelta(seconds=settings.lease_seconds)
        yield Biller(
            pool,
            peers,
            alarm,
            clock,
            lease=lease,
            chunk_size=settings.chunk_size,
            replay_sample=settings.replay_sample,
            prepaid=prepaid,
        )


@asynccontextmanager
async def calling_peers(settings: Settings, clock: Clock) -> AsyncIterator[Peers]:
    async with (
        channel(settings.metering_target) as metering,
        channel(settings.pricing_target) as pricing,
        channel(settings.payments_target) as payments,
    ):
        keys = Keys(Issuer(load_private_key(settings.signing_key), clock))
        yield Peers(Metering(metering, keys), Pricing(pricing, keys), Payments(payments, keys))


async def server() -> None:
    async with running(load(Settings), system_clock):
        await until_signal()


async def worker() -> None:
    settings = load(Settings)
    async with billing(settings, system_clock) as biller:
        await run_worker(NAME, settings.redis_url, biller.sweeps())

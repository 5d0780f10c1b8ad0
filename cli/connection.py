"""The services as a command sees them: one channel each, opened when first used, with the tenant's API key."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from cli.stack.endpoint import Endpoint, read_endpoint
from libs.common.rpc.client import channel
from weir.invoicing.v1.advance_fees_pb2_grpc import AdvanceFeeServiceStub
from weir.invoicing.v1.analytics_pb2_grpc import AnalyticsServiceStub
from weir.invoicing.v1.billing_previews_pb2_grpc import BillingPreviewServiceStub
from weir.invoicing.v1.changes_pb2_grpc import PlanChangeServiceStub
from weir.invoicing.v1.coupons_pb2_grpc import AppliedCouponServiceStub
from weir.invoicing.v1.credit_notes_pb2_grpc import CreditNoteServiceStub
from weir.invoicing.v1.customers_pb2_grpc import CustomerServiceStub
from weir.invoicing.v1.documents_pb2_grpc import DocumentServiceStub
from weir.invoicing.v1.drafts_pb2_grpc import DraftServiceStub
from weir.invoicing.v1.exports_pb2_grpc import ExportServiceStub
from weir.invoicing.v1.fixed_charges_pb2_grpc import FixedChargeServiceStub
from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceStub
from weir.invoicing.v1.ledger_pb2_grpc import LedgerServiceStub
from weir.invoicing.v1.legal_entities_pb2_grpc import LegalEntityServiceStub
from weir.invoicing.v1.lines_pb2_grpc import InvoiceLineServiceStub
from weir.invoicing.v1.one_offs_pb2_grpc import OneOffInvoiceServiceStub
from weir.invoicing.v1.pauses_pb2_grpc import PauseServiceStub
from weir.invoicing.v1.replays_pb2_grpc import ReplayServiceStub
from weir.invoicing.v1.subscription_previews_pb2_grpc import SubscriptionPreviewServiceStub
from weir.metering.v1.alerts_pb2_grpc import AlertServiceStub
from weir.metering.v1.archive_pb2_grpc import ArchiveServiceStub
from weir.metering.v1.corrections_pb2_grpc import CorrectionServiceStub
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub
from weir.metering.v1.meters_pb2_grpc import MeterServiceStub
from weir.metering.v1.reconciliation_pb2_grpc import ReconciliationServiceStub
from weir.payments.v1.dunning_clock_pb2_grpc import DunningClockServiceStub
from weir.payments.v1.dunning_pb2_grpc import DunningServiceStub
from weir.payments.v1.manual_payments_pb2_grpc import ManualPaymentServiceStub
from weir.payments.v1.notices_pb2_grpc import NoticeServiceStub
from weir.payments.v1.payment_pages_pb2_grpc import PaymentPageServiceStub
from weir.payments.v1.payments_pb2_grpc import PaymentsServiceStub
from weir.payments.v1.processor_checks_pb2_grpc import ProcessorCheckServiceStub
from weir.payments.v1.processors_pb2_grpc import ProcessorServiceStub
from weir.payments.v1.reconciliations_pb2_grpc import ReconciliationServiceStub as PaymentReconciliationServiceStub
from weir.payments.v1.refunds_pb2_grpc import RefundServiceStub
from weir.payments.v1.routing_pb2_grpc import RoutingServiceStub
from weir.pricing.v1.addons_pb2_grpc import AddOnServiceStub
from weir.pricing.v1.coupons_pb2_grpc import CouponServiceStub
from weir.pricing.v1.experiments_pb2_grpc import ExperimentServiceStub
from weir.pricing.v1.explanation_pb2_grpc import ExplanationServiceStub
from weir.pricing.v1.features_pb2_grpc import FeatureServiceStub
from weir.pricing.v1.overrides_pb2_grpc import OverrideServiceStub
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub
from weir.pricing.v1.simulation_pb2_grpc import SimulationServiceStub

if TYPE_CHECKING:
    from weir.invoicing.v1.advance_fees_pb2_grpc import AdvanceFeeServiceAsyncStub
    from weir.invoicing.v1.analytics_pb2_grpc import AnalyticsServiceAsyncStub
    from weir.invoicing.v1.billing_previews_pb2_grpc import BillingPreviewServiceAsyncStub
    from weir.invoicing.v1.changes_pb2_grpc import PlanChangeServiceAsyncStub
    from weir.invoicing.v1.coupons_pb2_grpc import AppliedCouponServiceAsyncStub
    from weir.invoicing.v1.credit_notes_pb2_grpc import CreditNoteServiceAsyncStub
    from weir.invoicing.v1.customers_pb2_grpc import CustomerServiceAsyncStub
    from weir.invoicing.v1.documents_pb2_grpc import DocumentServiceAsyncStub
    from weir.invoicing.v1.drafts_pb2_grpc import DraftServiceAsyncStub
    from weir.invoicing.v1.exports_pb2_grpc import ExportServiceAsyncStub
    from weir.invoicing.v1.fixed_charges_pb2_grpc import FixedChargeServiceAsyncStub
    from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceAsyncStub
    from weir.invoicing.v1.ledger_pb2_grpc import LedgerServiceAsyncStub
    from weir.invoicing.v1.legal_entities_pb2_grpc import LegalEntityServiceAsyncStub
    from weir.invoicing.v1.lines_pb2_grpc import InvoiceLineServiceAsyncStub
    from weir.invoicing.v1.one_offs_pb2_grpc import OneOffInvoiceServiceAsyncStub
    from weir.invoicing.v1.pauses_pb2_grpc import PauseServiceAsyncStub
    from weir.invoicing.v1.replays_pb2_grpc import ReplayServiceAsyncStub
    from weir.invoicing.v1.subscription_previews_pb2_grpc import SubscriptionPreviewServiceAsyncStub
    from weir.metering.v1.alerts_pb2_grpc import AlertServiceAsyncStub
    from weir.metering.v1.archive_pb2_grpc import ArchiveServiceAsyncStub
    from weir.metering.v1.corrections_pb2_grpc import CorrectionServiceAsyncStub
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub
    from weir.metering.v1.meters_pb2_grpc import MeterServiceAsyncStub
    from weir.metering.v1.reconciliation_pb2_grpc import ReconciliationServiceAsyncStub
    from weir.payments.v1.dunning_clock_pb2_grpc import DunningClockServiceAsyncStub
    from weir.payments.v1.dunning_pb2_grpc import DunningServiceAsyncStub
    from weir.payments.v1.manual_payments_pb2_grpc import ManualPaymentServiceAsyncStub
    from weir.payments.v1.notices_pb2_grpc import NoticeServiceAsyncStub
    from weir.payments.v1.payment_pages_pb2_grpc import PaymentPageServiceAsyncStub
    from weir.payments.v1.payments_pb2_grpc import PaymentsServiceAsyncStub
    from weir.payments.v1.processor_checks_pb2_grpc import ProcessorCheckServiceAsyncStub
    from weir.payments.v1.processors_pb2_grpc import ProcessorServiceAsyncStub
    from weir.payments.v1.reconciliations_pb2_grpc import (
        ReconciliationServiceAsyncStub as PaymentReconciliationServiceAsyncStub,
    )
    from weir.payments.v1.refunds_pb2_grpc import RefundServiceAsyncStub
    from weir.payments.v1.routing_pb2_grpc import RoutingServiceAsyncStub
    from weir.pricing.v1.addons_pb2_grpc import AddOnServiceAsyncStub
    from weir.pricing.v1.coupons_pb2_grpc import CouponServiceAsyncStub
    from weir.pricing.v1.experiments_pb2_grpc import ExperimentServiceAsyncStub
    from weir.pricing.v1.explanation_pb2_grpc import ExplanationServiceAsyncStub
    from weir.pricing.v1.features_pb2_grpc import FeatureServiceAsyncStub
    from weir.pricing.v1.overrides_pb2_grpc import OverrideServiceAsyncStub
    from weir.pricing.v1.pricing_pb2_grpc import PricingServiceAsyncStub
    from weir.pricing.v1.simulation_pb2_grpc import SimulationServiceAsyncStub


class Connection:
    """Stubs to the services at `endpoint`. Errors arrive as BillingError."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._channels: dict[tuple[str, bool], grpc.aio.Channel] = {}

    @property
    def metering(self) -> "MeteringServiceAsyncStub":
        return MeteringServiceStub(self._channel("metering"))

    @property
    def meters(self) -> "MeterServiceAsyncStub":
        return MeterServiceStub(self._channel("metering"))

    @property
    def alerts(self) -> "AlertServiceAsyncStub":
        return AlertServiceStub(self._channel("metering"))

    @property
    def usage_streams(self) -> "MeteringServiceAsyncStub":
        """Metering for streams of answers, which their reader opens again."""
        return MeteringServiceStub(self._channel("metering", retries=False))

    @property
    def ingestion(self) -> "MeteringServiceAsyncStub":
        """Metering for streams of events, whose sender itself sends again what was not answered."""
        return MeteringServiceStub(self._channel("metering", retries=False))

    @property
    def archive(self) -> "ArchiveServiceAsyncStub":
        return ArchiveServiceStub(self._channel("metering"))

    @property
    def reconciliation(self) -> "ReconciliationServiceAsyncStub":
        return ReconciliationServiceStub(self._channel("metering"))

    @property
    def corrections(self) -> "CorrectionServiceAsyncStub":
        return CorrectionServiceStub(self._channel("metering"))

    @property
    def pricing(self) -> "PricingServiceAsyncStub":
        return PricingServiceStub(self._channel("pricing"))

    @property
    def add_ons(self) -> "AddOnServiceAsyncStub":
        return AddOnServiceStub(self._channel("pricing"))

    @property
    def coupons(self) -> "CouponServiceAsyncStub":
        return CouponServiceStub(self._channel("pricing"))

    @property
    def experiments(self) -> "ExperimentServiceAsyncStub":
        return ExperimentServiceStub(self._channel("pricing"))

    @property
    def features(self) -> "FeatureServiceAsyncStub":
        return FeatureServiceStub(self._channel("pricing"))

    @property
    def overrides(self) -> "OverrideServiceAsyncStub":
        return OverrideServiceStub(self._channel("pricing"))

    @property
    def explanation(self) -> "ExplanationServiceAsyncStub":
        return ExplanationServiceStub(self._channel("pricing"))

    @property
    def simulation(self) -> "SimulationServiceAsyncStub":
        return SimulationServiceStub(self._channel("pricing"))

    @property
    def invoicing(self) -> "InvoicingServiceAsyncStub":
        return InvoicingServiceStub(self._channel("invoicing"))

    @property
    def customers(self) -> "CustomerServiceAsyncStub":
        return CustomerServiceStub(self._channel("invoicing"))

    @property
    def invoice_lines(self) -> "InvoiceLineServiceAsyncStub":
        return InvoiceLineServiceStub(self._channel("invoicing"))

    @property
    def legal_entities(self) -> "LegalEntityServiceAsyncStub":
        return LegalEntityServiceStub(self._channel("invoicing"))

    @property
    def documents(self) -> "DocumentServiceAsyncStub":
        return DocumentServiceStub(self._channel("invoicing"))

    @property
    def ledger(self) -> "LedgerServiceAsyncStub":
        return LedgerServiceStub(self._channel("invoicing"))

    @property
    def analytics(self) -> "AnalyticsServiceAsyncStub":
        return AnalyticsServiceStub(self._channel("invoicing"))

    @property
    def drafts(self) -> "DraftServiceAsyncStub":
        return DraftServiceStub(self._channel("invoicing"))

    @property
    def one_offs(self) -> "OneOffInvoiceServiceAsyncStub":
        return OneOffInvoiceServiceStub(self._channel("invoicing"))

    @property
    def exports(self) -> "ExportServiceAsyncStub":
        """Streams of answers, which their reader asks to go on."""
        return ExportServiceStub(self._channel("invoicing", retries=False))

    @property
    def fixed_charges(self) -> "FixedChargeServiceAsyncStub":
        return FixedChargeServiceStub(self._channel("invoicing"))

    @property
    def advance_fees(self) -> "AdvanceFeeServiceAsyncStub":
        return AdvanceFeeServiceStub(self._channel("invoicing"))

    @property
    def billing_previews(self) -> "BillingPreviewServiceAsyncStub":
        """Streams of answers, which their reader asks for again."""
        return BillingPreviewServiceStub(self._channel("invoicing", retries=False))

    @property
    def replays(self) -> "ReplayServiceAsyncStub":
        return ReplayServiceStub(self._channel("invoicing"))

    @property
    def credit_notes(self) -> "CreditNoteServiceAsyncStub":
        return CreditNoteServiceStub(self._channel("invoicing"))

    @property
    def pauses(self) -> "PauseServiceAsyncStub":
        return PauseServiceStub(self._channel("invoicing"))

    @property
    def subscription_previews(self) -> "SubscriptionPreviewServiceAsyncStub":
        return SubscriptionPreviewServiceStub(self._channel("invoicing"))

    @property
    def applied_coupons(self) -> "AppliedCouponServiceAsyncStub":
        return AppliedCouponServiceStub(self._channel("invoicing"))

    @property
    def plan_changes(self) -> "PlanChangeServiceAsyncStub":
        return PlanChangeServiceStub(self._channel("invoicing"))

    @property
    def payments(self) -> "PaymentsServiceAsyncStub":
        return PaymentsServiceStub(self._channel("payments"))

    @property
    def manual_payments(self) -> "ManualPaymentServiceAsyncStub":
        return ManualPaymentServiceStub(self._channel("payments"))

    @property
    def processor_checks(self) -> "ProcessorCheckServiceAsyncStub":
        return ProcessorCheckServiceStub(self._channel("payments"))

    @property
    def processors(self) -> "ProcessorServiceAsyncStub":
        return ProcessorServiceStub(self._channel("payments"))

    @property
    def payment_reconciliations(self) -> "PaymentReconciliationServiceAsyncStub":
        return PaymentReconciliationServiceStub(self._channel("payments"))

    @property
    def refunds(self) -> "RefundServiceAsyncStub":
        return RefundServiceStub(self._channel("payments"))

    @property
    def notices(self) -> "NoticeServiceAsyncStub":
        return NoticeServiceStub(self._channel("payments"))

    @property
    def payment_pages(self) -> "PaymentPageServiceAsyncStub":
        return PaymentPageServiceStub(self._channel("payments"))

    @property
    def routing(self) -> "RoutingServiceAsyncStub":
        return RoutingServiceStub(self._channel("payments"))

    @property
    def dunning_clock(self) -> "DunningClockServiceAsyncStub":
        return DunningClockServiceStub(self._channel("payments"))

    @property
    def dunning(self) -> "DunningServiceAsyncStub":
        return DunningServiceStub(self._channel("payments"))

    def _channel(self, service: str, *, retries: bool = True) -> grpc.aio.Channel:
        key = (service, retries)
        if key not in self._channels:
            target, api_key = self.endpoint.services[service], self.endpoint.api_key
            self._channels[key] = channel(target, api_key, retries=retries)
        return self._channels[key]

    async def close(self) -> None:
        for each in self._channels.values():
            await each.close()


@asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncIterator[Connection]:
    connection = Connection(endpoint)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def connected_to(data: Path) -> AsyncIterator[Connection]:
    """The services of the stack that runs on `data`, or of the environment. Raises CliError where there are none."""
    async with connected(read_endpoint(data)) as connection:
        yield connection


async def pages(fetch: Callable[[str], Awaitable[Any]], items: str) -> list[Any]:
    """All items of a listing, page by page: `fetch` takes a page token, `items` names the field of the response."""
    found: list[Any] = []
    token = ""
    while True:
        page = await fetch(token)
        found.extend(getattr(page, items))
        if not (token := page.next_page_token):
            return found


def new_request_id() -> str:
    return str(uuid.uuid4())

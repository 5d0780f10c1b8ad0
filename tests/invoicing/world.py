"""A deployment in one process, and short ways to what the tests need of it."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from libs.common.clock import system_clock
from libs.common.money import Money
from libs.common.rpc.client import channel
from libs.common.wire import money_out, timestamp_out
from libs.embedded.process import free_port
from services.invoicing import main as invoicing
from services.invoicing import store
from services.invoicing.worker import Biller
from services.metering import main as metering
from services.pricing import main as pricing
from tests.conftest import Database, Keys
from weir.invoicing.v1 import invoicing_pb2
from weir.invoicing.v1.advance_fees_pb2_grpc import AdvanceFeeServiceStub
from weir.invoicing.v1.analytics_pb2_grpc import AnalyticsServiceStub
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
from weir.invoicing.v1.reports_pb2_grpc import CollectionReportServiceStub
from weir.invoicing.v1.subscription_previews_pb2_grpc import SubscriptionPreviewServiceStub
from weir.metering.v1 import metering_pb2
from weir.metering.v1.corrections_pb2_grpc import CorrectionServiceStub
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub
from weir.pricing.v1 import pricing_pb2
from weir.pricing.v1.addons_pb2_grpc import AddOnServiceStub
from weir.pricing.v1.coupons_pb2_grpc import CouponServiceStub
from weir.pricing.v1.estimation_pb2_grpc import EstimationServiceStub
from weir.pricing.v1.explanation_pb2_grpc import ExplanationServiceStub
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub
from weir.pricing.v1.simulation_pb2_grpc import SimulationServiceStub

if TYPE_CHECKING:
    from weir.invoicing.v1.advance_fees_pb2_grpc import AdvanceFeeServiceAsyncStub
    from weir.invoicing.v1.analytics_pb2_grpc import AnalyticsServiceAsyncStub
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
    from weir.invoicing.v1.reports_pb2_grpc import CollectionReportServiceAsyncStub
    from weir.invoicing.v1.subscription_previews_pb2_grpc import SubscriptionPreviewServiceAsyncStub
    from weir.metering.v1.corrections_pb2_grpc import CorrectionServiceAsyncStub
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub
    from weir.pricing.v1.addons_pb2_grpc import AddOnServiceAsyncStub
    from weir.pricing.v1.coupons_pb2_grpc import CouponServiceAsyncStub
    from weir.pricing.v1.estimation_pb2_grpc import EstimationServiceAsyncStub
    from weir.pricing.v1.explanation_pb2_grpc import ExplanationServiceAsyncStub
    from weir.pricing.v1.pricing_pb2_grpc import PricingServiceAsyncStub
    from weir.pricing.v1.simulation_pb2_grpc import SimulationServiceAsyncStub

MONTHLY = pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY
CLOSED = "127.0.0.1:1"
"""Where nobody listens: payments is away in these tests, and invoices wait for it."""

REQUESTS = pricing_pb2.Charge(
    code="requests",
    name="Requests",
    meter_code="requests",
    package=pricing_pb2.PackagePrice(package_size="1000", package_price="1", free_units="500"),
)
TOKENS = pricing_pb2.Charge(
    code="tokens",
    name="Tokens",
    meter_code="tokens",
    graduated=pricing_pb2.GraduatedPrice(
        tiers=[
            pricing_pb2.PriceTier(up_to="1000000", unit_price="0.0000025"),
            pricing_pb2.PriceTier(unit_price="0.000002"),
        ]
    ),
)


def utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


def new_request_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant's clients, and a deployment's worker."""

    invoicing: "InvoicingServiceAsyncStub"
    pricing: "PricingServiceAsyncStub"
    metering: "MeteringServiceAsyncStub"
    estimation: "EstimationServiceAsyncStub"
    explanation: "ExplanationServiceAsyncStub"
    simulation: "SimulationServiceAsyncStub"
    credit_notes: "CreditNoteServiceAsyncStub"
    changes: "PlanChangeServiceAsyncStub"
    fixed_charges: "FixedChargeServiceAsyncStub"
    advance_fees: "AdvanceFeeServiceAsyncStub"
    add_ons: "AddOnServiceAsyncStub"
    corrections: "CorrectionServiceAsyncStub"
    pauses: "PauseServiceAsyncStub"
    applied_coupons: "AppliedCouponServiceAsyncStub"
    coupons: "CouponServiceAsyncStub"
    customers: "CustomerServiceAsyncStub"
    drafts: "DraftServiceAsyncStub"
    one_offs: "OneOffInvoiceServiceAsyncStub"
    lines: "InvoiceLineServiceAsyncStub"
    ledger: "LedgerServiceAsyncStub"
    analytics: "AnalyticsServiceAsyncStub"
    reports: "CollectionReportServiceAsyncStub"
    legal_entities: "LegalEntityServiceAsyncStub"
    documents: "DocumentServiceAsyncStub"
    exports: "ExportServiceAsyncStub"
    previews: "SubscriptionPreviewServiceAsyncStub"

    async def meter(self, code: str, property_name: str = "") -> None:
        kind = metering_pb2.Meter.AGGREGATION_SUM if property_name else metering_pb2.Meter.AGGREGATION_COUNT
        made = metering_pb2.Meter(code=code, event_code="request", aggregation=kind, value_property=property_name)
        await self.metering.CreateMeter(metering_pb2.CreateMeterRequest(request_id=new_request_id(), meter=made))

    async def level_meter(self, code: str, property_name: str) -> None:
        kind = metering_pb2.Meter.AGGREGATION_WEIGHTED_SUM
        made = metering_pb2.Meter(code=code, event_code=code, aggregation=kind, value_property=property_name)
        await self.metering.CreateMeter(metering_pb2.CreateMeterRequest(request_id=new_request_id(), meter=made))

    async def hold(self, subscription_id: str, property_name: str, value: str, at: str) -> None:
        """Raise the level of the meter "stored"."""
        event = metering_pb2.Event(
            transaction_id=f"{property_name}-{at}",
            subscription_id=subscription_id,
            code="stored",
            timestamp=timestamp_out(utc(at)),
            properties={property_name: value},
        )
        answer = await self.metering.IngestEvents(metering_pb2.IngestEventsRequest(events=[event]))
        assert answer.accepted_count == 1, answer

    async def tax(self, code: str, rate_percent: str) -> None:
        made = pricing_pb2.Tax(code=code, name=code.upper(), rate_percent=rate_percent)
        await self.pricing.CreateTax(pricing_pb2.CreateTaxRequest(request_id=new_request_id(), tax=made))

    async def plan(
        self,
        code: str,
        *charges: pricing_pb2.Charge,
        base_fee: int | None = 2000,
        currency: str = "USD",
        taxes: Sequence[str] = (),
        interval: "pricing_pb2.PlanVersion.BillingInterval.ValueType" = MONTHLY,
        in_advance: bool = False,
        trial_days: int = 0,
        fixed_charges: Sequence[pricing_pb2.FixedCharge] = (),
        **terms: Any,
    ) -> None:
        version = pricing_pb2.PlanVersion(
            currency_code=currency,
            billing_interval=interval,
            base_fee_in_advance=in_advance,
            trial_days=trial_days,
            base_fee=None if base_fee is None else money_out(Money(base_fee, currency)),
            charges=charges,
            tax_codes=taxes,
            fixed_charges=fixed_charges,
            **terms,
        )
        plan = pricing_pb2.Plan(code=code, name=code)
        request = pricing_pb2.CreatePlanRequest(request_id=new_request_id(), plan=plan, version=version)
        await self.pricing.CreatePlan(request)

    async def customer(self, customer_id: str, time_zone: str = "", **fields: object) -> None:
        made = invoicing_pb2.Customer(id=customer_id, name=customer_id, time_zone=time_zone, **fields)  # type: ignore[arg-type]
        request = invoicing_pb2.CreateCustomerRequest(request_id=new_request_id(), customer=made)
        await self.invoicing.CreateCustomer(request)

    async def subscribe(
        self, subscription_id: str, customer_id: str, plan_code: str, start: str, *, alone: bool = True
    ) -> None:
        """With invoices of its own, unless it is not to be invoiced `alone`."""
        made = invoicing_pb2.Subscription(
            id=subscription_id,
            customer_id=customer_id,
            plan_code=plan_code,
            start_time=timestamp_out(utc(start)),
            invoiced_alone=alone,
        )
        request = invoicing_pb2.CreateSubscriptionRequest(request_id=new_request_id(), subscription=made)
        await self.invoicing.CreateSubscription(request)

    async def events(
        self, subscription_id: str, count: int, at: str = "2023-11-10", tokens: str = "1000", prefix: str = "e"
    ) -> None:
        batch = [
            metering_pb2.Event(
                transaction_id=f"{prefix}-{i}",
                subscription_id=subscription_id,
                code="request",
                timestamp=timestamp_out(utc(at)),
                properties={"tokens": tokens},
            )
            for i in range(count)
        ]
        answer = await self.metering.IngestEvents(metering_pb2.IngestEventsRequest(events=batch))
        assert answer.accepted_count == count, answer

    async def start_clock(self, at: str) -> None:
        request = invoicing_pb2.CreateTestClockRequest(request_id=new_request_id(), start_time=timestamp_out(utc(at)))
        await self.invoicing.CreateTestClock(request)

    async def advance(self, to: str) -> str:
        """Returns the billing run's id."""
        request = invoicing_pb2.AdvanceClockRequest(request_id=new_request_id(), target_time=timestamp_out(utc(to)))
        return (await self.invoicing.AdvanceClock(request)).billing_run.id

    async def run(self, run_id: str) -> invoicing_pb2.BillingRun:
        request = invoicing_pb2.GetBillingRunRequest(id=run_id)
        return (await self.invoicing.GetBillingRun(request)).billing_run

    async def invoices(self, **filters: str) -> list[invoicing_pb2.Invoice]:
        """All that match, oldest first."""
        found: list[invoicing_pb2.Invoice] = []
        token = ""
        while True:
            request = invoicing_pb2.ListInvoicesRequest(page_size=500, page_token=token, **filters)
            answer = await self.invoicing.ListInvoices(request)
            found += answer.invoices
            if not (token := answer.next_page_token):
                return found[::-1]


@dataclass(frozen=True, slots=True)
class World:
    """A running deployment. `settings` are invoicing's, for workers; `dsn` is its database."""

    settings: invoicing.Settings
    keys: Keys
    stack: AsyncExitStack
    invoicing_port: int

    def tenant(self, tenant_id: str = "acme", *scopes: str, live: bool = False) -> Tenant:
        """A client for everything; with `scopes`, those alone."""
        key = self.keys.api_key(tenant_id, *scopes, live=live)
        return Tenant(
            InvoicingServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            PricingServiceStub(self._channel(self.settings.pricing_target, key)),
            MeteringServiceStub(self._channel(self.settings.metering_target, key)),
            EstimationServiceStub(self._channel(self.settings.pricing_target, key)),
            ExplanationServiceStub(self._channel(self.settings.pricing_target, key)),
            SimulationServiceStub(self._channel(self.settings.pricing_target, key)),
            CreditNoteServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            PlanChangeServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            FixedChargeServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            AdvanceFeeServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            AddOnServiceStub(self._channel(self.settings.pricing_target, key)),
            CorrectionServiceStub(self._channel(self.settings.metering_target, key)),
            PauseServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            AppliedCouponServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            CouponServiceStub(self._channel(self.settings.pricing_target, key)),
            CustomerServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            DraftServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            OneOffInvoiceServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            InvoiceLineServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            LedgerServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            AnalyticsServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            CollectionReportServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            LegalEntityServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            DocumentServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            ExportServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
            SubscriptionPreviewServiceStub(self._channel(f"127.0.0.1:{self.invoicing_port}", key)),
        )

    @asynccontextmanager
    async def worker(self, **changes: object) -> AsyncIterator[Biller]:
        """A worker of its own, whose sweeps the test runs; `changes` are to its settings."""
        async with invoicing.billing(replace(self.settings, **changes), system_clock) as biller:  # type: ignore[arg-type]
            yield biller

    async def bill(self, **changes: object) -> None:
        """Bill and finalize all that is due now."""
        async with self.worker(**changes) as biller:
            while await biller.bill():
                pass

    @asynccontextmanager
    async def database(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        conn = await asyncpg.connect(self.settings.dsn)
        try:
            yield conn
        finally:
            await conn.close()

    def _channel(self, target: str, key: str):  # type: ignore[no-untyped-def]
        opened = channel(target, key)
        self.stack.push_async_callback(opened.close)
        return opened


@asynccontextmanager
async def deployed(
    database: Database, keys: Keys, redis_url: str, payments_target: str = CLOSED
) -> AsyncIterator[World]:
    local = "127.0.0.1:0"
    async with AsyncExitStack() as stack:
        metering_settings = metering.Settings(dsn=database.dsns["metering"], public_keys=keys.public_pem, listen=local)
        metering_port = await stack.enter_async_context(metering.running(metering_settings, system_clock))
        metering_target = f"127.0.0.1:{metering_port}"
        invoicing_target = f"127.0.0.1:{free_port()}"  # pricing and invoicing call each other
        pricing_settings = pricing.Settings(
            database.dsns["pricing"], keys.public_pem, keys.private_pem, local, metering_target, invoicing_target
        )
        pricing_port = await stack.enter_async_context(pricing.running(pricing_settings, system_clock))
        settings = invoicing.Settings(
            dsn=database.dsns["invoicing"],
            redis_url=redis_url,
            public_keys=keys.public_pem,
            signing_key=keys.private_pem,
            listen=invoicing_target,
            metering_target=metering_target,
            pricing_target=f"127.0.0.1:{pricing_port}",
            payments_target=payments_target,
        )
        port = await stack.enter_async_context(invoicing.running(settings, system_clock))
        async with AsyncExitStack() as channels:
            yield World(settings, keys, channels, port)
        await books_agree(settings.dsn)


async def books_agree(dsn: str) -> None:
    """Whatever was done, the ledger says what documents say (law 10)."""
    conn = await asyncpg.connect(dsn)
    try:
        for row in await conn.fetch("SELECT tenant_id FROM billing_clock"):
            assert await store.ledger_proofs.differences(conn, row["tenant_id"], "", None, 100) == []
    finally:
        await conn.close()

"""One deployment for all scenarios: real servers, the billing worker's sweeps, and a tenant's clients."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from libs.common.clock import system_clock
from libs.common.rpc.client import channel
from services.invoicing import main as invoicing
from services.invoicing.worker import Biller
from tests.conftest import Database, Keys
from tests.invoicing.world import World, deployed
from weir.invoicing.v1 import invoicing_pb2
from weir.invoicing.v1.advance_fees_pb2_grpc import AdvanceFeeServiceStub
from weir.invoicing.v1.changes_pb2_grpc import PlanChangeServiceStub
from weir.invoicing.v1.coupons_pb2_grpc import AppliedCouponServiceStub
from weir.invoicing.v1.credit_notes_pb2_grpc import CreditNoteServiceStub
from weir.invoicing.v1.drafts_pb2_grpc import DraftServiceStub
from weir.invoicing.v1.fixed_charges_pb2_grpc import FixedChargeServiceStub
from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceStub
from weir.invoicing.v1.one_offs_pb2_grpc import OneOffInvoiceServiceStub
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub
from weir.pricing.v1.addons_pb2_grpc import AddOnServiceStub
from weir.pricing.v1.coupons_pb2_grpc import CouponServiceStub
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub

if TYPE_CHECKING:
    from weir.invoicing.v1.advance_fees_pb2_grpc import AdvanceFeeServiceAsyncStub
    from weir.invoicing.v1.changes_pb2_grpc import PlanChangeServiceAsyncStub
    from weir.invoicing.v1.coupons_pb2_grpc import AppliedCouponServiceAsyncStub
    from weir.invoicing.v1.credit_notes_pb2_grpc import CreditNoteServiceAsyncStub
    from weir.invoicing.v1.drafts_pb2_grpc import DraftServiceAsyncStub
    from weir.invoicing.v1.fixed_charges_pb2_grpc import FixedChargeServiceAsyncStub
    from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceAsyncStub
    from weir.invoicing.v1.one_offs_pb2_grpc import OneOffInvoiceServiceAsyncStub
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub
    from weir.pricing.v1.addons_pb2_grpc import AddOnServiceAsyncStub
    from weir.pricing.v1.coupons_pb2_grpc import CouponServiceAsyncStub
    from weir.pricing.v1.pricing_pb2_grpc import PricingServiceAsyncStub


class NotBilled(Exception):
    """What was due and could not be billed, and why."""


@dataclass(frozen=True, slots=True)
class Clients:
    """One tenant's; `reports` has the scope of payments."""

    reports: "InvoicingServiceAsyncStub"
    invoicing: "InvoicingServiceAsyncStub"
    changes: "PlanChangeServiceAsyncStub"
    fixed_charges: "FixedChargeServiceAsyncStub"
    advance_fees: "AdvanceFeeServiceAsyncStub"
    credit_notes: "CreditNoteServiceAsyncStub"
    applied_coupons: "AppliedCouponServiceAsyncStub"
    drafts: "DraftServiceAsyncStub"
    one_offs: "OneOffInvoiceServiceAsyncStub"
    metering: "MeteringServiceAsyncStub"
    pricing: "PricingServiceAsyncStub"
    add_ons: "AddOnServiceAsyncStub"
    coupons: "CouponServiceAsyncStub"


@dataclass(frozen=True, slots=True)
class Stack:
    """A running deployment, without payments."""

    world: World
    biller: Biller

    @asynccontextmanager
    async def clients(self, tenant_id: str) -> AsyncIterator[Clients]:
        key, settings = self.world.keys.api_key(tenant_id), self.world.settings
        internal_key = self.world.keys.api_key(tenant_id, "internal")
        async with (
            channel(f"127.0.0.1:{self.world.invoicing_port}", key) as billing,
            channel(f"127.0.0.1:{self.world.invoicing_port}", internal_key) as reports,
            channel(settings.metering_target, key) as metering,
            channel(settings.pricing_target, key) as pricing,
        ):
            yield _clients(reports, billing, metering, pricing)

    async def bill(self, clients: Clients) -> None:
        """Until nothing is due any more. Raises NotBilled."""
        while await self.biller.bill():
            pass
        listed = await clients.invoicing.ListBillingRuns(invoicing_pb2.ListBillingRunsRequest(page_size=500))
        open_runs = [run for run in listed.billing_runs if run.state != run.STATE_COMPLETED]
        failures = {f"{each.reason} {each.message}" for run in open_runs for each in run.failures}
        if open_runs:
            raise NotBilled("; ".join(sorted(failures)) or "the billing run does not end")


def _clients(
    reports: grpc.aio.Channel, billing: grpc.aio.Channel, metering: grpc.aio.Channel, pricing: grpc.aio.Channel
) -> Clients:
    return Clients(
        reports=InvoicingServiceStub(reports),
        invoicing=InvoicingServiceStub(billing),
        changes=PlanChangeServiceStub(billing),
        fixed_charges=FixedChargeServiceStub(billing),
        advance_fees=AdvanceFeeServiceStub(billing),
        credit_notes=CreditNoteServiceStub(billing),
        applied_coupons=AppliedCouponServiceStub(billing),
        drafts=DraftServiceStub(billing),
        one_offs=OneOffInvoiceServiceStub(billing),
        metering=MeteringServiceStub(metering),
        pricing=PricingServiceStub(pricing),
        add_ons=AddOnServiceStub(pricing),
        coupons=CouponServiceStub(pricing),
    )


@asynccontextmanager
async def running(database: Database, keys: Keys, redis_url: str) -> AsyncIterator[Stack]:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(deployed(database, keys, redis_url))
        biller = await stack.enter_async_context(invoicing.billing(world.settings, system_clock))
        yield Stack(world, biller)

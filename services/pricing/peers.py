"""The services that pricing calls, for simulations and estimates: metering for usage, invoicing for subscriptions.

Each call carries a key of the tenant it is for. Raises the peers' errors, and Unavailable where one is away.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from libs.common.credentials import Issuer
from libs.common.rpc.client import credential
from weir.invoicing.v1 import invoicing_pb2
from weir.metering.v1 import event_charges_pb2, metering_pb2

if TYPE_CHECKING:
    from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceAsyncStub
    from weir.metering.v1.event_charges_pb2_grpc import EventChargeServiceAsyncStub
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub

PAGE = 500


class Peers:
    def __init__(
        self,
        metering: "MeteringServiceAsyncStub",
        event_charges: "EventChargeServiceAsyncStub",
        invoicing: "InvoicingServiceAsyncStub",
        issuer: Issuer,
    ) -> None:
        self._metering = metering
        self._event_charges = event_charges
        self._invoicing = invoicing
        self._issuer = issuer

    async def subscriptions(
        self, tenant_id: str, plan_code: str
    ) -> AsyncGenerator[Sequence[invoicing_pb2.Subscription], None]:
        """By id, a page at a time; with a `plan_code`, those to that plan."""
        token = ""
        while True:
            request = invoicing_pb2.ListSubscriptionsRequest(page_size=PAGE, page_token=token, plan_code=plan_code)
            response = await self._invoicing.ListSubscriptions(request, metadata=self._key(tenant_id))
            yield response.subscriptions
            if not (token := response.next_page_token):
                return

    async def meters(self, tenant_id: str) -> AsyncGenerator[metering_pb2.Meter, None]:
        """All of the tenant's, by code."""
        token = ""
        while True:
            request = metering_pb2.ListMetersRequest(page_size=PAGE, page_token=token)
            response = await self._metering.ListMeters(request, metadata=self._key(tenant_id))
            for meter in response.meters:
                yield meter
            if not (token := response.next_page_token):
                return

    async def usage(
        self, tenant_id: str, queries: Sequence[metering_pb2.GetUsageRequest], watermark: int
    ) -> metering_pb2.BatchGetUsageResponse:
        request = metering_pb2.BatchGetUsageRequest(queries=queries, watermark=watermark)
        return await self._metering.BatchGetUsage(request, metadata=self._key(tenant_id))

    async def hours(self, tenant_id: str, request: metering_pb2.QueryUsageRequest) -> metering_pb2.QueryUsageResponse:
        return await self._metering.QueryUsage(request, metadata=self._key(tenant_id))

    async def event_charges(
        self, tenant_id: str, request: event_charges_pb2.GetEventChargesRequest
    ) -> event_charges_pb2.GetEventChargesResponse:
        return await self._event_charges.GetEventCharges(request, metadata=self._key(tenant_id))

    def _key(self, tenant_id: str) -> tuple[tuple[str, str], ...]:
        return credential(self._issuer.internal_key(tenant_id))

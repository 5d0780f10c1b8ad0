"""The RPC on one-off invoices."""

from uuid import UUID

import grpc
import structlog

from libs.common.clock import Clock
from libs.common.errors import BillingError
from libs.common.idempotency import fingerprint, require_same
from libs.common.ids import new_id
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import currency_in, request_id_in, text_in
from libs.common.worker import Alarm
from services.invoicing import convert, store
from services.invoicing.domain.customer import Customer
from services.invoicing.domain.invoice import issue_date
from services.invoicing.domain.one_off import AddOn, Item, currency_of, lines_of_items
from services.invoicing.domain.period import zone
from services.invoicing.domain.run import BILL, HAND_OVER
from services.invoicing.finalizing import finalize
from services.invoicing.peers import Peers
from services.invoicing.reading import found_invoice, shown
from services.invoicing.subscribing import Context, customer_not_found
from weir.invoicing.v1 import one_offs_pb2 as pb
from weir.invoicing.v1.one_offs_pb2_grpc import OneOffInvoiceServiceServicer

log = structlog.get_logger()


class OneOffInvoiceServicer(OneOffInvoiceServiceServicer):
    def __init__(self, pool: Pool, peers: Peers, alarm: Alarm, clock: Clock) -> None:
        self._pool = pool
        self._peers = peers
        self._alarm = alarm
        self._clock = clock

    async def CreateOneOffInvoice(
        self, request: pb.CreateOneOffInvoiceRequest, context: Context
    ) -> pb.CreateOneOffInvoiceResponse:
        """Once the draft is saved the worker finalizes it, if this does not live to."""
        tenant_id, customer_id = caller().tenant_id, text_in(request.customer_id, "customer_id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        asked = currency_in(request.currency_code, "currency_code") if request.currency_code else ""
        items = convert.items_in(request.items)
        async with self._pool.acquire() as conn:
            made = await store.one_offs.made_by(conn, tenant_id, request_id)
            customer = await store.customers.get(conn, tenant_id, customer_id)
            of_customers = await store.customers.tax_codes(conn, tenant_id, {customer_id})
        if made is None:
            if customer is None:
                raise customer_not_found(customer_id)
            add_ons = await self._peers.pricing.add_ons(
                tenant_id, {item.add_on_code for item in items if item.add_on_code}
            )
            codes = {code for item in items for code in item.tax_codes}
            codes |= {code for add_on in add_ons.values() for code in add_on.tax_codes}
            await self._peers.pricing.taxes(tenant_id, codes.union(of_customers[customer_id]))
            made = await self._make(tenant_id, customer, asked, items, add_ons, request_id, request_hash)
        invoice_id, before = made
        require_same(before, request_hash, request.request_id)
        await self._alarm.ring(BILL)
        try:
            await finalize(self._pool, self._peers, self._clock, tenant_id, invoice_id)
        except (BillingError, grpc.aio.AioRpcError) as error:
            log.warning("a one-off invoice waits", tenant=tenant_id, invoice=invoice_id, cause=str(error))
        await self._alarm.ring(HAND_OVER)
        async with self._pool.acquire() as conn:
            found = await found_invoice(conn, tenant_id, invoice_id)
        [invoice] = await shown(self._pool, self._peers, tenant_id, [found])
        return pb.CreateOneOffInvoiceResponse(invoice=convert.invoice_out(invoice))

    async def _make(
        self,
        tenant_id: str,
        customer: Customer,
        asked: str,
        items: tuple[Item, ...],
        add_ons: dict[str, AddOn],
        request_id: UUID,
        request_hash: bytes,
    ) -> tuple[str, bytes]:
        """(id of the invoice that has the request_id, that request's hash)."""
        real_now = self._clock()
        async with self._pool.acquire() as conn, conn.transaction():
            now = (await store.clocks.hold(conn, tenant_id)).now(real_now)
            default = await store.customers.currency(conn, tenant_id, customer.id)
            currency = currency_of(asked, default, add_ons)
            lines = lines_of_items(items, add_ons, currency, customer, now)
            issued = issue_date(now, zone(customer.time_zone))
            invoice_id = new_id("inv", real_now)
            if await store.one_offs.insert(
                conn, tenant_id, invoice_id, customer.id, currency, lines, issued, now, request_id, request_hash
            ):
                return invoice_id, request_hash
            made = await store.one_offs.made_by(conn, tenant_id, request_id)
        assert made is not None, "somebody has it"
        return made

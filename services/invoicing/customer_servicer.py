"""The RPCs on customers that are there."""

from datetime import datetime

from libs.common.clock import Clock
from libs.common.idempotency import fingerprint, require_same
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from libs.common.worker import Alarm
from services.invoicing import convert, store
from services.invoicing.documenting import Documents
from services.invoicing.domain.customer import Customer, erased, require_not_erased
from services.invoicing.domain.moving import moved
from services.invoicing.domain.run import BILL
from services.invoicing.issuing import require_legal_entity
from services.invoicing.subscribing import Context, customer_not_found
from weir.invoicing.v1 import customers_pb2 as pb
from weir.invoicing.v1.customers_pb2_grpc import CustomerServiceServicer


class CustomerServicer(CustomerServiceServicer):
    def __init__(self, pool: Pool, documents: Documents, alarm: Alarm, clock: Clock) -> None:
        self._pool = pool
        self._documents = documents
        self._alarm = alarm
        self._clock = clock

    async def UpdateCustomer(self, request: pb.UpdateCustomerRequest, context: Context) -> pb.UpdateCustomerResponse:
        tenant_id, customer_id = caller().tenant_id, text_in(request.customer.id, "customer.id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self._pool.acquire() as conn, conn.transaction():
            clock = await store.clocks.hold(conn, tenant_id)
            if (customer := await store.customers.lock(conn, tenant_id, customer_id)) is None:
                raise customer_not_found(customer_id)
            before = await store.customers.record_change(
                conn, tenant_id, customer_id, request_id, request_hash, self._clock()
            )
            if before is not None:
                require_same(before, request_hash, request.request_id)
            else:
                require_not_erased(customer)
                old, customer = customer, convert.customer_change_in(request.customer, request.update_mask, customer)
                if customer.legal_entity_code != old.legal_entity_code:
                    await require_legal_entity(conn, tenant_id, customer)
                if customer.time_zone != old.time_zone:
                    await self._move(conn, tenant_id, customer, clock.now(self._clock()))
                await store.customers.save(conn, tenant_id, customer)
        await self._alarm.ring(BILL)
        return pb.UpdateCustomerResponse(customer=convert.customer_out(customer))

    async def _move(self, conn: Conn, tenant_id: str, customer: Customer, now: datetime) -> None:
        """Before the customer is saved: until then, its subscriptions are read in the zone that it leaves."""
        after = ""
        while found := await store.moves.lock(conn, tenant_id, customer.id, after):
            there = [(each, moved(each, customer.time_zone, now)) for each in found]
            await store.moves.save(conn, tenant_id, there)
            after = found[-1].id

    async def EraseCustomer(self, request: pb.EraseCustomerRequest, context: Context) -> pb.EraseCustomerResponse:
        tenant_id, customer_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        if not request.erase_documents:
            await self._documents.make_missing(tenant_id, customer_id)
        async with self._pool.acquire() as conn, conn.transaction():
            if (customer := await store.customers.lock(conn, tenant_id, customer_id)) is None:
                raise customer_not_found(customer_id)
            now = self._clock()
            before = await store.customers.record_change(conn, tenant_id, customer_id, request_id, request_hash, now)
            if before is not None:
                require_same(before, request_hash, request.request_id)
            else:
                customer = erased(customer, now)
                await store.customers.save(conn, tenant_id, customer)
                if request.erase_documents:
                    await store.documents.erase(conn, tenant_id, customer_id)
        return pb.EraseCustomerResponse(customer=convert.customer_out(customer))

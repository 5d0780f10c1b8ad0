"""The RPCs on subscriptions."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import grpc

from libs.common.clock import Clock
from libs.common.errors import Conflict, NotFound
from libs.common.idempotency import fingerprint, require_same
from libs.common.paging import page_in
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from libs.common.worker import Alarm
from services.invoicing import convert, store
from services.invoicing.billing import preview
from services.invoicing.convert import subscription_in, subscription_out
from services.invoicing.convert.activations import payment_timeout_in
from services.invoicing.domain.lifecycle import activating, begun, closed, ended
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.run import BILL
from services.invoicing.domain.subscription import Subscription
from services.invoicing.giving_back import give_back_unused
from services.invoicing.late_billing import History
from services.invoicing.peers import Peers
from services.invoicing.selling import latest_version, sold_version
from weir.invoicing.v1 import invoicing_pb2 as pb
from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
T = TypeVar("T")


class SubscriptionMethods(InvoicingServiceServicer):
    def __init__(self, pool: Pool, peers: Peers, alarm: Alarm, clock: Clock) -> None:
        self._pool = pool
        self._peers = peers
        self._alarm = alarm
        self._clock = clock

    async def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, context: Context
    ) -> pb.CreateSubscriptionResponse:
        """Answers a repeat before it asks pricing, whose newest version may have changed meanwhile."""
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        subscription_id, customer_id, asked, billing_time, start_time = subscription_in(request.subscription)
        has_activation = request.subscription.HasField("activation")
        payment_timeout = payment_timeout_in(request.subscription.activation) if has_activation else None
        taken = Conflict(
            "SUBSCRIPTION_EXISTS",
            f"there is a subscription {subscription_id} already",
            subscription_id=subscription_id,
        )
        async with self._pool.acquire() as conn:
            made = await store.subscriptions.made_by(conn, tenant_id, request_id)
            known = await store.customers.get(conn, tenant_id, customer_id)
        if made is not None:
            subscription = first_answer(made, request_hash, request.request_id, taken)
            return pb.CreateSubscriptionResponse(subscription=subscription_out(subscription))
        if known is None:
            raise customer_not_found(customer_id)
        plan = await sold_plan(self._peers, tenant_id, *asked, subscription_id)
        async with self._pool.acquire() as conn, conn.transaction():
            clock = await store.clocks.hold(conn, tenant_id)
            customer = await store.customers.lock(conn, tenant_id, customer_id)
            assert customer is not None, "customers are kept"
            subscription = begun(subscription_id, customer, plan, billing_time, start_time, self._clock())
            subscription = replace(subscription, invoiced_alone=request.subscription.invoiced_alone)
            if payment_timeout is not None:
                subscription = activating(subscription, payment_timeout, clock.now(self._clock()))
            if not await store.subscriptions.insert(conn, tenant_id, subscription, request_id, request_hash):
                made = await store.subscriptions.made_by(conn, tenant_id, request_id)
                subscription = first_answer(made, request_hash, request.request_id, taken)
        return pb.CreateSubscriptionResponse(subscription=subscription_out(subscription))

    async def TerminateSubscription(
        self, request: pb.TerminateSubscriptionRequest, context: Context
    ) -> pb.TerminateSubscriptionResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        subscription_id = text_in(request.id, "id")
        asked = convert.instant_in(request.end_time, True, "end_time") if request.HasField("end_time") else None
        on_unused_fee = convert.unused_fee_in(request.on_unused_fee, "on_unused_fee")
        has_last_invoice = request.last_invoice != pb.TerminateSubscriptionRequest.LAST_INVOICE_SKIP
        async with self._pool.acquire() as conn, conn.transaction():
            await store.clocks.hold(conn, tenant_id)
            found = await found_subscription(conn, tenant_id, subscription_id, store.subscriptions.lock)
            before = await store.subscriptions.record_change(
                conn, tenant_id, subscription_id, request_id, request_hash, self._clock()
            )
            if before is not None:
                require_same(before, request_hash, request.request_id)
                return pb.TerminateSubscriptionResponse(subscription=subscription_out(found))
            end_time = asked or (await store.clocks.get(conn, tenant_id)).now(self._clock())
            changed = ended(found, end_time, on_unused_fee, has_last_invoice=has_last_invoice)
            await store.subscriptions.save(conn, tenant_id, changed)
            if changed.is_closed:
                await give_back_unused(conn, tenant_id, found, changed, self._clock())
        await self._alarm.ring(BILL)
        return pb.TerminateSubscriptionResponse(subscription=subscription_out(changed))

    async def GetSubscription(self, request: pb.GetSubscriptionRequest, context: Context) -> pb.GetSubscriptionResponse:
        subscription_id = text_in(request.id, "id")
        async with self._pool.acquire() as conn:
            found = await found_subscription(conn, caller().tenant_id, subscription_id)
        return pb.GetSubscriptionResponse(subscription=subscription_out(found))

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, context: Context
    ) -> pb.ListSubscriptionsResponse:
        page = page_in(request.page_size, request.page_token)
        customer_id = text_in(request.customer_id, "customer_id", required=False) or None
        plan_code = text_in(request.plan_code, "plan_code", required=False) or None
        async with self._pool.acquire() as conn:
            found = await store.subscriptions.page(conn, caller().tenant_id, customer_id, plan_code, page)
        subscriptions, token = page.cut(found, lambda each: each.id)
        return pb.ListSubscriptionsResponse(subscriptions=map(subscription_out, subscriptions), next_page_token=token)

    async def PreviewInvoice(self, request: pb.PreviewInvoiceRequest, context: Context) -> pb.PreviewInvoiceResponse:
        tenant_id, subscription_id = caller().tenant_id, text_in(request.subscription_id, "subscription_id")
        async with self._pool.acquire() as conn:
            found = await found_subscription(conn, tenant_id, subscription_id)
            clock = await store.clocks.get(conn, tenant_id)
            if found.is_closed:
                raise closed(found)
            standing = await store.standings.of_customer(conn, tenant_id, found.customer_id)
            together = [found] if found.invoiced_alone else await store.subscriptions.due_with(conn, tenant_id, found)
        steps = [step for each in together for step in each.due_at(found.due_time)]
        history = History(self._pool, tenant_id)
        drafts = await preview(self._peers, tenant_id, steps, history, standing, clock.now(self._clock()))
        draft = next(each for each in drafts if any(it.source.subscription_id == found.id for it in each.settlements))
        return pb.PreviewInvoiceResponse(invoice=convert.invoice_out(draft))


async def sold_plan(peers: Peers, tenant_id: str, plan_code: str, version: int, subscription_id: str) -> PlanVersion:
    if version:
        return await sold_version(peers, tenant_id, plan_code, version, subscription_id)
    return await latest_version(peers, tenant_id, plan_code)


async def found_subscription(
    conn: Conn,
    tenant_id: str,
    subscription_id: str,
    read: Callable[[Conn, str, str], Awaitable[Subscription | None]] = store.subscriptions.get,
) -> Subscription:
    found = await read(conn, tenant_id, subscription_id)
    if found is None:
        raise NotFound(
            "SUBSCRIPTION_NOT_FOUND", f"there is no subscription {subscription_id}", subscription_id=subscription_id
        )
    return found


def first_answer(made: tuple[T, bytes] | None, request_hash: bytes, request_id: str, taken: Conflict) -> T:
    """What the first request with this id made. Raises `taken` when there was none: the name is another's."""
    if made is None:
        raise taken
    answer, recorded = made
    require_same(recorded, request_hash, request_id)
    return answer


def customer_not_found(customer_id: str) -> NotFound:
    return NotFound("CUSTOMER_NOT_FOUND", f"there is no customer {customer_id}", customer_id=customer_id)

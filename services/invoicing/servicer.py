"""The RPCs: decode, one transaction, encode."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import grpc

from libs.common.clock import Clock
from libs.common.errors import Conflict, FailedPrecondition, NotFound
from libs.common.idempotency import fingerprint, require_same
from libs.common.ids import new_id
from libs.common.paging import page_in
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import money_out, request_id_in, text_in
from libs.common.worker import Alarm
from services.invoicing import convert, store
from services.invoicing.billing import bill_one, recomputed
from services.invoicing.crediting import Till, void_invoice
from services.invoicing.domain.clock import BillingClock
from services.invoicing.domain.credit_note import with_credits
from services.invoicing.domain.customer import Subscription, closed, ended
from services.invoicing.domain.explain import sentences
from services.invoicing.domain.invoice import Invoice, State
from services.invoicing.domain.period import zone
from services.invoicing.domain.run import BILL
from services.invoicing.domain.schedule import Schedule, schedule
from services.invoicing.explaining import find_line, replay
from services.invoicing.peers import Peers
from weir.invoicing.v1 import invoicing_pb2 as pb
from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
T = TypeVar("T")


class InvoicingServicer(InvoicingServiceServicer):
    def __init__(self, pool: Pool, peers: Peers, alarm: Alarm, clock: Clock) -> None:
        self._pool = pool
        self._peers = peers
        self._alarm = alarm
        self._clock = clock

    async def CreateCustomer(self, request: pb.CreateCustomerRequest, context: Context) -> pb.CreateCustomerResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        customer = convert.customer_in(request.customer, self._clock())
        async with self._pool.acquire() as conn, conn.transaction():
            await store.clocks.ensure(conn, tenant_id)
            if not await store.customers.insert(conn, tenant_id, customer, request_id, request_hash):
                made = await store.customers.made_by(conn, tenant_id, request_id)
                taken = Conflict(
                    "CUSTOMER_EXISTS", f"there is a customer {customer.id} already", customer_id=customer.id
                )
                customer = _first_answer(made, request_hash, request.request_id, taken)
        return pb.CreateCustomerResponse(customer=convert.customer_out(customer))

    async def GetCustomer(self, request: pb.GetCustomerRequest, context: Context) -> pb.GetCustomerResponse:
        customer_id = text_in(request.id, "id")
        async with self._pool.acquire() as conn:
            customer = await store.customers.get(conn, caller().tenant_id, customer_id)
        if customer is None:
            raise _customer_not_found(customer_id)
        return pb.GetCustomerResponse(customer=convert.customer_out(customer))

    async def ListCustomers(self, request: pb.ListCustomersRequest, context: Context) -> pb.ListCustomersResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            found = await store.customers.page(conn, caller().tenant_id, page)
        customers, token = page.cut(found, lambda each: each.id)
        return pb.ListCustomersResponse(customers=map(convert.customer_out, customers), next_page_token=token)

    async def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, context: Context
    ) -> pb.CreateSubscriptionResponse:
        """Answers a repeat before it asks pricing, whose newest version may have changed meanwhile."""
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        subscription_id, customer_id, plan_code, billing_time, start_time = convert.subscription_in(
            request.subscription
        )
        taken = Conflict(
            "SUBSCRIPTION_EXISTS",
            f"there is a subscription {subscription_id} already",
            subscription_id=subscription_id,
        )
        async with self._pool.acquire() as conn:
            made = await store.subscriptions.made_by(conn, tenant_id, request_id)
            customer = await store.customers.get(conn, tenant_id, customer_id)
        if made is not None:
            subscription = _first_answer(made, request_hash, request.request_id, taken)
            return pb.CreateSubscriptionResponse(subscription=convert.subscription_out(subscription))
        if customer is None:
            raise _customer_not_found(customer_id)
        plan = await self._peers.latest_version(tenant_id, plan_code)
        subscription = Subscription(
            id=subscription_id,
            customer_id=customer_id,
            plan_code=plan_code,
            plan_version=plan.version,
            billing_interval=plan.billing_interval,
            billing_time=billing_time,
            start_time=start_time,
            current_period=schedule(
                plan.billing_interval, billing_time, start_time, zone(customer.time_zone)
            ).first_period(start_time),
            is_opening=plan.has_advance_fee,
            create_time=self._clock(),
            time_zone=customer.time_zone,
        )
        async with self._pool.acquire() as conn, conn.transaction():
            await store.clocks.hold(conn, tenant_id)
            if not await store.subscriptions.insert(conn, tenant_id, subscription, request_id, request_hash):
                made = await store.subscriptions.made_by(conn, tenant_id, request_id)
                subscription = _first_answer(made, request_hash, request.request_id, taken)
        return pb.CreateSubscriptionResponse(subscription=convert.subscription_out(subscription))

    async def TerminateSubscription(
        self, request: pb.TerminateSubscriptionRequest, context: Context
    ) -> pb.TerminateSubscriptionResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        subscription_id = text_in(request.id, "id")
        asked = convert.instant_in(request.end_time, True, "end_time") if request.HasField("end_time") else None
        keeps_fee = request.on_unused_fee == pb.TerminateSubscriptionRequest.ON_UNUSED_FEE_KEEP
        async with self._pool.acquire() as conn:
            found = await _subscription(conn, tenant_id, subscription_id)
        plan = await self._peers.plan_version(tenant_id, found.plan_code, found.plan_version)
        async with self._pool.acquire() as conn, conn.transaction():
            await store.clocks.hold(conn, tenant_id)
            found = await _subscription(conn, tenant_id, subscription_id, store.subscriptions.lock)
            before = await store.subscriptions.record_change(
                conn, tenant_id, subscription_id, request_id, request_hash, self._clock()
            )
            if before is not None:
                require_same(before, request_hash, request.request_id)
                return pb.TerminateSubscriptionResponse(subscription=convert.subscription_out(found))
            end_time = asked or (await store.clocks.get(conn, tenant_id)).now(self._clock())
            changed = ended(found, end_time, await _schedule(conn, tenant_id, found))
            paid_until = found.current_period.start if found.is_opening else found.current_period.end
            if plan.has_advance_fee and end_time < paid_until and not keeps_fee:
                raise FailedPrecondition(
                    "UNUSED_FEE_UNDECIDED",
                    f"subscription {subscription_id} is paid beyond {end_time.isoformat()}: say on_unused_fee",
                )
            await store.subscriptions.end(conn, tenant_id, changed)
        await self._alarm.ring(BILL)
        return pb.TerminateSubscriptionResponse(subscription=convert.subscription_out(changed))

    async def GetSubscription(self, request: pb.GetSubscriptionRequest, context: Context) -> pb.GetSubscriptionResponse:
        subscription_id = text_in(request.id, "id")
        async with self._pool.acquire() as conn:
            found = await _subscription(conn, caller().tenant_id, subscription_id)
        return pb.GetSubscriptionResponse(subscription=convert.subscription_out(found))

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, context: Context
    ) -> pb.ListSubscriptionsResponse:
        page = page_in(request.page_size, request.page_token)
        customer_id = text_in(request.customer_id, "customer_id", required=False) or None
        plan_code = text_in(request.plan_code, "plan_code", required=False) or None
        async with self._pool.acquire() as conn:
            found = await store.subscriptions.page(conn, caller().tenant_id, customer_id, plan_code, page)
        subscriptions, token = page.cut(found, lambda each: each.id)
        return pb.ListSubscriptionsResponse(
            subscriptions=map(convert.subscription_out, subscriptions), next_page_token=token
        )

    async def GetClock(self, request: pb.GetClockRequest, context: Context) -> pb.GetClockResponse:
        async with self._pool.acquire() as conn:
            clock = await store.clocks.get(conn, caller().tenant_id)
        return pb.GetClockResponse(clock=convert.clock_out(clock, self._clock()))

    async def CreateTestClock(self, request: pb.CreateTestClockRequest, context: Context) -> pb.CreateTestClockResponse:
        tenant_id = _test_tenant()
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        start = convert.instant_in(request.start_time, request.HasField("start_time"), "start_time")
        async with self._pool.acquire() as conn, conn.transaction():
            clock = await store.clocks.lock(conn, tenant_id)
            recorded = await store.clocks.made_by(conn, tenant_id, request_id)
            if recorded is not None:
                require_same(recorded, request_hash, request.request_id)
            elif clock.test_now is not None:
                raise FailedPrecondition("CLOCK_EXISTS", "the tenant has a test clock already")
            elif await store.subscriptions.exist(conn, tenant_id):
                raise FailedPrecondition("CLOCK_IN_USE", "the tenant has subscriptions, which run on its present clock")
            else:
                await store.clocks.start_test(conn, tenant_id, start, request_id, request_hash)
        return pb.CreateTestClockResponse(clock=convert.clock_out(BillingClock(start), self._clock()))

    async def AdvanceClock(self, request: pb.AdvanceClockRequest, context: Context) -> pb.AdvanceClockResponse:
        """The clock moves and the run that bills what falls due starts in one transaction (law 8)."""
        tenant_id = _test_tenant()
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        target = convert.instant_in(request.target_time, request.HasField("target_time"), "target_time")
        now = self._clock()
        run_id = new_id("run", now)
        async with self._pool.acquire() as conn, conn.transaction():
            clock = await store.clocks.lock(conn, tenant_id)
            if (made := await store.runs.made_by(conn, tenant_id, request_id)) is not None:
                run_id, recorded = made
                require_same(recorded, request_hash, request.request_id)
            else:
                clock.require_not_after(target, now)
                await store.clocks.set_test(conn, tenant_id, target)
                await store.runs.insert(conn, tenant_id, run_id, target, now, request_id, request_hash)
            run = await store.runs.get(conn, tenant_id, run_id)
        await self._alarm.ring(BILL)
        assert run is not None
        return pb.AdvanceClockResponse(
            clock=convert.clock_out(BillingClock(target), now), billing_run=convert.billing_run_out(run)
        )

    async def GetBillingRun(self, request: pb.GetBillingRunRequest, context: Context) -> pb.GetBillingRunResponse:
        run_id = text_in(request.id, "id")
        async with self._pool.acquire() as conn:
            run = await store.runs.get(conn, caller().tenant_id, run_id)
        if run is None:
            raise NotFound("BILLING_RUN_NOT_FOUND", f"there is no billing run {run_id}", billing_run_id=run_id)
        return pb.GetBillingRunResponse(billing_run=convert.billing_run_out(run))

    async def ListBillingRuns(self, request: pb.ListBillingRunsRequest, context: Context) -> pb.ListBillingRunsResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            found = await store.runs.page(conn, caller().tenant_id, page)
        runs, token = page.cut(found, lambda each: each.id)
        return pb.ListBillingRunsResponse(billing_runs=map(convert.billing_run_out, runs), next_page_token=token)

    async def GetInvoice(self, request: pb.GetInvoiceRequest, context: Context) -> pb.GetInvoiceResponse:
        invoice_id = text_in(request.id, "id")
        async with self._pool.acquire() as conn:
            invoice = await _invoice(conn, caller().tenant_id, invoice_id)
        return pb.GetInvoiceResponse(invoice=convert.invoice_out(invoice))

    async def ListInvoices(self, request: pb.ListInvoicesRequest, context: Context) -> pb.ListInvoicesResponse:
        page = page_in(request.page_size, request.page_token)
        customer_id = text_in(request.customer_id, "customer_id", required=False) or None
        subscription_id = text_in(request.subscription_id, "subscription_id", required=False) or None
        number = text_in(request.number, "number", required=False) or None
        async with self._pool.acquire() as conn:
            found = await store.invoices.page(conn, caller().tenant_id, customer_id, subscription_id, number, page)
        invoices, token = page.cut(found, lambda each: each.id)
        return pb.ListInvoicesResponse(invoices=map(convert.invoice_out, invoices), next_page_token=token)

    async def ExplainLine(self, request: pb.ExplainLineRequest, context: Context) -> pb.ExplainLineResponse:
        tenant_id = caller().tenant_id
        invoice_id = text_in(request.invoice_id, "invoice_id")
        line_code = text_in(request.line_code, "line_code", required=not request.line_number)
        async with self._pool.acquire() as conn:
            invoice = await _invoice(conn, tenant_id, invoice_id)
            subscription = await _subscription(conn, tenant_id, invoice.subscription_id)
            periods = await _schedule(conn, tenant_id, subscription)
        number, line = find_line(invoice, line_code, request.line_number)
        amount = await recomputed(self._peers, tenant_id, invoice, line, periods)
        rating = None if line.rating is None else convert.rating_in(line.rating)
        return pb.ExplainLineResponse(
            line=convert.line_out(number, line),
            sentences=sentences(invoice, line, rating, periods),
            recomputed_amount=money_out(amount),
            reproduced=amount == line.amount,
        )

    async def ReplayInvoice(self, request: pb.ReplayInvoiceRequest, context: Context) -> pb.ReplayInvoiceResponse:
        tenant_id, invoice_id = caller().tenant_id, text_in(request.id, "id")
        async with self._pool.acquire() as conn:
            invoice = await _invoice(conn, tenant_id, invoice_id)
            periods = await _schedule(conn, tenant_id, await _subscription(conn, tenant_id, invoice.subscription_id))
        again = await replay(self._peers, tenant_id, invoice, periods)
        return pb.ReplayInvoiceResponse(
            differences=[
                pb.ReplayedLine(
                    line=convert.line_out(position + 1, invoice.bill.lines[position]),
                    recomputed_amount=money_out(again.bill.lines[position].amount),
                )
                for position in again.differences
            ],
            recomputed_total=money_out(again.bill.total),
            reproduced=not again.differences and again.bill.total == invoice.bill.total,
        )

    async def PreviewInvoice(self, request: pb.PreviewInvoiceRequest, context: Context) -> pb.PreviewInvoiceResponse:
        tenant_id, subscription_id = caller().tenant_id, text_in(request.subscription_id, "subscription_id")
        async with self._pool.acquire() as conn:
            found = await _subscription(conn, tenant_id, subscription_id)
            customer = await store.customers.get(conn, tenant_id, found.customer_id)
            clock = await store.clocks.get(conn, tenant_id)
            balances = await store.balances.of_customer(conn, tenant_id, found.customer_id)
        assert customer is not None, "subscriptions refer to customers"
        if found.is_closed:
            raise closed(found)
        billed = await bill_one(self._peers, tenant_id, found.due(customer.time_zone))
        draft = with_credits(billed.draft("", clock.now(self._clock())), balances)
        return pb.PreviewInvoiceResponse(invoice=convert.invoice_out(draft))

    async def VoidInvoice(self, request: pb.VoidInvoiceRequest, context: Context) -> pb.VoidInvoiceResponse:
        tenant_id, invoice_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)

        async def void() -> Invoice:
            async with self._pool.acquire() as conn, conn.transaction():
                before = await store.voids.record(conn, tenant_id, invoice_id, request_id, request_hash, self._clock())
                if before is not None:
                    require_same(before, request_hash, request.request_id)
                else:
                    await void_invoice(conn, tenant_id, invoice_id)
                return await _invoice(conn, tenant_id, invoice_id)

        invoice = await Till(self._pool, self._peers, self._clock).taken_back(tenant_id, invoice_id, void)
        return pb.VoidInvoiceResponse(invoice=convert.invoice_out(invoice))

    async def RecordPayment(self, request: pb.RecordPaymentRequest, context: Context) -> pb.RecordPaymentResponse:
        tenant_id = caller().tenant_id
        invoice_id, payment_id = text_in(request.invoice_id, "invoice_id"), text_in(request.payment_id, "payment_id")
        revision = convert.revision_in(request.revision, "revision")
        status = convert.payment_status_in(request.payment_status, "payment_status")
        async with self._pool.acquire() as conn, conn.transaction():
            invoice = await _invoice(conn, tenant_id, invoice_id)
            if invoice.state is State.DRAFT:
                raise FailedPrecondition(
                    "INVOICE_NOT_FINALIZED", f"invoice {invoice_id} is still a draft", invoice_id=invoice_id
                )
            paid = convert.paid_in(request.amount_paid, request.HasField("amount_paid"), invoice.bill.currency)
            await store.invoices.record_payment(conn, tenant_id, invoice_id, payment_id, revision, status, paid)
            invoice = await _invoice(conn, tenant_id, invoice_id)
        return pb.RecordPaymentResponse(invoice=convert.invoice_out(invoice))


async def _subscription(
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


async def _schedule(conn: Conn, tenant_id: str, of: Subscription) -> Schedule:
    customer = await store.customers.get(conn, tenant_id, of.customer_id)
    assert customer is not None, "subscriptions refer to customers"
    return schedule(of.billing_interval, of.billing_time, of.start_time, zone(customer.time_zone))


def _test_tenant() -> str:
    """The caller's tenant. Raises FailedPrecondition TENANT_LIVE when its money is real."""
    if caller().live:
        raise FailedPrecondition("TENANT_LIVE", "time can't be moved for a tenant whose money is real")
    return caller().tenant_id


def _first_answer(made: tuple[T, bytes] | None, request_hash: bytes, request_id: str, taken: Conflict) -> T:
    """What the first request with this id made. Raises `taken` when there was none: the name is another's."""
    if made is None:
        raise taken
    answer, recorded = made
    require_same(recorded, request_hash, request_id)
    return answer


async def _invoice(conn: Conn, tenant_id: str, invoice_id: str) -> Invoice:
    if (invoice := await store.invoices.get(conn, tenant_id, invoice_id)) is None:
        raise NotFound("INVOICE_NOT_FOUND", f"there is no invoice {invoice_id}", invoice_id=invoice_id)
    return invoice


def _customer_not_found(customer_id: str) -> NotFound:
    return NotFound("CUSTOMER_NOT_FOUND", f"there is no customer {customer_id}", customer_id=customer_id)

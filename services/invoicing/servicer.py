"""The RPCs: decode, one transaction, encode."""

from collections.abc import Mapping

from libs.common.errors import Conflict, FailedPrecondition
from libs.common.idempotency import fingerprint, require_same
from libs.common.paging import page_in
from libs.common.rpc.server import caller
from libs.common.wire import money_out, request_id_in, text_in
from services.invoicing import convert, store
from services.invoicing.booking import book_payment
from services.invoicing.clocking import ClockMethods
from services.invoicing.crediting import Till
from services.invoicing.domain.explain import sentences
from services.invoicing.domain.invoice import Invoice, State
from services.invoicing.domain.line import Line, LineKind
from services.invoicing.domain.schedule import Schedule
from services.invoicing.domain.subscription import Subscription
from services.invoicing.explaining import find_line, replay
from services.invoicing.issuing import require_legal_entity
from services.invoicing.reading import found_invoice, shown
from services.invoicing.recomputing import computed_from, recomputed
from services.invoicing.subscribing import (
    Context,
    SubscriptionMethods,
    customer_not_found,
    first_answer,
)
from services.invoicing.voiding import void_invoice
from weir.invoicing.v1 import invoicing_pb2 as pb


class InvoicingServicer(SubscriptionMethods, ClockMethods):
    async def CreateCustomer(self, request: pb.CreateCustomerRequest, context: Context) -> pb.CreateCustomerResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        customer = convert.customer_in(request.customer, self._clock())
        if customer.tax_codes:
            await self._peers.pricing.taxes(tenant_id, customer.tax_codes)
        async with self._pool.acquire() as conn, conn.transaction():
            await store.clocks.ensure(conn, tenant_id)
            await require_legal_entity(conn, tenant_id, customer)
            if not await store.customers.insert(conn, tenant_id, customer, request_id, request_hash):
                made = await store.customers.made_by(conn, tenant_id, request_id)
                taken = Conflict(
                    "CUSTOMER_EXISTS", f"there is a customer {customer.id} already", customer_id=customer.id
                )
                customer = first_answer(made, request_hash, request.request_id, taken)
        return pb.CreateCustomerResponse(customer=convert.customer_out(customer))

    async def GetCustomer(self, request: pb.GetCustomerRequest, context: Context) -> pb.GetCustomerResponse:
        customer_id = text_in(request.id, "id")
        async with self._pool.acquire() as conn:
            customer = await store.customers.get(conn, caller().tenant_id, customer_id)
        if customer is None:
            raise customer_not_found(customer_id)
        return pb.GetCustomerResponse(customer=convert.customer_out(customer))

    async def ListCustomers(self, request: pb.ListCustomersRequest, context: Context) -> pb.ListCustomersResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            found = await store.customers.page(conn, caller().tenant_id, page)
        customers, token = page.cut(found, lambda each: each.id)
        return pb.ListCustomersResponse(customers=map(convert.customer_out, customers), next_page_token=token)

    async def GetInvoice(self, request: pb.GetInvoiceRequest, context: Context) -> pb.GetInvoiceResponse:
        invoice_id = text_in(request.id, "id")
        async with self._pool.acquire() as conn:
            found = await found_invoice(conn, caller().tenant_id, invoice_id)
        [invoice] = await shown(self._pool, self._peers, caller().tenant_id, [found])
        return pb.GetInvoiceResponse(invoice=convert.invoice_out(invoice))

    async def ListInvoices(self, request: pb.ListInvoicesRequest, context: Context) -> pb.ListInvoicesResponse:
        page = page_in(request.page_size, request.page_token)
        wanted = store.invoices.Wanted(
            customer_id=text_in(request.customer_id, "customer_id", required=False) or None,
            subscription_id=text_in(request.subscription_id, "subscription_id", required=False) or None,
            number=text_in(request.number, "number", required=False) or None,
            state=convert.invoice_state_in(request.state, "state") if request.state else None,
            payment_status=convert.payment_status_in(request.payment_status, "payment_status")
            if request.payment_status
            else None,
            only_overdue=request.payment_overdue,
        )
        async with self._pool.acquire() as conn:
            found = await store.invoices.page(conn, caller().tenant_id, wanted, page)
        cut, token = page.cut(found, lambda each: each.id)
        invoices = await shown(self._pool, self._peers, caller().tenant_id, cut)
        return pb.ListInvoicesResponse(invoices=convert.invoices_out(invoices), next_page_token=token)

    async def ExplainLine(self, request: pb.ExplainLineRequest, context: Context) -> pb.ExplainLineResponse:
        tenant_id = caller().tenant_id
        invoice_id = text_in(request.invoice_id, "invoice_id")
        line_code = text_in(request.line_code, "line_code", required=not request.line_number)
        async with self._pool.acquire() as conn:
            invoice = await found_invoice(conn, tenant_id, invoice_id)
            number, line = find_line(invoice.id, invoice.bill.lines, line_code, request.line_number)
            ids = [line.source.subscription_id] if line.source else []
            subscriptions = await store.subscriptions.by_ids(conn, tenant_id, ids)
        *_, amount = await recomputed(self._peers, tenant_id, computed_from(line, invoice.bill.lines), subscriptions)
        periods = _schedule_of(line, subscriptions)
        rating = None if line.rating is None else convert.rating_in(line.rating)
        return pb.ExplainLineResponse(
            line=convert.line_out(number, line, invoice.bill.discounts),
            sentences=sentences(invoice, number - 1, rating, periods),
            recomputed_amount=money_out(amount),
            reproduced=amount == line.amount,
        )

    async def ReplayInvoice(self, request: pb.ReplayInvoiceRequest, context: Context) -> pb.ReplayInvoiceResponse:
        tenant_id, invoice_id = caller().tenant_id, text_in(request.id, "id")
        async with self._pool.acquire() as conn:
            invoice = await found_invoice(conn, tenant_id, invoice_id)
            ids = {line.source.subscription_id for line in invoice.bill.lines if line.source}
            subscriptions = await store.subscriptions.by_ids(conn, tenant_id, ids)
        again = await replay(self._peers, tenant_id, invoice, subscriptions)
        return pb.ReplayInvoiceResponse(
            differences=[
                pb.ReplayedLine(
                    line=convert.line_out(position + 1, invoice.bill.lines[position]),
                    recomputed_amount=money_out(again.bill.lines[position].amount),
                )
                for position in again.differences
            ],
            recomputed_total=money_out(again.bill.total),
            reproduced=again.bill == invoice.bill,
        )

    async def VoidInvoice(self, request: pb.VoidInvoiceRequest, context: Context) -> pb.VoidInvoiceResponse:
        tenant_id, invoice_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        credit, refund = convert.given_back_in(request)

        async def void() -> Invoice:
            async with self._pool.acquire() as conn, conn.transaction():
                before = await store.voids.record(conn, tenant_id, invoice_id, request_id, request_hash, self._clock())
                if before is not None:
                    require_same(before, request_hash, request.request_id)
                else:
                    await void_invoice(conn, tenant_id, invoice_id, self._clock(), credit=credit, refund=refund)
                return await found_invoice(conn, tenant_id, invoice_id)

        invoice = await Till(self._pool, self._peers, self._clock).taken_back(tenant_id, invoice_id, void)
        return pb.VoidInvoiceResponse(invoice=convert.invoice_out(invoice))

    async def RecordPayment(self, request: pb.RecordPaymentRequest, context: Context) -> pb.RecordPaymentResponse:
        tenant_id = caller().tenant_id
        invoice_id, payment_id = text_in(request.invoice_id, "invoice_id"), text_in(request.payment_id, "payment_id")
        revision = convert.revision_in(request.revision, "revision")
        status = convert.payment_status_in(request.payment_status, "payment_status")
        async with self._pool.acquire() as conn, conn.transaction():
            invoice = await found_invoice(conn, tenant_id, invoice_id, lock=True)
            if invoice.state in (State.DRAFT, State.CLOSED):
                raise FailedPrecondition(
                    "INVOICE_NOT_FINALIZED", f"invoice {invoice_id} is not finalized", invoice_id=invoice_id
                )
            paid = convert.paid_in(request.amount_paid, request.HasField("amount_paid"), invoice.bill.currency)
            await store.invoices.record_payment(conn, tenant_id, invoice_id, payment_id, revision, status, paid)
            before, invoice = invoice.amount_paid, await found_invoice(conn, tenant_id, invoice_id)
            change = (invoice.amount_paid - before).minor_units
            await book_payment(conn, tenant_id, invoice_id, payment_id, revision, change, self._clock())
        return pb.RecordPaymentResponse(invoice=convert.invoice_out(invoice))


def _schedule_of(line: Line, subscriptions: Mapping[str, Subscription]) -> Schedule | None:
    if line.source is None:
        return None
    owner = subscriptions[line.source.subscription_id]
    phase = owner.numbered(line.source.phase_number)
    return owner.fee_schedule_of(phase) if line.kind is LineKind.BASE_FEE else owner.schedule_of(phase)

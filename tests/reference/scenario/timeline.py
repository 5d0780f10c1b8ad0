"""The steps of a case as calls. The tenant's clock goes to each step's `at`: what is due by then is billed first."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from libs.common.wire import timestamp_out
from tests.reference.cases import Fields, Json, Unsupported
from tests.reference.scenario import documents
from tests.reference.scenario.advance_fees import mark_fees_paid
from tests.reference.scenario.catalog import Catalog, code_in
from tests.reference.scenario.documents import invoice_named
from tests.reference.scenario.moments import just_after, moment
from tests.reference.scenario.stack import Clients, Stack
from weir.common.v1.money_pb2 import Money
from weir.invoicing.v1 import changes_pb2, coupons_pb2, invoicing_pb2
from weir.invoicing.v1.fixed_charges_pb2 import SetFixedChargeUnitsRequest
from weir.invoicing.v1.invoicing_pb2 import Invoice, Subscription
from weir.metering.v1 import metering_pb2

CUSTOMER = "customer"
BILLING_TIMES = {
    "calendar": Subscription.BILLING_TIME_CALENDAR,
    "anniversary": Subscription.BILLING_TIME_ANNIVERSARY,
}
UNUSED_FEES = {
    "credit": invoicing_pb2.TerminateSubscriptionRequest.ON_UNUSED_FEE_CREDIT,
    "skip": invoicing_pb2.TerminateSubscriptionRequest.ON_UNUSED_FEE_KEEP,
    "refund": invoicing_pb2.TerminateSubscriptionRequest.ON_UNUSED_FEE_REFUND,
    "offset": invoicing_pb2.TerminateSubscriptionRequest.ON_UNUSED_FEE_OFFSET,
}
LAST_INVOICES = {
    "generate": invoicing_pb2.TerminateSubscriptionRequest.LAST_INVOICE_MAKE,
    "skip": invoicing_pb2.TerminateSubscriptionRequest.LAST_INVOICE_SKIP,
}
ENDING = {"change_plan", "terminate_subscription"}


class Refused(Exception):
    """A step that the services do not take, and why."""


@dataclass(slots=True)
class Play:
    """A case being played, as one tenant with one customer. `now` is the tenant's; so many
    `reports` of payments were made.
    """

    stack: Stack
    clients: Clients
    catalog: Catalog
    now: datetime
    reports: int = 0

    async def begin(self, customer: Json) -> None:
        """The clock is set before anything is there, because a tenant with subscriptions keeps its clock."""
        start = invoicing_pb2.CreateTestClockRequest(request_id=str(uuid4()), start_time=timestamp_out(self.now))
        await self.clients.invoicing.CreateTestClock(start)
        made = customer_in(Fields(customer, "given.customer"))
        request = invoicing_pb2.CreateCustomerRequest(request_id=str(uuid4()), customer=made)
        await self.clients.invoicing.CreateCustomer(request)

    async def step(self, told: Json) -> None:
        """Raises Unsupported and NotBilled."""
        fields = Fields(told, f"when.timeline.{told['id']}")
        fields.take("id")
        do, at = fields.take("do"), moment(fields.take("at"))
        if do not in STEPS:
            raise Unsupported(f"the step {do!r}")
        await self._reach(just_after(at) if do in ENDING else at)
        await STEPS[do](self, fields, at)
        fields.close()
        await self.stack.bill(self.clients)

    async def _reach(self, at: datetime) -> None:
        if at > self.now:
            request = invoicing_pb2.AdvanceClockRequest(request_id=str(uuid4()), target_time=timestamp_out(at))
            await self.clients.invoicing.AdvanceClock(request)
            self.now = at
            await self.stack.bill(self.clients)


def customer_in(fields: Fields) -> invoicing_pb2.Customer:
    made = invoicing_pb2.Customer(id=CUSTOMER, name=CUSTOMER, time_zone=fields.take("timezone", "UTC"))
    made.grace_period_days = fields.take("grace_period_days", 0)
    fields.close()
    return made


async def _create_subscription(play: Play, fields: Fields, at: datetime) -> None:
    made = Subscription(
        id=fields.take("external_id"),
        customer_id=CUSTOMER,
        plan_code=code_in(fields.take("plan")),
        billing_time=BILLING_TIMES[fields.take("billing_time", "calendar")],
        start_time=timestamp_out(moment(told) if (told := fields.take("subscription_at")) else at),
    )
    request = invoicing_pb2.CreateSubscriptionRequest(request_id=str(uuid4()), subscription=made)
    await play.clients.invoicing.CreateSubscription(request)


async def _change_plan(play: Play, fields: Fields, at: datetime) -> None:
    """Whether it takes effect now or later is for Weir to say; its periods stay where they are."""
    subscription_id, billing_time = fields.take("external_id"), fields.take("billing_time", "calendar")
    found = await play.clients.invoicing.GetSubscription(invoicing_pb2.GetSubscriptionRequest(id=subscription_id))
    if found.subscription.billing_time != BILLING_TIMES[billing_time]:
        raise Unsupported(f"{fields.path}.billing_time, another one than before")
    change = changes_pb2.PlanChange(plan_code=code_in(fields.take("plan")))
    request = changes_pb2.ChangePlanRequest(request_id=str(uuid4()), id=subscription_id, change=change)
    await play.clients.changes.ChangePlan(request)


async def _terminate_subscription(play: Play, fields: Fields, at: datetime) -> None:
    unused, last_invoice = (
        fields.take("on_termination_credit_note", "credit"),
        fields.take("on_termination_invoice", ""),
    )
    if unused not in UNUSED_FEES:
        raise Unsupported(f"{fields.path}.on_termination_credit_note {unused!r}")
    request = invoicing_pb2.TerminateSubscriptionRequest(
        request_id=str(uuid4()),
        id=fields.take("external_id"),
        on_unused_fee=UNUSED_FEES[unused],
        last_invoice=LAST_INVOICES[last_invoice or "generate"],
    )
    await play.clients.invoicing.TerminateSubscription(request)


async def _set_payment_status(play: Play, fields: Fields, at: datetime) -> None:
    """Paid in full, or not."""
    invoice = await invoice_named(play.clients, fields.take("invoice"))
    status = Invoice.PaymentStatus.Value(f"PAYMENT_STATUS_{fields.take('payment_status').upper()}")
    is_paid = status == Invoice.PAYMENT_STATUS_SUCCEEDED
    await _record(play, invoice, status, invoice.amount_due.minor_units if is_paid else 0)


async def _record_payment(play: Play, fields: Fields, at: datetime) -> None:
    """A payment of its own: what was paid before stays paid."""
    invoice, amount = await invoice_named(play.clients, fields.take("invoice")), fields.take("amount_cents")
    paid = invoice.amount_paid.minor_units + amount
    is_paid = paid >= invoice.amount_due.minor_units
    await _record(play, invoice, Invoice.PAYMENT_STATUS_SUCCEEDED if is_paid else Invoice.PAYMENT_STATUS_PENDING, paid)


async def _record(play: Play, invoice: Invoice, status: "Invoice.PaymentStatus.ValueType", paid: int) -> None:
    """As payments reports, whose service does not run here; each report is newer than the one before."""
    play.reports += 1
    request = invoicing_pb2.RecordPaymentRequest(
        invoice_id=invoice.id,
        payment_id="payment",
        revision=play.reports,
        payment_status=status,
        amount_paid=Money(currency_code=invoice.total.currency_code, minor_units=paid),
    )
    await play.clients.reports.RecordPayment(request)


async def _create_one_off_invoice(play: Play, fields: Fields, at: datetime) -> None:
    await documents.create_one_off_invoice(play.clients, fields, CUSTOMER)


async def _adjust_fee(play: Play, fields: Fields, at: datetime) -> None:
    [charge] = [each for _, version in play.catalog.plans for each in version.charges]
    await documents.adjust_fee(play.clients, fields, charge.code)


def _of_documents(change: Callable[[Clients, Fields], Awaitable[None]]) -> "Step":
    async def step(play: Play, fields: Fields, at: datetime) -> None:
        await change(play.clients, fields)

    return step


async def _update_fixed_charge_units(play: Play, fields: Fields, at: datetime) -> None:
    """Of the plan's only subscription: a plan version never changes."""
    plan_code = code_in(fields.take("plan"))
    listed = invoicing_pb2.ListSubscriptionsRequest(plan_code=plan_code)
    [found] = (await play.clients.invoicing.ListSubscriptions(listed)).subscriptions
    request = SetFixedChargeUnitsRequest(
        request_id=str(uuid4()),
        subscription_id=found.id,
        code=code_in(fields.take("add_on")),
        units=str(fields.take("units")),
        effective=SetFixedChargeUnitsRequest.EFFECTIVE_NOW
        if fields.take("apply_units_immediately")
        else SetFixedChargeUnitsRequest.EFFECTIVE_NEXT_PERIOD,
    )
    await play.clients.fixed_charges.SetFixedChargeUnits(request)


async def _ingest_event(play: Play, fields: Fields, at: datetime) -> None:
    """An event's code is that of its metric, and so is its meter's."""
    told = fields.take("event_timestamp")
    event = metering_pb2.Event(
        subscription_id=fields.take("external_subscription_id"),
        code=code_in(fields.take("metric")),
        timestamp=timestamp_out(moment(told) if told else at),
        properties={name: property_text(value) for name, value in fields.take("properties", {}).items()},
    )
    for _ in range(fields.take("times", 1)):
        event.transaction_id = str(uuid4())
        answer = await play.clients.metering.IngestEvents(metering_pb2.IngestEventsRequest(events=[event]))
        for failure in answer.failures:
            raise Refused(f"the event is refused: {failure.reason} {failure.message}")


def property_text(value: Any) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


async def _apply_coupon(play: Play, fields: Fields, at: datetime) -> None:
    request = coupons_pb2.ApplyCouponRequest(
        request_id=str(uuid4()), customer_id=CUSTOMER, coupon_code=code_in(fields.take("coupon"))
    )
    await play.clients.applied_coupons.ApplyCoupon(request)


async def _run_billing_clock(play: Play, fields: Fields, at: datetime) -> None:
    """The clock is there already, and everything due is billed."""


async def _mark_fees_paid(play: Play, fields: Fields, at: datetime) -> None:
    """All that there are, of the only subscription."""
    if (which := fields.take("which")) != "all":
        raise Unsupported(f"{fields.path}.which {which!r}")
    paid_time = timestamp_out(datetime.fromisoformat(fields.take("succeeded_at")))
    [found] = (await play.clients.invoicing.ListSubscriptions(invoicing_pb2.ListSubscriptionsRequest())).subscriptions
    await mark_fees_paid(play.clients, found.id, paid_time)


Step = Callable[[Play, Fields, datetime], Awaitable[None]]
STEPS: dict[str, Step] = {
    "create_subscription": _create_subscription,
    "change_plan": _change_plan,
    "terminate_subscription": _terminate_subscription,
    "set_payment_status": _set_payment_status,
    "record_payment": _record_payment,
    "ingest_event": _ingest_event,
    "apply_coupon": _apply_coupon,
    "mark_fees_paid": _mark_fees_paid,
    "run_billing_clock": _run_billing_clock,
    "update_fixed_charge_units": _update_fixed_charge_units,
    "create_one_off_invoice": _create_one_off_invoice,
    "create_credit_note": _of_documents(documents.create_credit_note),
    "refresh_invoice": _of_documents(documents.refresh_invoice),
    "finalize_invoice": _of_documents(documents.finalize_invoice),
    "adjust_fee": _adjust_fee,
    "void_invoice": _of_documents(documents.void_invoice),
}

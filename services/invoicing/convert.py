"""Protobuf to domain (`_in`, which validate and name the wrong field) and back (`_out`)."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp
from google.type import date_pb2

from libs.common.errors import FailedPrecondition, InvalidArgument
from libs.common.money import Money, plain
from libs.common.wire import (
    money_in,
    money_out,
    period_out,
    text_in,
    timestamp_in,
    timestamp_out,
)
from services.invoicing.convert_credit_notes import applied_out
from services.invoicing.domain.clock import BillingClock
from services.invoicing.domain.customer import Customer
from services.invoicing.domain.invoice import Invoice, InvoiceTax, Line, PaymentStatus, RatedUsage, State, Tax
from services.invoicing.domain.period import EARLIEST, LATEST, Period, is_time_zone
from services.invoicing.domain.plan import Charge, PlanVersion, Split, UsagePart
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.rating import RatedTier, Rating, StepKind
from services.invoicing.domain.run import BillingRun
from services.invoicing.domain.schedule import BillingInterval
from weir.common.v1 import money_pb2
from weir.invoicing.v1 import invoicing_pb2
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import pricing_pb2

MAX_FIRST_EVENTS = 100_000
"""As many single events does metering answer with."""

_STATES = {
    State.DRAFT: invoicing_pb2.Invoice.STATE_DRAFT,
    State.FINALIZED: invoicing_pb2.Invoice.STATE_FINALIZED,
    State.VOIDED: invoicing_pb2.Invoice.STATE_VOIDED,
}
_PAYMENT_STATUSES = {
    PaymentStatus.PENDING: invoicing_pb2.Invoice.PAYMENT_STATUS_PENDING,
    PaymentStatus.SUCCEEDED: invoicing_pb2.Invoice.PAYMENT_STATUS_SUCCEEDED,
    PaymentStatus.FAILED: invoicing_pb2.Invoice.PAYMENT_STATUS_FAILED,
    PaymentStatus.REQUIRES_ACTION: invoicing_pb2.Invoice.PAYMENT_STATUS_REQUIRES_ACTION,
}
_KINDS = {
    pricing_pb2.RatedTier.KIND_PACKAGES: StepKind.PACKAGES,
    pricing_pb2.RatedTier.KIND_TRANSACTIONS: StepKind.TRANSACTIONS,
    pricing_pb2.RatedTier.KIND_EVENT_AMOUNTS: StepKind.EVENT_AMOUNTS,
    pricing_pb2.RatedTier.KIND_LIMIT: StepKind.LIMIT,
}
_PAYMENT_STATUSES_IN = {number: status for status, number in _PAYMENT_STATUSES.items()}


def customer_in(message: invoicing_pb2.Customer, create_time: datetime) -> Customer:
    time_zone = message.time_zone or "UTC"
    if not is_time_zone(time_zone):
        raise InvalidArgument(
            "TIME_ZONE_UNKNOWN", f"{time_zone[:64]!r} is not an IANA time zone", field="customer.time_zone"
        )
    return Customer(
        id=text_in(message.id, "customer.id"),
        name=text_in(message.name, "customer.name"),
        email=text_in(message.email, "customer.email", required=False),
        time_zone=time_zone,
        create_time=create_time,
    )


def customer_out(customer: Customer) -> invoicing_pb2.Customer:
    return invoicing_pb2.Customer(
        id=customer.id,
        name=customer.name,
        email=customer.email,
        time_zone=customer.time_zone,
        create_time=timestamp_out(customer.create_time),
    )


def instant_in(message: Timestamp, present: bool, field: str) -> datetime:
    """An instant of billing: from 2000 until 2200."""
    instant = timestamp_in(message, present, field)
    if not EARLIEST <= instant < LATEST:
        raise InvalidArgument(
            "TIME_OUT_OF_RANGE",
            f"{field} is {instant.isoformat()}; billing happens from {EARLIEST:%Y} until {LATEST:%Y}",
            field=field,
        )
    return instant


def clock_out(clock: BillingClock, real_now: datetime) -> invoicing_pb2.Clock:
    mode = invoicing_pb2.Clock.MODE_REAL if clock.test_now is None else invoicing_pb2.Clock.MODE_TEST
    return invoicing_pb2.Clock(mode=mode, now=timestamp_out(clock.now(real_now)))


def billing_run_out(run: BillingRun) -> invoicing_pb2.BillingRun:
    running, completed = invoicing_pb2.BillingRun.STATE_RUNNING, invoicing_pb2.BillingRun.STATE_COMPLETED
    return invoicing_pb2.BillingRun(
        id=run.id,
        as_of_time=timestamp_out(run.as_of),
        state=running if run.complete_time is None else completed,
        due_count=run.due_count,
        finalized_count=run.finalized_count,
        failures=[
            invoicing_pb2.BillingFailure(
                subscription_id=failure.subscription_id,
                reason=failure.reason,
                message=failure.message,
                retry_time=timestamp_out(failure.retry_time),
            )
            for failure in run.failures
        ],
        create_time=timestamp_out(run.create_time),
        complete_time=timestamp_out(run.complete_time),
    )


def invoice_out(invoice: Invoice) -> invoicing_pb2.Invoice:
    is_final = invoice.state is not State.DRAFT
    return invoicing_pb2.Invoice(
        id=invoice.id,
        number=invoice.number or "",
        customer_id=invoice.customer_id,
        subscription_id=invoice.subscription_id,
        plan_code=invoice.plan_code,
        plan_version=invoice.plan_version,
        currency_code=invoice.bill.currency,
        state=_STATES[invoice.state],
        payment_status=_PAYMENT_STATUSES[invoice.payment_status],
        period=span_out(invoice.period),
        lines=[line_out(number, line) for number, line in enumerate(invoice.bill.lines, 1)],
        taxes=map(_tax_out, invoice.bill.taxes),
        subtotal=money_out(invoice.bill.subtotal),
        tax=money_out(invoice.bill.tax),
        total=money_out(invoice.bill.total),
        amount_paid=money_out(invoice.amount_paid),
        issue_date=_date_out(invoice.issue_date) if is_final else None,
        create_time=timestamp_out(invoice.create_time),
        finalize_time=timestamp_out(invoice.finalize_time),
        credits=map(applied_out, invoice.credits),
        offset=money_out(invoice.offset),
        amount_due=money_out(invoice.amount_due),
    )


def line_out(number: int, line: Line) -> invoicing_pb2.InvoiceLine:
    return invoicing_pb2.InvoiceLine(
        number=number,
        code=line.code,
        description=line.description,
        period=span_out(line.period),
        amount=money_out(line.amount),
        unrounded_amount=plain(line.unrounded_amount),
        proration=_proration_out(line.proration) if line.proration else None,
        rating=None if line.rating is None else pricing_pb2.RatedCharge.FromString(line.rating),
        watermark=line.watermark or 0,
        tax_codes=line.tax_codes,
    )


def payment_status_in(value: "invoicing_pb2.Invoice.PaymentStatus.ValueType", field: str) -> PaymentStatus:
    if value == invoicing_pb2.Invoice.PAYMENT_STATUS_UNSPECIFIED:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    if (status := _PAYMENT_STATUSES_IN.get(value)) is None:
        raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"{field} is {value}, which names no status", field=field)
    return status


def revision_in(value: int, field: str) -> int:
    if value <= 0:
        raise InvalidArgument("REVISION_NOT_POSITIVE", f"{field} is {value}; revisions start at 1", field=field)
    return value


def paid_in(message: money_pb2.Money, present: bool, currency: str) -> Money:
    """What has been paid of an invoice in `currency`."""
    paid = money_in(message, present, "amount_paid")
    if paid.currency != currency:
        raise InvalidArgument(
            "CURRENCY_MISMATCH",
            f"amount_paid is in {paid.currency}, the invoice in {currency}",
            field="amount_paid.currency_code",
        )
    if paid.minor_units < 0:
        raise InvalidArgument(
            "AMOUNT_NEGATIVE", f"amount_paid is {paid}; it must not be negative", field="amount_paid.minor_units"
        )
    return paid


def latest_version_in(message: pricing_pb2.Plan) -> PlanVersion:
    """What a new subscription gets. Raises FailedPrecondition PLAN_NOT_ACTIVE, and what `plan_version_in` raises."""
    if not message.HasField("latest_version"):
        raise FailedPrecondition(
            "PLAN_NOT_ACTIVE",
            f"no version of plan {message.code} is active: there are only drafts or archived ones",
            plan_code=message.code,
        )
    return plan_version_in(message.latest_version)


def sold_version_in(message: pricing_pb2.PlanVersion, subscription_id: str) -> PlanVersion:
    """What a subscription may change to. Raises PLAN_NOT_ACTIVE, and what `plan_version_in` raises."""
    if message.state != message.STATE_ACTIVE or message.subscription_id not in ("", subscription_id):
        raise FailedPrecondition(
            "PLAN_NOT_ACTIVE",
            f"version {message.version} of plan {message.plan_code} is not sold to subscription {subscription_id}",
            plan_code=message.plan_code,
        )
    return plan_version_in(message)


def plan_version_in(message: pricing_pb2.PlanVersion) -> PlanVersion:
    """As pricing sent it, who has validated it.

    Raises FailedPrecondition PLAN_UNSUPPORTED for what can be priced but not yet be invoiced: never a wrong bill.
    """
    if unsupported := _unsupported(message):
        raise FailedPrecondition(
            "PLAN_UNSUPPORTED",
            f"version {message.version} of plan {message.plan_code} has {', '.join(unsupported)}, which can't be"
            " invoiced yet",
            plan_code=message.plan_code,
            version=str(message.version),
            fields=",".join(unsupported),
        )
    fee = message.base_fee
    return PlanVersion(
        plan_code=message.plan_code,
        version=message.version,
        currency=message.currency_code,
        billing_interval=BillingInterval(_interval_name(message)),
        base_fee=Money(fee.minor_units, fee.currency_code) if message.HasField("base_fee") else None,
        in_advance=message.base_fee_in_advance,
        charges=tuple(map(_charge_in, message.charges)),
        tax_codes=tuple(message.tax_codes),
        trial=timedelta(days=message.trial_days),
    )


def _interval_name(message: pricing_pb2.PlanVersion) -> str:
    name = pricing_pb2.PlanVersion.BillingInterval.Name(message.billing_interval)
    return name.removeprefix("BILLING_INTERVAL_").lower()


def _unsupported(message: pricing_pb2.PlanVersion) -> list[str]:
    """The fields that invoices have no lines for."""
    found = [name for name in ("fixed_charges", "usage_thresholds", "phases") if getattr(message, name)]
    if message.HasField("minimum_commitment"):
        found.append("minimum_commitment")
    for index, charge in enumerate(message.charges):
        found += [
            f"charges[{index}].{name}"
            for name in ("in_advance", "prorated", "tax_codes", "accumulation")
            if getattr(charge, name)
        ]
        found += [f"charges[{index}].pricing_unit"] * charge.HasField("pricing_unit")
        prices: list[pricing_pb2.Charge | pricing_pb2.ChargeFilter] = [charge, *charge.filters]
        found += [f"charges[{index}].time_of_day"] * any(each.HasField("time_of_day") for each in prices)
    return found


def _charge_in(message: pricing_pb2.Charge) -> Charge:
    prices: list[pricing_pb2.Charge | pricing_pb2.ChargeFilter] = [message, *message.filters]
    return Charge(
        code=message.code,
        meter_code=message.meter_code,
        split=Split(
            parts=tuple(_part_in(each) for each in message.filters),
            group_keys=tuple(message.group_keys),
            first_events=max(_first_events(each) for each in prices),
        ),
        takes_amounts=any(each.WhichOneof("price") == "dynamic" for each in prices),
    )


def _part_in(message: pricing_pb2.ChargeFilter) -> UsagePart:
    return UsagePart(message.code, tuple((each.property, tuple(each.values)) for each in message.properties))


def _first_events(message: pricing_pb2.Charge | pricing_pb2.ChargeFilter) -> int:
    """How many single events the price is a matter of: a percentage has allowances and limits for each of them."""
    if message.WhichOneof("price") != "percentage":
        return 0
    price = message.percentage
    for limit in (price.free_amount, price.minimum_per_transaction, price.maximum_per_transaction):
        if limit and Decimal(limit):
            return MAX_FIRST_EVENTS
    return min(price.free_transactions, MAX_FIRST_EVENTS)


def quantities_out(
    charges: Iterable[Charge], answer: metering_pb2.GetUsageResponse
) -> Iterator[pricing_pb2.ChargeQuantity]:
    """What metering measured, as pricing is to rate it."""
    for charge in charges:
        for usage in answer.usages:
            if usage.meter_code == charge.meter_code:
                yield _quantity_out(charge, usage)


def _quantity_out(charge: Charge, usage: metering_pb2.Usage) -> pricing_pb2.ChargeQuantity:
    events = [
        pricing_pb2.EventValue(value=each.value, prorated_value=each.prorated_value, amount=each.amount)
        for each in usage.events
    ]
    if charge.takes_amounts and not events and usage.amount:
        events = [pricing_pb2.EventValue(amount=usage.amount)]
    return pricing_pb2.ChargeQuantity(
        charge_code=charge.code,
        quantity=usage.quantity,
        filter=usage.part,
        group=usage.group,
        full_quantity=usage.full_quantity,
        event_count=usage.event_count,
        events=events,
    )


def tax_in(message: pricing_pb2.Tax) -> Tax:
    """As pricing sent it."""
    return Tax(message.code, message.name, Decimal(message.rate_percent))


def rated_usage_in(message: pricing_pb2.RatedCharge) -> RatedUsage:
    """As pricing sent it."""
    return RatedUsage(
        code=message.charge_code,
        name=_line_name(message),
        quantity=Decimal(message.quantity),
        amount=Money(message.amount.minor_units, message.amount.currency_code),
        unrounded_amount=Decimal(message.unrounded_amount),
        rating=message.SerializeToString(),
    )


def _line_name(message: pricing_pb2.RatedCharge) -> str:
    """The charge's or filter's name, with the group that the line is for."""
    group = ", ".join(f"{key} {message.group[key]}" for key in sorted(message.group))
    limit = {"minimum": "up to the minimum", "maximum": "down to the maximum"}.get(message.charge_model, "")
    return ", ".join(part for part in (message.name, group, limit) if part)


def rating_in(recorded: bytes) -> Rating:
    """What pricing said when the line was made."""
    message = pricing_pb2.RatedCharge.FromString(recorded)
    return Rating(
        meter_code=message.meter_code,
        charge_model=message.charge_model,
        part=message.filter,
        group=tuple(sorted(message.group.items())),
        quantity=Decimal(message.quantity),
        amount=Money(message.amount.minor_units, message.amount.currency_code),
        unrounded_amount=Decimal(message.unrounded_amount),
        tiers=tuple(
            RatedTier(
                above=Decimal(getattr(tier, "from")),
                up_to=Decimal(tier.up_to) if tier.up_to else None,
                quantity=Decimal(tier.quantity),
                unit_price=Decimal(tier.unit_price),
                flat_fee=Decimal(tier.flat_fee or 0),
                amount=Decimal(tier.amount),
                free_units=Decimal(tier.free_units or 0),
                kind=_KINDS.get(tier.kind, StepKind.UNITS),
                rate_percent=Decimal(tier.rate_percent) if tier.rate_percent else None,
            )
            for tier in message.tiers
        ),
    )


def span_out(period: Period) -> money_pb2.Period:
    return period_out(period.start, period.end)


def _proration_out(part: Proration) -> invoicing_pb2.Proration:
    return invoicing_pb2.Proration(fee=money_out(part.fee), days=part.days, period_days=part.period_days)


def _tax_out(tax: InvoiceTax) -> invoicing_pb2.InvoiceTax:
    return invoicing_pb2.InvoiceTax(
        code=tax.code,
        name=tax.name,
        rate_percent=plain(tax.rate_percent),
        taxable=money_out(tax.taxable),
        amount=money_out(tax.amount),
        unrounded_amount=plain(tax.unrounded_amount),
    )


def _date_out(value: date) -> date_pb2.Date:
    return date_pb2.Date(year=value.year, month=value.month, day=value.day)

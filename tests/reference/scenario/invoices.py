"""An invoice in the words of the cases."""

from collections.abc import Sequence
from decimal import Decimal

from tests.reference.cases import Json
from tests.reference.charge_model_details import details
from tests.reference.scenario.books import Books
from tests.reference.scenario.moments import day_beginning, instant, last_moment
from weir.common.v1.money_pb2 import Period
from weir.invoicing.v1.invoicing_pb2 import Invoice, InvoiceLine

STATUSES = {
    Invoice.STATE_DRAFT: "draft",
    Invoice.STATE_FINALIZED: "finalized",
    Invoice.STATE_VOIDED: "voided",
}

TYPES = {
    Invoice.KIND_SUBSCRIPTION: "subscription",
    Invoice.KIND_ONE_OFF: "one_off",
    Invoice.KIND_ADVANCE_USAGE: "subscription",
    Invoice.KIND_PROGRESSIVE: "progressive_billing",
    Invoice.KIND_ADVANCE_FEES: "advance_charges",
}

CREDIT = InvoiceLine.KIND_PROGRESSIVE_CREDIT
FEES = {InvoiceLine.KIND_COMMITMENT: "commitment"}


def invoice_view(invoice: Invoice, books: Books) -> Json:
    fees = fee_views(invoice)
    before = -sum(each.amount.minor_units for each in invoice.lines if each.kind == CREDIT)
    credited = sum(each.amount.minor_units for each in invoice.credits)
    return {
        "status": STATUSES[invoice.state],
        "payment_status": Invoice.PaymentStatus.Name(invoice.payment_status).removeprefix("PAYMENT_STATUS_").lower(),
        "fees_amount_cents": invoice.subtotal.minor_units + before,
        "progressive_billing_credit_amount_cents": before,
        "coupons_amount_cents": invoice.discount.minor_units,
        "sub_total_excluding_taxes_amount_cents": invoice.subtotal.minor_units - invoice.discount.minor_units,
        "taxes_amount_cents": invoice.tax.minor_units,
        "sub_total_including_taxes_amount_cents": invoice.total.minor_units,
        "credit_notes_amount_cents": credited,
        "credits_count": len(invoice.credits),
        "total_amount_cents": invoice.total.minor_units - credited,
        "applied_tax_codes": [each.code for each in invoice.taxes],
        **_fee_figures(fees),
        "invoice_type": TYPES[invoice.kind],
        **(_of_period(invoice, books) if invoice.HasField("period") else {}),
    }


def fee_views(invoice: Invoice) -> list[Json]:
    """In the order of the lines. What leads to a minimum follows its charge's fee, which the cases have even at 0. What
    is deducted is taken off the fee that it is deducted from.
    """
    views: list[Json] = []
    for line in invoice.lines:
        if line.kind == CREDIT:
            continue
        if line.kind == InvoiceLine.KIND_DEDUCTION:
            charged = next(each for each in views if (each["type"], each["code"]) == ("fixed_charge", line.code))
            charged["amount_cents"] += line.amount.minor_units
            continue
        if _is_true_up(line) and not any(_is_parent(each, line) for each in invoice.lines):
            views.append(_fee(InvoiceLine(code=line.code, rating={"meter_code": line.rating.meter_code})))
        views.append(_fee(line))
    return views


def _fee(line: InvoiceLine) -> Json:
    rating = line.rating
    is_usage, is_fixed = _is_usage(line), line.kind == InvoiceLine.KIND_FIXED_CHARGE
    return {
        "type": "fixed_charge" if is_fixed else "charge" if is_usage else FEES.get(line.kind, "subscription"),
        "code": line.code,
        "metric": rating.meter_code,
        "true_up": _is_true_up(line),
        "amount_cents": line.amount.minor_units,
        "precise_amount_cents": Decimal(line.unrounded_amount or 0) * 100,
        "units": Decimal(rating.full_quantity or rating.quantity or 0) if is_usage or is_fixed else Decimal(1),
        "events_count": rating.event_count,
        "filter": rating.filter or None,
        "details": details(rating, {}) if is_usage and rating.charge_model == "percentage" else {},
        "precise_coupons_amount_cents": sum(Decimal(each.amount) for each in line.discounts) * 100,
        "number": line.number,
    }


def _is_usage(line: InvoiceLine) -> bool:
    return line.HasField("rating") and line.kind != InvoiceLine.KIND_FIXED_CHARGE


def _is_true_up(line: InvoiceLine) -> bool:
    return line.rating.charge_model == "minimum"


def _is_parent(line: InvoiceLine, true_up: InvoiceLine) -> bool:
    return line.code == true_up.code and not _is_true_up(line) and not line.rating.filter


def _fee_figures(fees: Sequence[Json]) -> Json:
    usage = [each for each in fees if each["type"] == "charge"]
    true_ups = [each for each in usage if each["true_up"]]
    commitments = [each["amount_cents"] for each in fees if each["type"] == "commitment"]
    fixed = [each for each in fees if each["type"] == "fixed_charge"]
    subscription = [each["amount_cents"] for each in fees if each["type"] == "subscription"]
    return {
        "fees": fees,
        "fees_count": len(fees),
        "usage_fees_cents": [each["amount_cents"] for each in usage if not each["true_up"]],
        "charge_fees_cents": [each["amount_cents"] for each in usage],
        "charge_fees_count": len(usage),
        "fixed_charge_fees": fixed,
        "fixed_charge_fees_cents": [each["amount_cents"] for each in fixed],
        "true_up_fee": true_ups[0] if true_ups else None,
        "subscription_fee_cents": sum(subscription),
        "subscription_fees_count": len(subscription),
        "commitment_fee_cents": sum(commitments),
        "commitment_fees_count": len(commitments),
    }


def _of_period(invoice: Invoice, books: Books) -> Json:
    return {**_boundaries(invoice, books), "invoicing_reason": _reason(invoice, books)}


def _boundaries(invoice: Invoice, books: Books) -> Json:
    """The stretches of time that are billed. Those of the base fee begin where its first day does; where there is no
    fee, they are those of the usage.
    """
    usage, zone = _usage_period(invoice, books), books.subscription.time_zone
    fixed = next((line.period for line in invoice.lines if line.kind == InvoiceLine.KIND_FIXED_CHARGE), None)
    fee = next((line.period for line in invoice.lines if line.HasField("proration")), None) or usage
    view = {}
    if fixed is not None:
        view["fixed_charges_from_datetime"] = instant(fixed.start_time)
        view["fixed_charges_to_datetime"] = last_moment(fixed.end_time)
    if fee is None:
        return view
    view |= {"from_datetime": day_beginning(fee.start_time, zone), "to_datetime": last_moment(fee.end_time)}
    if usage is not None:
        view["charges_from_datetime"] = instant(usage.start_time)
        view["charges_to_datetime"] = last_moment(usage.end_time)
    return view


def _usage_period(invoice: Invoice, books: Books) -> Period | None:
    """Of an invoice of fees in advance, the period for which those of the one before it were; the first has none."""
    used = [line.period for line in invoice.lines if _is_usage(line)]
    if used or instant(invoice.period.end_time) <= instant(invoice.create_time):
        return used[0] if used else invoice.period
    number = books.phase_of(invoice)
    settling = [each for each in books.invoices if each.HasField("period")]
    phase = [each for each in settling if books.phase_of(each) == number]
    earlier = phase[: phase.index(invoice)]
    return earlier[-1].period if earlier else None


def _reason(invoice: Invoice, books: Books) -> str:
    end = books.phase_end(books.phase_of(invoice))
    return "subscription_terminating" if end == instant(invoice.period.end_time) else "subscription_periodic"

"""Invoices, and what payments reports of them."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from libs.common.errors import InvalidArgument
from libs.common.money import Money, plain
from libs.common.wire import (
    money_in,
    money_out,
    timestamp_out,
)
from services.invoicing.convert.credit_notes import applied_out
from services.invoicing.convert.times import date_out, span_out
from services.invoicing.domain.discount import Discount
from services.invoicing.domain.invoice import Invoice, InvoiceKind, PaymentStatus, State
from services.invoicing.domain.line import Line, LineKind, Source
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.settlement import Settlement
from services.invoicing.domain.tax import InvoiceTax
from weir.common.v1 import money_pb2
from weir.invoicing.v1 import invoicing_pb2
from weir.pricing.v1 import pricing_pb2

_STATES = {
    State.DRAFT: invoicing_pb2.Invoice.STATE_DRAFT,
    State.FINALIZED: invoicing_pb2.Invoice.STATE_FINALIZED,
    State.VOIDED: invoicing_pb2.Invoice.STATE_VOIDED,
    State.CLOSED: invoicing_pb2.Invoice.STATE_CLOSED,
}
_PAYMENT_STATUSES = {
    PaymentStatus.PENDING: invoicing_pb2.Invoice.PAYMENT_STATUS_PENDING,
    PaymentStatus.SUCCEEDED: invoicing_pb2.Invoice.PAYMENT_STATUS_SUCCEEDED,
    PaymentStatus.FAILED: invoicing_pb2.Invoice.PAYMENT_STATUS_FAILED,
    PaymentStatus.REQUIRES_ACTION: invoicing_pb2.Invoice.PAYMENT_STATUS_REQUIRES_ACTION,
}
_KINDS = {kind: invoicing_pb2.Invoice.Kind.Value(f"KIND_{kind.name}") for kind in InvoiceKind}
_LINE_KINDS = {kind: invoicing_pb2.InvoiceLine.Kind.Value(f"KIND_{kind.name}") for kind in LineKind}
_STATES_IN = {number: state for state, number in _STATES.items()}
_PAYMENT_STATUSES_IN = {number: status for status, number in _PAYMENT_STATUSES.items()}


MAX_LINES = 1000
MAX_LINES_OF_LIST = 5000
"""So many lines fit into a message many times; ListInvoiceLines reads the others."""


def invoices_out(invoices: Sequence[Invoice]) -> list[invoicing_pb2.Invoice]:
    """With as many lines of each as a list has room for."""
    most = min(MAX_LINES, MAX_LINES_OF_LIST // max(len(invoices), 1))
    return [invoice_out(each, most) for each in invoices]


def invoice_out(invoice: Invoice, most_lines: int = MAX_LINES) -> invoicing_pb2.Invoice:
    is_final, source = invoice.state is not State.DRAFT, invoice.source
    return invoicing_pb2.Invoice(
        id=invoice.id,
        number=invoice.number or "",
        customer_id=invoice.customer_id,
        subscription_id=_common({each.source.subscription_id for each in invoice.settlements}),
        plan_code=source.plan_code if source else "",
        plan_version=source.plan_version if source else 0,
        currency_code=invoice.bill.currency,
        state=_STATES[invoice.state],
        payment_status=_payment_status(invoice),
        period=span_out(invoice.period) if invoice.period else None,
        lines=[
            line_out(number, line, invoice.bill.discounts)
            for number, line in enumerate(invoice.bill.lines[:most_lines], 1)
        ],
        taxes=map(_tax_out, invoice.bill.taxes),
        subtotal=money_out(invoice.bill.subtotal),
        tax=money_out(invoice.bill.tax),
        total=money_out(invoice.bill.total),
        amount_paid=money_out(invoice.amount_paid),
        issue_date=date_out(invoice.issue_date) if is_final else None,
        create_time=timestamp_out(invoice.create_time),
        finalize_time=timestamp_out(invoice.finalize_time),
        credits=map(applied_out, invoice.credits),
        offset=money_out(invoice.offset),
        amount_due=money_out(invoice.amount_due),
        settlements=map(_settlement_out, invoice.settlements[:most_lines]),
        discounts=map(_discount_out, invoice.bill.discounts),
        discount=money_out(invoice.bill.discount),
        included_tax=money_out(invoice.bill.included_tax),
        due_date=date_out(invoice.due_date) if invoice.due_date else None,
        payment_overdue=invoice.is_overdue,
        overdue_time=timestamp_out(invoice.overdue_time),
        kind=_KINDS[invoice.kind],
        regenerated_from_id=invoice.regenerated_from or "",
        line_count=len(invoice.bill.lines),
        settlement_count=len(invoice.settlements),
        draft_until_time=timestamp_out(invoice.draft_until) if invoice.state is State.DRAFT else None,
        prepaid=money_out(invoice.prepaid or Money(0, invoice.bill.currency)),
        write_off_time=timestamp_out(invoice.write_off_time),
        amount_written_off=money_out(invoice.written_off),
        legal_entity_code=invoice.legal_entity_code,
        amount_disputed=money_out(invoice.disputed or Money(0, invoice.bill.currency)),
    )


def _payment_status(invoice: Invoice) -> invoicing_pb2.Invoice.PaymentStatus.ValueType:
    is_disputed = invoice.disputed is not None and invoice.disputed.minor_units > 0
    return invoicing_pb2.Invoice.PAYMENT_STATUS_DISPUTED if is_disputed else _PAYMENT_STATUSES[invoice.payment_status]


def line_out(number: int, line: Line, discounts: Iterable[Discount] = ()) -> invoicing_pb2.InvoiceLine:
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
        kind=_LINE_KINDS[line.kind],
        units="" if line.units is None else plain(line.units),
        unit_amount="" if line.unit_amount is None else plain(line.unit_amount),
        is_adjusted=line.is_adjusted,
        prior_watermark=line.prior_watermark or 0,
        transaction_id=line.transaction_id or "",
        source=_source_out(line.source) if line.source else None,
        discounts=[_share_out(each, each.shares[number - 1]) for each in discounts if number - 1 in each.shares],
        tax_inclusive=line.is_tax_inclusive,
        deducted=invoicing_pb2.LineReference(invoice_id=line.deducts.invoice_id, number=line.deducts.position + 1)
        if line.deducts
        else None,
    )


def _settlement_out(settlement: Settlement) -> invoicing_pb2.Settlement:
    return invoicing_pb2.Settlement(
        source=_source_out(settlement.source),
        period=span_out(settlement.period),
        due_time=timestamp_out(settlement.due_time),
        is_opening=settlement.is_opening,
        is_addition=settlement.is_addition,
    )


def _source_out(source: Source) -> invoicing_pb2.LineSource:
    return invoicing_pb2.LineSource(
        subscription_id=source.subscription_id,
        phase_number=source.phase_number,
        plan_code=source.plan_code,
        plan_version=source.plan_version,
    )


def _common(ids: set[str]) -> str:
    return ids.pop() if len(ids) == 1 else ""


def payment_status_in(value: "invoicing_pb2.Invoice.PaymentStatus.ValueType", field: str) -> PaymentStatus:
    if value == invoicing_pb2.Invoice.PAYMENT_STATUS_UNSPECIFIED:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    if (status := _PAYMENT_STATUSES_IN.get(value)) is None:
        raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"{field} is {value}, which names no status", field=field)
    return status


def invoice_state_in(value: "invoicing_pb2.Invoice.State.ValueType", field: str) -> State:
    if (state := _STATES_IN.get(value)) is None:
        raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"{field} is {value}, which names no state", field=field)
    return state


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
        included=tax.is_included,
    )


def _discount_out(discount: Discount) -> invoicing_pb2.InvoiceDiscount:
    return invoicing_pb2.InvoiceDiscount(
        applied_coupon_id=discount.applied_coupon_id,
        coupon_code=discount.terms.coupon_code,
        name=discount.terms.name,
        base_amount=plain(discount.base),
        amount=money_out(discount.amount),
    )


def _share_out(discount: Discount, share: Decimal) -> invoicing_pb2.LineDiscount:
    return invoicing_pb2.LineDiscount(
        applied_coupon_id=discount.applied_coupon_id,
        coupon_code=discount.terms.coupon_code,
        amount=plain(share),
    )

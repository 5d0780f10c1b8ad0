"""What a billing run would bill."""

from libs.common.wire import money_out, timestamp_out
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.preview import Totals
from weir.invoicing.v1 import billing_previews_pb2


def previewed_out(draft: Invoice) -> billing_previews_pb2.PreviewedInvoice:
    bill = draft.bill
    return billing_previews_pb2.PreviewedInvoice(
        customer_id=draft.customer_id,
        due_time=timestamp_out(draft.due_time),
        subscription_ids=[each.source.subscription_id for each in draft.settlements],
        line_count=len(bill.lines),
        subtotal=money_out(bill.subtotal),
        discount=money_out(bill.discount),
        tax=money_out(bill.tax),
        total=money_out(bill.total),
        amount_due=money_out(draft.amount_due),
    )


def totals_out(totals: Totals) -> billing_previews_pb2.PreviewedTotals:
    return billing_previews_pb2.PreviewedTotals(
        invoice_count=totals.invoice_count,
        settlement_count=totals.settlement_count,
        subtotal=money_out(totals.subtotal),
        discount=money_out(totals.discount),
        tax=money_out(totals.tax),
        total=money_out(totals.total),
        amount_due=money_out(totals.amount_due),
    )

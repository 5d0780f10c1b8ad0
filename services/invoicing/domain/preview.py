"""What previewed invoices come to together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from libs.common.money import Money
from services.invoicing.domain.invoice import Invoice


@dataclass(frozen=True, slots=True)
class Totals:
    """Of invoices in one currency; `settlement_count` periods of subscriptions are billed on them."""

    invoice_count: int
    settlement_count: int
    subtotal: Money
    discount: Money
    tax: Money
    total: Money
    amount_due: Money


def added(totals: Mapping[str, Totals], drafts: Iterable[Invoice]) -> dict[str, Totals]:
    """By currency, with `drafts` too."""
    sums = dict(totals)
    for draft in drafts:
        nothing = Money(0, draft.bill.currency)
        so_far = sums.get(draft.bill.currency, Totals(0, 0, nothing, nothing, nothing, nothing, nothing))
        sums[draft.bill.currency] = replace(
            so_far,
            invoice_count=so_far.invoice_count + 1,
            settlement_count=so_far.settlement_count + len(draft.settlements),
            subtotal=so_far.subtotal + draft.bill.subtotal,
            discount=so_far.discount + draft.bill.discount,
            tax=so_far.tax + draft.bill.tax,
            total=so_far.total + draft.bill.total,
            amount_due=so_far.amount_due + draft.amount_due,
        )
    return sums

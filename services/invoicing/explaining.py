"""Where an invoice's amounts come from, and computing them again from what was recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from libs.common.errors import InvalidArgument, NotFound
from services.invoicing.domain.bill import Bill, totalled
from services.invoicing.domain.discount import discounted
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.line import Line
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers
from services.invoicing.recomputing import recomputed
from services.invoicing.slices import is_limit


@dataclass(frozen=True, slots=True)
class Replay:
    """A bill computed again, and the positions of the lines that come to something else."""

    bill: Bill
    differences: tuple[int, ...]


async def replay(peers: Peers, tenant_id: str, invoice: Invoice, subscriptions: Mapping[str, Subscription]) -> Replay:
    """The lines, then what its coupons take off them on the terms that they had, and the taxes at its rates."""
    bill = invoice.bill
    amounts = await recomputed(peers, tenant_id, bill.lines, subscriptions)
    lines = tuple(replace(line, amount=amount) for line, amount in zip(bill.lines, amounts, strict=True))
    discounts = discounted(lines, ((each.applied_coupon_id, each.terms) for each in bill.discounts), bill.currency)
    taxes = totalled(lines, {tax.code: tax for tax in bill.taxes}, bill.currency, discounts).taxes
    again = replace(bill, lines=lines, taxes=taxes, discounts=discounts)
    changed = (i for i, (line, amount) in enumerate(zip(bill.lines, amounts, strict=True)) if line.amount != amount)
    return Replay(again, tuple(changed))


def find_usage_line(invoice_id: str, lines: Sequence[Line], code: str, number: int) -> int:
    """As `find_line`, the position; by its code alone, not one that leads to the minimum or maximum of its charge,
    unless there is no other.
    """
    if not number:
        named = [i for i, line in enumerate(lines) if line.code == code]
        usage = [i for i in named if not is_limit(lines[i])]
        if len(usage) == 1:
            return usage[0]
    return find_line(invoice_id, lines, code, number)[0] - 1


def find_line(invoice_id: str, lines: Sequence[Line], code: str, number: int) -> tuple[int, Line]:
    """The line with its number; `code` "" or `number` 0 leaves open. Raises LINE_NOT_FOUND and LINE_AMBIGUOUS."""
    found = [
        (position, line)
        for position, line in enumerate(lines, 1)
        if code in ("", line.code) and number in (0, position)
    ]
    if not found:
        named = " ".join(filter(None, (code, str(number or ""))))
        raise NotFound("LINE_NOT_FOUND", f"invoice {invoice_id} has no line {named}", line_code=code)
    if len(found) > 1:
        raise InvalidArgument(
            "LINE_AMBIGUOUS",
            f"invoice {invoice_id} has {len(found)} lines {code}; give line_number",
            field="line_number",
        )
    return found[0]

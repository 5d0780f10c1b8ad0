"""An invoice until it is finalized: its lines may still be replaced."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from libs.common.errors import FailedPrecondition
from services.invoicing.domain.adjustment import kept
from services.invoicing.domain.invoice import Invoice, State
from services.invoicing.domain.line import Line, LineKind
from services.invoicing.domain.settlement import Settlement

_KEPT = {
    LineKind.LATE_USAGE,
    LineKind.FIXED_CHARGE,
    LineKind.ADVANCE_USAGE,
    LineKind.COMMITMENT,
    LineKind.PROGRESSIVE_CREDIT,
    LineKind.DEDUCTION,
    LineKind.RENEWAL,
}
"""No usage that is recorded later changes these, but for what is missing to commitments, which is reckoned again."""


@dataclass(frozen=True, slots=True)
class Draft:
    """`revision` moves with every change of its contents; usage is on it up to `watermark` if it was refreshed."""

    id: str
    revision: int
    currency: str
    watermark: int
    settlements: tuple[Settlement, ...]
    lines: tuple[Line, ...]
    is_regenerated: bool = False


def draft_until(due_time: datetime, grace_period_days: int, tz: ZoneInfo) -> datetime:
    """When a draft is finalized: so many days after it fell due, at the same time of the customer's day."""
    if not grace_period_days:
        return due_time
    return (due_time.astimezone(tz) + timedelta(days=grace_period_days)).astimezone(UTC)


def refreshed(
    draft: Draft, fresh: Mapping[Settlement, Iterable[Line]], key_of: Callable[[Line], Hashable]
) -> tuple[Line, ...]:
    """What the settlements come to now, with what was adjusted, but for what is missing to commitments. What came late
    for earlier periods stays: it is billed up to a watermark of its own; so does what `is_fixed`. `key_of` tells the
    lines of a subscription apart.
    """
    if not draft.settlements:
        return draft.lines
    lines: list[Line] = []
    for subscription_id, settlements in groupby(draft.settlements, lambda each: each.source.subscription_id):
        its = [line for line in draft.lines if line.source and line.source.subscription_id == subscription_id]
        settled = list(settlements)
        if any(each.is_fixed for each in settled):
            lines += its
            continue
        now = [line for each in settled for line in fresh[each]]
        lines += kept(now, (line for line in its if line.kind not in _KEPT), key_of)
        lines += (line for line in its if line.kind in _KEPT)
    return tuple(lines)


def committed(
    draft: Draft, lines: Sequence[Line], missing: Callable[[Settlement, Sequence[Line]], Line | None]
) -> tuple[Line, ...]:
    """With what is `missing` to commitments beside the lines, in place of what was; units that somebody made of that
    stay, and names.
    """
    before = {(line.source, line.period): line for line in lines if line.kind is LineKind.COMMITMENT}
    fees = [line for line in lines if line.kind is not LineKind.COMMITMENT]
    found = [line for line in before.values() if line.units is not None]
    for settlement in draft.settlements:
        line = missing(settlement, fees) if settlement.usage else None
        was = before.get((settlement.source, settlement.usage)) if settlement.usage else None
        if line is None or (was and was.units is not None):
            continue
        is_renamed = was is not None and was.is_adjusted
        found.append(replace(line, description=was.description, is_adjusted=True) if was and is_renamed else line)
    return (*fees, *found)


def require_refreshable(drafts: Iterable[Draft]) -> None:
    """Raises FailedPrecondition INVOICE_REGENERATED: what came late since is on later invoices."""
    for each in drafts:
        if each.is_regenerated:
            raise FailedPrecondition(
                "INVOICE_REGENERATED",
                f"invoice {each.id} bills what a voided one did, and takes in no other usage",
                invoice_id=each.id,
            )


def require_draft(invoice: Invoice) -> None:
    """Raises FailedPrecondition INVOICE_NOT_DRAFT."""
    if invoice.state is not State.DRAFT:
        raise FailedPrecondition(
            "INVOICE_NOT_DRAFT", f"invoice {invoice.number or invoice.id} is a draft no more", invoice_id=invoice.id
        )

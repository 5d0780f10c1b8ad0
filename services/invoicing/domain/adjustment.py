"""What somebody makes of a line before its invoice is final."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from libs.common.errors import FailedPrecondition
from libs.common.money import EXACT, Money
from services.invoicing.domain.bill import MAX_SUBTOTAL
from services.invoicing.domain.line import Line, LineKind, RatedUsage

_NOT_ADJUSTABLE = {
    LineKind.LATE_USAGE: "usage that came late",
    LineKind.FIXED_CHARGE: "a fixed charge, whose units the subscription has",
    LineKind.ADVANCE_USAGE: "an event that was charged when it was recorded",
    LineKind.DEDUCTION: "units that were paid before",
    LineKind.RENEWAL: "units that go on",
}


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Another name, or other units: at `unit_amount`, in major units, or else priced by the plan."""

    name: str
    units: Decimal | None
    unit_amount: Decimal | None

    @property
    def is_repriced(self) -> bool:
        return self.units is not None and self.unit_amount is None


def priced(units: Decimal, unit_amount: Decimal, currency: str) -> tuple[Money, Decimal]:
    """(amount, unrounded amount) of `units` at `unit_amount`, in major units. Raises FailedPrecondition
    AMOUNT_TOO_LARGE.
    """
    unrounded = EXACT.multiply(units, unit_amount)
    amount = Money.rounded(unrounded, currency)
    if amount.minor_units > MAX_SUBTOTAL:
        raise FailedPrecondition("AMOUNT_TOO_LARGE", "the line comes to more than an amount can state")
    return amount, unrounded


def require_adjustable(line: Line) -> None:
    """Raises FailedPrecondition LINE_NOT_ADJUSTABLE: refreshing a draft makes no such line again."""
    if (what := _NOT_ADJUSTABLE.get(line.kind)) is not None:
        raise FailedPrecondition("LINE_NOT_ADJUSTABLE", f"line {line.code} is for {what}: it can't be adjusted")


def adjusted(line: Line, asked: Adjustment, repriced: RatedUsage | None) -> Line:
    """`repriced` is what pricing makes of other units of usage, where the plan prices them; a base fee is taken so many
    times.
    """
    named = replace(line, description=asked.name or line.description, is_adjusted=True)
    if asked.units is None:
        return named
    if asked.unit_amount is not None:
        amount, unrounded = priced(asked.units, asked.unit_amount, line.amount.currency)
        named = replace(named, amount=amount, unrounded_amount=unrounded)
    elif repriced is not None:
        named = replace(
            named, amount=repriced.amount, unrounded_amount=repriced.unrounded_amount, rating=repriced.rating
        )
    else:
        amount, unrounded = priced_fee(line, asked.units)
        named = replace(named, amount=amount, unrounded_amount=unrounded)
    return replace(named, units=asked.units, unit_amount=asked.unit_amount)


def priced_fee(line: Line, units: Decimal) -> tuple[Money, Decimal]:
    """So many base fees of the line's days."""
    assert line.proration is not None, "a base fee is a part of one"
    return priced(units, line.proration.unrounded_amount, line.amount.currency)


def kept(fresh: Iterable[Line], before: Iterable[Line], key_of: Callable[[Line], Hashable]) -> Iterator[Line]:
    """Fresh lines, with what was adjusted of those before. Adjusted units stay, also where there is nothing else
    now.
    """
    changed = {key_of(line): line for line in before if line.is_adjusted}
    for line in fresh:
        was = changed.pop(key_of(line), None)
        if was is None:
            yield line
        elif was.units is None:
            yield replace(line, description=was.description, is_adjusted=True)
        else:
            yield was
    yield from (line for line in changed.values() if line.units is not None)

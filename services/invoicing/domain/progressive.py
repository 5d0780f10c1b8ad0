"""Progressive billing: what was billed of a period before its end, when usage passed a threshold."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from libs.common.money import EXACT, Money
from services.invoicing.domain.late_usage import Correction, RatingKey
from services.invoicing.domain.line import Line, LineKind, Source


@dataclass(frozen=True, slots=True)
class Progress:
    """What progressive invoices of a period have billed: all usage as it was on the `lines` of the last one. `highest`
    is the most, in minor units, that usage came to on one of them.
    """

    lines: tuple[Line, ...]
    highest: int


def taken_off(
    progress: Progress, usage: Iterable[Line], key_of: Callable[[Line], RatingKey]
) -> tuple[list[Line], list[Correction]]:
    """Lines that take what was billed off `usage`, which is all of the same period now; what has become less is given
    back of what was billed.
    """
    lines, corrections = [], []
    now = list(usage)
    for line in progress.lines:
        amount = min(line.amount.minor_units, _now(line, now, key_of).minor_units)
        if amount:
            lines.append(_credit(line, Money(-amount, line.amount.currency)))
        if left := line.amount.minor_units - amount:
            money = Money(left, line.amount.currency)
            corrections.append(Correction(_source_of(line), line.period, key_of(line), money))
    return lines, corrections


def _now(line: Line, usage: Iterable[Line], key_of: Callable[[Line], RatingKey]) -> Money:
    return sum((each.amount for each in usage if takes_off(line, each, key_of)), Money(0, line.amount.currency))


def net(line: Line, lines: Sequence[Line], key_of: Callable[[Line], RatingKey]) -> Money:
    """A line of usage, less what `lines`, those of its invoice, take off it."""
    if line.kind is not LineKind.USAGE:
        return line.amount
    off = (each for each in lines if each.kind is LineKind.PROGRESSIVE_CREDIT and takes_off(each, line, key_of))
    return sum((each.amount for each in off), line.amount)


def takes_off(line: Line, usage: Line, key_of: Callable[[Line], RatingKey]) -> bool:
    """Whether what a line billed, or takes off, is of `usage`; the period may have been cut."""
    return (
        usage.kind is LineKind.USAGE
        and (usage.source, usage.period.start) == (line.source, line.period.start)
        and key_of(usage) == key_of(line)
    )


def _credit(line: Line, amount: Money) -> Line:
    return replace(
        line,
        kind=LineKind.PROGRESSIVE_CREDIT,
        description=f"{line.description}, billed before",
        amount=amount,
        unrounded_amount=EXACT.plus(amount.amount),
    )


def _source_of(line: Line) -> Source:
    assert line.source is not None, "usage is a subscription's"
    return line.source

"""What usage that comes late changes of a minimum commitment that was billed.

A period comes to its commitment or to its fees, whichever is more, also when some of its usage is known only later.
So what late usage takes off what was missing is given back, of the commitment's line first; and where usage has become
less, no more of it is given back than lies above the commitment.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from libs.common.money import Money
from services.invoicing.domain.commitment import missing_to
from services.invoicing.domain.late_usage import Correction, Slice
from services.invoicing.domain.line import RatedUsage
from services.invoicing.domain.proration import Proration


@dataclass(frozen=True, slots=True)
class Committed:
    """A commitment for some days, and the `fees` of these other than usage in arrears."""

    part: Proration
    fees: Money

    def missing(self, usage: Iterable[RatedUsage]) -> Money:
        """As a bill with that usage in arrears has it."""
        spent = sum((each.amount for each in usage), self.fees)
        return Money.rounded(missing_to(self.part, spent, ()), spent.currency)


def reconciled_again(late: Slice, was: Money, now: Money, corrections: Sequence[Correction]) -> list[Correction]:
    """The `corrections` of a slice's usage, with what changes of them where so much `was` missing and is `now`."""
    change = now - was
    pooled = [replace(each, is_pooled=True) for each in corrections]
    if change.minor_units < 0:
        given_back = Money(-change.minor_units, change.currency)
        return [*pooled, Correction(late.source, late.period, None, given_back, is_pooled=True)]
    return list(_less(pooled, change.minor_units))


def _less(corrections: Iterable[Correction], kept: int) -> Iterator[Correction]:
    for each in corrections:
        part = min(each.amount.minor_units, kept)
        kept -= part
        if part < each.amount.minor_units:
            yield replace(each, amount=Money(each.amount.minor_units - part, each.amount.currency))

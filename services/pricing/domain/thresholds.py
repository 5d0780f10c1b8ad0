"""Progressive billing: which thresholds usage has passed since it was billed last."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.money import Money


@dataclass(frozen=True, slots=True)
class UsageThreshold:
    """An amount of usage, more than 0, at which an invoice is made before the period ends.

    Amounts are of all usage since the contract began. A recurring threshold is passed again at every multiple of its
    amount, counted from the last one that is not. `name` may be empty.
    """

    amount: Money
    name: str = ""
    recurring: bool = False


def passed(thresholds: Sequence[UsageThreshold], before: int, now: int) -> list[UsageThreshold]:
    """Those in (before, now], minor units of usage; a recurring one is last, and once however often it is passed.

    `thresholds` ascend, with the recurring one last.
    """
    fixed = [each for each in thresholds if not each.recurring]
    last = fixed[-1].amount.minor_units if fixed else 0

    def is_passed(each: UsageThreshold) -> bool:
        amount = each.amount.minor_units
        if each.recurring:
            return max(now - last, 0) // amount > max(before - last, 0) // amount
        return before < amount <= now

    return [each for each in thresholds if is_passed(each)]

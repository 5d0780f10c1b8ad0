"""What more usage costs: all of it rated together, less what is there already."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from libs.common.money import Money
from services.pricing.domain.breakdown import EXACT, ZERO
from services.pricing.domain.limits import Proration
from services.pricing.domain.plans import Charge, PlanVersion
from services.pricing.domain.rating import RatedCharge, rate, rate_charge, usages_by_charge
from services.pricing.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class Marginal:
    """`unrounded_amount` is the exact difference of two amounts, in major units; `amount` is that, rounded once."""

    before: RatedCharge
    after: RatedCharge
    unrounded_amount: Decimal
    amount: Money


@dataclass(frozen=True, slots=True)
class Estimate:
    """`costs` has an entry for each quantity added; `amount` is by how much the charges grow, within their limits."""

    costs: tuple[Marginal, ...]
    amount: Money


def estimate(
    version: PlanVersion, used: Iterable[Usage], added: Iterable[Usage], proration: Proration | None
) -> Estimate:
    """`added` on top of `used`. Raises what `rate_version` raises."""
    used_by_charge, added_by_charge = usages_by_charge(version, used), usages_by_charge(version, added)
    costs: list[Marginal] = []
    minor_units = 0
    for charge in version.charges:
        if more := added_by_charge[charge.code]:
            there = used_by_charge[charge.code]
            marginals = [_marginal(version, charge, there, usage) for usage in more]
            minor_units += _growth(version, charge, there, more, marginals, proration)
            costs += marginals
    return Estimate(tuple(costs), Money(minor_units, version.currency))


def _marginal(version: PlanVersion, charge: Charge, there: Sequence[Usage], usage: Usage) -> Marginal:
    known = next((each for each in there if _key(each) == _key(usage)), None)
    base = known or replace(usage, quantity=ZERO, full_quantity=None, event_count=0, events=())
    part = next((each for each in charge.filters if each.code == usage.filter_code), None)
    before = rate(charge, base, version.currency, part)
    after = rate(charge, usage if known is None else together(known, usage), version.currency, part)
    difference = EXACT.subtract(after.unrounded_amount, before.unrounded_amount)
    return Marginal(before, after, difference, Money.rounded(difference, version.currency))


def _growth(
    version: PlanVersion,
    charge: Charge,
    there: Sequence[Usage],
    more: Sequence[Usage],
    marginals: Sequence[Marginal],
    proration: Proration | None,
) -> int:
    """By how many minor units `charge` grows."""
    keys = {_key(usage) for usage in there}
    if not charge.limits.are_set and all(_key(usage) in keys for usage in more):  # no entry comes, and none limits all
        return sum(each.after.amount.minor_units - each.before.amount.minor_units for each in marginals)
    grown = _minor_units(version, charge, _together(there, more), proration)
    return grown - _minor_units(version, charge, there, proration)


def _minor_units(version: PlanVersion, charge: Charge, usages: Sequence[Usage], proration: Proration | None) -> int:
    return sum(entry.amount.minor_units for entry in rate_charge(charge, usages, version.currency, proration))


def _together(there: Sequence[Usage], more: Sequence[Usage]) -> list[Usage]:
    grown = {_key(usage): usage for usage in there}
    for usage in more:
        grown[_key(usage)] = together(grown[_key(usage)], usage) if _key(usage) in grown else usage
    return list(grown.values())


def together(there: Usage, more: Usage) -> Usage:
    """Of one charge, filter, group and window. What was not told of the one is not known of both."""
    full = None
    if there.full_quantity is not None or more.full_quantity is not None:
        full = EXACT.add(_full(there), _full(more))
    counts = there.event_count, more.event_count
    return replace(
        there,
        quantity=EXACT.add(there.quantity, more.quantity),
        full_quantity=full,
        event_count=None if counts[0] is None or counts[1] is None else counts[0] + counts[1],
        events=(*there.events, *more.events),
    )


def _full(usage: Usage) -> Decimal:
    return usage.quantity if usage.full_quantity is None else usage.full_quantity


def _key(usage: Usage) -> tuple[str, object, str | None]:
    return usage.filter_code, usage.group, usage.window

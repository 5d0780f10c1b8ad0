"""Sums over what a simulation changes, and its digest.

Neither depends on the order in which subscriptions come.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from libs.common.money import Money
from services.pricing.domain.plans import PlanVersion
from services.pricing.domain.simulation import Change, Cost, Reached

_MODULUS = 1 << 256


@dataclass(slots=True)
class Revenue:
    """What subscriptions pay under one version."""

    version: PlanVersion
    subscription_count: int = 0
    minor_units: int = 0
    tiers: Counter[Reached] = field(default_factory=Counter)

    def add(self, cost: Cost) -> None:
        self.subscription_count += 1
        self.minor_units += cost.amount.minor_units
        self.tiers.update(cost.reached)

    @property
    def amount(self) -> Money:
        return Money(self.minor_units, self.version.currency)


@dataclass(slots=True)
class Outcome:
    """What all subscriptions would pay under a candidate, beside what those with its currency pay now."""

    revenue: Revenue
    minor_units_before: int = 0
    minor_units_after: int = 0
    less_count: int = 0
    more_count: int = 0
    same_count: int = 0
    incomparable_count: int = 0
    saved: int = 0
    added: int = 0

    def add(self, before: Cost, after: Cost) -> None:
        self.revenue.add(after)
        if before.amount.currency != after.amount.currency:
            self.incomparable_count += 1
            return
        self.minor_units_before += before.amount.minor_units
        self.minor_units_after += after.amount.minor_units
        change = after.amount.minor_units - before.amount.minor_units
        self.less_count += change < 0
        self.more_count += change > 0
        self.same_count += change == 0
        self.saved += max(-change, 0)
        self.added += max(change, 0)


class Sums:
    """`inputs` say what was asked; they are part of the digest."""

    def __init__(self, candidates: Sequence[PlanVersion], *inputs: str) -> None:
        self.subscription_count = 0
        self.failed_count = 0
        self.after = [Outcome(Revenue(version)) for version in candidates]
        self._before: dict[tuple[str, int], Revenue] = {}
        self._inputs = [*inputs, *(f"{version.plan_code}@{version.version}" for version in candidates)]
        self._hash = 0

    def add(self, change: Change) -> None:
        self._hash = (self._hash + _hash(change)) % _MODULUS
        if change.before is None:
            self.failed_count += 1
            return
        self.subscription_count += 1
        version = change.subject.metered.version
        key = version.plan_code, version.version
        if key not in self._before:
            self._before[key] = Revenue(version)
        self._before[key].add(change.before)
        for outcome, after in zip(self.after, change.after, strict=True):
            outcome.add(change.before, after)

    @property
    def before(self) -> list[Revenue]:
        """By code and number of the version."""
        return [revenue for _, revenue in sorted(self._before.items())]

    @property
    def digest(self) -> str:
        return hashlib.sha256(_joined(*self._inputs, f"{self._hash:x}")).hexdigest()


def _hash(change: Change) -> int:
    subject, version = change.subject, change.subject.metered.version
    costs = (change.before, *change.after) if change.before else ()
    text = _joined(
        subject.subscription_id,
        subject.customer_id,
        f"{version.plan_code}@{version.version}",
        change.failure.reason if change.failure else "",
        *(f"{cost.amount.currency} {cost.amount.minor_units}" for cost in costs),
        *(
            f"{index} {each.charge_code} {each.filter_code} {each.tier}"
            for index, cost in enumerate(costs)
            for each in cost.reached
        ),
    )
    return int.from_bytes(hashlib.sha256(text).digest())


def _joined(*texts: str) -> bytes:
    """No text has a NUL, so no two lists of texts are the same when joined."""
    return "\0".join(texts).encode()

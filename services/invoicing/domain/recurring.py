"""Monthly recurring revenue: what subscriptions charge for a month whatever is used, and how that moves."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import floor

from services.invoicing.domain.activation import ActivationState
from services.invoicing.domain.period import day_start
from services.invoicing.domain.phase import Phase
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.schedule import BillingInterval
from services.invoicing.domain.subscription import Subscription

_INSTANT = timedelta(microseconds=1)
_HALF = Fraction(1, 2)
PER_MONTH = {
    BillingInterval.WEEKLY: Fraction(52, 12),
    BillingInterval.MONTHLY: Fraction(1),
    BillingInterval.QUARTERLY: Fraction(1, 3),
    BillingInterval.SEMIANNUAL: Fraction(1, 6),
    BillingInterval.YEARLY: Fraction(1, 12),
}
"""How often a billing interval is in a month."""


@dataclass(frozen=True, slots=True)
class Movements:
    """Of a month and currency, in minor units. `mrr` is what it comes to at the month's end; contraction and churn are
    above 0 and taken off.
    """

    month: date
    currency: str
    mrr: int
    new: int = 0
    reactivation: int = 0
    expansion: int = 0
    contraction: int = 0
    churn: int = 0

    @property
    def change(self) -> int:
        return self.new + self.reactivation + self.expansion - self.contraction - self.churn


@dataclass(slots=True)
class Recurring:
    """Exact minor units by (currency, customer) and month."""

    amounts: dict[tuple[str, str], dict[date, Fraction]] = field(default_factory=dict)

    def add(self, currency: str, customer_id: str, month: date, amount: Fraction) -> None:
        its = self.amounts.setdefault((currency, customer_id), {})
        its[month] = its.get(month, Fraction(0)) + amount


def end_of(month: date, of: Subscription) -> datetime:
    """The last instant of a month in the customer's calendar."""
    return day_start(following(month), of.calendar) - _INSTANT


def following(month: date) -> date:
    return (month.replace(day=1) + timedelta(days=31)).replace(day=1)


def months_between(first: date, last: date) -> list[date]:
    """Their first days, from that of `first` to that of `last`."""
    found = [first.replace(day=1)]
    while following(found[-1]) <= last:
        found.append(following(found[-1]))
    return found


def recurring_phase(of: Subscription, at: datetime) -> Phase | None:
    """The phase that charges at an instant. None before the start, after the end, in a pause, and without a first
    payment that is waited for.
    """
    if at < of.start_time or (of.end_time is not None and of.end_time <= at):
        return None
    if of.activation is not None and of.activation.state is not ActivationState.ACTIVE:
        return None
    phase = of.phase_at(at)
    return None if phase.is_paused else phase


def is_trial(of: Subscription, plan: PlanVersion, at: datetime) -> bool:
    return at < of.start_time + plan.trial


def base_fee(of: Subscription, phase: Phase, plan: PlanVersion, at: datetime) -> Fraction:
    fee = plan.in_month(of.fee_month(phase, at)).base_fee
    return Fraction(fee.minor_units) * PER_MONTH[phase.fee_interval or phase.billing_interval] if fee else Fraction(0)


def movements(recurring: Recurring, first: date, last: date) -> list[Movements]:
    """By month and currency, from the month `first` to `last`. A customer's amount is rounded once, half up; one that
    came back had an amount at the end of a month before.
    """
    months = months_between(min([first, *(each for its in recurring.amounts.values() for each in its)]), last)
    found: dict[tuple[date, str], dict[str, int]] = {}
    for (currency, _), its in recurring.amounts.items():
        before, had = 0, False
        for month in months:
            now = floor(its.get(month, Fraction(0)) + _HALF)
            sums = found.setdefault((month, currency), {"mrr": 0})
            sums["mrr"] += now
            if now != before:
                kind, amount = _movement(before, now, had=had)
                sums[kind] = sums.get(kind, 0) + amount
            before, had = now, had or now > 0
    return [
        Movements(month, currency, **sums)
        for (month, currency), sums in sorted(found.items())
        if month >= first and any(sums.values())
    ]


def _movement(before: int, now: int, *, had: bool) -> tuple[str, int]:
    if not before:
        return ("reactivation" if had else "new"), now
    if not now:
        return "churn", before
    return ("expansion", now - before) if now > before else ("contraction", before - now)

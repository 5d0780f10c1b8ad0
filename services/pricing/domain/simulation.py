"""What subscriptions would have paid under other plan versions.

A bill here is what the lines of an invoice come to: the base fee for the days of the period that no trial has, every
charge, fixed charges, and what is missing to a minimum commitment; without taxes, coupons and credits.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from services.pricing.domain.calendar import Period, dates
from services.pricing.domain.fixed_charges import FixedUnits, rate_fixed_charges
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.graduated_percentage import GraduatedPercentagePrice
from services.pricing.domain.intervals import months_between
from services.pricing.domain.limits import Proration
from services.pricing.domain.needs import MeteredVersion, Source
from services.pricing.domain.plans import BillingInterval, PlanVersion, Price
from services.pricing.domain.rating import RatedCharge, rate_version
from services.pricing.domain.usage import Usage
from services.pricing.domain.volume import VolumePrice

_TIERED = (GraduatedPrice, VolumePrice, GraduatedPercentagePrice)

Told: TypeAlias = Mapping[Source, Sequence[Usage]]
"""Usage by its source, with the meter's code in the place of a charge's."""


class Reached(NamedTuple):
    """The tier, from 1, that the last unit of a charge's usage falls in; of groups, the highest."""

    charge_code: str
    filter_code: str
    tier: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What a period costs under one version. `reached` has the charges whose price has tiers, in order."""

    amount: Money
    reached: tuple[Reached, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """`period` is the part of `whole`, an interval of the calendar of `tz`, in which a contract runs that began at
    `start`.
    """

    start: datetime
    period: Period
    whole: Period
    tz: ZoneInfo
    proration: Proration | None = field(init=False)
    """None for all of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "proration", None if self.period == self.whole else self._days(self.period))

    @property
    def month(self) -> int:
        """Of the contract, in which the period begins; counted from 0."""
        return months_between(self.start, self.period.start, self.tz)

    def after_trial(self, days: int) -> Proration | None:
        """What of the interval a base fee is for; 0 days when the trial goes on. None for all of it."""
        end = self.start + timedelta(days=days)
        if end <= self.period.start:
            return self.proration
        if end >= self.period.end:
            return Proration(0, self._days(self.whole).period_days)
        return self._days(Period(end, self.period.end))

    def _days(self, part: Period) -> Proration:
        return Proration(dates(part, self.tz), dates(self.whole, self.tz))


@dataclass(frozen=True, slots=True)
class Subject:
    """A subscription with something to bill: the version that bills it, and for what time; why it can't be simulated
    under that version, if so.
    """

    subscription_id: str
    customer_id: str
    metered: MeteredVersion
    span: Span
    refusal: InvalidArgument | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """`after` is under each candidate, in their order. With a `failure` no version's cost is known."""

    subject: Subject
    before: Cost | None = None
    after: tuple[Cost, ...] = ()
    failure: InvalidArgument | None = None


def change_of(subject: Subject, candidates: Sequence[MeteredVersion], told: Told) -> Change:
    """What the prices refuse to rate is a failure of this subscription alone."""
    if subject.refusal is not None:
        return Change(subject, failure=subject.refusal)
    try:
        before = cost(subject.metered, told, subject.span)
        return Change(subject, before, tuple(cost(each, told, subject.span) for each in candidates))
    except InvalidArgument as failure:
        return Change(subject, failure=failure)


def cost(metered: MeteredVersion, told: Told, span: Span) -> Cost:
    """Raises what `rate_version` and `rate_fixed_charges` raise."""
    if metered.in_phases:
        metered = metered.in_month(span.month)
    version, proration = metered.version, span.proration
    rated = rate_version(version, _usages(metered, told), proration)
    minor_units = sum(charge.amount.minor_units for charge in rated)
    if version.base_fee is not None:
        part = span.after_trial(version.trial_days) if version.trial_days else proration
        minor_units += base_fee(version.base_fee, part).minor_units
    if version.fixed_charges:
        fixed = rate_fixed_charges(version, (FixedUnits(each.code) for each in version.fixed_charges), proration)
        minor_units += sum(charge.amount.minor_units for charge in fixed)
    if (minimum := version.minimum_commitment) is not None:
        minor_units += minimum.missing(Money(minor_units, version.currency), proration).minor_units
    return Cost(Money(minor_units, version.currency), tuple(_reached(rated)))


def _usages(metered: MeteredVersion, told: Told) -> Iterator[Usage]:
    for code, source in metered.sources:
        for usage in told.get(source, ()):
            yield usage if usage.charge_code == code else replace(usage, charge_code=code)


def base_fee(fee: Money, proration: Proration | None) -> Money:
    """Of the days of the period that are billed, rounded once."""
    return fee if proration is None else Money.rounded(proration.of(fee.amount), fee.currency)


def refusal_of(version: PlanVersion, interval: BillingInterval) -> InvalidArgument | None:
    """PERIOD_NOT_WHOLE for a version that is not billed by this interval, and PLAN_UNSUPPORTED for what a period alone
    does not tell: what was billed of it in advance.
    """
    if version.billing_interval is not interval:
        return InvalidArgument(
            "PERIOD_NOT_WHOLE",
            f"version {version.version} of plan {version.plan_code} is billed {version.billing_interval}; the period is"
            f" one that is billed {interval}",
            plan_code=version.plan_code,
            version=str(version.version),
        )
    found = [f"charges[{index}].in_advance" for index, charge in enumerate(version.charges) if charge.in_advance]
    if found:
        return InvalidArgument(
            "PLAN_UNSUPPORTED",
            f"version {version.version} of plan {version.plan_code} has {', '.join(found)}, which a period alone does"
            " not tell what to bill for",
            plan_code=version.plan_code,
            version=str(version.version),
            fields=",".join(found),
        )
    return None


def _reached(rated: Sequence[RatedCharge]) -> Iterator[Reached]:
    highest: dict[tuple[str, str], int] = {}
    for charge, part, usage, *_ in rated:
        if tier := _tier(charge.price if part is None else part.price, usage):
            key = charge.code, "" if part is None else part.code
            highest[key] = max(highest.get(key, 1), tier)
    return (Reached(*key, tier) for key, tier in highest.items())


def _tier(price: Price, usage: Usage) -> int:
    """0 where the price has none."""
    if not isinstance(price, _TIERED):
        return 0
    return price.table.index(usage.quantity if usage.full_quantity is None else usage.full_quantity) + 1

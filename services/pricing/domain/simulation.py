"""What subscriptions would have paid under other plan versions.

A bill here is what the lines of an invoice come to: the base fee for the days of the period, and every charge; without
taxes, coupons and credits.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.graduated_percentage import GraduatedPercentagePrice
from services.pricing.domain.limits import Proration
from services.pricing.domain.needs import MeteredVersion, Source
from services.pricing.domain.plans import BillingInterval, PlanVersion, Price
from services.pricing.domain.rating import RatedCharge, rate_version
from services.pricing.domain.usage import Usage
from services.pricing.domain.volume import VolumePrice

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
class Subject:
    """A subscription with something to bill: the version that bills it, and the part of the month (None: all of it)."""

    subscription_id: str
    customer_id: str
    metered: MeteredVersion
    proration: Proration | None


@dataclass(frozen=True, slots=True)
class Change:
    """`after` is under each candidate, in their order. With a `failure` no version's cost is known."""

    subject: Subject
    before: Cost | None = None
    after: tuple[Cost, ...] = ()
    failure: InvalidArgument | None = None


def change_of(subject: Subject, candidates: Sequence[MeteredVersion], told: Told) -> Change:
    """What the prices refuse to rate is a failure of this subscription alone."""
    try:
        before = cost(subject.metered, told, subject.proration)
        return Change(subject, before, tuple(cost(each, told, subject.proration) for each in candidates))
    except InvalidArgument as failure:
        return Change(subject, failure=failure)


def cost(metered: MeteredVersion, told: Told, proration: Proration | None) -> Cost:
    """Raises what `rate_version` and `require_simulated` raise."""
    version = metered.version
    require_simulated(version)
    rated = rate_version(version, _usages(metered, told), proration)
    minor_units = sum(charge.amount.minor_units for charge in rated)
    minor_units += base_fee(version, proration).minor_units
    return Cost(Money(minor_units, version.currency), tuple(_reached(rated)))


def _usages(metered: MeteredVersion, told: Told) -> Iterator[Usage]:
    for code, source in metered.sources:
        for usage in told.get(source, ()):
            yield usage if usage.charge_code == code else replace(usage, charge_code=code)


def base_fee(version: PlanVersion, proration: Proration | None) -> Money:
    """Of the days of the month that are billed, rounded once."""
    fee = version.base_fee or Money(0, version.currency)
    return fee if proration is None else Money.rounded(proration.of(fee.amount), fee.currency)


def require_simulated(version: PlanVersion) -> None:
    """Raises InvalidArgument PLAN_UNSUPPORTED for what a simulation would leave out, or not bill as invoices do."""
    terms = ("fixed_charges", "minimum_commitment", "trial_days", "phases")
    found = [term for term in terms if getattr(version, term)]
    found += ["billing_interval"] * (version.billing_interval is not BillingInterval.MONTHLY)
    for index, charge in enumerate(version.charges):
        found += [f"charges[{index}].{term}" for term in ("in_advance", "prorated") if getattr(charge, term)]
    if found:
        raise InvalidArgument(
            "PLAN_UNSUPPORTED",
            f"version {version.version} of plan {version.plan_code} has {', '.join(found)}, which can't be simulated"
            " yet",
            plan_code=version.plan_code,
            version=str(version.version),
            fields=",".join(found),
        )


def _reached(rated: Sequence[RatedCharge]) -> Iterator[Reached]:
    highest: dict[tuple[str, str], int] = {}
    for charge, part, usage, *_ in rated:
        if tier := _tier(charge.price if part is None else part.price, usage):
            key = charge.code, "" if part is None else part.code
            highest[key] = max(highest.get(key, 1), tier)
    return (Reached(*key, tier) for key, tier in highest.items())


def _tier(price: Price, usage: Usage) -> int:
    """0 where the price has none."""
    if not isinstance(price, GraduatedPrice | VolumePrice | GraduatedPercentagePrice):
        return 0
    return price.table.index(usage.quantity if usage.full_quantity is None else usage.full_quantity) + 1

"""What subscriptions would have paid under other plan versions.

A bill here is what the lines of invoices come to: the base fee for the days that no trial has, every charge, in arrears
or in advance, fixed charges, and what is missing to a minimum commitment; without taxes, coupons and credits.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from services.pricing.domain.accumulation import Accumulation
from services.pricing.domain.advance import Place, Recorded, charge_events, renew
from services.pricing.domain.bills import Bill, Span
from services.pricing.domain.fixed_charges import FixedUnits, rate_fixed_charges
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.graduated_percentage import GraduatedPercentagePrice
from services.pricing.domain.limits import Proration
from services.pricing.domain.needs import MeteredVersion, Source
from services.pricing.domain.plans import BillingInterval, Charge, PlanVersion, Price
from services.pricing.domain.rating import rate_version
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.time_of_day import TimeOfDayPrice
from services.pricing.domain.usage import Usage
from services.pricing.domain.volume import VolumePrice

_TIERED = (GraduatedPrice, VolumePrice, GraduatedPercentagePrice)


@dataclass(frozen=True, slots=True)
class Told:
    """What a bill needs to know, by its source: usage, with the meter's code in the place of a charge's, and events in
    the order of recording; beside these, usage is that of the units which are renewed.
    """

    usages: Mapping[Source, Sequence[Usage]]
    recorded: Mapping[Source, Sequence[Recorded]] = field(default_factory=dict)


class Reached(NamedTuple):
    """The tier, from 1, that the last unit of a charge's usage falls in; of groups and bills, the highest."""

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
    """A subscription with something to bill: the version that bills it, its bills under versions of each interval; why
    it can't be simulated under its version, if so.
    """

    subscription_id: str
    customer_id: str
    metered: MeteredVersion
    bills: Mapping[BillingInterval, Sequence[Bill]]
    refusal: InvalidArgument | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """`after` is under each candidate, in their order. With a `failure` no version's cost is known."""

    subject: Subject
    before: Cost | None = None
    after: tuple[Cost, ...] = ()
    failure: InvalidArgument | None = None


def change_of(
    subject: Subject, candidates: Sequence[MeteredVersion], told: Mapping[BillingInterval, Sequence[Told]]
) -> Change:
    """`told` has what each of the subject's bills needs. What the prices refuse to rate is a failure of this
    subscription alone.
    """
    if subject.refusal is not None:
        return Change(subject, failure=subject.refusal)

    def under(metered: MeteredVersion) -> Cost:
        interval = metered.version.billing_interval
        return cost(metered, subject.bills[interval], told[interval])

    try:
        return Change(subject, under(subject.metered), tuple(map(under, candidates)))
    except InvalidArgument as failure:
        return Change(subject, failure=failure)


def cost(metered: MeteredVersion, bills: Sequence[Bill], told: Sequence[Told]) -> Cost:
    """`told` is for each bill. Raises what `rate_version` and `rate_fixed_charges` raise."""
    minor_units = 0
    highest: dict[tuple[str, str], int] = {}
    for bill, each in zip(bills, told, strict=True):
        amount, places = _bill(metered, each, bill.span)
        minor_units += -amount if bill.is_before else amount
        if not bill.is_before:
            _reach(highest, places)
    reached = (Reached(*key, tier) for key, tier in highest.items())
    return Cost(Money(minor_units, metered.version.currency), tuple(reached))


def _bill(metered: MeteredVersion, told: Told, span: Span) -> tuple[int, list[Place]]:
    """Minor units, and the usage that was rated."""
    if metered.in_phases:
        metered = metered.in_month(span.month)
    version, proration = metered.version, span.proration
    rated = rate_version(metered.in_arrears, _usages(metered, told), proration)
    minor_units = sum(charge.amount.minor_units for charge in rated)
    places = [(charge, part, usage) for charge, part, usage, *_ in rated]
    for charge, source in metered.in_advance:
        fees, charged = charge_events(charge, told.recorded.get(source, ()), version.currency)
        minor_units += fees + renew(charge, told.usages.get(source, ()), version.currency)
        places += charged
    if version.base_fee is not None:
        part = span.after_trial(version.trial_days) if version.trial_days else proration
        minor_units += base_fee(version.base_fee, part).minor_units
    if version.fixed_charges:
        fixed = rate_fixed_charges(version, (FixedUnits(each.code) for each in version.fixed_charges), proration)
        minor_units += sum(charge.amount.minor_units for charge in fixed)
    if (minimum := version.minimum_commitment) is not None:
        minor_units += minimum.missing(Money(minor_units, version.currency), proration).minor_units
    return minor_units, places


def _usages(metered: MeteredVersion, told: Told) -> Iterator[Usage]:
    for code, source in metered.sources:
        for usage in told.usages.get(source, ()):
            yield usage if usage.charge_code == code else replace(usage, charge_code=code)


def base_fee(fee: Money, proration: Proration | None) -> Money:
    """Of the days of the period that are billed, rounded once."""
    return fee if proration is None else Money.rounded(proration.of(fee.amount), fee.currency)


def refusal_of(version: PlanVersion, recurring: Container[str] = ()) -> InvalidArgument | None:
    """PLAN_UNSUPPORTED for charges that are billed by the month and not by the interval, and for those in advance of
    which no single event can be charged: it would take the hours that are over, what the contract used before, or the
    tier that units which go on from before are in.
    """
    if version.charges_monthly:
        return _unsupported(version, ["charges_monthly"], "so that a bill is of no one interval")
    found = [
        f"charges[{index}].in_advance"
        for index, charge in enumerate(version.charges)
        if charge.in_advance and not _is_chargeable(charge, is_recurring=charge.meter_code in recurring)
    ]
    return _unsupported(version, found, "which can't be charged event by event") if found else None


def _unsupported(version: PlanVersion, found: Sequence[str], why: str) -> InvalidArgument:
    return InvalidArgument(
        "PLAN_UNSUPPORTED",
        f"version {version.version} of plan {version.plan_code} has {', '.join(found)}, {why}",
        plan_code=version.plan_code,
        version=str(version.version),
        fields=",".join(found),
    )


def _is_chargeable(charge: Charge, *, is_recurring: bool) -> bool:
    if is_recurring and not all(isinstance(price, StandardPrice) for price in charge.prices):
        return False
    is_by_hour = any(isinstance(price, TimeOfDayPrice) for price in charge.prices)
    return not is_by_hour and charge.accumulation is not Accumulation.CONTRACT


def _reach(highest: dict[tuple[str, str], int], places: Iterable[Place]) -> None:
    for charge, part, usage in places:
        if tier := _tier(charge.price if part is None else part.price, usage):
            key = charge.code, "" if part is None else part.code
            highest[key] = max(highest.get(key, 1), tier)


def _tier(price: Price, usage: Usage) -> int:
    """0 where the price has none."""
    if not isinstance(price, _TIERED):
        return 0
    return price.table.index(usage.quantity if usage.full_quantity is None else usage.full_quantity) + 1

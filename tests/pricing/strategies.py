"""What plans can be made of, and what can be used under them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from hypothesis import strategies as st

from libs.common.money import Money
from services.pricing.domain.accumulation import Accumulating
from services.pricing.domain.breakdown import EXACT
from services.pricing.domain.commitments import FixedCharge, MinimumCommitment
from services.pricing.domain.dynamic import DynamicPrice
from services.pricing.domain.features import Entitlement
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.graduated_percentage import GraduatedPercentagePrice, PercentageTier
from services.pricing.domain.limits import Limits
from services.pricing.domain.matrix import MatrixPrice
from services.pricing.domain.package import PackagePrice
from services.pricing.domain.percentage import PercentagePrice
from services.pricing.domain.plans import (
    BillingInterval,
    Charge,
    ChargeFilter,
    Phase,
    Plan,
    PlanVersion,
    Price,
    PriceChange,
    PropertyFilter,
)
from services.pricing.domain.pricing_unit import PricingUnit
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.thresholds import UsageThreshold
from services.pricing.domain.tiers import PriceTier
from services.pricing.domain.time_of_day import TimeOfDayPrice, TimeWindow
from services.pricing.domain.usage import EventValue, Usage
from services.pricing.domain.volume import VolumePrice

T = TypeVar("T", PriceTier, PercentageTier)

SMALLEST = Decimal("0.000000000001")
GROUP_KEYS = ("model", "direction", "region")
GROUP_VALUES = ("small", "large", "in", "out")


codes = st.from_regex(r"[a-z][a-z0-9_.-]{0,63}", fullmatch=True)


def decimals(digits: int) -> st.SearchStrategy[Decimal]:
    """From 0, up to `digits` digits, 12 of them after the point; small whole numbers often, since tiers end there."""
    return st.one_of(
        st.integers(0, 30).map(Decimal),
        st.integers(0, 10**digits - 1).map(lambda number: EXACT.multiply(Decimal(number), SMALLEST)),
    )


def tiers(kind: type[T], digits: int) -> st.SearchStrategy[tuple[T, ...]]:
    ends = st.lists(decimals(digits).filter(bool), max_size=4, unique=True).map(sorted)
    return ends.flatmap(
        lambda ends: st.tuples(
            *(st.builds(kind, st.just(end), decimals(digits), decimals(digits)) for end in (*ends, None))
        )
    )


def graduated_prices(digits: int) -> st.SearchStrategy[GraduatedPrice]:
    return tiers(PriceTier, digits).map(GraduatedPrice)


def volume_prices(digits: int) -> st.SearchStrategy[VolumePrice]:
    return tiers(PriceTier, digits).map(VolumePrice)


def graduated_percentage_prices(digits: int) -> st.SearchStrategy[GraduatedPercentagePrice]:
    return tiers(PercentageTier, digits).map(GraduatedPercentagePrice)


def package_prices(digits: int) -> st.SearchStrategy[PackagePrice]:
    return st.builds(PackagePrice, decimals(digits).filter(bool), decimals(digits), decimals(digits))


def limits(digits: int) -> st.SearchStrategy[tuple[Decimal | None, Decimal | None]]:
    """A minimum and a maximum, each or both of them absent."""
    pairs = st.tuples(decimals(digits), decimals(digits)).map(sorted)
    return st.one_of(
        st.just((None, None)),
        pairs.map(lambda pair: (pair[0], pair[1])),
        pairs.map(lambda pair: (pair[0], None)),
        pairs.map(lambda pair: (None, pair[1])),
    )


def percentage_prices(digits: int) -> st.SearchStrategy[PercentagePrice]:
    return st.builds(
        lambda rate, fixed, transactions, amount, limits: PercentagePrice(rate, fixed, transactions, amount, *limits),
        decimals(digits),
        decimals(digits),
        st.integers(0, 5),
        decimals(digits),
        limits(digits),
    )


def matrix_prices(digits: int) -> st.SearchStrategy[MatrixPrice]:
    dimensions = st.lists(st.sampled_from(GROUP_KEYS), min_size=1, unique=True).map(tuple)
    return dimensions.flatmap(
        lambda dimensions: st.builds(
            MatrixPrice,
            st.just(dimensions),
            st.dictionaries(
                st.tuples(*[st.sampled_from(GROUP_VALUES)] * len(dimensions)), decimals(digits), max_size=5
            ),
            decimals(digits),
        )
    )


def accumulating_prices(digits: int) -> st.SearchStrategy[Accumulating]:
    return st.one_of(graduated_prices(digits), graduated_percentage_prices(digits), package_prices(digits))


def time_of_day_prices(digits: int) -> st.SearchStrategy[TimeOfDayPrice]:
    hours = st.tuples(st.integers(0, 24), st.integers(0, 24)).map(sorted).filter(lambda pair: pair[0] < pair[1])
    window = st.builds(
        lambda code, weekdays, hours, unit_price: TimeWindow(code, weekdays, *hours, unit_price),
        codes,
        st.lists(st.integers(1, 7), max_size=7, unique=True).map(tuple),
        hours,
        decimals(digits),
    )
    return st.builds(
        TimeOfDayPrice,
        st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
        st.lists(window, min_size=1, max_size=3, unique_by=lambda each: each.code).map(tuple),
        decimals(digits),
    )


def monotonic_prices(digits: int) -> st.SearchStrategy[Price]:
    """The prices of a quantity alone under which more never costs less: all but a volume price."""
    return st.one_of(
        st.builds(StandardPrice, decimals(digits)),
        graduated_prices(digits),
        package_prices(digits),
        graduated_percentage_prices(digits),
        matrix_prices(digits),
    )


def prices(digits: int) -> st.SearchStrategy[Price]:
    return st.one_of(
        monotonic_prices(digits), volume_prices(digits), percentage_prices(digits), st.just(DynamicPrice())
    )


def groups(keys: tuple[str, ...] = GROUP_KEYS) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    if not keys:
        return st.just(())
    values = st.dictionaries(st.sampled_from(keys), st.sampled_from(GROUP_VALUES))
    return values.map(lambda values: tuple(sorted(values.items())))


def usages(digits: int, code: str = "tokens") -> st.SearchStrategy[Usage]:
    """A quantity and the events that make it, each with an amount, none negative."""
    events = st.lists(st.builds(EventValue, decimals(digits), amount=decimals(digits)), max_size=6).map(tuple)
    return st.builds(_usage, st.just(code), events, groups())


def _usage(code: str, events: tuple[EventValue, ...], group: tuple[tuple[str, str], ...]) -> Usage:
    quantity = Decimal(0)
    for event in events:
        quantity = EXACT.add(quantity, event.value)
    return Usage(code, quantity, group=group, event_count=len(events), events=events)


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
instants = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
properties = st.builds(PropertyFilter, names, st.lists(names, max_size=3, unique=True).map(tuple))
filters = st.builds(
    ChargeFilter,
    code=codes,
    name=st.just("") | names,
    properties=st.lists(properties, min_size=1, max_size=3, unique_by=lambda each: each.property).map(tuple),
    price=prices(38) | time_of_day_prices(38),
)
charge_codes = codes.filter(lambda code: code != "base")
tax_codes = st.lists(codes, max_size=3, unique=True).map(tuple)


def timed(charge: Charge, in_advance: bool, prorated: bool, invoiceable: bool) -> Charge:
    """The charge with as much of that as its prices and limits admit."""
    in_advance &= not charge.limits.are_set and not any(
        isinstance(each, VolumePrice | TimeOfDayPrice) for each in charge.prices
    )
    proratable = StandardPrice if in_advance else (StandardPrice, GraduatedPrice, VolumePrice)
    prorated &= all(isinstance(each, proratable) for each in charge.prices)
    return replace(charge, in_advance=in_advance, prorated=prorated, invoiceable=invoiceable or not in_advance)


pricing_units = st.builds(PricingUnit, codes, decimals(38).filter(bool))
untimed_charges = st.builds(
    Charge,
    code=charge_codes,
    name=st.just("") | names,
    meter_code=codes,
    price=prices(38) | time_of_day_prices(38),
    filters=st.lists(
        filters,
        max_size=1,
        unique_by=(
            lambda each: each.code,
            lambda each: frozenset((one.property, frozenset(one.values)) for one in each.properties),
        ),
    ).map(tuple),
    group_keys=st.just(GROUP_KEYS),
    limits=limits(38).map(lambda pair: Limits(*pair)),
    tax_codes=tax_codes,
    pricing_unit=st.none() | pricing_units,
)
charges = st.builds(timed, untimed_charges, st.booleans(), st.booleans(), st.booleans())


def fixed_charge(charge: FixedCharge) -> FixedCharge:
    """With as much in advance and prorated as its price admits."""
    in_advance = charge.in_advance and not isinstance(charge.price, VolumePrice)
    prorated = charge.prorated and not (in_advance and isinstance(charge.price, GraduatedPrice))
    return replace(charge, in_advance=in_advance, prorated=prorated)


fixed_charges = st.builds(
    FixedCharge,
    code=charge_codes,
    name=st.just("") | names,
    add_on_code=codes,
    units=decimals(38),
    price=st.builds(StandardPrice, decimals(38)) | graduated_prices(38) | volume_prices(38),
    in_advance=st.booleans(),
    prorated=st.booleans(),
    tax_codes=tax_codes,
).map(fixed_charge)
percents = st.integers(-1_000_000, 10_000_000).map(lambda number: Decimal(number).scaleb(-4))
entitlements = st.builds(
    Entitlement,
    codes,
    st.lists(
        st.tuples(codes, st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.just("") | names),
        max_size=3,
        unique_by=lambda pair: pair[0],
    ).map(tuple),
)


def money(currency: str, least: int = 0) -> st.SearchStrategy[Money]:
    return st.builds(Money, st.integers(least, 2**63 - 1), st.just(currency))


def thresholds(currency: str) -> st.SearchStrategy[tuple[UsageThreshold, ...]]:
    """Ascending, often with a recurring one at the end."""
    amounts = st.lists(st.integers(1, 2**63 - 1), max_size=3, unique=True).map(sorted)
    recurring = st.none() | st.builds(UsageThreshold, money(currency, 1), st.just("") | names, st.just(True))
    return st.builds(
        lambda amounts, last, name: (
            *(UsageThreshold(Money(amount, currency), name) for amount in amounts),
            *([last] if last else ()),
        ),
        amounts,
        recurring,
        st.just("") | names,
    )


def price_changes(charges: Sequence[Charge]) -> st.SearchStrategy[tuple[PriceChange, ...]]:
    """Of prices of `charges`: some are changed by percent, some replaced where any price will do."""
    places = [(charge.code, code) for charge in charges for code in ("", *(each.code for each in charge.filters))]
    if not places:
        return st.just(())
    by_code = {charge.code: charge for charge in charges}

    def change(place: tuple[str, str]) -> st.SearchStrategy[PriceChange]:
        charge = by_code[place[0]]
        price = charge.price if not place[1] else next(f.price for f in charge.filters if f.code == place[1])
        standard = st.builds(StandardPrice, decimals(38))
        return st.builds(
            PriceChange,
            st.just(place[0]),
            st.just(place[1]),
            standard if isinstance(price, DynamicPrice) else standard | percents,
        )

    chosen = st.lists(st.sampled_from(places), max_size=2, unique=True)
    return chosen.flatmap(lambda places: st.tuples(*map(change, places)))


def phases(currency: str, charges: Sequence[Charge]) -> st.SearchStrategy[tuple[Phase, ...]]:
    """Ascending, the last one often without an end."""
    months = st.lists(st.integers(0, 120), min_size=2, max_size=3, unique=True).map(sorted)

    def between(months: list[int]) -> st.SearchStrategy[tuple[Phase, ...]]:
        ends: list[int | None] = [*months[1:-1], None]
        return st.tuples(
            *(
                st.builds(
                    Phase,
                    name=st.just("") | names,
                    from_month=st.just(start),
                    to_month=st.just(end),
                    base_fee=st.none() | money(currency) | percents,
                    changes=price_changes(charges),
                )
                for start, end in zip(months[:-1], ends, strict=True)
            )
        )

    return st.just(()) | months.flatmap(between)


@st.composite
def versions_of(draw: st.DrawFn) -> PlanVersion:
    currency = draw(st.sampled_from(["USD", "JPY", "KWD", "CLF"]))
    sold = tuple(draw(st.lists(charges, max_size=2, unique_by=lambda charge: charge.code)))
    fixed = draw(st.lists(fixed_charges, max_size=1, unique_by=lambda charge: charge.code))
    taken = {charge.code for charge in sold}
    interval = draw(st.sampled_from(BillingInterval))
    minimum = draw(st.none() | st.builds(MinimumCommitment, money(currency, 1), st.just("") | names, tax_codes))
    is_divisible = interval not in (BillingInterval.WEEKLY, BillingInterval.MONTHLY) and minimum is None
    return PlanVersion(
        plan_code=draw(codes),
        version=1,
        currency=currency,
        billing_interval=interval,
        base_fee=draw(st.none() | money(currency)),
        charges=sold,
        tax_codes=draw(tax_codes),
        create_time=draw(instants),
        base_fee_in_advance=draw(st.booleans()),
        tax_inclusive=draw(st.booleans()),
        fixed_charges=tuple(each for each in fixed if each.code not in taken),
        minimum_commitment=minimum,
        usage_thresholds=draw(thresholds(currency)),
        trial_days=draw(st.integers(0, 3650)),
        entitlements=tuple(draw(st.lists(entitlements, max_size=2, unique_by=lambda each: each.feature_code))),
        phases=draw(phases(currency, sold)),
        charges_monthly=is_divisible and draw(st.booleans()),
    )


versions = versions_of()
plans = st.builds(
    lambda version, name, description: Plan(
        code=version.plan_code,
        name=name,
        description=description,
        version_count=1,
        latest_version=version,
        create_time=version.create_time,
    ),
    version=versions,
    name=names,
    description=st.just("") | names,
)

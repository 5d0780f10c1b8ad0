"""What plans can be made of, and what can be used under them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from hypothesis import strategies as st

from libs.common.money import Money
from services.pricing.domain.breakdown import EXACT
from services.pricing.domain.dynamic import DynamicPrice
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
    Plan,
    PlanVersion,
    Price,
    PropertyFilter,
)
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.tiers import PriceTier
from services.pricing.domain.usage import EventValue, Usage
from services.pricing.domain.volume import VolumePrice

T = TypeVar("T", PriceTier, PercentageTier)

SMALLEST = Decimal("0.000000000001")
GROUP_KEYS = ("model", "direction", "region")
GROUP_VALUES = ("small", "large", "in", "out")


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


codes = st.from_regex(r"[a-z][a-z0-9_.-]{0,63}", fullmatch=True)
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
    price=prices(38),
)
charges = st.builds(
    Charge,
    code=codes.filter(lambda code: code != "base"),
    name=st.just("") | names,
    meter_code=codes,
    price=prices(38),
    filters=st.lists(
        filters,
        max_size=2,
        unique_by=(
            lambda each: each.code,
            lambda each: frozenset((one.property, frozenset(one.values)) for one in each.properties),
        ),
    ).map(tuple),
    group_keys=st.just(GROUP_KEYS),
    limits=limits(38).map(lambda pair: Limits(*pair)),
)
versions = st.builds(
    lambda code, create_time, currency, base_fee, charges, tax_codes: PlanVersion(
        plan_code=code,
        version=1,
        currency=currency,
        billing_interval=BillingInterval.MONTHLY,
        base_fee=None if base_fee is None else Money(base_fee, currency),
        charges=tuple(charges),
        tax_codes=tuple(tax_codes),
        create_time=create_time,
    ),
    code=codes,
    create_time=instants,
    currency=st.sampled_from(["USD", "JPY", "KWD", "CLF"]),
    base_fee=st.none() | st.integers(0, 2**63 - 1),
    charges=st.lists(charges, max_size=4, unique_by=lambda charge: charge.code),
    tax_codes=st.lists(codes, max_size=3, unique=True),
)
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

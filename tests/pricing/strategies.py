"""What plans can be made of."""

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import strategies as st

from libs.common.money import EXACT, Money
from services.pricing.domain.graduated import GraduatedPrice, PriceTier
from services.pricing.domain.package import PackagePrice
from services.pricing.domain.plans import BillingInterval, Charge, Plan, PlanVersion, Price
from services.pricing.domain.standard import StandardPrice

SMALLEST = Decimal("0.000000000001")


def decimals(digits: int) -> st.SearchStrategy[Decimal]:
    """From 0, up to `digits` digits, 12 of them after the point; small whole numbers often, since tiers end there."""
    return st.one_of(
        st.integers(0, 30).map(Decimal),
        st.integers(0, 10**digits - 1).map(lambda number: EXACT.multiply(Decimal(number), SMALLEST)),
    )


def graduated_prices(digits: int) -> st.SearchStrategy[GraduatedPrice]:
    ends = st.lists(decimals(digits).filter(bool), max_size=4, unique=True).map(sorted)
    return ends.flatmap(
        lambda ends: st.tuples(
            *(st.builds(PriceTier, st.just(end), decimals(digits), decimals(digits)) for end in (*ends, None))
        ).map(GraduatedPrice)
    )


def package_prices(digits: int) -> st.SearchStrategy[PackagePrice]:
    return st.builds(PackagePrice, decimals(digits).filter(bool), decimals(digits), decimals(digits))


def prices(digits: int) -> st.SearchStrategy[Price]:
    return st.one_of(
        st.builds(StandardPrice, decimals(digits)),
        graduated_prices(digits),
        package_prices(digits),
    )


codes = st.from_regex(r"[a-z][a-z0-9_.-]{0,63}", fullmatch=True)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
instants = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
charges = st.builds(
    Charge, code=codes.filter(lambda code: code != "base"), name=st.just("") | names, meter_code=codes, price=prices(38)
)
plans = st.builds(
    lambda code, name, description, create_time, currency, base_fee, charges, tax_codes: Plan(
        code=code,
        name=name,
        description=description,
        latest_version=PlanVersion(
            plan_code=code,
            version=1,
            currency=currency,
            billing_interval=BillingInterval.MONTHLY,
            base_fee=None if base_fee is None else Money(base_fee, currency),
            charges=tuple(charges),
            tax_codes=tuple(tax_codes),
            create_time=create_time,
        ),
        create_time=create_time,
    ),
    code=codes,
    name=names,
    description=st.just("") | names,
    create_time=instants,
    currency=st.sampled_from(["USD", "JPY", "KWD", "CLF"]),
    base_fee=st.none() | st.integers(0, 2**63 - 1),
    charges=st.lists(charges, max_size=4, unique_by=lambda charge: charge.code),
    tax_codes=st.lists(codes, max_size=3, unique=True),
)

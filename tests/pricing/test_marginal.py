"""What more usage costs."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from services.metering.domain import parts as metering
from services.metering.domain.meters import DimensionFilter
from services.pricing.domain.additions import Aggregation, Definition, Meter
from services.pricing.domain.limits import Limits
from services.pricing.domain.marginal import estimate, together
from services.pricing.domain.parts import part_of
from services.pricing.domain.plans import Charge, ChargeFilter, Price, PropertyFilter
from services.pricing.domain.rating import rate_charge
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.usage import Usage
from services.pricing.domain.volume import VolumePrice
from tests.pricing.costs import MODEST, charge, cost, statable
from tests.pricing.strategies import decimals, monotonic_prices, prices, usages
from tests.pricing.test_accumulation import TIERS
from tests.pricing.test_rating import version


@given(prices(MODEST), usages(MODEST - 2), usages(MODEST - 2))
@statable()
def test_an_addition_costs_what_it_makes_of_the_whole(price: Price, there: Usage, more: Usage) -> None:
    there, more = replace(there, group=()), replace(more, group=())
    [marginal] = estimate(version(charge(price)), [there], [more], None).costs
    whole, before = cost(price, together(there, more)), cost(price, there)
    assert (marginal.before, marginal.after) == (before, whole)
    assert Fraction(marginal.unrounded_amount) == Fraction(whole.unrounded_amount) - Fraction(before.unrounded_amount)


@given(monotonic_prices(MODEST), st.lists(decimals(MODEST - 2), min_size=1, max_size=6))
@statable()
def test_the_fees_of_events_billed_in_advance_add_up_to_all_of_them_at_once(
    price: Price, quantities: list[Decimal]
) -> None:
    plan = version(charge(price))
    there, amounts = Usage("tokens", Decimal(0)), Fraction(0)
    for quantity in quantities:
        [marginal] = estimate(plan, [there], [Usage("tokens", quantity)], None).costs
        amounts += Fraction(marginal.unrounded_amount)
        there = marginal.after.usage
    nothing = cost(price, 0).unrounded_amount
    assert amounts == Fraction(cost(price, there.quantity).unrounded_amount) - Fraction(nothing)


def grown(made: Charge, there: Sequence[str], added: str) -> int:
    used = [Usage("tokens", Decimal(each)) for each in there]
    return estimate(version(made), used, [Usage("tokens", Decimal(added))], None).amount.minor_units


def test_what_stays_below_a_minimum_adds_nothing_and_what_exceeds_a_maximum_neither() -> None:
    limited = replace(charge(StandardPrice(Decimal(1))), limits=Limits(Decimal(10), Decimal(20)))
    assert [grown(limited, [before], "4") for before in ("0", "5", "8", "12", "18", "25")] == [0, 0, 200, 400, 200, 0]
    assert grown(limited, [], "12") == 200


def test_more_may_cost_less_where_a_volume_tier_begins() -> None:
    assert grown(charge(VolumePrice(TIERS.tiers)), ["100"], "1") == 10100 + 700 - 20500


def test_a_new_group_brings_its_own_first_tier() -> None:
    grouped = replace(charge(TIERS), group_keys=("model",))
    used = Usage("tokens", Decimal(1), group=(("model", "a"),))
    added = Usage("tokens", Decimal(1), group=(("model", "b"),))
    found = estimate(version(grouped), [used], [added], None)
    assert found.amount.minor_units == 700
    assert [each.amount.minor_units for each in found.costs] == [200]
    assert len(rate_charge(grouped, [used, added], "USD", None)) == 2


properties = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"))
wanted = st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from("xyz"), unique=True).map(tuple), min_size=1)


@given(properties, st.lists(wanted, max_size=5))
def test_an_event_belongs_to_the_filter_that_metering_sorts_it_into(
    event: dict[str, str], filters: list[dict[str, tuple[str, ...]]]
) -> None:
    priced = [
        ChargeFilter(f"f{index}", "", tuple(map(PropertyFilter, each, each.values())), StandardPrice(Decimal(1)))
        for index, each in enumerate(filters)
    ]
    measured = [
        metering.Part(f"f{index}", tuple(DimensionFilter(name, values) for name, values in each.items()))
        for index, each in enumerate(filters)
    ]
    found = part_of(event, priced)
    assert (found.code if found else metering.REST) == metering.part_of(event, measured)


def test_a_version_of_a_meter_that_is_yet_to_take_effect_does_so_on_time() -> None:
    old, new, newest = (Definition(code, "", ()) for code in ("old", "new", "newest"))
    start = datetime(2023, 11, 1, tzinfo=UTC)
    meter = Meter("tokens", Aggregation.COUNT, old, ((start, new), (start + timedelta(hours=1), newest)))
    instants = [start + timedelta(minutes=minutes) for minutes in (-1, 0, 59, 60)]
    assert [meter.at(instant) for instant in instants] == [old, new, new, newest]

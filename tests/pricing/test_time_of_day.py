"""Prices by hours of the week."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given

from libs.common.errors import InvalidArgument
from services.pricing.domain.plans import PlanVersion
from services.pricing.domain.rating import rate_version
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.time_of_day import OUTSIDE, TimeOfDayPrice, TimeWindow, window_at
from services.pricing.domain.usage import Usage
from tests.pricing.costs import MODEST, charge, cost
from tests.pricing.strategies import decimals, time_of_day_prices
from tests.pricing.test_rating import version

OFFICE = TimeOfDayPrice(
    "Europe/Berlin",
    (
        TimeWindow("lunch", (), 12, 13, Decimal(0)),
        TimeWindow("office", (1, 2, 3, 4, 5), 8, 18, Decimal(3)),
        TimeWindow("sunday", (7,), 0, 24, Decimal(1)),
    ),
    Decimal(2),
)


@pytest.mark.parametrize(
    ("instant", "window"),
    [
        ("2023-11-15T06:59:59", OUTSIDE),
        ("2023-11-15T07:00", "office"),
        ("2023-11-15T11:00", "lunch"),
        ("2023-11-15T12:00", "office"),
        ("2023-11-15T17:00", OUTSIDE),
        ("2023-11-18T12:00", OUTSIDE),
        ("2023-11-18T11:00", "lunch"),
        ("2023-11-18T23:00", "sunday"),
        ("2023-11-19T22:59:59", "sunday"),
        ("2023-11-19T23:00", OUTSIDE),
        ("2023-07-12T06:00", "office"),
    ],
)
def test_an_hour_belongs_to_the_first_window_that_has_it(instant: str, window: str) -> None:
    assert window_at(OFFICE, datetime.fromisoformat(instant).replace(tzinfo=UTC)) == window


@pytest.mark.parametrize(("window", "amount"), [("office", "30"), ("lunch", "0"), ("sunday", "10"), (OUTSIDE, "20")])
def test_units_cost_what_their_window_says(window: str, amount: str) -> None:
    assert cost(OFFICE, Usage("tokens", Decimal(10), window=window)).unrounded_amount == Decimal(amount)


@given(time_of_day_prices(MODEST), decimals(MODEST))
def test_every_hour_of_a_week_has_a_price(price: TimeOfDayPrice, quantity: Decimal) -> None:
    monday = datetime(2023, 11, 13, tzinfo=UTC)
    for hour in range(7 * 24):
        window = window_at(price, monday + timedelta(hours=hour))
        [step] = cost(price, Usage("tokens", quantity, window=window)).tiers
        assert step.unit_price == price.unit_prices[window]


def test_each_window_has_an_entry() -> None:
    plan: PlanVersion = version(charge(OFFICE))
    used = [Usage("tokens", Decimal(2), window=window) for window in ("office", OUTSIDE)]
    rated = rate_version(plan, used)
    assert [(each.usage.window, each.amount.minor_units) for each in rated] == [("office", 600), (OUTSIDE, 400)]


@pytest.mark.parametrize(
    ("price", "usage", "reason"),
    [
        (OFFICE, Usage("tokens", Decimal(1)), "WINDOW_MISSING"),
        (OFFICE, Usage("tokens", Decimal(1), window="night"), "WINDOW_UNKNOWN"),
        (StandardPrice(Decimal(1)), Usage("tokens", Decimal(1), window="office"), "WINDOW_UNKNOWN"),
        (StandardPrice(Decimal(1)), Usage("tokens", Decimal(1), window=OUTSIDE), "WINDOW_UNKNOWN"),
    ],
)
def test_a_window_is_not_guessed(price: TimeOfDayPrice | StandardPrice, usage: Usage, reason: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        rate_version(version(charge(price)), [usage])
    assert raised.value.reason == reason


def test_no_usage_needs_no_window() -> None:
    assert cost(OFFICE, 0).amount.minor_units == 0

"""Prices in credits."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given

from services.pricing import convert
from services.pricing.domain.limits import Limits
from services.pricing.domain.plans import Price
from services.pricing.domain.pricing_unit import PricingUnit
from services.pricing.domain.rating import rate, rate_version
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.usage import Usage
from tests.pricing.costs import charge, cost
from tests.pricing.strategies import decimals, prices, usages
from tests.pricing.test_rating import version

CREDITS = PricingUnit("credits", Decimal("0.004"))


@given(prices(13), usages(13), decimals(14).filter(bool))
def test_an_amount_is_converted_exactly_and_then_rounded_once(price: Price, usage: Usage, rate_: Decimal) -> None:
    credits_charge = replace(charge(price), pricing_unit=PricingUnit("credits", rate_))
    rated = rate(credits_charge, usage, "USD")
    in_credits = cost(price, usage)
    assert rated.tiers == in_credits.tiers
    assert Fraction(rated.unrounded_amount) == Fraction(in_credits.unrounded_amount) * Fraction(rate_)
    assert abs(Fraction(rated.amount.minor_units, 100) - Fraction(rated.unrounded_amount)) <= Fraction(1, 200)


def test_both_amounts_are_shown_and_limits_are_in_the_currency() -> None:
    limited = replace(charge(StandardPrice(Decimal(3))), pricing_unit=CREDITS, limits=Limits(Decimal(5)))
    usage, minimum = convert.rated_out(rate_version(version(limited), [Usage("tokens", Decimal(100))]), None).charges
    assert usage.amount.minor_units == 120
    assert (usage.unrounded_amount, usage.unit_amount) == ("1.2", "0.012")
    assert (usage.pricing_unit.code, usage.pricing_unit.amount, usage.pricing_unit.conversion_rate) == (
        "credits",
        "300",
        "0.004",
    )
    assert usage.tiers[0].unit_price == "3"
    assert (minimum.amount.minor_units, minimum.HasField("pricing_unit")) == (380, False)

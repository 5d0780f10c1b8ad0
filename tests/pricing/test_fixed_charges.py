"""What fixed charges come to: units of an add-on, for the days that they are held."""

from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidArgument, NotFound
from services.pricing.domain.breakdown import EXACT, total
from services.pricing.domain.commitments import FixedCharge, FixedPrice
from services.pricing.domain.fixed_charges import FixedUnits, Held, rate_fixed
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.rating import RatedCharge
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.tiers import PriceTier
from services.pricing.domain.volume import VolumePrice
from tests.pricing.conftest import Client, Dial
from tests.pricing.costs import MODEST
from tests.pricing.costs import cost as usage_cost
from tests.pricing.requests import create_plan
from tests.pricing.strategies import decimals, graduated_prices, volume_prices
from weir.common.v1.money_pb2 import Money
from weir.pricing.v1 import addons_pb2, pricing_pb2
from weir.pricing.v1.addons_pb2_grpc import AddOnServiceStub
from weir.pricing.v1.explanation_pb2 import ExplainRequest
from weir.pricing.v1.explanation_pb2_grpc import ExplanationServiceStub
from weir.pricing.v1.fixed_charges_pb2 import FixedChargeUnits, HeldUnits

PERIOD_DAYS = 31
CUT = Fraction(1, 10**24)

units = decimals(MODEST)
stretches = st.lists(st.tuples(units, st.integers(0, 10)), min_size=1, max_size=3)


def seats(price: FixedPrice, *, prorated: bool = False, in_advance: bool = False) -> FixedCharge:
    return FixedCharge("seats", "Seats", "seat", Decimal(3), price, in_advance, prorated)


def cost(charge: FixedCharge, *held: tuple[Decimal | int, int], billed: Decimal | int | None = None) -> RatedCharge:
    told = tuple(Held(Decimal(each), days) for each, days in held)
    before = None if billed is None else Decimal(billed)
    return rate_fixed(charge, FixedUnits("seats", told, PERIOD_DAYS, before), "USD")


@given(unit_price=decimals(MODEST), held=stretches)
def test_prorated_units_cost_the_days_they_are_held(unit_price: Decimal, held: list[tuple[Decimal, int]]) -> None:
    rated = cost(seats(StandardPrice(unit_price), prorated=True), *held)
    unit_days = sum(Fraction(each) * days for each, days in held)
    assert abs(Fraction(rated.unrounded_amount) - unit_days * Fraction(unit_price) / PERIOD_DAYS) <= CUT
    assert abs(Fraction(rated.usage.quantity) - unit_days / PERIOD_DAYS) <= CUT
    assert rated.usage.full_quantity == held[-1][0]


@given(price=st.builds(StandardPrice, units) | graduated_prices(MODEST) | volume_prices(MODEST), held=stretches)
def test_other_units_cost_a_whole_period_as_many_as_there_are_at_the_end(
    price: FixedPrice, held: list[tuple[Decimal, int]]
) -> None:
    rated = cost(seats(price), *held)
    assert rated.unrounded_amount == usage_cost(price, held[-1][0]).unrounded_amount
    assert rated.usage.quantity == held[-1][0]


@given(price=graduated_prices(MODEST) | volume_prices(MODEST), held=units)
def test_units_that_are_held_for_the_whole_period_cost_the_same_prorated(price: FixedPrice, held: Decimal) -> None:
    whole = cost(seats(price, prorated=True), (held, PERIOD_DAYS))
    assert whole.amount == usage_cost(price, held).amount
    assert total(whole.tiers) == whole.unrounded_amount


def test_a_tie_between_cents_is_seen_though_the_units_have_no_finite_decimal() -> None:
    """10 of 31 days of 0.0155 are half a cent."""
    rated = cost(seats(StandardPrice(Decimal("0.0155")), prorated=True), (1, 10))
    assert rated.unrounded_amount == Decimal("0.005")
    assert rated.amount.minor_units == 1


def test_a_volume_price_looks_for_its_tier_with_the_units_at_the_end() -> None:
    price = VolumePrice((PriceTier(Decimal(10), Decimal(31)), PriceTier(None, Decimal("15.5"))))
    assert cost(seats(price, prorated=True), (5, 21), (20, 10)).amount.minor_units == 100 * (105 + 200) // 2


def test_a_graduated_price_walks_the_changes_of_units() -> None:
    price = GraduatedPrice((PriceTier(Decimal(5), Decimal(31), Decimal(1)), PriceTier(None, Decimal("15.5"))))
    rated = cost(seats(price, prorated=True), (4, 11), (8, 10), (2, 10))
    tiers = [(tier.quantity * PERIOD_DAYS, tier.flat_fee) for tier in rated.tiers]
    assert [(round(days, 6), fee) for days, fee in tiers] == [(4 * 11 + 5 * 10 + 2 * 10, 1), (3 * 10, 0)]
    assert rated.amount.minor_units == 100 * (4 * 11 + 5 * 10 + 2 * 10) + 50 * 30 + 100


@given(price=st.builds(StandardPrice, units) | graduated_prices(MODEST), few=units, more=units)
def test_more_units_than_were_billed_cost_the_difference_and_fewer_nothing(
    price: FixedPrice, few: Decimal, more: Decimal
) -> None:
    charge = seats(price, in_advance=True)
    added = cost(charge, (more, 5), billed=few).unrounded_amount
    first, both = cost(charge, (few, PERIOD_DAYS)).unrounded_amount, cost(charge, (more, PERIOD_DAYS)).unrounded_amount
    assert added == max(EXACT.subtract(both, first), 0)


def test_added_units_that_are_prorated_cost_the_days_that_are_left() -> None:
    charge = seats(StandardPrice(Decimal(31)), prorated=True, in_advance=True)
    assert cost(charge, (5, 10), billed=3).amount.minor_units == 2 * 10 * 100
    assert cost(charge, (2, 10), billed=3).amount.minor_units == 0


@pytest.fixture
async def plan(pricing: Client, dial: Dial) -> None:
    """llm-api with 3 seats at 31 USD, prorated, and a set-up fee in advance."""
    service = AddOnServiceStub(dial("acme"))
    for code in ("seat", "set-up"):
        add_on = addons_pb2.AddOn(code=code, name=code, currency_code="USD", tax_inclusive=code == "seat")
        add_on.amount.CopyFrom(Money(currency_code="USD", minor_units=100))
        await service.CreateAddOn(addons_pb2.CreateAddOnRequest(request_id=str(uuid4()), add_on=add_on))
    request = create_plan()
    request.version.tax_inclusive = True
    request.version.phases.add(from_month=0, to_month=2, base_fee_percent="-50")
    standard = pricing_pb2.StandardPrice(unit_price="31")
    request.version.fixed_charges.add(code="seats", add_on_code="seat", units="3", standard=standard, prorated=True)
    request.version.fixed_charges.add(
        code="set-up", name="Set-up", add_on_code="set-up", units="1", standard=standard, in_advance=True
    )
    await pricing.CreatePlan(request)


def asked(*fixed: FixedChargeUnits, days: int = PERIOD_DAYS, month: int = 0) -> pricing_pb2.RateRequest:
    return pricing_pb2.RateRequest(
        plan_code="llm-api",
        version=1,
        fixed_charges=fixed,
        told_only=True,
        contract_month=month,
        proration=pricing_pb2.Proration(days=days, period_days=PERIOD_DAYS),
    )


@pytest.mark.usefixtures("plan")
async def test_only_what_is_asked_for_is_rated_with_the_base_fee_of_the_month(pricing: Client) -> None:
    told = FixedChargeUnits(code="seats", held=[HeldUnits(units="2", days=5)], period_days=PERIOD_DAYS)
    changed = FixedChargeUnits(
        code="set-up", held=[HeldUnits(units="3", days=1)], period_days=PERIOD_DAYS, billed_units="1"
    )
    answer = await pricing.Rate(asked(told, changed))
    assert [(each.charge_code, each.name, each.amount.minor_units) for each in answer.fixed_charges] == [
        ("seats", "", 1000),
        ("set-up", "Set-up", 6200),
    ]
    assert not answer.charges
    assert answer.base_fee.minor_units == 1000
    later = await pricing.Rate(asked(FixedChargeUnits(code="seats"), days=10, month=2))
    assert (later.fixed_charges[0].amount.minor_units, later.base_fee.minor_units) == (3000, 2000)
    assert (await pricing.GetPlan(pricing_pb2.GetPlanRequest(code="llm-api"))).plan.latest_version.tax_inclusive


@pytest.mark.usefixtures("plan")
async def test_a_fixed_charge_is_explained(dial: Dial) -> None:
    request = ExplainRequest(rate=asked(FixedChargeUnits(code="seats"), days=10))
    [seats] = (await ExplanationServiceStub(dial("acme")).Explain(request)).charges
    assert "3 units without proration" in seats.lines[0].text
    assert seats.rated.amount.minor_units == 3000


@pytest.mark.usefixtures("plan")
@pytest.mark.parametrize(
    ("fixed", "reason"),
    [
        (FixedChargeUnits(), "FIELD_MISSING"),
        (FixedChargeUnits(code="seats", held=[HeldUnits(units="1", days=2)], period_days=1), "HELD_UNITS_MALFORMED"),
        (FixedChargeUnits(code="seats", held=[HeldUnits(units="1", days=-2)], period_days=9), "HELD_UNITS_MALFORMED"),
        (FixedChargeUnits(code="seats", held=[HeldUnits(units="-1", days=2)], period_days=9), "AMOUNT_NEGATIVE"),
        (FixedChargeUnits(code="seats", billed_units="1"), "FIXED_CHARGE_IN_ARREARS"),
    ],
)
async def test_units_that_make_no_sense_are_refused(pricing: Client, fixed: FixedChargeUnits, reason: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await pricing.Rate(asked(fixed))
    assert refused.value.reason == reason
    assert refused.value.field.startswith("fixed_charges")


@pytest.mark.usefixtures("plan")
async def test_a_fixed_charge_must_be_there_and_told_once(pricing: Client) -> None:
    with pytest.raises(NotFound, match="CHARGE_NOT_FOUND"):
        await pricing.Rate(asked(FixedChargeUnits(code="requests")))
    with pytest.raises(InvalidArgument, match="CHARGE_CODE_DUPLICATE"):
        await pricing.Rate(asked(FixedChargeUnits(code="seats"), FixedChargeUnits(code="seats")))


@pytest.mark.usefixtures("plan")
async def test_add_ons_are_read_in_the_order_asked_and_all_that_are_missing_named(dial: Dial) -> None:
    service = AddOnServiceStub(dial("acme"))
    found = await service.BatchGetAddOns(addons_pb2.BatchGetAddOnsRequest(codes=["set-up", "seat", "set-up"]))
    assert [(each.code, each.tax_inclusive) for each in found.add_ons] == [
        ("set-up", False),
        ("seat", True),
        ("set-up", False),
    ]
    with pytest.raises(NotFound, match="ADD_ON_NOT_FOUND") as refused:
        await service.BatchGetAddOns(addons_pb2.BatchGetAddOnsRequest(codes=["desk", "seat", "lamp"]))
    assert [each.field for each in refused.value.violations] == ["codes[0]", "codes[2]"]
    with pytest.raises(InvalidArgument, match="FIELD_MISSING"):
        await service.BatchGetAddOns(addons_pb2.BatchGetAddOnsRequest())

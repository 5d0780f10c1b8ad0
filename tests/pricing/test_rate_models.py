"""What Rate answers under the charge models that need more than a quantity."""

from fractions import Fraction
from uuid import uuid4

import pytest

from libs.common.errors import BillingError
from tests.pricing.conftest import Client
from tests.pricing.requests import marketplace
from weir.pricing.v1.pricing_pb2 import (
    BatchRateRequest,
    ChargeQuantity,
    CreatePlanRequest,
    EventValue,
    Plan,
    Proration,
    RatedCharge,
    RatedTier,
    RateRequest,
    RateResponse,
)

PLAN = "marketplace"

USED = [
    ChargeQuantity(charge_code="seats", quantity="3", full_quantity="12"),
    ChargeQuantity(charge_code="payments", quantity="500", event_count=7),
    ChargeQuantity(
        charge_code="payments",
        filter="amex",
        quantity="1310",
        events=[EventValue(value="300"), EventValue(value="1000"), EventValue(value="10")],
    ),
    ChargeQuantity(charge_code="sales", quantity="1000.5"),
    ChargeQuantity(charge_code="resale", quantity="2", events=[EventValue(amount="1.5"), EventValue(amount="0.25")]),
    ChargeQuantity(charge_code="tokens", quantity="1000", group={"model": "large", "direction": "out"}),
    ChargeQuantity(charge_code="tokens", quantity="1000", group={"model": "small"}),
]


@pytest.fixture(autouse=True)
async def plan(pricing: Client) -> None:
    await pricing.CreatePlan(
        CreatePlanRequest(request_id=str(uuid4()), plan=Plan(code=PLAN, name="Marketplace"), version=marketplace())
    )


async def rated(pricing: Client, *quantities: ChargeQuantity, proration: Proration | None = None) -> RateResponse:
    request = RateRequest(plan_code=PLAN, version=1, quantities=quantities, proration=proration)
    alone = await pricing.Rate(request)
    batch = await pricing.BatchRate(BatchRateRequest(requests=[request]))
    assert list(batch.responses) == [alone]
    return alone


def entry(charge: RatedCharge) -> tuple[str, str, str, str, str]:
    return charge.charge_code, charge.filter, charge.charge_model, charge.unrounded_amount, charge.unit_amount


async def test_every_model_filter_and_group_has_its_entries(pricing: Client) -> None:
    response = await rated(pricing, *USED)
    assert [entry(charge) for charge in response.charges] == [
        ("seats", "", "volume", "45", "3.75"),
        ("seats", "", "minimum", "55", "55"),
        ("payments", "", "percentage", "16.6", "0.0332"),
        ("payments", "amex", "percentage", "20.5", "0.015648854962"),
        ("sales", "", "graduated_percentage", "51.0125", "0.050987006497"),
        ("resale", "", "dynamic", "1.75", "0.875"),
        ("tokens", "", "matrix", "0.06", "0.00006"),
        ("tokens", "", "matrix", "0.01", "0.00001"),
    ]
    assert [charge.name for charge in response.charges][2:4] == ["Card payments", "American Express"]
    assert [dict(charge.group) for charge in response.charges][6:] == [
        {"model": "large", "direction": "out"},
        {"model": "small"},
    ]
    seats, _, cards, *_ = response.charges
    assert (seats.full_quantity, seats.HasField("event_count")) == ("12", False)
    assert (cards.full_quantity, cards.event_count) == ("", 7)


async def test_the_steps_of_every_entry_add_up_by_their_own_arithmetic(pricing: Client) -> None:
    for charge in (await rated(pricing, *USED)).charges:
        assert sum(Fraction(step.amount) for step in charge.tiers) == Fraction(charge.unrounded_amount)
        for step in charge.tiers:
            product = Fraction(step.quantity) * Fraction(step.unit_price)
            assert product + Fraction(step.flat_fee) == Fraction(step.amount)
            assert step.kind != RatedTier.KIND_UNSPECIFIED


def told(step: RatedTier) -> tuple[object, ...]:
    return step.kind, step.quantity, step.unit_price, step.rate_percent, step.free_units, step.amount


async def test_a_percentage_tells_units_transactions_and_limits(pricing: Client) -> None:
    together, each = (await rated(pricing, *USED)).charges[2:4]
    assert [told(step) for step in together.tiers] == [
        (RatedTier.KIND_UNITS, "500", "0.029", "2.9", "0", "14.5"),
        (RatedTier.KIND_TRANSACTIONS, "7", "0.3", "", "0", "2.1"),
    ]
    assert [told(step) for step in each.tiers] == [
        (RatedTier.KIND_UNITS, "1010", "0.035", "3.5", "300", "35.35"),
        (RatedTier.KIND_TRANSACTIONS, "2", "0", "", "1", "0"),
        (RatedTier.KIND_LIMIT, "1", "-14.85", "", "0", "-14.85"),
    ]


async def test_a_minimum_is_owed_for_the_days_of_the_request(pricing: Client) -> None:
    response = await rated(pricing, USED[0], proration=Proration(days=15, period_days=30))
    seats, true_up = response.charges[:2]
    assert (seats.amount.minor_units, true_up.amount.minor_units, true_up.quantity) == (4500, 500, "1")
    [step] = true_up.tiers
    assert (step.kind, getattr(step, "from"), step.up_to, step.amount) == (RatedTier.KIND_LIMIT, "45", "50", "5")
    over = await rated(pricing, ChargeQuantity(charge_code="seats", quantity="100"))
    assert [(charge.charge_model, charge.amount.minor_units) for charge in over.charges[:2]] == [
        ("volume", 150_000),
        ("maximum", -50_000),
    ]


async def test_what_is_left_out_is_rated_at_0(pricing: Client) -> None:
    response = await rated(pricing)
    assert [(charge.charge_code, charge.filter, charge.unrounded_amount) for charge in response.charges] == [
        ("seats", "", "0"),
        ("seats", "", "100"),
        ("payments", "", "0"),
        ("payments", "amex", "0"),
        ("sales", "", "1"),
        ("resale", "", "0"),
        ("tokens", "", "0"),
    ]


@pytest.mark.parametrize(
    ("quantity", "reason"),
    [
        (ChargeQuantity(charge_code="payments", quantity="5"), "EVENT_COUNT_MISSING"),
        (ChargeQuantity(charge_code="payments", quantity="5", filter="amex"), "EVENTS_MISSING"),
        (ChargeQuantity(charge_code="payments", quantity="5", filter="visa"), "CHARGE_FILTER_NOT_FOUND"),
        (ChargeQuantity(charge_code="resale", quantity="5"), "EVENTS_MISSING"),
        (ChargeQuantity(charge_code="seats", quantity="5", group={"model": "x"}), "GROUP_KEY_UNKNOWN"),
        (ChargeQuantity(charge_code="tokens", quantity="5", group={"region": "x"}), "GROUP_KEY_UNKNOWN"),
    ],
)
async def test_what_a_charge_model_cannot_do_without_is_refused(
    pricing: Client, quantity: ChargeQuantity, reason: str
) -> None:
    with pytest.raises(BillingError) as refused:
        await rated(pricing, quantity)
    assert refused.value.reason == reason

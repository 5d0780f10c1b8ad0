import asyncio

import pytest

from libs.common.errors import BillingError, InvalidArgument, NotFound
from tests.pricing.conftest import Client, Connect
from tests.pricing.requests import create_plan, create_version, rate
from weir.pricing.v1.pricing_pb2 import BatchRateRequest, RatedCharge, RateRequest, RateResponse


@pytest.fixture
async def plan(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())


def amounts(response: RateResponse) -> dict[str, int]:
    return {charge.charge_code: charge.amount.minor_units for charge in response.charges}


@pytest.mark.usefixtures("plan")
async def test_the_demo_plan_costs_what_it_says(pricing: Client) -> None:
    response = await pricing.Rate(rate(requests="2940", input_tokens="5990000", output_tokens="82000.5"))
    assert amounts(response) == {"requests": 300, "input_tokens": 1199, "output_tokens": 82}


@pytest.mark.usefixtures("plan")
async def test_every_step_of_the_arithmetic_is_told(pricing: Client) -> None:
    response = await pricing.Rate(rate(requests="2940", input_tokens="1500000.50", output_tokens="-7"))
    packages, tokens, nothing = response.charges
    assert (packages.name, packages.meter_code, packages.charge_model) == ("API requests", "requests", "package")
    assert steps(packages) == [("0", "", "3", "1", "0", "3", "500")]
    assert (tokens.charge_model, tokens.quantity, tokens.unrounded_amount) == ("graduated", "1500000.5", "3.500001")
    assert (tokens.amount.currency_code, tokens.amount.minor_units) == ("USD", 350)
    assert steps(tokens) == [
        ("0", "1000000", "1000000", "0.0000025", "0", "2.5", "0"),
        ("1000000", "5000000", "500000.5", "0.000002", "0", "1.000001", "0"),
    ]
    assert (nothing.name, nothing.charge_model, nothing.quantity) == ("output_tokens", "standard", "-7")
    assert (nothing.amount.minor_units, nothing.unrounded_amount, steps(nothing)) == (0, "0", [])


def steps(charge: RatedCharge) -> list[tuple[str, ...]]:
    fields = ("from", "up_to", "quantity", "unit_price", "flat_fee", "amount", "free_units")
    return [tuple(getattr(tier, field) for field in fields) for tier in charge.tiers]


@pytest.mark.usefixtures("plan")
async def test_a_charge_left_out_is_priced_at_0(pricing: Client) -> None:
    response = await pricing.Rate(rate(output_tokens="1000000"))
    assert amounts(response) == {"requests": 0, "input_tokens": 0, "output_tokens": 1000}
    assert response.charges[0].quantity == "0"


@pytest.mark.usefixtures("plan")
async def test_a_version_costs_the_same_whatever_comes_after_it(pricing: Client) -> None:
    before = await pricing.Rate(rate(output_tokens="123456"))
    await pricing.CreatePlanVersion(create_version(unit_price="9"))
    assert await pricing.Rate(rate(output_tokens="123456")) == before
    assert amounts(await pricing.Rate(rate(version=2, output_tokens="1"))) == {"output_tokens": 900}


WRONG = [
    (rate("none"), "PLAN_NOT_FOUND"),
    (rate(version=2), "PLAN_VERSION_NOT_FOUND"),
    (rate(gpu_hours="1"), "CHARGE_NOT_FOUND"),
    (rate(""), "FIELD_MISSING"),
    (rate(version=0), "VERSION_NOT_POSITIVE"),
    (rate(requests="1e3"), "DECIMAL_MALFORMED"),
    (rate(output_tokens="9" * 26), "AMOUNT_TOO_LARGE"),
]


@pytest.mark.usefixtures("plan")
@pytest.mark.parametrize(("wrong", "reason"), WRONG)
async def test_a_wrong_request_is_refused_with_its_reason(pricing: Client, wrong: RateRequest, reason: str) -> None:
    with pytest.raises(BillingError) as alone:
        await pricing.Rate(wrong)
    with pytest.raises(BillingError) as in_batch:
        await pricing.BatchRate(BatchRateRequest(requests=[rate(), wrong]))
    assert (alone.value.reason, in_batch.value.reason) == (reason, reason)
    assert in_batch.value.metadata == alone.value.metadata | {"request_index": "1"}


@pytest.mark.usefixtures("plan")
async def test_a_batch_answers_in_the_order_asked_as_each_request_would_be_answered_alone(pricing: Client) -> None:
    await pricing.CreatePlanVersion(create_version(unit_price="0.5"))
    requests = [rate(version=1 + n % 2, output_tokens=str(n)) for n in range(250)]
    batch = await pricing.BatchRate(BatchRateRequest(requests=requests))
    alone = await asyncio.gather(*(pricing.Rate(request) for request in requests))
    assert list(batch.responses) == alone


@pytest.mark.usefixtures("plan")
async def test_a_batch_is_refused_for_the_first_request_that_is_wrong(pricing: Client) -> None:
    missing, malformed = rate("none"), rate(requests="x")
    with pytest.raises(NotFound):
        await pricing.BatchRate(BatchRateRequest(requests=[rate(), missing, malformed]))
    with pytest.raises(InvalidArgument) as refused:
        await pricing.BatchRate(BatchRateRequest(requests=[rate(), malformed, missing]))
    assert refused.value.field == "requests[1].quantities[0].quantity"


@pytest.mark.usefixtures("plan")
async def test_a_batch_takes_10000_requests_and_not_one_more(pricing: Client) -> None:
    requests = [rate(requests="1501")] * 10_000
    response = await pricing.BatchRate(BatchRateRequest(requests=requests))
    assert {answer.charges[0].amount.minor_units for answer in response.responses} == {200}
    with pytest.raises(InvalidArgument) as refused:
        await pricing.BatchRate(BatchRateRequest(requests=[*requests, rate()]))
    assert refused.value.reason == "REQUESTS_TOO_MANY"


async def test_nobody_can_rate_under_the_plan_of_another_tenant_even_once_it_is_in_memory(connect: Connect) -> None:
    acme, rival = connect("acme"), connect("rival")
    await acme.CreatePlan(create_plan())
    await acme.Rate(rate())
    with pytest.raises(NotFound) as refused:
        await rival.Rate(rate())
    assert refused.value.reason == "PLAN_NOT_FOUND"

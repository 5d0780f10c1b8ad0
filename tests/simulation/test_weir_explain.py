"""Explain, and `weir explain` as a user runs it."""

import json

import pytest

from libs.common.errors import InvalidArgument, NotFound
from tests.invoicing.world import Tenant
from tests.simulation.test_simulate import two_plans
from tests.simulation.weir import Weir
from weir.pricing.v1.explanation_pb2 import ExplainRequest
from weir.pricing.v1.pricing_pb2 import ChargeQuantity, RateRequest


async def test_an_explanation_has_the_amounts_of_a_rating(acme: Tenant) -> None:
    await two_plans(acme)
    quantities = [ChargeQuantity(charge_code="words", quantity="1234567.5")]
    request = RateRequest(plan_code="modern", version=1, quantities=quantities)
    found = await acme.explanation.Explain(ExplainRequest(rate=request))
    assert [each.rated for each in found.charges] == list((await acme.pricing.Rate(request)).charges)
    assert found.amount.minor_units == 523
    assert found.charges[1].lines[-2].expression == "5 + 0.2345675"
    with pytest.raises(NotFound):
        await acme.explanation.Explain(ExplainRequest(rate=RateRequest(plan_code="modern", version=2)))
    with pytest.raises(InvalidArgument) as raised:
        await acme.explanation.Explain(ExplainRequest())
    assert raised.value.field == "rate"


async def test_weir_explain_prints_the_arithmetic(weir: Weir, acme: Tenant) -> None:
    await two_plans(acme)
    code, out, err = await weir("explain", "modern", "words=1234567.5")
    assert (code, err) == (0, "")
    assert "234,567.5 units above 1,000,000 at 0.000001 USD each: 0.2345675 USD." in out
    assert "modern@1: 5.23 USD" in out
    code, out, _ = await weir("explain", "modern@1", "--json")
    assert (code, json.loads(out)["amount"]["minor_units"]) == (0, "0")
    code, _, err = await weir("explain", "modern", "words")
    assert (code, err) == (2, "weir: 'words' is not CHARGE=QUANTITY\n")

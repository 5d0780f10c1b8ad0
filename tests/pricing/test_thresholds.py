"""Which thresholds usage has passed since it was billed last."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidArgument, NotFound
from libs.common.money import Money
from services.pricing.domain.thresholds import UsageThreshold, passed
from tests.pricing.conftest import Client, Dial
from tests.pricing.requests import create_plan
from weir.common.v1 import money_pb2
from weir.pricing.v1 import thresholds_pb2
from weir.pricing.v1.thresholds_pb2_grpc import ThresholdServiceStub

STEP = UsageThreshold(Money(7, "USD"), recurring=True)
fixed = st.lists(st.integers(1, 100), max_size=4, unique=True).map(
    lambda amounts: [UsageThreshold(Money(amount, "USD")) for amount in sorted(amounts)]
)
levels = st.lists(st.integers(0, 40), min_size=1, max_size=6).map(lambda added: [0, *accumulate(added)])


@given(fixed, levels)
def test_each_threshold_is_passed_once_however_often_it_is_asked(
    thresholds: list[UsageThreshold], levels: list[int]
) -> None:
    found = [each for before, now in pairwise(levels) for each in passed(thresholds, before, now)]
    assert found == passed(thresholds, levels[0], levels[-1])


@given(fixed, levels)
def test_a_recurring_threshold_is_passed_with_every_step_above_the_last_fixed_one(
    thresholds: list[UsageThreshold], levels: list[int]
) -> None:
    last = max((each.amount.minor_units for each in thresholds), default=0)
    for before, now in pairwise(levels):
        steps = [amount for amount in range(before + 1, now + 1) if amount > last and (amount - last) % 7 == 0]
        assert (STEP in passed([*thresholds, STEP], before, now)) is bool(steps)


def test_usage_that_shrank_passes_nothing() -> None:
    assert passed([UsageThreshold(Money(10, "USD")), STEP], 50, 5) == []


def dollars(minor_units: int, currency: str = "USD") -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency, minor_units=minor_units)


async def test_a_version_tells_its_thresholds_that_were_passed(pricing: Client, dial: Dial) -> None:
    service = ThresholdServiceStub(dial("acme"))
    request = create_plan()
    request.version.usage_thresholds.add(amount=dollars(1000), name="First")
    request.version.usage_thresholds.add(amount=dollars(500), recurring=True)
    await pricing.CreatePlan(request)
    query = thresholds_pb2.QueryPassedThresholdsRequest(plan_code="llm-api", version=1, current_usage=dollars(1700))
    assert [each.name for each in (await service.QueryPassedThresholds(query)).thresholds] == ["First", ""]
    query.progressively_billed.CopyFrom(dollars(1000))
    assert [each.recurring for each in (await service.QueryPassedThresholds(query)).thresholds] == [True]
    query.progressively_billed.CopyFrom(dollars(1700))
    assert not (await service.QueryPassedThresholds(query)).thresholds
    query.version = 2
    with pytest.raises(NotFound) as missing:
        await service.QueryPassedThresholds(query)
    assert missing.value.reason == "PLAN_VERSION_NOT_FOUND"


async def test_usage_of_another_currency_or_below_nothing_is_refused(pricing: Client, dial: Dial) -> None:
    service = ThresholdServiceStub(dial("acme"))
    await pricing.CreatePlan(create_plan())
    query = thresholds_pb2.QueryPassedThresholdsRequest(
        plan_code="llm-api", version=1, invoiced_usage=dollars(1, "EUR"), historical_usage=dollars(-1)
    )
    with pytest.raises(InvalidArgument) as refused:
        await service.QueryPassedThresholds(query)
    assert [(each.reason, each.field) for each in refused.value.violations] == [
        ("FIELD_MISSING", "current_usage"),
        ("CURRENCY_MISMATCH", "invoiced_usage.currency_code"),
        ("AMOUNT_NEGATIVE", "historical_usage.minor_units"),
    ]

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from libs.common.errors import InvalidArgument
from libs.common.wire import period_out
from services.pricing import convert
from services.pricing.domain import limits
from services.pricing.domain.usage import EventValue, Usage
from weir.common.v1.money_pb2 import Period
from weir.pricing.v1.pricing_pb2 import ChargeQuantity, Proration, RateRequest
from weir.pricing.v1.pricing_pb2 import EventValue as Event

PRORATED = Event(value="5", prorated_value="2")


def quantity(value: str = "1", code: str = "a", **others: object) -> ChargeQuantity:
    return ChargeQuantity(charge_code=code, quantity=value, **others)  # type: ignore[arg-type]


def test_everything_that_is_told_of_a_quantity_is_read() -> None:
    told = quantity(
        "-" + "9" * 40 + ".000000000001",
        filter="eu",
        group={"model": "large", "direction": "in"},
        full_quantity="12",
        event_count=0,
        events=[Event(value="-3", prorated_value="-0.5", amount="-1.25"), Event(prorated_value="0")],
    )
    assert convert.usages_in([told], "quantities") == (
        Usage(
            "a",
            Decimal("-" + "9" * 40 + ".000000000001"),
            "eu",
            (("direction", "in"), ("model", "large")),
            Decimal(12),
            0,
            (EventValue(Decimal(-3), Decimal("-0.5"), Decimal("-1.25")), EventValue(Decimal(0), Decimal(0))),
        ),
    )


def test_a_quantity_of_which_nothing_else_is_told_is_only_that() -> None:
    assert convert.usages_in([quantity("2")], "quantities") == (Usage("a", Decimal(2)),)


@pytest.mark.parametrize(
    ("quantities", "reason", "field"),
    [
        ([ChargeQuantity(quantity="1")], "FIELD_MISSING", "quantities[0].charge_code"),
        ([ChargeQuantity(charge_code="a")], "FIELD_MISSING", "quantities[0].quantity"),
        ([quantity("NaN")], "DECIMAL_MALFORMED", "quantities[0].quantity"),
        ([quantity("1" * 41)], "DECIMAL_MALFORMED", "quantities[0].quantity"),
        ([quantity()] * 2, "CHARGE_CODE_DUPLICATE", "quantities[1].charge_code"),
        (
            [quantity(group={"a": "1", "b": "2"}), quantity(group={"b": "2", "a": "1"})],
            "CHARGE_CODE_DUPLICATE",
            "quantities[1].charge_code",
        ),
        ([quantity(filter="E U")], "CODE_MALFORMED", "quantities[0].filter"),
        ([quantity(group={"": "large"})], "FIELD_MISSING", "quantities[0].group"),
        ([quantity(full_quantity="many")], "DECIMAL_MALFORMED", "quantities[0].full_quantity"),
        ([quantity(event_count=-1)], "AMOUNT_NEGATIVE", "quantities[0].event_count"),
        ([quantity(events=[Event(value="x")])], "DECIMAL_MALFORMED", "quantities[0].events[0].value"),
        ([quantity(events=[Event(amount="x")])], "DECIMAL_MALFORMED", "quantities[0].events[0].amount"),
        ([quantity(events=[PRORATED, Event(value="1")])], "PRORATION_MALFORMED", "quantities[0].events"),
        (
            [quantity(events=[PRORATED, Event(value="0", prorated_value="1")])],
            "PRORATION_MALFORMED",
            "quantities[0].events[1].prorated_value",
        ),
    ],
)
def test_a_quantity_that_cannot_be_rated_is_named(quantities: list[ChargeQuantity], reason: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        convert.usages_in(quantities, "quantities")
    assert (caught.value.reason, caught.value.field) == (reason, field)


def test_one_charge_has_a_quantity_for_each_filter_and_group() -> None:
    told = [quantity(), quantity(filter="eu"), quantity(group={"a": "1"}), quantity(group={"a": "1"}, filter="eu")]
    assert len(convert.usages_in(told, "quantities")) == 4


@pytest.mark.parametrize(("days", "period_days"), [(-1, 31), (32, 31), (0, 0)])
def test_a_part_of_the_period_is_some_of_its_days_or_none(days: int, period_days: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        convert.proration_in(RateRequest(proration=Proration(days=days, period_days=period_days)), "proration")
    assert (caught.value.reason, caught.value.field) == ("PRORATION_MALFORMED", "proration")


@pytest.mark.parametrize(("count", "reason"), [(0, "FIELD_MISSING"), (10_001, "REQUESTS_TOO_MANY")])
def test_a_batch_has_1_to_10000_requests(count: int, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        convert.require_batch([RateRequest()] * count)
    assert (caught.value.reason, caught.value.field) == (reason, "requests")


def stretch(start: str, end: str) -> Period:
    first, after = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (start, end))
    return period_out(first, after)


NOVEMBER = stretch("2023-11-01", "2023-12-01")
HALF = stretch("2023-11-15T12:00", "2023-12-01")


def test_a_part_of_the_period_may_be_told_as_stretches_of_time() -> None:
    request = RateRequest(proration=Proration(period=HALF, full_period=NOVEMBER))
    assert convert.proration_in(request, "proration") == limits.Proration(16, 30)


@pytest.mark.parametrize(
    ("proration", "reason", "field"),
    [
        (Proration(days=1, period=HALF, full_period=NOVEMBER), "PRORATION_MALFORMED", "proration"),
        (Proration(period=HALF), "FIELD_MISSING", "proration.full_period"),
        (Proration(period=NOVEMBER, full_period=HALF), "PRORATION_MALFORMED", "proration.period"),
        (
            Proration(period=HALF, full_period=NOVEMBER, time_zone="Atlantis"),
            "TIME_ZONE_UNKNOWN",
            "proration.time_zone",
        ),
        (
            Proration(period=stretch("2023-11-02", "2023-11-01"), full_period=NOVEMBER),
            "PERIOD_EMPTY",
            "proration.period.end_time",
        ),
    ],
)
def test_stretches_that_are_no_part_of_a_period_are_refused(proration: Proration, reason: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        convert.proration_in(RateRequest(proration=proration), "proration")
    assert (caught.value.reason, caught.value.field) == (reason, field)

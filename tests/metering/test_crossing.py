"""Which thresholds are crossed: the boundaries, and steps that are very many or very small."""

from decimal import Decimal

import pytest

from services.metering.domain.alerts import MAX_STEPS, Direction, Threshold, crossed

UP, DOWN = Direction.INCREASING, Direction.DECREASING


def values(direction: Direction, thresholds: list[str], step: str | None, previous: str, current: str) -> list[Decimal]:
    once = [Threshold("", Decimal(each)) for each in thresholds]
    every = None if step is None else Threshold("", Decimal(step))
    found = crossed(direction, once, every, Decimal(previous), Decimal(current))
    return [each.threshold.value for each in found]


@pytest.mark.parametrize(
    ("direction", "thresholds", "step", "previous", "current", "expected"),
    [
        (UP, ["10"], None, "9.999999999999", "10", ["10"]),
        (UP, ["10"], None, "10", "11", []),
        (UP, ["10"], None, "10", "10", []),
        (UP, ["0"], None, "0", "5", []),
        (UP, ["30", "10", "20"], None, "0", "25", ["10", "20"]),
        (UP, ["10"], None, "11", "9", []),
        (UP, ["10"], "5", "0", "14.999999999999", ["10"]),
        (UP, ["10"], "5", "0", "20", ["10", "15", "20"]),
        (UP, ["10"], "5", "15", "20", ["20"]),
        (UP, [], "5", "-20", "4", []),
        (UP, ["-10"], "5", "-20", "0", ["-10", "-5", "0"]),
        (DOWN, ["10"], None, "10.000000000001", "10", ["10"]),
        (DOWN, ["10"], None, "10", "9", []),
        (DOWN, ["10", "20"], "4", "30", "1", ["20", "10", "6", "2"]),
        (DOWN, [], "5", "4", "-10", ["-5", "-10"]),
        (DOWN, ["10"], "5", "1", "30", []),
    ],
)
def test_a_threshold_is_crossed_from_beyond_it_to_it_or_past_it(
    direction: Direction, thresholds: list[str], step: str | None, previous: str, current: str, expected: list[str]
) -> None:
    assert values(direction, thresholds, step, previous, current) == list(map(Decimal, expected))


def test_of_very_many_steps_the_last_ones_are_crossed() -> None:
    found = values(UP, [], "0.000000000001", "0", "99999999999999999999999999")
    assert len(found) == MAX_STEPS
    assert found[-1] == Decimal("99999999999999999999999999")
    assert found[0] == Decimal("99999999999999999999999998.999999999001")


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_values_of_all_digits_are_exact(direction: Direction) -> None:
    sign = "" if direction is UP else "-"
    last = f"{sign}12345678901234567890123456.123456789012"
    step = "0.000000000001"
    current = f"{sign}12345678901234567890123456.123456789014"
    found = values(direction, [last], step, f"{sign}12345678901234567890123456.123456789011", current)
    assert found == [Decimal(last), Decimal(last[:-1] + "3"), Decimal(current)]

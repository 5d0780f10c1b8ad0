from collections.abc import Callable

import pytest

from libs.common.errors import InvalidArgument
from services.pricing import convert
from services.pricing.domain.states import VersionState
from tests.pricing.conftest import NOW
from tests.pricing.requests import marketplace
from weir.pricing.v1.pricing_pb2 import (
    Charge,
    MatrixCell,
    PlanVersion,
    PricingUnit,
    PropertyFilter,
    StandardPrice,
    TimeOfDayPrice,
    TimeWindow,
)

SEATS, PAYMENTS, SALES, RESALE, TOKENS = range(5)
"""Positions of the charges of `marketplace`."""

Edit = Callable[[PlanVersion], object]


def matrix(version: PlanVersion) -> Charge:
    return version.charges[TOKENS]


def amex(version: PlanVersion) -> PropertyFilter:
    return version.charges[PAYMENTS].filters[0].properties[0]


def add_filter(version: PlanVersion, code: str, *values: str) -> None:
    """To the charge that has a filter for the scheme "amex"."""
    properties = [PropertyFilter(property="scheme", values=values)]
    version.charges[PAYMENTS].filters.add(code=code, properties=properties, standard=StandardPrice(unit_price="1"))


def price_in_credits(version: PlanVersion, code: str, conversion_rate: str) -> None:
    version.charges[SEATS].pricing_unit.CopyFrom(PricingUnit(code=code, conversion_rate=conversion_rate))


def hours(version: PlanVersion) -> TimeOfDayPrice:
    """A price by time of day, in the place of the dynamic one, that is right until it is edited."""
    charge = version.charges[RESALE]
    if not charge.HasField("time_of_day"):
        window = TimeWindow(code="night", end_hour=6, unit_price="1")
        charge.time_of_day.CopyFrom(TimeOfDayPrice(time_zone="UTC", windows=[window], default_unit_price="2"))
    return charge.time_of_day


def night(version: PlanVersion) -> TimeWindow:
    return hours(version).windows[0]


WRONG: list[tuple[Edit, str, str]] = [
    (lambda v: setattr(v.charges[SEATS], "minimum_amount", "-1"), "AMOUNT_NEGATIVE", "[0].minimum_amount"),
    (lambda v: setattr(v.charges[SEATS], "maximum_amount", "1e3"), "DECIMAL_MALFORMED", "[0].maximum_amount"),
    (lambda v: setattr(v.charges[SEATS], "maximum_amount", "99"), "MAXIMUM_BELOW_MINIMUM", "[0].maximum_amount"),
    (lambda v: v.charges[SEATS].volume.ClearField("tiers"), "FIELD_MISSING", "[0].volume.tiers"),
    (
        lambda v: setattr(v.charges[SEATS].volume.tiers[0], "up_to", "0"),
        "TIERS_NOT_ASCENDING",
        "[0].volume.tiers[0].up_to",
    ),
    (
        lambda v: setattr(v.charges[SEATS].volume.tiers[1], "up_to", "20"),
        "LAST_TIER_BOUNDED",
        "[0].volume.tiers[1].up_to",
    ),
    (
        lambda v: setattr(v.charges[PAYMENTS].percentage, "rate_percent", ""),
        "FIELD_MISSING",
        "[1].percentage.rate_percent",
    ),
    (
        lambda v: setattr(v.charges[PAYMENTS].percentage, "free_transactions", -1),
        "AMOUNT_NEGATIVE",
        "[1].percentage.free_transactions",
    ),
    (
        lambda v: setattr(v.charges[PAYMENTS].filters[0].percentage, "maximum_per_transaction", "0.4"),
        "MAXIMUM_BELOW_MINIMUM",
        "[1].filters[0].percentage.maximum_per_transaction",
    ),
    (lambda v: setattr(v.charges[PAYMENTS].filters[0], "code", "A"), "CODE_MALFORMED", "[1].filters[0].code"),
    (lambda v: v.charges[PAYMENTS].filters[0].ClearField("price"), "FIELD_MISSING", "[1].filters[0].price"),
    (lambda v: v.charges[PAYMENTS].filters[0].ClearField("properties"), "FIELD_MISSING", "[1].filters[0].properties"),
    (lambda v: setattr(amex(v), "property", ""), "FIELD_MISSING", "[1].filters[0].properties[0].property"),
    (lambda v: amex(v).values.append(""), "FIELD_MISSING", "[1].filters[0].properties[0].values[1]"),
    (
        lambda v: v.charges[PAYMENTS].filters[0].properties.add(property="scheme"),
        "PROPERTY_DUPLICATE",
        "[1].filters[0].properties[1].property",
    ),
    (lambda v: add_filter(v, "amex", "visa"), "FILTER_DUPLICATE", "[1].filters[1].code"),
    (lambda v: add_filter(v, "american", "amex", "amex"), "FILTER_DUPLICATE", "[1].filters[1].properties"),
    (
        lambda v: setattr(v.charges[SALES].graduated_percentage.tiers[0], "rate_percent", "-5"),
        "AMOUNT_NEGATIVE",
        "[2].graduated_percentage.tiers[0].rate_percent",
    ),
    (
        lambda v: setattr(v.charges[SALES].graduated_percentage.tiers[0], "up_to", ""),
        "FIELD_MISSING",
        "[2].graduated_percentage.tiers[0].up_to",
    ),
    (
        lambda v: v.charges[SALES].graduated_percentage.ClearField("tiers"),
        "FIELD_MISSING",
        "[2].graduated_percentage.tiers",
    ),
    (lambda v: v.charges[RESALE].ClearField("dynamic"), "FIELD_MISSING", "[3].price"),
    (lambda v: matrix(v).group_keys.append("model"), "PROPERTY_DUPLICATE", "[4].group_keys[2]"),
    (lambda v: matrix(v).group_keys.append(""), "FIELD_MISSING", "[4].group_keys[2]"),
    (lambda v: matrix(v).group_keys.remove("model"), "MATRIX_DIMENSION_UNGROUPED", "[4].matrix.dimensions[0]"),
    (lambda v: matrix(v).matrix.ClearField("dimensions"), "FIELD_MISSING", "[4].matrix.dimensions"),
    (lambda v: matrix(v).matrix.dimensions.append("model"), "PROPERTY_DUPLICATE", "[4].matrix.dimensions[2]"),
    (lambda v: matrix(v).matrix.ClearField("default_unit_price"), "FIELD_MISSING", "[4].matrix.default_unit_price"),
    (
        lambda v: matrix(v).matrix.cells[0].values.append("eu"),
        "MATRIX_CELL_MALFORMED",
        "[4].matrix.cells[0].values",
    ),
    (
        lambda v: matrix(v).matrix.cells.append(MatrixCell(values=["large", "out"], unit_price="1")),
        "MATRIX_CELL_DUPLICATE",
        "[4].matrix.cells[1].values",
    ),
    (
        lambda v: matrix(v).matrix.cells.append(MatrixCell(values=["large", "in"])),
        "FIELD_MISSING",
        "[4].matrix.cells[1].unit_price",
    ),
    (lambda v: setattr(v.charges[SEATS], "accumulation", 7), "ACCUMULATION_UNKNOWN", "[0].accumulation"),
    (lambda v: setattr(v.charges[SEATS], "accumulation", 1), "ACCUMULATION_UNSUPPORTED", "[0].accumulation"),
    (lambda v: price_in_credits(v, "credits", "0"), "CONVERSION_RATE_NOT_POSITIVE", "[0].pricing_unit.conversion_rate"),
    (lambda v: price_in_credits(v, "credits", ""), "FIELD_MISSING", "[0].pricing_unit.conversion_rate"),
    (lambda v: price_in_credits(v, "", "1"), "FIELD_MISSING", "[0].pricing_unit.code"),
    (lambda v: hours(v).ClearField("time_zone"), "FIELD_MISSING", "[3].time_of_day.time_zone"),
    (lambda v: setattr(hours(v), "time_zone", "Mars/Base"), "TIME_ZONE_UNKNOWN", "[3].time_of_day.time_zone"),
    (lambda v: hours(v).ClearField("windows"), "FIELD_MISSING", "[3].time_of_day.windows"),
    (lambda v: hours(v).ClearField("default_unit_price"), "FIELD_MISSING", "[3].time_of_day.default_unit_price"),
    (lambda v: hours(v).windows.append(hours(v).windows[0]), "WINDOW_DUPLICATE", "[3].time_of_day.windows[1].code"),
    (lambda v: setattr(night(v), "end_hour", 0), "WINDOW_MALFORMED", "[3].time_of_day.windows[0]"),
    (lambda v: setattr(night(v), "end_hour", 25), "WINDOW_MALFORMED", "[3].time_of_day.windows[0]"),
    (lambda v: setattr(night(v), "unit_price", ""), "FIELD_MISSING", "[3].time_of_day.windows[0].unit_price"),
    (lambda v: night(v).weekdays.append(8), "WINDOW_MALFORMED", "[3].time_of_day.windows[0].weekdays"),
    (lambda v: night(v).weekdays.extend([1, 1]), "WINDOW_MALFORMED", "[3].time_of_day.windows[0].weekdays"),
]


@pytest.mark.parametrize(("edit", "reason", "field"), WRONG, ids=[f"{reason} {field}" for _, reason, field in WRONG])
def test_what_is_wrong_with_a_charge_is_named(edit: Edit, reason: str, field: str) -> None:
    version = marketplace()
    edit(version)
    with pytest.raises(InvalidArgument) as caught:
        convert.version_in(version, "marketplace", 1, NOW)
    assert (caught.value.reason, caught.value.field) == (reason, f"version.charges{field}")


def test_filters_with_the_same_values_of_another_property_are_not_the_same() -> None:
    version = marketplace()
    version.charges[PAYMENTS].filters.add(
        code="issuer",
        properties=[PropertyFilter(property="issuer", values=["amex"])],
        standard=StandardPrice(unit_price="1"),
    )
    assert len(convert.version_in(version, "marketplace", 1, NOW).charges[PAYMENTS].filters) == 2


def test_what_a_percentage_may_leave_out_is_no_allowance_and_no_limit() -> None:
    read = (
        convert.version_out(convert.version_in(marketplace(), "marketplace", 1, NOW), VersionState.ACTIVE)
        .charges[PAYMENTS]
        .percentage
    )
    assert (read.free_transactions, read.free_amount) == (0, "0")
    assert (read.minimum_per_transaction, read.maximum_per_transaction) == ("", "")

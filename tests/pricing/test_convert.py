from collections.abc import Callable
from decimal import Decimal

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import HealthCheck, given, settings

from libs.common.errors import InvalidArgument
from services.pricing import convert
from services.pricing.domain.plans import Plan
from services.pricing.domain.states import VersionState
from tests.pricing.conftest import NOW
from tests.pricing.requests import llm_api
from tests.pricing.strategies import plans
from weir.pricing.v1.pricing_pb2 import Charge, PlanVersion, PriceTier, Tax

REQUESTS, INPUT, OUTPUT = 0, 1, 2
"""Positions of the charges of `llm_api`."""

Edit = Callable[[PlanVersion], object]


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(plans)
def test_a_plan_read_from_what_was_written_is_the_same(plan: Plan) -> None:
    written = convert.plan_out(plan)
    assert convert.plan_in(written, written.latest_version, False, plan.create_time) == (plan, plan.latest_version)


def refused(edit: Edit) -> InvalidArgument:
    version = llm_api()
    edit(version)
    with pytest.raises(InvalidArgument) as caught:
        convert.version_in(version, "llm-api", 1, NOW)
    return caught.value


def tiers(version: PlanVersion) -> list[PriceTier]:
    return list(version.charges[INPUT].graduated.tiers)


@pytest.mark.parametrize(
    ("edit", "reason", "field"),
    [
        (lambda v: setattr(v, "currency_code", ""), "FIELD_MISSING", "version.currency_code"),
        (lambda v: setattr(v, "currency_code", "usd"), "CURRENCY_UNKNOWN", "version.currency_code"),
        (lambda v: setattr(v, "billing_interval", 0), "FIELD_MISSING", "version.billing_interval"),
        (lambda v: setattr(v, "billing_interval", 9), "BILLING_INTERVAL_UNKNOWN", "version.billing_interval"),
        (lambda v: setattr(v.base_fee, "minor_units", -1), "AMOUNT_NEGATIVE", "version.base_fee.minor_units"),
        (lambda v: setattr(v.base_fee, "currency_code", "EUR"), "CURRENCY_MISMATCH", "version.base_fee.currency_code"),
        (lambda v: setattr(v.base_fee, "currency_code", ""), "FIELD_MISSING", "version.base_fee.currency_code"),
        (lambda v: v.tax_codes.append("Ny"), "CODE_MALFORMED", "version.tax_codes[1]"),
        (lambda v: v.tax_codes.append("ny-sales"), "TAX_CODE_DUPLICATE", "version.tax_codes[1]"),
        (lambda v: setattr(v.charges[OUTPUT], "code", ""), "FIELD_MISSING", "version.charges[2].code"),
        (lambda v: setattr(v.charges[OUTPUT], "code", "a b"), "CODE_MALFORMED", "version.charges[2].code"),
        (lambda v: setattr(v.charges[OUTPUT], "code", "x" * 65), "FIELD_TOO_LONG", "version.charges[2].code"),
        (lambda v: setattr(v.charges[OUTPUT], "code", "base"), "CHARGE_CODE_RESERVED", "version.charges[2].code"),
        (lambda v: setattr(v.charges[OUTPUT], "code", "requests"), "CHARGE_CODE_DUPLICATE", "version.charges[2].code"),
        (lambda v: setattr(v.charges[OUTPUT], "name", "\0"), "TEXT_MALFORMED", "version.charges[2].name"),
        (lambda v: setattr(v.charges[OUTPUT], "meter_code", ""), "FIELD_MISSING", "version.charges[2].meter_code"),
        (lambda v: v.charges[OUTPUT].ClearField("standard"), "FIELD_MISSING", "version.charges[2].price"),
        (
            lambda v: setattr(v.charges[OUTPUT].standard, "unit_price", "1e-5"),
            "DECIMAL_MALFORMED",
            "version.charges[2].standard.unit_price",
        ),
        (
            lambda v: setattr(v.charges[OUTPUT].standard, "unit_price", "-0.1"),
            "AMOUNT_NEGATIVE",
            "version.charges[2].standard.unit_price",
        ),
        (
            lambda v: setattr(v.charges[REQUESTS].package, "package_size", "0"),
            "PACKAGE_SIZE_NOT_POSITIVE",
            "version.charges[0].package.package_size",
        ),
        (
            lambda v: setattr(v.charges[REQUESTS].package, "package_price", ""),
            "FIELD_MISSING",
            "version.charges[0].package.package_price",
        ),
        (
            lambda v: setattr(v.charges[REQUESTS].package, "free_units", "-1"),
            "AMOUNT_NEGATIVE",
            "version.charges[0].package.free_units",
        ),
        (
            lambda v: v.charges[INPUT].graduated.ClearField("tiers"),
            "FIELD_MISSING",
            "version.charges[1].graduated.tiers",
        ),
        (
            lambda v: setattr(tiers(v)[0], "up_to", ""),
            "FIELD_MISSING",
            "version.charges[1].graduated.tiers[0].up_to",
        ),
        (
            lambda v: setattr(tiers(v)[0], "up_to", "0"),
            "TIERS_NOT_ASCENDING",
            "version.charges[1].graduated.tiers[0].up_to",
        ),
        (
            lambda v: setattr(tiers(v)[1], "up_to", "1000000"),
            "TIERS_NOT_ASCENDING",
            "version.charges[1].graduated.tiers[1].up_to",
        ),
        (
            lambda v: setattr(tiers(v)[2], "up_to", "9000000"),
            "LAST_TIER_BOUNDED",
            "version.charges[1].graduated.tiers[2].up_to",
        ),
        (
            lambda v: setattr(tiers(v)[1], "unit_price", "0.0000000000001"),
            "DECIMAL_MALFORMED",
            "version.charges[1].graduated.tiers[1].unit_price",
        ),
        (
            lambda v: setattr(tiers(v)[1], "flat_fee", "-5"),
            "AMOUNT_NEGATIVE",
            "version.charges[1].graduated.tiers[1].flat_fee",
        ),
    ],
)
def test_what_is_wrong_with_a_version_is_named(edit: Edit, reason: str, field: str) -> None:
    error = refused(edit)
    assert (error.reason, error.field) == (reason, field)


def test_the_mistakes_of_all_charges_are_named_at_once() -> None:
    def edit(version: PlanVersion) -> None:
        version.charges[OUTPUT].standard.unit_price = "cheap"
        tiers(version)[0].up_to = "many"
        tiers(version)[1].unit_price = ""

    assert [violation.field for violation in refused(edit).violations] == [
        "version.charges[1].graduated.tiers[0].up_to",
        "version.charges[1].graduated.tiers[1].unit_price",
        "version.charges[2].standard.unit_price",
    ]


def test_a_version_may_have_neither_base_fee_nor_charges_nor_taxes() -> None:
    monthly = PlanVersion.BILLING_INTERVAL_MONTHLY
    version = convert.version_in(PlanVersion(currency_code="JPY", billing_interval=monthly), "free", 1, NOW)
    assert (version.base_fee, version.charges, version.tax_codes) == (None, (), ())


def test_what_a_price_may_leave_out_is_0() -> None:
    version = llm_api()
    version.charges[REQUESTS].package.free_units = ""
    tiers(version)[0].flat_fee = ""
    read = convert.version_out(convert.version_in(version, "llm-api", 1, NOW), VersionState.ACTIVE)
    assert read.charges[REQUESTS].package.free_units == "0"
    assert tiers(read)[0].flat_fee == "0"


@pytest.mark.parametrize(
    ("rate_percent", "reason"),
    [
        ("", "FIELD_MISSING"),
        ("8,875", "DECIMAL_MALFORMED"),
        ("-1", "PERCENT_OUT_OF_RANGE"),
        ("100.000001", "PERCENT_OUT_OF_RANGE"),
        ("8.8750001", "PERCENT_TOO_PRECISE"),
    ],
)
def test_a_rate_that_is_no_percentage_is_refused(rate_percent: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        convert.tax_in(Tax(code="ny-sales", name="Sales tax", rate_percent=rate_percent), NOW)
    assert (caught.value.reason, caught.value.field) == (reason, "tax.rate_percent")


@pytest.mark.parametrize("rate_percent", ["0", "100", "8.875", "0.000001"])
def test_a_rate_from_0_to_100_is_kept_as_it_is(rate_percent: str) -> None:
    tax = convert.tax_in(Tax(code="ny-sales", name="Sales tax", rate_percent=rate_percent), NOW)
    assert tax.rate_percent == Decimal(rate_percent)


@pytest.mark.parametrize(("paths", "reason"), [([], "FIELD_MISSING"), (["name", "code"], "MASK_PATH_UNKNOWN")])
def test_only_a_name_and_a_rate_can_change(paths: list[str], reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        convert.tax_change_in(Tax(code="vat", name="VAT", rate_percent="20"), FieldMask(paths=paths))
    assert (caught.value.reason, caught.value.field) == (reason, "update_mask")


def test_only_the_fields_that_change_are_read() -> None:
    tax = Tax(code="vat", name="", rate_percent="20")
    assert convert.tax_change_in(tax, FieldMask(paths=["rate_percent"])) == ("vat", None, Decimal(20), None)


def test_a_charge_without_a_name_is_called_by_its_code_on_invoices_and_stays_nameless_in_its_plan() -> None:
    version = llm_api()
    assert version.charges[OUTPUT].name == ""
    assert convert.version_out(convert.version_in(version, "llm-api", 1, NOW), VersionState.ACTIVE).charges[
        OUTPUT
    ] == Charge(code="output_tokens", meter_code="output_tokens", standard=version.charges[OUTPUT].standard)

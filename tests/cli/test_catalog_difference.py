from collections.abc import Sequence

import pytest
from google.protobuf.message import Message

from cli.catalog.difference import Change, Existing, FieldChange, changes, require_known_names
from cli.catalog.kinds import KINDS, PLAN
from cli.catalog.nodes import CatalogError
from cli.catalog.reader import Catalog, read_catalog
from weir.pricing.v1.pricing_pb2 import Plan, PlanVersion

NOTHING: Existing = {kind: {} for kind in KINDS}
TEXT = """\
meters:
  - {code: calls, name: calls, event_code: calls, aggregation: count}
taxes:
  - {code: vat, name: VAT, rate_percent: 7.50}
plans:
  - code: pro
    name: Pro
    currency_code: USD
    billing_interval: monthly
    base_fee: 20.00
    tax_codes: [vat]
    charges:
      - {code: calls, meter_code: calls, standard: {unit_price: 0.10}}
"""


def catalog(text: str = TEXT) -> Catalog:
    return read_catalog(text.encode(), "c.yaml")


def normal(found: Catalog) -> Sequence[tuple[Message, ...]]:
    return [element.messages for element in found.elements]


def found(text: str, existing: Existing) -> list[Change]:
    read = catalog(text)
    require_known_names(read, existing)
    return changes(read, normal(read), existing)


def recorded(text: str = TEXT, version: int = 3) -> Existing:
    """What services have that have recorded the catalog."""
    read = catalog(text)
    existing = {kind: {each.code: each.messages for each in read.of(kind)} for kind in KINDS}
    for plan, contents in existing[PLAN].values():
        assert isinstance(plan, Plan)
        assert isinstance(contents, PlanVersion)
        plan.latest_version.CopyFrom(contents)
        plan.latest_version.version = plan.version_count = version
    return existing


def test_everything_is_new_to_an_empty_tenant_in_an_order_that_can_be_applied() -> None:
    made = found(TEXT, NOTHING)
    assert [(each.kind, each.code, each.action) for each in made] == [
        ("meter", "calls", "create"),
        ("tax", "vat", "create"),
        ("plan", "pro", "create"),
    ]
    assert FieldChange("charges.calls.standard.unit_price", "", "0.1") in made[2].fields


def test_what_is_recorded_already_is_unchanged_however_the_file_writes_it() -> None:
    same = TEXT.replace("7.50", "7.5").replace("20.00", "20").replace("0.10", "0.1000")
    assert [each.action for each in found(same, recorded())] == ["unchanged"] * 3


def test_another_price_is_a_new_version() -> None:
    [*_, change] = found(TEXT.replace("0.10", "0.12"), recorded())
    [price] = change.fields
    assert change == Change("plan", "pro", "new_version", (price,), 4)
    assert price == FieldChange("charges.calls.standard.unit_price", "0.1", "0.12")


def test_another_charge_model_is_a_change_of_both() -> None:
    package = TEXT.replace("standard: {unit_price: 0.10}", "package: {package_size: 1000, package_price: 1}")
    [*_, change] = found(package, recorded())
    assert change.fields == (
        FieldChange("charges.calls.standard.unit_price", "0.1", ""),
        FieldChange("charges.calls.package.package_size", "", "1000"),
        FieldChange("charges.calls.package.package_price", "", "1"),
    )


def test_tiers_are_counted_and_charges_named() -> None:
    tiers = "graduated: {tiers: [{up_to: 10, unit_price: 2}, {unit_price: 1}]}"
    before = recorded(TEXT.replace("standard: {unit_price: 0.10}", tiers))
    [*_, change] = found(TEXT.replace("standard: {unit_price: 0.10}", tiers.replace("up_to: 10", "up_to: 20")), before)
    assert change.fields == (FieldChange("charges.calls.graduated.tiers[1].up_to", "10", "20"),)


def test_another_rate_of_tax_is_an_update() -> None:
    made = found(TEXT.replace("7.50", "8"), recorded())
    assert made[1] == Change("tax", "vat", "update", (FieldChange("rate_percent", "7.5", "8"),))


def test_another_name_of_a_meter_is_an_update() -> None:
    made = found(TEXT.replace("name: calls", "name: Calls"), recorded())
    assert made[0] == Change("meter", "calls", "update", (FieldChange("name", "calls", "Calls"),))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "aggregation: count}",
            "aggregation: sum, value_property: n}",
            "c.yaml:2: meters[0].aggregation: meter 'calls' was made with count, here it is sum",
        ),
        ("event_code: calls", "event_code: x", "c.yaml:2: meters[0].event_code: meter 'calls'"),
        (
            "meter_code: calls",
            "meter_code: cals",
            "c.yaml:13: plans[0].charges[0].meter_code: there is no meter 'cals'",
        ),
        ("tax_codes: [vat]", "tax_codes: [tva]", "c.yaml:11: plans[0].tax_codes[0]: there is no tax 'tva'"),
    ],
)
def test_what_cannot_be_changed_is_refused_before_anything_is_applied(old: str, new: str, expected: str) -> None:
    with pytest.raises(CatalogError) as caught:
        found(TEXT.replace(old, new), recorded())
    assert str(caught.value).startswith(expected)


def test_a_plan_may_name_what_only_the_service_has() -> None:
    only_plan = TEXT[TEXT.index("plans:") :]
    assert [each.action for each in found(only_plan, recorded())] == ["unchanged"]

import pytest

from cli.catalog.difference import Change, Existing, FieldChange, changes
from cli.catalog.nodes import CatalogError
from cli.catalog.reader import Catalog, read_catalog
from weir.metering.v1.metering_pb2 import Meter
from weir.pricing.v1.pricing_pb2 import Plan, Tax

NOTHING = Existing({}, {}, {})
TEXT = """\
meters:
  - {code: calls, aggregation: count}
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


def recorded(text: str = TEXT, version: int = 3) -> Existing:
    """What services answer that have recorded the catalog and filled in what it leaves out."""
    found = catalog(text)
    meters = [Meter(code=m.code, name=m.code, event_code=m.code, aggregation=m.aggregation) for m in found.meters]
    taxes = [Tax(code=t.code, name=t.name, rate_percent=t.rate_percent) for t in found.taxes]
    plans = []
    for source in found.plans:
        plan = Plan(code=source.code, name=source.plan.name, latest_version=source.version)
        plan.latest_version.version = version
        for charge in plan.latest_version.charges:
            charge.name = charge.code
        plans.append(plan)
    return Existing({m.code: m for m in meters}, {t.code: t for t in taxes}, {p.code: p for p in plans})


def test_everything_is_new_to_an_empty_tenant_in_an_order_that_can_be_applied() -> None:
    found = changes(catalog(), NOTHING)
    assert [(each.kind, each.code, each.action) for each in found] == [
        ("meter", "calls", "create"),
        ("tax", "vat", "create"),
        ("plan", "pro", "create"),
    ]
    assert FieldChange("charges.calls.standard", "", "0.1") in found[2].fields


def test_what_is_recorded_already_is_unchanged_however_the_file_writes_it() -> None:
    same = TEXT.replace("7.50", "7.5").replace("20.00", "20").replace("0.10", "0.1000")
    assert [each.action for each in changes(catalog(same), recorded())] == ["unchanged"] * 3


def test_another_price_is_a_new_version() -> None:
    [*_, change] = changes(catalog(TEXT.replace("0.10", "0.12")), recorded())
    assert change == Change("plan", "pro", "new_version", (FieldChange("charges.calls.standard", "0.1", "0.12"),), 4)


def test_another_charge_model_is_a_change_of_both() -> None:
    package = TEXT.replace("standard: {unit_price: 0.10}", "package: {package_size: 1000, package_price: 1}")
    [*_, change] = changes(catalog(package), recorded())
    assert change.fields == (
        FieldChange("charges.calls.standard", "0.1", ""),
        FieldChange("charges.calls.package", "", "1 per 1000"),
    )


def test_another_rate_of_tax_is_an_update() -> None:
    found = changes(catalog(TEXT.replace("7.50", "8")), recorded())
    assert found[1] == Change("tax", "vat", "update", (FieldChange("rate_percent", "7.5", "8"),))


def test_another_name_of_a_meter_is_an_update() -> None:
    found = changes(catalog(TEXT.replace("calls, aggregation", "calls, name: Calls, aggregation")), recorded())
    assert found[0] == Change("meter", "calls", "update", (FieldChange("name", "calls", "Calls"),))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "{code: calls, aggregation: count}",
            "{code: calls, aggregation: sum, value_property: n}",
            "c.yaml:2: meters[0].aggregation: meter 'calls' was made with count, here it is sum",
        ),
        ("aggregation: count}", "event_code: x, aggregation: count}", "c.yaml:2: meters[0].event_code: meter 'calls'"),
        ("name: Pro", "name: Professional", "c.yaml:7: plans[0].name: plan 'pro' was made with Pro, here it is Prof"),
        (
            "meter_code: calls",
            "meter_code: cals",
            "c.yaml:13: plans[0].charges[0].meter_code: there is no meter 'cals'",
        ),
        ("tax_codes: [vat]", "tax_codes: [tva]", "c.yaml:6: plans[0].tax_codes[0]: there is no tax 'tva'"),
    ],
)
def test_what_cannot_be_changed_is_refused_before_anything_is_applied(old: str, new: str, expected: str) -> None:
    with pytest.raises(CatalogError) as caught:
        changes(catalog(TEXT.replace(old, new)), recorded())
    assert str(caught.value).startswith(expected)


def test_a_plan_may_name_what_only_the_service_has() -> None:
    only_plan = TEXT[TEXT.index("plans:") :]
    assert [each.action for each in changes(catalog(only_plan), recorded())] == ["unchanged"]

"""Catalog files against running services: what they refuse, what they record, and what comes back."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from cli.catalog.applying import apply_changes, find_changes, read_existing
from cli.catalog.exporting import catalog_text
from cli.catalog.nodes import CatalogError
from cli.catalog.reader import read_catalog
from cli.catalog.schema import PUBLISHED, text
from cli.connection import Connection, connected, new_request_id
from cli.stack.endpoint import SERVICES, Endpoint
from libs.common.clock import system_clock
from services.metering import main as metering
from services.pricing import main as pricing
from services.pricing.domain.overrides import FIRST_OVERRIDE
from tests.conftest import Database, Keys
from weir.pricing.v1.pricing_pb2 import ArchivePlanVersionRequest

ROOT = Path(__file__).parents[2]

EVERYTHING = """\
meters:
  - {code: tokens, aggregation: sum, value_property: n, dimensions: [model, direction]}
  - {code: seats, aggregation: unique_count, value_property: user, recurring: true}
  - {code: p99, aggregation: percentile, value_property: ms, percentile: 99.90, rounding: {function: ceil}}
taxes:
  - {code: vat, name: "19", rate_percent: 19.50}
add_ons:
  - {code: setup, name: Set-up, currency_code: USD, amount: 49.00, tax_codes: [vat]}
features:
  - code: support
    name: Support
    privileges: [{code: seats, type: integer}, {code: level, type: select, options: [gold, silver]}]
plans:
  - code: all
    name: "no"
    currency_code: USD
    billing_interval: monthly
    base_fee: 10.00
    base_fee_in_advance: true
    trial_days: 14
    minimum_commitment: {amount: 25.00, name: Minimum, tax_codes: [vat]}
    usage_thresholds: [{amount: 100.00}, {amount: 50.00, recurring: true}]
    fixed_charges:
      - {code: setup, add_on_code: setup, units: 1.5, standard: {unit_price: 49.00}, prorated: true}
    entitlements:
      - {feature_code: support, privileges: [{privilege_code: level, string_value: gold}]}
    phases:
      - {name: ramp, to_month: 3, base_fee_percent: -50, prices: [{charge_code: volume, percent: -20.5}]}
      - from_month: 3
        base_fee: 12.00
        prices: [{charge_code: matrix, filter: free, price: {standard: {unit_price: 0.01}}}]
    tax_codes: [vat]
    charges:
      - {code: standard, meter_code: tokens, minimum_amount: 5, maximum_amount: 50, standard: {unit_price: 0.10}}
      - code: graduated
        meter_code: tokens
        graduated: {tiers: [{up_to: 1, unit_price: 2, flat_fee: 3}, {unit_price: 1}]}
      - {code: package, meter_code: tokens, package: {package_size: 1000, package_price: 1.00}}
      - {code: volume, meter_code: tokens, prorated: true, tax_codes: [vat], volume: {tiers: [{unit_price: 1}]}}
      - code: percentage
        meter_code: tokens
        percentage: {rate_percent: 2.9, fixed_per_transaction: 0.30, free_transactions: 3, maximum_per_transaction: 4}
      - {code: gp, meter_code: tokens, graduated_percentage: {tiers: [{rate_percent: 1}]}}
      - {code: dynamic, meter_code: tokens, dynamic: {}}
      - code: matrix
        meter_code: tokens
        group_keys: [model, direction]
        matrix:
          dimensions: [model, direction]
          cells: [{values: [large, out], unit_price: 0.000015}]
          default_unit_price: 0.000001
        filters:
          - code: free
            name: Free of charge
            properties: [{property: model, values: [tiny, "1.0"]}]
            standard: {unit_price: 0}
coupons:
  - {code: welcome, name: Welcome, rate_percent: 12.50, frequency: recurring, periods: 3, plan_codes: [all]}
  - {code: ten, name: Ten, currency_code: USD, fixed_amount: 10.00, frequency: once, expire_time: 2030-01-01T00:00:00Z}
experiments:
  - code: spring
    name: Spring prices
    arms: [{code: one, plan_code: all, version: 1, weight: 3}]
    segments: [{segment: enterprise, arm_code: one}]
overrides:
  - plan_code: all
    subscription_id: globex 1
    base_version: 1
    currency_code: USD
    base_fee: 8.00
    prices:
      - {charge_code: standard, percent: -50}
      - {charge_code: matrix, filter: free, price: {standard: {unit_price: 0.001}}}
    without_minimum_commitment: true
    usage_thresholds: {}
    taxes: {codes: []}
    trial_days: 0
  - {plan_code: all, subscription_id: initech, base_version: 1, currency_code: USD, minimum_commitment: {amount: 9.00}}
"""


@pytest.fixture
async def services(database: Database, keys: Keys) -> AsyncIterator[Connection]:
    async with AsyncExitStack() as stack:
        targets = dict.fromkeys(SERVICES, "")
        local = "127.0.0.1:0"
        metered = metering.Settings(dsn=database.dsns["metering"], public_keys=keys.public_pem, listen=local)
        priced = pricing.Settings(database.dsns["pricing"], keys.public_pem, keys.private_pem, local)
        for name, running in (
            ("metering", metering.running(metered, system_clock)),
            ("pricing", pricing.running(priced, system_clock)),
        ):
            targets[name] = f"127.0.0.1:{await stack.enter_async_context(running)}"
        yield await stack.enter_async_context(connected(Endpoint("acme", keys.api_key(), targets)))


async def apply(services: Connection, written: str) -> list[str]:
    catalog = read_catalog(written.encode(), "c.yaml")
    found = await find_changes(services, catalog)
    await apply_changes(services, catalog, found)
    return [f"{change.kind} {change.code} {change.action}" for change in found]


async def problem(services: Connection, written: str) -> str:
    with pytest.raises(CatalogError) as caught:
        await apply(services, written)
    return str(caught.value)


async def test_what_is_applied_comes_back_and_applying_it_changes_nothing(services: Connection) -> None:
    made = await apply(services, EVERYTHING)
    assert {each.rpartition(" ")[2] for each in made} == {"create"}
    assert {each.rpartition(" ")[2] for each in await apply(services, EVERYTHING)} == {"unchanged"}
    exported = catalog_text(await read_existing(services))
    assert {each.rpartition(" ")[2] for each in await apply(services, exported)} == {"unchanged"}
    assert catalog_text(await read_existing(services)) == exported
    assert "unit_price: 0.000015" in exported
    assert "name: '19'" in exported


async def test_an_exported_catalog_makes_the_same_catalog_elsewhere(services: Connection, keys: Keys) -> None:
    await apply(services, EVERYTHING)
    exported = catalog_text(await read_existing(services))
    other = Endpoint("globex", keys.api_key("globex"), services.endpoint.services)
    async with connected(other) as elsewhere:
        await apply(elsewhere, exported)
        assert catalog_text(await read_existing(elsewhere)) == exported


async def test_another_price_is_a_new_version_and_shows_what_changes(services: Connection) -> None:
    await apply(services, EVERYTHING)
    catalog = read_catalog(EVERYTHING.replace("unit_price: 0.000015", "unit_price: 0.00002").encode(), "c.yaml")
    [change] = [each for each in await find_changes(services, catalog) if each.action != "unchanged"]
    assert (change.kind, change.action, change.version) == ("plan", "new_version", 2)
    [field] = change.fields
    assert (field.field, field.old, field.new) == (
        "charges.matrix.matrix.cells[1].unit_price",
        "0.000015",
        "0.00002",
    )


async def test_another_change_for_a_subscription_is_a_new_override_each_time(services: Connection) -> None:
    made = read_catalog(EVERYTHING.encode(), "c.yaml")
    versions = [each.version for each in await find_changes(services, made) if each.kind == "override"]
    assert versions == [FIRST_OVERRIDE, FIRST_OVERRIDE + 1]
    await apply(services, EVERYTHING)
    dearer = EVERYTHING.replace("base_fee: 8.00", "base_fee: 9.00")
    catalog = read_catalog(dearer.encode(), "c.yaml")
    [change] = [each for each in await find_changes(services, catalog) if each.action != "unchanged"]
    assert (change.code, change.action, change.version) == ("all globex 1", "new_version", FIRST_OVERRIDE + 2)
    assert [(each.field, each.old, each.new) for each in change.fields] == [("base_fee", "8", "9")]
    for written in (dearer, EVERYTHING, dearer):
        assert "override all globex 1 new_version" in await apply(services, written)
        assert {each.rpartition(" ")[2] for each in await apply(services, written)} == {"unchanged"}


async def test_an_override_of_a_version_that_is_not_there_is_not_applied(services: Connection) -> None:
    second = EVERYTHING.replace(
        "subscription_id: initech, base_version: 1", "subscription_id: initech, base_version: 2"
    )
    assert "c.yaml:78: overrides[1]: there is no plan all" in await problem(services, second)
    await apply(services, EVERYTHING)
    assert "c.yaml:78: overrides[1]: plan all has no version 2" in await problem(services, second)


async def test_a_plan_that_is_no_longer_sold_is_not_exported_and_can_be_sold_again(services: Connection) -> None:
    await apply(services, EVERYTHING)
    archive = ArchivePlanVersionRequest(request_id=new_request_id(), plan_code="all", version=1)
    await services.pricing.ArchivePlanVersion(archive)
    exported = catalog_text(await read_existing(services))
    assert "plans:" not in exported
    assert "meters:" in exported
    assert "plan all new_version" in await apply(services, EVERYTHING)


async def test_a_plan_is_renamed_in_place_also_when_it_costs_something_else(services: Connection) -> None:
    await apply(services, EVERYTHING)
    renamed = EVERYTHING.replace('name: "no"', "name: All")
    assert "plan all update" in await apply(services, renamed)
    both = renamed.replace("name: All", "name: Everything").replace("unit_price: 0.000015", "unit_price: 0.00002")
    assert "plan all new_version" in await apply(services, both)
    assert {each.rpartition(" ")[2] for each in await apply(services, both)} == {"unchanged"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seats, aggregation: unique_count", "seats, aggregation: max", "c.yaml:3: meters[1].recurring: a max can't"),
        ("dimensions: [model, direction]}", "dimensions: [model, model]}", "c.yaml:2: meters[0].dimensions"),
        ("percentile: 99.90", "percentile: 0", "c.yaml:4: meters[2].percentile"),
        ("function: ceil", "function: ceil, precision: 21", "c.yaml:4: meters[2].rounding.precision"),
        ("rate_percent: 19.50", "rate_percent: 101", "c.yaml:6: taxes[0].rate_percent"),
        ("{code: standard", "{code: base", "c.yaml:34: plans[0].charges[0].code"),
        ("minimum_amount: 5,", "minimum_amount: 500,", "c.yaml:34: plans[0].charges[0].maximum_amount"),
        ("unit_price: 0.10}", "unit_price: -0.10}", "c.yaml:34: plans[0].charges[0].standard.unit_price"),
        ("{up_to: 1, unit_price: 2, flat_fee: 3}", "{unit_price: 2}", "c.yaml:37: plans[0].charges[1].graduated.tiers"),
        (  # tiers that overlap
            "{up_to: 1, unit_price: 2, flat_fee: 3}",
            "{up_to: 9, unit_price: 2}, {up_to: 5, unit_price: 1}",
            "c.yaml:37: plans[0].charges[1].graduated.tiers[1].up_to",
        ),
        (  # a gap: nothing is priced above 1
            "{up_to: 1, unit_price: 2, flat_fee: 3}, {unit_price: 1}]",
            "{up_to: 1, unit_price: 2, flat_fee: 3}]",
            "c.yaml:37: plans[0].charges[1].graduated.tiers",
        ),
        (  # tiers end where the next begins: what could leave a gap can't be said
            "{up_to: 1, unit_price: 2, flat_fee: 3}",
            "{from: 0, up_to: 1, unit_price: 2}",
            "c.yaml:37: plans[0].charges[1].graduated.tiers[0].from: unknown key",
        ),
        (
            "code: package, meter_code: tokens",
            "code: package, meter_code: token",
            "plans[0].charges[2].meter_code: there is no meter 'token', here or in the service",
        ),
        (  # a version is not edited in place
            "    trial_days: 14\n",
            "    version: 1\n",
            "c.yaml:20: plans[0].version: unknown key",
        ),
        (
            "percent: -50}\n      - {charge_code: matrix",
            "percent: -101}\n      - {charge_code: matrix",
            "c.yaml:72: overrides[0].prices[0].percent",
        ),
        ("base_fee: 8.00", "base_fee: -8.00", "c.yaml:70: overrides[0].base_fee"),
        (
            "charge_code: standard, percent: -50",
            "charge_code: other, percent: -50",
            "overrides[0].prices[0].charge_code",
        ),
        (
            "taxes: {codes: []}",
            "taxes: {codes: [tva]}",
            "c.yaml:76: overrides[0].taxes.codes[0]: there is",
        ),
        ("    base_version: 1\n", "", "c.yaml:66: overrides[0].base_version: is required"),
        ("trial_days: 0", "trial_days: 0\n    name: x", "c.yaml:78: overrides[0].name: unknown key"),
        ("USD, minimum_commitment", "EUR, minimum_commitment", "c.yaml:78: overrides[1].currency_code"),
        ("subscription_id: initech", "subscription_id: globex 1", "c.yaml:78: overrides[1]: a second 'all globex 1'"),
        (
            "\n    tax_codes: [vat]",
            "\n    tax_codes: [vat, tva]",
            "c.yaml:32: plans[0].tax_codes[1]: there is no tax 'tva'",
        ),
    ],
)
async def test_what_the_services_refuse_is_named_by_line_and_path_and_nothing_is_applied(
    services: Connection, old: str, new: str, expected: str
) -> None:
    assert EVERYTHING.count(old) == 1, old
    assert expected in await problem(services, EVERYTHING.replace(old, new))
    assert catalog_text(await read_existing(services)) == "# The catalog is empty.\n"


async def test_the_faults_of_several_elements_are_told_together(services: Connection) -> None:
    wrong = EVERYTHING.replace("rate_percent: 19.50", "rate_percent: 101").replace("percentile: 99.90", "percentile: 0")
    assert len((await problem(services, wrong)).splitlines()) == 2


async def test_what_a_meter_measures_is_not_changed(services: Connection) -> None:
    await apply(services, EVERYTHING)
    assert "meters[0].value_property: meter 'tokens' was made with n, here it is m" in await problem(
        services, EVERYTHING.replace("value_property: n,", "value_property: m,")
    )


def test_the_published_schema_is_that_of_the_contract() -> None:
    assert PUBLISHED.read_text() == text(ROOT), "run `make proto`"

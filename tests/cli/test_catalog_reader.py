from pathlib import Path

import pytest
from google.protobuf.message import Message

from cli.catalog.kinds import PLAN
from cli.catalog.nodes import MAX_BYTES, CatalogError
from cli.catalog.reader import Catalog, read_catalog
from cli.demo.month import CATALOG
from weir.metering.v1.metering_pb2 import Meter, Rounding
from weir.pricing.v1.pricing_pb2 import PlanVersion, Tax

EXAMPLES = Path(__file__).parents[2] / "examples"

GOOD = """\
meters:
  - code: tokens
    aggregation: sum
    value_property: n
    filters:
      - property: model
        values: [large, "no"]
taxes:
  - {code: vat, name: VAT, rate_percent: 19}
plans:
  - code: pro
    name: Pro
    currency_code: JPY
    billing_interval: monthly
    base_fee: 1000
    tax_codes: [vat]
    charges:
      - code: tokens
        meter_code: tokens
        graduated:
          tiers:
            - {up_to: 10, unit_price: 0.100000000000, flat_fee: 1}
            - {unit_price: 0.000000000001}
"""


def read(text: str) -> Catalog:
    return read_catalog(text.encode(), "c.yaml")


def messages(text: str) -> list[tuple[Message, ...]]:
    return [element.messages for element in read(text).elements]


def version(text: str) -> PlanVersion:
    found = messages(text)[-1][1]
    assert isinstance(found, PlanVersion)
    return found


def problem(text: str) -> str:
    with pytest.raises(CatalogError) as caught:
        read(text)
    return str(caught.value)


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return problem(GOOD.replace(old, new))


def test_a_catalog_becomes_the_messages_of_the_contract() -> None:
    (meter,), (tax,), (_, version) = messages(GOOD)
    assert isinstance(meter, Meter)
    assert isinstance(tax, Tax)
    assert isinstance(version, PlanVersion)
    assert (meter.code, meter.aggregation, meter.value_property) == ("tokens", Meter.AGGREGATION_SUM, "n")
    assert list(meter.filters[0].values) == ["large", "no"]
    assert (tax.code, tax.rate_percent) == ("vat", "19")
    assert version.billing_interval == PlanVersion.BILLING_INTERVAL_MONTHLY
    assert (version.base_fee.currency_code, version.base_fee.minor_units) == ("JPY", 1000)


def test_prices_never_pass_through_a_float() -> None:
    tiers = version(GOOD).charges[0].graduated.tiers
    assert [tier.unit_price for tier in tiers] == ["0.100000000000", "0.000000000001"]
    exact = "12345678901234567890123456.123456789012"
    exact_tiers = version(GOOD.replace("flat_fee: 1}", f"flat_fee: {exact}}}")).charges[0].graduated.tiers
    assert exact_tiers[0].flat_fee == exact


METERS = """
meters:
  - code: seats
    aggregation: unique_count
    value_property: user
    recurring: true
    dimensions: [team, region]
    rounding: {function: ceil, precision: -2}
  - {code: latency, aggregation: percentile, value_property: ms, percentile: 99.90}
"""


def test_a_meter_says_how_it_measures() -> None:
    (seats,), (latency,) = messages(METERS)
    assert isinstance(seats, Meter)
    assert isinstance(latency, Meter)
    assert (seats.aggregation, seats.recurring) == (Meter.AGGREGATION_UNIQUE_COUNT, True)
    assert list(seats.dimensions) == ["team", "region"]
    assert seats.rounding == Rounding(function=Rounding.FUNCTION_CEIL, precision=-2)
    assert (latency.percentile, latency.HasField("rounding")) == ("99.90", False)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("recurring: true", "recurring: 1", "c.yaml:6: meters[0].recurring: is '1'; expected true or false"),
        ("function: ceil, ", "", "c.yaml:8: meters[0].rounding.function: is required"),
        ("-2}", "2.5}", "c.yaml:8: meters[0].rounding.precision: is '2.5'; expected a whole number"),
        (
            "aggregation: percentile",
            "aggregation: p99",
            "c.yaml:9: meters[1].aggregation: is 'p99'; expected count, sum",
        ),
    ],
)
def test_a_meter_of_the_wrong_shape_is_named(old: str, new: str, expected: str) -> None:
    assert expected in problem(METERS.replace(old, new))


@pytest.mark.parametrize("path", [CATALOG, *sorted(EXAMPLES.glob("*.yaml"))], ids=lambda path: path.name)
def test_the_catalogs_that_we_ship_are_good(path: Path) -> None:
    assert read_catalog(path.read_bytes(), path.name).of(PLAN)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "meters: []\nplans:\n"])
def test_an_empty_catalog_says_nothing(text: str) -> None:
    assert read(text).elements == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("code: vat", "kode: vat", "c.yaml:9: taxes[0].code: is required"),
        ("value_property: n", "value_prop: n", "c.yaml:4: meters[0].value_prop: unknown key; the keys here are code"),
        ("    base_fee: 1000", "    base: 1", "c.yaml:15: plans[0].base: unknown key; the keys here are"),
        ("base_fee: 1000", "base_fee: 1000.5", "c.yaml:15: plans[0].base_fee: is 1000.5, which is no whole number of"),
        ("base_fee: 1000", "base_fee: -1", "c.yaml:15: plans[0].base_fee: amount is -1; it must not be negative"),
        ("base_fee: 1000", "base_fee: 1e3", "c.yaml:15: plans[0].base_fee: is '1e3'; expected a decimal in plain"),
        ("base_fee: 1000", "base_fee: .nan", "c.yaml:15: plans[0].base_fee: is '.nan'; expected a decimal in plain"),
        ("base_fee: 1000", "base_fee:", "c.yaml:15: plans[0].base_fee: has no value"),
        ("base_fee: 1000", "base_fee: [1]", "c.yaml:15: plans[0].base_fee: expected a text or a number"),
        ("currency_code: JPY", "currency_code: XXX", "c.yaml:15: plans[0].base_fee: 'XXX' is not an ISO 4217"),
        ("monthly", "hourly", "c.yaml:14: plans[0].billing_interval: is 'hourly'; expected "),
        ("aggregation: sum", "aggregation: avg", "c.yaml:3: meters[0].aggregation: is 'avg'; expected count, sum, max"),
        (
            "graduated:",
            "gradual:",
            "c.yaml:18: plans[0].charges[0]: needs one of standard, graduated, package, volume, percentage,",
        ),
        ("meter_code: tokens\n", "meter_code: tokens\n        dynamic: {}\n", "it has graduated and dynamic"),
        ("code: pro", "code: Pro!", "c.yaml:11: plans[0].code: is 'Pro!'; expected a code: a letter"),
        ("meters:", "meters: 7\nx:", "c.yaml:1: meters: expected a list"),
        ("  - code: pro", "  - pro\n  - code: pro", "c.yaml:11: plans[0]: expected a mapping"),
    ],
)
def test_each_mistake_is_named_by_line_and_path(old: str, new: str, expected: str) -> None:
    assert expected in changed(old, new)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = GOOD.replace("code: vat", "kode: vat").replace("monthly", "hourly").replace("up_to: 10", "upto: 10")
    assert [line.split(": ")[1] for line in problem(text).splitlines()] == [
        "taxes[0].kode",
        "taxes[0].code",
        "plans[0].billing_interval",
        "plans[0].charges[0].graduated.tiers[0].upto",
    ]


def test_a_code_is_used_once() -> None:
    twice = GOOD.replace("taxes:\n", "taxes:\n  - {code: vat, name: A, rate_percent: 1}\n")
    assert problem(twice) == "c.yaml:10: taxes[1]: a second 'vat' among taxes"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("meters: []\nmeters: []\n", "c.yaml:2: duplicate key 'meters', which is also on line 1"),
        ("a: &x [1]\nb: *x\n", "c.yaml:2: aliases are not supported: *x"),
        ("taxes: !!python/object:os.system [x]\n", "c.yaml:1: tags are not supported: tag:yaml.org,2002:python/obj"),
        ("taxes: []\n---\ntaxes: []\n", "c.yaml:2: a file is one YAML document"),
        ("taxes:\n  - [\n", "c.yaml:3: not YAML: "),
        ("? [1]\n: 2\n", "c.yaml:1: a key must be a name"),
        ("a: " + "[" * 100_000, "c.yaml:1: nested more than 16 deep"),
        ("taxes: \x00", "c.yaml:1: not YAML: "),
        ("- 1\n", "c.yaml:1: expected a mapping"),
    ],
)
def test_yaml_is_kept_simple(text: str, expected: str) -> None:
    assert expected in problem(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(CatalogError, match=r"c\.yaml:1: not YAML"):
        read_catalog(b"name: \xff\xfe\xfa", "c.yaml")


def test_a_file_has_a_limit() -> None:
    with pytest.raises(CatalogError, match="10485760 at most"):
        read_catalog(b"#" * (MAX_BYTES + 1), "c.yaml")


@pytest.mark.parametrize("row", ["{kode: x}", "{code: a, name: A, rate_percent: 1}"])
def test_of_a_large_file_of_mistakes_the_first_thousand_are_told(row: str) -> None:
    told = problem("taxes:\n" + f"  - {row}\n" * 2_000).splitlines()
    assert len(told) == 1001
    assert told[-1] == "c.yaml: these are the first 1000 problems; there may be more"


def test_a_cycle_of_references_is_refused() -> None:
    assert "aliases are not supported: *a" in problem("taxes: &a\n  - *a\n")


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "aliases are not supported" in problem("\n".join(lines))

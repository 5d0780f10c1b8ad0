"""A catalog file as the messages that create it. Names of keys are those of the contract.

Strict: an unknown key, a missing one, or a value that the services would refuse is an error that names file, line and
path, so that nothing is applied by halves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, TypeVar

from cli.catalog.nodes import CatalogError, Items, Mapping, Node, Scalar, parse
from libs.common.errors import InvalidArgument
from libs.common.money import Money, plain
from libs.common.wire import amount_in, code_in, currency_in, text_in
from weir.common.v1 import money_pb2
from weir.metering.v1.metering_pb2 import DimensionFilter, Meter, Rounding
from weir.pricing.v1.pricing_pb2 import (
    Charge,
    GraduatedPrice,
    PackagePrice,
    Plan,
    PlanVersion,
    PriceTier,
    StandardPrice,
    Tax,
)

T = TypeVar("T")

AGGREGATIONS = {
    "count": Meter.AGGREGATION_COUNT,
    "sum": Meter.AGGREGATION_SUM,
    "max": Meter.AGGREGATION_MAX,
    "min": Meter.AGGREGATION_MIN,
    "average": Meter.AGGREGATION_AVERAGE,
    "latest": Meter.AGGREGATION_LATEST,
    "unique_count": Meter.AGGREGATION_UNIQUE_COUNT,
    "weighted_sum": Meter.AGGREGATION_WEIGHTED_SUM,
    "percentile": Meter.AGGREGATION_PERCENTILE,
}
RECURRING = ("sum", "unique_count", "weighted_sum")
ROUNDINGS = {"round": Rounding.FUNCTION_ROUND, "ceil": Rounding.FUNCTION_CEIL, "floor": Rounding.FUNCTION_FLOOR}
PRECISIONS = {str(digits): digits for digits in range(-20, 21)}
FLAGS = {"true": True, "false": False}
INTERVALS = {"monthly": PlanVersion.BILLING_INTERVAL_MONTHLY}
PRICES = ("standard", "graduated", "package")
MAX_TAX_PERCENT = Decimal(100)
MAX_TAX_DIGITS = 6
MAX_PERCENTILE = Decimal(100)


class Coded(Protocol):
    @property
    def code(self) -> str: ...


C = TypeVar("C", bound=Coded)


@dataclass(frozen=True, slots=True)
class PlanSource:
    """A plan and what its newest version should be."""

    plan: Plan
    version: PlanVersion

    @property
    def code(self) -> str:
        return self.plan.code


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a file says should be. `lines` has the line of every path, such as "plans[0].charges[1].code"."""

    file: str
    meters: tuple[Meter, ...] = ()
    taxes: tuple[Tax, ...] = ()
    plans: tuple[PlanSource, ...] = ()
    lines: dict[str, int] = field(default_factory=dict)

    def error(self, path: str, message: str) -> CatalogError:
        """An error at the nearest element on the way to `path` that has a line."""
        place = path
        while place and place not in self.lines:
            place = place.rpartition(".")[0]
        return CatalogError(self.file, self.lines.get(place, 1), path, message)


def read_catalog(text: bytes, file: str) -> Catalog:
    """Raises CatalogError."""
    lines: dict[str, int] = {}
    root = _Table(file, "", parse(text, file), lines)
    catalog = Catalog(
        file,
        root.coded("meters", _meter),
        root.coded("taxes", _tax),
        root.coded("plans", _plan),
        lines,
    )
    root.close()
    return catalog


class _Table:
    """A mapping that is read key by key; `close` refuses the keys that nobody asked for."""

    def __init__(self, file: str, path: str, node: Node, lines: dict[str, int]) -> None:
        self._file = file
        self._path = path
        self._all_lines = lines
        lines[path] = node.line
        if isinstance(node, Scalar) and node.text is None:
            node = Mapping(node.line)
        if not isinstance(node, Mapping):
            raise CatalogError(file, node.line, path, "expected a mapping of keys to values")
        self._node = node
        self._read: list[str] = []

    def has(self, key: str) -> bool:
        return key in self._node.entries

    def text(self, key: str, *, required: bool = False, most: int = 255) -> str:
        return self._checked(key, required, lambda value: text_in(value, key, most=most))

    def code(self, key: str, *, required: bool = True) -> str:
        return self._checked(key, required, lambda value: code_in(value, key))

    def amount(self, key: str, *, required: bool = True) -> str:
        """A decimal that is not negative, in plain notation without trailing zeros; "" where it is absent."""
        return self._checked(key, required, lambda value: plain(amount_in(value, key)))

    def currency(self, key: str) -> str:
        return self._checked(key, True, lambda value: currency_in(value, key))

    def one_of(self, key: str, choices: dict[str, T]) -> T:
        value = self._scalar(key, required=True)
        if value not in choices:
            raise self.error(key, f"is {value!r}; expected {' or '.join(choices)}")
        return choices[value]

    def texts(self, key: str, check: Callable[[str, str], str], *, required: bool = False) -> list[str]:
        values: list[str] = []
        for index, node in enumerate(self._items(key, required=required)):
            path = f"{key}[{index}]"
            if not isinstance(node, Scalar) or node.text is None:
                raise CatalogError(self._file, node.line, self._join(path), "expected a text")
            try:
                value = check(node.text, path)
            except InvalidArgument as error:
                raise CatalogError(self._file, node.line, self._join(path), error.message) from None
            if value in values:
                raise CatalogError(self._file, node.line, self._join(path), f"{value!r} stands here twice")
            values.append(value)
        return values

    def table(self, key: str, read: "Callable[[_Table], T]") -> T:
        self._read.append(key)
        return self._whole(self._join(key), self._node.entries[key], read)

    def tables(self, key: str, read: "Callable[[_Table], T]", *, required: bool = False) -> tuple[T, ...]:
        return tuple(
            self._whole(self._join(f"{key}[{index}]"), node, read)
            for index, node in enumerate(self._items(key, required=required))
        )

    def coded(self, key: str, read: "Callable[[_Table], C]") -> tuple[C, ...]:
        """Tables with a `code` that is unique among them."""
        found: dict[str, C] = {}
        for index, node in enumerate(self._items(key, required=False)):
            path = self._join(f"{key}[{index}]")
            each = self._whole(path, node, read)
            if each.code in found:
                raise CatalogError(self._file, node.line, path, f"a second {each.code!r} among {key}")
            found[each.code] = each
        return tuple(found.values())

    def error(self, key: str, message: str) -> CatalogError:
        line = self._node.lines.get(key, self._node.line)
        return CatalogError(self._file, line, self._join(key), message)

    def close(self) -> None:
        for key in self._node.entries:
            if key not in self._read:
                known = ", ".join(dict.fromkeys(self._read))
                raise self.error(key, f"unknown key; the keys here are {known}")

    def _join(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _whole(self, path: str, node: Node, read: "Callable[[_Table], T]") -> T:
        table = _Table(self._file, path, node, self._all_lines)
        value = read(table)
        table.close()
        return value

    def _checked(self, key: str, required: bool, check: Callable[[str], str]) -> str:
        value = self._scalar(key, required=required)
        if not value:
            return ""
        try:
            return check(value)
        except InvalidArgument as error:
            raise self.error(key, error.message) from None

    def _scalar(self, key: str, *, required: bool) -> str:
        self._read.append(key)
        node = self._node.entries.get(key)
        if node is None:
            if required:
                raise self.error(key, "is required")
            return ""
        self._all_lines[self._join(key)] = self._node.lines[key]
        if not isinstance(node, Scalar):
            raise self.error(key, "expected a text or a number")
        if not node.text:
            raise self.error(key, "has no value")
        return node.text

    def _items(self, key: str, *, required: bool) -> Sequence[Node]:
        self._read.append(key)
        node = self._node.entries.get(key)
        if node is None or (isinstance(node, Scalar) and node.text is None):
            if required:
                raise self.error(key, "is required")
            return ()
        if not isinstance(node, Items):
            raise self.error(key, "expected a list")
        if required and not node.items:
            raise self.error(key, "must not be empty")
        return node.items


def _meter(table: _Table) -> Meter:
    meter = Meter(
        code=table.code("code"),
        name=table.text("name"),
        description=table.text("description", most=1000),
        event_code=table.code("event_code", required=False),
        aggregation=table.one_of("aggregation", AGGREGATIONS),
        value_property=table.text("value_property"),
        filters=table.tables("filters", _filter),
        recurring=table.has("recurring") and table.one_of("recurring", FLAGS),
        dimensions=table.texts("dimensions", text_in),
        rounding=table.table("rounding", _rounding) if table.has("rounding") else None,
        percentile=table.amount("percentile", required=False),
    )
    _require_sense(table, meter)
    is_count = meter.aggregation == Meter.AGGREGATION_COUNT
    if is_count and meter.value_property:
        raise table.error("value_property", "a count has no value to read; remove it")
    if not is_count and not meter.value_property:
        raise table.error("value_property", "is required: the event property that is measured")
    if len({each.property for each in meter.filters}) < len(meter.filters):
        raise table.error("filters", "two filters on one property; list all its values in one")
    return meter


def _require_sense(table: _Table, meter: Meter) -> None:
    """Of what only some aggregations have."""
    if meter.recurring and meter.aggregation not in [AGGREGATIONS[name] for name in RECURRING]:
        raise table.error("recurring", f"only {', '.join(RECURRING[:-1])} and {RECURRING[-1]} can be recurring")
    if meter.aggregation != Meter.AGGREGATION_PERCENTILE:
        if meter.percentile:
            raise table.error("percentile", "only the aggregation percentile has one; remove it")
    elif not 0 < Decimal(meter.percentile or 0) <= MAX_PERCENTILE:
        raise table.error("percentile", "is required: more than 0, at most 100")


def _rounding(table: _Table) -> Rounding:
    precision = table.one_of("precision", PRECISIONS) if table.has("precision") else 0
    return Rounding(function=table.one_of("function", ROUNDINGS), precision=precision)


def _filter(table: _Table) -> DimensionFilter:
    return DimensionFilter(property=table.text("property", required=True), values=table.texts("values", text_in))


def _tax(table: _Table) -> Tax:
    tax = Tax(
        code=table.code("code"), name=table.text("name", required=True), rate_percent=table.amount("rate_percent")
    )
    if Decimal(tax.rate_percent) > MAX_TAX_PERCENT or len(tax.rate_percent.partition(".")[2]) > MAX_TAX_DIGITS:
        raise table.error(
            "rate_percent", f"is {tax.rate_percent}; expected 0 to 100, at most {MAX_TAX_DIGITS} digits after the point"
        )
    return tax


def _plan(table: _Table) -> PlanSource:
    plan = Plan(
        code=table.code("code"),
        name=table.text("name", required=True),
        description=table.text("description", most=1000),
    )
    currency = table.currency("currency_code")
    version = PlanVersion(
        currency_code=currency,
        billing_interval=table.one_of("billing_interval", INTERVALS),
        base_fee=_base_fee(table, currency),
        charges=table.coded("charges", _charge),
        tax_codes=table.texts("tax_codes", code_in),
    )
    return PlanSource(plan, version)


def _base_fee(table: _Table, currency: str) -> money_pb2.Money | None:
    amount = table.amount("base_fee", required=False)
    if not amount:
        return None
    fee = Money.rounded(Decimal(amount), currency)
    if fee.amount != Decimal(amount):
        raise table.error("base_fee", f"is {amount}, which is no whole number of {currency} minor units")
    return money_pb2.Money(currency_code=currency, minor_units=fee.minor_units)


def _charge(table: _Table) -> Charge:
    code = table.code("code")
    if code == "base":
        raise table.error("code", '"base" is the line of the base fee')
    charge = Charge(code=code, name=table.text("name"), meter_code=table.code("meter_code"))
    given = [price for price in PRICES if table.has(price)]
    if len(given) != 1:
        raise table.error("code", f"charge {code!r} needs one price: {', '.join(PRICES[:-1])} or {PRICES[-1]}")
    match given[0]:
        case "standard":
            charge.standard.CopyFrom(table.table("standard", _standard))
        case "graduated":
            charge.graduated.CopyFrom(table.table("graduated", _graduated))
        case "package":
            charge.package.CopyFrom(table.table("package", _package))
    return charge


def _standard(table: _Table) -> StandardPrice:
    return StandardPrice(unit_price=table.amount("unit_price"))


def _package(table: _Table) -> PackagePrice:
    price = PackagePrice(
        package_size=table.amount("package_size"),
        package_price=table.amount("package_price"),
        free_units=table.amount("free_units", required=False),
    )
    if price.package_size == "0":
        raise table.error("package_size", "must be greater than 0")
    return price


def _graduated(table: _Table) -> GraduatedPrice:
    tiers = table.tables("tiers", _tier, required=True)
    floor = Decimal(0)
    for index, tier in enumerate(tiers):
        is_last = index == len(tiers) - 1
        if is_last != (not tier.up_to):
            wrong = "the last tier has no end; remove up_to" if is_last else "only the last tier may lack up_to"
            raise table.error("tiers", f"tier {index + 1}: {wrong}")
        if tier.up_to and Decimal(tier.up_to) <= floor:
            raise table.error("tiers", f"tier {index + 1} ends at {tier.up_to}, which is not after {plain(floor)}")
        floor = Decimal(tier.up_to or 0)
    return GraduatedPrice(tiers=tiers)


def _tier(table: _Table) -> PriceTier:
    return PriceTier(
        up_to=table.amount("up_to", required=False),
        unit_price=table.amount("unit_price"),
        flat_fee=table.amount("flat_fee", required=False),
    )

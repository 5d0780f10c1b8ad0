"""A rating's arithmetic, line by line, so that anybody can repeat it."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from libs.common.money import exponent, plain
from services.pricing.domain.breakdown import EXACT, ONE, ZERO, RatedTier, StepKind, total
from services.pricing.domain.limits import MINIMUM
from services.pricing.domain.package import PackagePrice
from services.pricing.domain.rating import RatedCharge


@dataclass(frozen=True, slots=True)
class Line:
    """`text` is for people. `expression` has the value `result`; it is empty where its parts have no finite decimal.
    Where the line only tells something, there is neither.
    """

    text: str
    expression: str = ""
    result: Decimal | None = None


def explain(rated: RatedCharge) -> tuple[Line, ...]:
    """Steps in their order, their sum, what it converts to, its rounding."""
    return (*_about(rated), *_steps(rated), *_sum(rated), *_conversion(rated), _rounding(rated))


def _about(rated: RatedCharge) -> Iterator[Line]:
    usage, charge = rated.usage, rated.charge
    if _is_limit(rated):
        return
    of, earlier = (f" of meter {charge.meter_code}", "earlier in the contract") if charge.meter_code else ("", "billed")
    parts = [f"{rated.model.replace('_', ' ')} price", f"{_units(usage.quantity)}{of}"]
    if usage.filter_code:
        parts.append(f"filter {usage.filter_code}")
    parts += [f"{key} {value}" for key, value in usage.group]
    if usage.window is not None:
        parts.append(f"window {usage.window}" if usage.window else "outside of every window")
    if usage.quantity_before is not None:
        parts.append(f"after {_units(usage.quantity_before)} {earlier}")
    if usage.full_quantity is not None:
        parts.append(f"{_units(usage.full_quantity)} without proration")
    yield Line(f"{charge.code}: {', '.join(parts)}.")
    if usage.quantity < 0:
        yield Line("Corrections outweigh usage, which costs nothing.", "0", ZERO)
    elif not rated.tiers:
        yield Line("That costs nothing.", "0", ZERO)


def _steps(rated: RatedCharge) -> Iterator[Line]:
    unit = _unit(rated)
    for step in rated.tiers:
        if step.kind is StepKind.PACKAGES:
            yield from _packages(rated, step, unit)
            continue
        if step.free_units:
            what = "transactions" if step.kind is StepKind.TRANSACTIONS else "units"
            yield Line(f"The first {_count(step.free_units)} {what} are free.")
        yield Line(f"{_step(rated, step, unit)}: {_exact(step.amount, unit)}.", _expression(rated, step), step.amount)


def _step(rated: RatedCharge, step: RatedTier, unit: str) -> str:
    match step.kind:
        case StepKind.TRANSACTIONS:
            return f"{_count(step.quantity)} transactions at {_exact(step.unit_price, unit)} each"
        case StepKind.EVENT_AMOUNTS:
            return "The amounts that events carry, together"
        case StepKind.LIMIT if _is_limit(rated):
            assert step.up_to is not None
            what = "minimum" if rated.model == MINIMUM else "maximum"
            return f"From the {_exact(step.above, unit)} of the charge to its {what} of {_exact(step.up_to, unit)}"
        case StepKind.LIMIT:
            return "What minimum and maximum per transaction change, together"
    flat = f" and a flat fee of {_exact(step.flat_fee, unit)}" if step.flat_fee else ""
    price = f"{plain(step.rate_percent)} %" if step.rate_percent is not None else _exact(step.unit_price, unit)
    return f"{_units(step.quantity)}{_tier(step)} at {price} each{flat}"


def _tier(step: RatedTier) -> str:
    """Where the units lie, if there are tiers."""
    if step.up_to is not None and step.above:
        return f" above {_count(step.above)} and up to {_count(step.up_to)}"
    if step.up_to is not None:
        return f" up to {_count(step.up_to)}"
    return f" above {_count(step.above)}" if step.above else ""


def _packages(rated: RatedCharge, step: RatedTier, unit: str) -> Iterator[Line]:
    price = rated.charge.price if rated.filter is None else rated.filter.price
    assert isinstance(price, PackagePrice)
    before, quantity = rated.usage.quantity_before, rated.usage.quantity
    if price.free_units:
        yield Line(f"The first {_units(price.free_units)} are free.")
    counted = _begun(price, max(quantity if before is None else EXACT.add(before, quantity), ZERO))
    if before is not None:
        counted += f" - {_begun(price, max(before, ZERO))}"
    yield Line(
        f"In packages of {_count(price.package_size)}, of which one begun counts as a whole, that is"
        f" {_count(step.quantity)}.",
        counted,
        step.quantity,
    )
    yield Line(
        f"{_count(step.quantity)} packages at {_exact(step.unit_price, unit)} each: {_exact(step.amount, unit)}.",
        f"{plain(step.quantity)} * {plain(step.unit_price)}",
        step.amount,
    )


def _begun(price: PackagePrice, quantity: Decimal) -> str:
    return f"ceil(max({plain(quantity)} - {plain(price.free_units)}, 0) / {plain(price.package_size)})"


def _expression(rated: RatedCharge, step: RatedTier) -> str:
    if _is_limit(rated):
        return f"{plain(step.up_to or ZERO)} - {_operand(step.above)}"
    exact = EXACT.add(EXACT.multiply(step.quantity, step.unit_price), step.flat_fee)
    if exact != step.amount:  # a share of a prorated event that was cut
        return ""
    if step.quantity == ONE and not step.flat_fee:
        return _operand(step.unit_price)
    flat = f" + {plain(step.flat_fee)}" if step.flat_fee else ""
    return f"{_operand(step.quantity)} * {plain(step.unit_price)}{flat}"


def _sum(rated: RatedCharge) -> Iterator[Line]:
    if len(rated.tiers) > 1:
        together = total(rated.tiers)
        expression = " + ".join(_operand(step.amount) for step in rated.tiers)
        yield Line(f"Together: {_exact(together, _unit(rated))}.", expression, together)


def _conversion(rated: RatedCharge) -> Iterator[Line]:
    unit = rated.charge.pricing_unit
    if unit is None or _is_limit(rated):
        return
    amount = total(rated.tiers)
    yield Line(
        f"One of {unit.code} is {_exact(unit.conversion_rate, rated.amount.currency)}:"
        f" {_exact(rated.unrounded_amount, rated.amount.currency)}.",
        f"{_operand(amount)} * {plain(unit.conversion_rate)}",
        rated.unrounded_amount,
    )


def _rounding(rated: RatedCharge) -> Line:
    """Half away from zero."""
    amount = rated.amount
    text = (
        f"Nothing has to be rounded: {amount}."
        if amount.amount == rated.unrounded_amount
        else f"Rounded once, half away from zero: {amount}."
    )
    return Line(text, f"round({plain(rated.unrounded_amount)}, {exponent(amount.currency)})", amount.amount)


def _is_limit(rated: RatedCharge) -> bool:
    """Whether it is what leads to a limit of the charge."""
    return bool(rated.tiers) and rated.tiers[0].kind is StepKind.LIMIT


def _unit(rated: RatedCharge) -> str:
    """What the steps are in."""
    unit = rated.charge.pricing_unit
    return rated.amount.currency if unit is None or _is_limit(rated) else unit.code


def _operand(value: Decimal) -> str:
    return f"({plain(value)})" if value < 0 else plain(value)


def _count(value: Decimal) -> str:
    """With thousands separated: 1,234.5."""
    whole, point, fraction = plain(value).partition(".")
    return f"{'-' if value < 0 else ''}{int(whole.lstrip('-')):,}{point}{fraction}"


def _units(quantity: Decimal) -> str:
    return "1 unit" if quantity == 1 else f"{_count(quantity)} units"


def _exact(amount: Decimal, unit: str) -> str:
    return f"{_count(amount)} {unit}"

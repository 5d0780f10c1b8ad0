"""What is billed by the piece, without a subscription."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from libs.common.errors import FailedPrecondition, InvalidArgument
from libs.common.money import Money
from services.invoicing.domain.adjustment import priced
from services.invoicing.domain.bill import MAX_SUBTOTAL
from services.invoicing.domain.customer import Customer
from services.invoicing.domain.line import Line, LineKind
from services.invoicing.domain.period import Period, day_of, day_start, zone

ITEM = "item"
"""Code of a line for what is not in the catalog."""


@dataclass(frozen=True, slots=True)
class AddOn:
    """As pricing has it now."""

    code: str
    name: str
    amount: Money
    tax_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """So many units of an add-on, or of what is described; what is "", None or empty is the add-on's."""

    add_on_code: str
    description: str
    units: Decimal
    unit_amount: Decimal | None
    tax_codes: tuple[str, ...]


def currency_of(asked: str, default: str, add_ons: Mapping[str, AddOn]) -> str:
    """The currency of the invoice: as `asked`, the add-ons' or the customer's `default`. Raises InvalidArgument
    FIELD_MISSING or CURRENCY_MISMATCH.
    """
    named = {each.amount.currency for each in add_ons.values()}
    currency = asked or next(iter(named), default)
    if not currency:
        raise InvalidArgument(
            "FIELD_MISSING", "currency_code is required: the customer has none", field="currency_code"
        )
    if named - {currency}:
        raise InvalidArgument(
            "CURRENCY_MISMATCH",
            f"an add-on is in {min(named - {currency})}, the invoice in {currency}",
            field="currency_code",
        )
    return currency


def lines_of_items(
    items: Sequence[Item], add_ons: Mapping[str, AddOn], currency: str, customer: Customer, now: datetime
) -> tuple[Line, ...]:
    """For the customer's day. Raises FailedPrecondition AMOUNT_TOO_LARGE."""
    tz = zone(customer.time_zone)
    today = day_of(now, tz)
    period = Period(day_start(today, tz), day_start(today + timedelta(days=1), tz))
    lines = tuple(_line(item, add_ons.get(item.add_on_code), currency, period) for item in items)
    if sum(line.amount.minor_units for line in lines) > MAX_SUBTOTAL:
        raise FailedPrecondition("AMOUNT_TOO_LARGE", "the invoice comes to more than an amount can state")
    return lines


def _line(item: Item, add_on: AddOn | None, currency: str, period: Period) -> Line:
    unit_amount = item.unit_amount
    if unit_amount is None:
        assert add_on is not None, "what is not in the catalog has an amount"
        unit_amount = add_on.amount.amount
    amount, unrounded = priced(item.units, unit_amount, currency)
    return Line(
        kind=LineKind.ADD_ON,
        code=item.add_on_code or ITEM,
        description=item.description or (add_on.name if add_on else ""),
        source=None,
        period=period,
        amount=amount,
        unrounded_amount=unrounded,
        tax_codes=item.tax_codes or (add_on.tax_codes if add_on else ()),
        units=item.units,
        unit_amount=unit_amount,
    )

"""Shorthand for rating one price."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import reduce

from hypothesis import reject

from libs.common.errors import InvalidArgument
from services.pricing.domain.breakdown import EXACT
from services.pricing.domain.plans import Charge, Price
from services.pricing.domain.rating import RatedCharge, rate
from services.pricing.domain.usage import EventValue, Usage

MODEST = 19
"""Digits of a quantity or a price, 7 before the point: what they make fits into Money, unless packages are tiny."""


@contextmanager
def statable() -> Iterator[None]:
    """Drops an example that comes to more than Money can state."""
    try:
        yield
    except InvalidArgument as error:
        if error.reason != "AMOUNT_TOO_LARGE":
            raise
        reject()


def charge(price: Price, code: str = "tokens") -> Charge:
    return Charge(code, "", "meter", price)


def cost(price: Price, usage: Usage | Decimal | str | int, currency: str = "USD") -> RatedCharge:
    """Of a usage, or of a quantity about which nothing else is told."""
    return rate(charge(price), usage if isinstance(usage, Usage) else Usage("tokens", Decimal(usage)), currency)


def events(*values: str | int | Decimal) -> tuple[EventValue, ...]:
    return tuple(EventValue(Decimal(value)) for value in values)


def of_events(*values: str | int | Decimal, event_count: int | None = None) -> Usage:
    """The usage that events of these values make."""
    told = events(*values)
    quantity = reduce(EXACT.add, (event.value for event in told), Decimal(0))
    return Usage("tokens", quantity, event_count=event_count, events=told)

"""Reports on the business. Amounts are minor units of the currency beside them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import floor

_HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Booked:
    """What a month's documents brought and took back, without taxes, as the ledger has it."""

    month: date
    currency: str
    invoiced: int
    credited: int
    voided: int


@dataclass(frozen=True, slots=True)
class Discounted:
    """What coupons took off a month's lines that contain taxes of `rate_percent` together, those taxes included."""

    month: date
    currency: str
    rate_percent: Fraction
    amount: Fraction


@dataclass(frozen=True, slots=True)
class Revenue:
    """Of a month. `month` is its first day."""

    month: date
    currency: str
    discounts: int
    invoiced: int
    credited: int
    voided: int

    @property
    def gross(self) -> int:
        return self.invoiced + self.discounts

    @property
    def net(self) -> int:
        return self.invoiced - self.credited - self.voided


@dataclass(frozen=True, slots=True)
class Ageing:
    """What is owed, by the days that it is overdue. Without a customer, it is of all."""

    currency: str
    customer_id: str | None
    not_due: int
    to_30: int
    to_60: int
    to_90: int
    over_90: int

    @property
    def overdue(self) -> int:
        return self.to_30 + self.to_60 + self.to_90 + self.over_90

    @property
    def total(self) -> int:
        return self.not_due + self.overdue


def revenues(booked: Iterable[Booked], discounted: Iterable[Discounted]) -> list[Revenue]:
    """By month and currency. A month's discounts are reckoned without taxes exactly, and rounded once."""
    off: dict[tuple[date, str], Fraction] = {}
    for each in discounted:
        key = each.month, each.currency
        off[key] = off.get(key, Fraction(0)) + each.amount / (1 + each.rate_percent / 100)
    found = {(each.month, each.currency): each for each in booked}
    return [
        Revenue(
            *key,
            discounts=floor(off.get(key, Fraction(0)) + _HALF),
            invoiced=its.invoiced if (its := found.get(key)) else 0,
            credited=its.credited if its else 0,
            voided=its.voided if its else 0,
        )
        for key in sorted(found.keys() | off.keys())
    ]

"""What coupons take off an invoice, before tax (billing semantics 6.2)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Protocol, TypeAlias

from libs.common.money import EXACT, QUOTIENT, Money, exponent

Reduction: TypeAlias = Money | Decimal
"""A fixed amount, or percent."""

_PERCENT = Decimal("0.01")
_SHARE_DIGITS = 5


class Discountable(Protocol):
    """A line, as far as coupons go; the codes are "" when it is of no plan, or for no meter."""

    @property
    def amount(self) -> Money: ...

    @property
    def plan_code(self) -> str: ...

    @property
    def meter_code(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What a coupon takes off at most: of lines for `meter_codes`, of lines of `plan_codes`, or if both are empty, of
    all.
    """

    coupon_code: str
    name: str
    reduction: Reduction
    plan_codes: tuple[str, ...] = ()
    meter_codes: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """Coupons limited to meters come first, then those limited to plans, then the others."""
        return 0 if self.meter_codes else 1 if self.plan_codes else 2

    def applies_to(self, line: Discountable) -> bool:
        if self.meter_codes:
            return line.meter_code in self.meter_codes
        return not self.plan_codes or line.plan_code in self.plan_codes

    def off(self, base: Decimal, currency: str) -> Money:
        """Of `base` in major units: a percentage is rounded once; never more than there is in whole minor units."""
        if isinstance(self.reduction, Money):
            most = self.reduction if self.reduction.currency == currency else Money(0, currency)
        else:
            rate = EXACT.multiply(self.reduction, _PERCENT)
            most = Money.rounded(QUOTIENT.multiply(base, rate), currency)
        whole = int(base.scaleb(exponent(currency), EXACT).to_integral_value(ROUND_FLOOR))
        return Money(max(0, min(most.minor_units, whole)), currency)


@dataclass(frozen=True, slots=True)
class Discount:
    """What the coupon `applied_coupon_id` takes off an invoice. `terms` are those it had when it did, with what was
    left of a fixed amount; `base` is what the lines that it applies to come to, less what coupons before it took off,
    in major units. `shares` are by position of those lines, in major units to 5 digits below the minor unit, and add up
    to `amount`.
    """

    applied_coupon_id: str
    terms: Terms
    base: Decimal
    amount: Money
    shares: Mapping[int, Decimal]


def discounted(
    lines: Sequence[Discountable], offers: Iterable[tuple[str, Terms]], currency: str
) -> tuple[Discount, ...]:
    """What each coupon takes off, in the order of their ranks and else as offered: (applied coupon's id, terms).
    One that takes nothing off is left out.
    """
    left: dict[int, Decimal] = {}
    found = []
    for applied_coupon_id, terms in sorted(offers, key=lambda offer: offer[1].rank):
        left = left or {position: line.amount.amount for position, line in enumerate(lines)}
        eligible = {position: left[position] for position, line in enumerate(lines) if terms.applies_to(line)}
        base = sum(eligible.values(), Decimal(0))
        amount = terms.off(base, currency)
        if amount.minor_units:
            shares = _shares(amount, eligible, base)
            left |= {position: EXACT.subtract(eligible[position], share) for position, share in shares.items()}
            found.append(Discount(applied_coupon_id, terms, base, amount, shares))
    return tuple(found)


def _shares(amount: Money, eligible: Mapping[int, Decimal], base: Decimal) -> dict[int, Decimal]:
    """amount × line ÷ base, to 5 digits below the minor unit, by largest remainder: no share is more than its line."""
    quantum = Decimal(1).scaleb(-exponent(amount.currency) - _SHARE_DIGITS)
    exact = {
        position: QUOTIENT.divide(EXACT.multiply(amount.amount, line), base) for position, line in eligible.items()
    }
    shares = {position: share.quantize(quantum, ROUND_FLOOR, QUOTIENT) for position, share in exact.items()}
    missing = EXACT.subtract(amount.amount, sum(shares.values(), Decimal(0)))
    by_remainder = sorted(exact, key=lambda position: (shares[position] - exact[position], position))
    for position in by_remainder[: int(missing / quantum)]:
        shares[position] = EXACT.add(shares[position], quantum)
    return shares

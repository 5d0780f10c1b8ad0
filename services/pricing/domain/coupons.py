"""What coupons take off the fees of an invoice, before tax."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from services.pricing.domain.breakdown import EXACT, HUNDRED, ROUNDING, ZERO
from services.pricing.domain.rating import MAX_MINOR_UNITS

Discount: TypeAlias = Money | Decimal
"""A fixed amount, or percent."""

SHARE_DIGITS = Decimal("1e-12")


class Frequency(StrEnum):
    ONCE = "once"
    """A percentage from one invoice; a fixed amount from one after the other until it is used up."""
    RECURRING = "recurring"
    """From a number of invoices; what one of them is too small for is lost."""
    FOREVER = "forever"


@dataclass(frozen=True, slots=True)
class Coupon:
    """A discount that customers can be given, until `expire_time` if that is set.

    `periods` is at least 1 if it is recurring, else 0. Limited to fees of `plan_codes` or of `meter_codes`, never both;
    to none of them when both are empty.
    """

    code: str
    name: str
    discount: Discount
    frequency: Frequency
    periods: int
    plan_codes: tuple[str, ...]
    meter_codes: tuple[str, ...]
    expire_time: datetime | None
    reusable: bool
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Fee:
    """What an invoice bills, not negative; the codes are empty when it is of no plan, or for no meter."""

    amount: Money
    plan_code: str = ""
    meter_code: str = ""


@dataclass(frozen=True, slots=True)
class AppliedCoupon:
    """A coupon that a customer has, with the customer's own discount.

    `remaining` is what earlier invoices have left of a fixed amount that is taken off once.
    """

    coupon: Coupon
    discount: Discount
    remaining: Money | None = None

    @property
    def rank(self) -> int:
        """Coupons limited to meters come first, then those limited to plans, then the others."""
        return 0 if self.coupon.meter_codes else 1 if self.coupon.plan_codes else 2

    def applies_to(self, fee: Fee, currency: str) -> bool:
        if isinstance(self.discount, Money) and self.discount.currency != currency:
            return False
        if self.coupon.meter_codes:
            return fee.meter_code in self.coupon.meter_codes
        return not self.coupon.plan_codes or fee.plan_code in self.coupon.plan_codes

    def off(self, base: Money) -> Money:
        """Never more than `base`; a percentage is rounded once."""
        match self.discount:
            case Money():
                most = self.discount if self.remaining is None else self.remaining
                return Money(min(most.minor_units, base.minor_units), base.currency)
            case percent:
                part = EXACT.multiply(base.amount, ROUNDING.divide(percent, HUNDRED))
                return Money.rounded(part, base.currency)


@dataclass(frozen=True, slots=True)
class RatedCoupon:
    """What a coupon takes off: `shares` of the fees add up to `amount`; `unrounded` are the same in major units before
    rounding. `remaining` is what is left of a fixed amount that is taken off once.
    """

    coupon_code: str
    amount: Money
    base: Money
    shares: tuple[Money, ...]
    unrounded: tuple[Decimal, ...]
    remaining: Money | None


def rate_coupons(
    fees: Sequence[Fee], coupons: Sequence[AppliedCoupon], currency: str
) -> tuple[list[RatedCoupon], tuple[Money, ...]]:
    """Each coupon, in the order of their ranks and else as told, from what those before it left; and what all of them
    leave of each fee. Raises InvalidArgument AMOUNT_TOO_LARGE when no Money can state what the fees come to.
    """
    if sum(fee.amount.minor_units for fee in fees) > MAX_MINOR_UNITS:
        raise InvalidArgument("AMOUNT_TOO_LARGE", "the fees come to more than an amount can state", field="fees")
    left = tuple(fee.amount for fee in fees)
    rated: list[RatedCoupon] = []
    for coupon in sorted(coupons, key=lambda each: each.rank):
        eligible = [
            amount if coupon.applies_to(fee, currency) else Money(0, currency)
            for fee, amount in zip(fees, left, strict=True)
        ]
        entry = _rated(coupon, eligible, currency)
        left = tuple(amount - share for amount, share in zip(left, entry.shares, strict=True))
        rated.append(entry)
    return rated, left


def _rated(coupon: AppliedCoupon, eligible: Sequence[Money], currency: str) -> RatedCoupon:
    base = Money(sum(amount.minor_units for amount in eligible), currency)
    taken = coupon.off(base) if base.minor_units else base
    if taken.minor_units:
        shares = tuple(taken.allocate([Decimal(amount.minor_units) for amount in eligible]))
        unrounded = tuple(_share(taken, amount, base) for amount in eligible)
    else:
        shares = (Money(0, currency),) * len(eligible)
        unrounded = (ZERO,) * len(eligible)
    return RatedCoupon(coupon.coupon.code, taken, base, shares, unrounded, _remaining(coupon, taken))


def _share(taken: Money, amount: Money, base: Money) -> Decimal:
    product = EXACT.multiply(taken.amount, Decimal(amount.minor_units))
    return ROUNDING.divide(product, Decimal(base.minor_units)).quantize(SHARE_DIGITS, context=ROUNDING)


def _remaining(coupon: AppliedCoupon, taken: Money) -> Money | None:
    if not isinstance(coupon.discount, Money) or coupon.coupon.frequency is not Frequency.ONCE:
        return None
    before = coupon.discount if coupon.remaining is None else coupon.remaining
    return Money(before.minor_units - taken.minor_units, before.currency)

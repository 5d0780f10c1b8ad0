"""The coupons that a customer has, and what is left of them. Pricing owns coupons; their terms are copied when one is
applied.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from libs.common.errors import FailedPrecondition
from libs.common.money import Money
from services.invoicing.domain.discount import Discount, Reduction, Terms


class Frequency(StrEnum):
    ONCE = "once"
    """A percentage from one invoice; a fixed amount from one after the other until it is used up."""
    RECURRING = "recurring"
    """From a number of invoices; what one of them is too small for is lost."""
    FOREVER = "forever"


class CouponState(StrEnum):
    ACTIVE = "active"
    USED_UP = "used_up"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon as pricing has it. Customers can be given it until `expire_time`, again if it is `reusable`."""

    terms: Terms
    frequency: Frequency
    periods: int
    expire_time: datetime | None
    reusable: bool


@dataclass(frozen=True, slots=True)
class Override:
    """What is agreed with a customer in place of a coupon's terms; None keeps them."""

    reduction: Reduction | None = None
    frequency: Frequency | None = None
    periods: int = 0


@dataclass(frozen=True, slots=True)
class AppliedCoupon:
    """A coupon that a customer has. `remaining` is what is left of a fixed amount that is taken off once,
    `remaining_uses` on how many invoices more it takes something off; None where there is no end to it.
    """

    id: str
    customer_id: str
    terms: Terms
    frequency: Frequency
    periods: int
    remaining: Money | None
    remaining_uses: int | None
    state: CouponState
    create_time: datetime

    @property
    def offer(self) -> tuple[str, Terms]:
        """What it takes off the next invoice at most."""
        return self.id, self.terms if self.remaining is None else replace(self.terms, reduction=self.remaining)

    def used(self, amount: Money) -> "AppliedCoupon":
        """Once an invoice has used `amount` of it."""
        left = None if self.remaining is None else self.remaining - amount
        uses = None if self.remaining_uses is None else self.remaining_uses - 1
        is_used_up = uses == 0 or (left is not None and left.minor_units == 0)
        state = CouponState.USED_UP if is_used_up else self.state
        return replace(self, remaining=left, remaining_uses=uses, state=state)


def applied(
    coupon: Coupon, override: Override, applied_id: str, customer_id: str, had: Sequence[AppliedCoupon], now: datetime
) -> AppliedCoupon:
    """The coupon given to a customer, who `had` these; `now` is the tenant's.

    Raises FailedPrecondition COUPON_EXPIRED, COUPON_NOT_REUSABLE or COUPON_OVERLAPS.
    """
    terms = coupon.terms
    _require_applicable(coupon, had, now)
    reduction = terms.reduction if override.reduction is None else override.reduction
    frequency, periods = coupon.frequency, coupon.periods
    if override.frequency is not None:
        frequency, periods = override.frequency, override.periods
    is_balance = frequency is Frequency.ONCE and isinstance(reduction, Money)
    uses = {Frequency.ONCE: None if is_balance else 1, Frequency.RECURRING: periods, Frequency.FOREVER: None}
    return AppliedCoupon(
        id=applied_id,
        customer_id=customer_id,
        terms=replace(terms, reduction=reduction),
        frequency=frequency,
        periods=periods,
        remaining=reduction if is_balance and isinstance(reduction, Money) else None,
        remaining_uses=uses[frequency],
        state=CouponState.ACTIVE,
        create_time=now,
    )


def _require_applicable(coupon: Coupon, had: Sequence[AppliedCoupon], now: datetime) -> None:
    terms = coupon.terms
    if coupon.expire_time is not None and coupon.expire_time <= now:
        raise FailedPrecondition(
            "COUPON_EXPIRED",
            f"coupon {terms.coupon_code} could be given until {coupon.expire_time.isoformat()}",
            coupon_code=terms.coupon_code,
        )
    if not coupon.reusable and any(each.terms.coupon_code == terms.coupon_code for each in had):
        raise FailedPrecondition(
            "COUPON_NOT_REUSABLE",
            f"the customer has had coupon {terms.coupon_code}, which is given to each once",
            coupon_code=terms.coupon_code,
        )
    for each in had:
        shares = {*each.terms.plan_codes} & {*terms.plan_codes} | {*each.terms.meter_codes} & {*terms.meter_codes}
        if each.state is CouponState.ACTIVE and shares:
            raise FailedPrecondition(
                "COUPON_OVERLAPS",
                f"the customer has coupon {each.terms.coupon_code} for {', '.join(sorted(shares))} already",
                coupon_code=terms.coupon_code,
                applied_coupon_id=each.id,
            )


def left_of(coupons: Iterable[AppliedCoupon], discounts: Iterable[Discount]) -> list[AppliedCoupon]:
    """The coupons that go on, once an invoice has used those of `discounts`."""
    used = {each.applied_coupon_id: each.amount for each in discounts}
    after = (each.used(used[each.id]) if each.id in used else each for each in coupons)
    return [each for each in after if each.state is CouponState.ACTIVE]

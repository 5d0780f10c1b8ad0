"""The coupons that customers have."""

from decimal import Decimal

from libs.common.errors import InvalidArgument
from libs.common.money import Money, plain
from libs.common.wire import decimal_in, money_in, money_out, timestamp_in, timestamp_out
from services.invoicing.domain.coupon import AppliedCoupon, Coupon, CouponState, Frequency, Override
from services.invoicing.domain.discount import Reduction, Terms
from weir.invoicing.v1 import coupons_pb2 as pb
from weir.pricing.v1 import coupons_pb2

MAX_PERCENT = 100
PERCENT_DIGITS = 6

_FREQUENCIES = {
    Frequency.ONCE: coupons_pb2.Coupon.FREQUENCY_ONCE,
    Frequency.RECURRING: coupons_pb2.Coupon.FREQUENCY_RECURRING,
    Frequency.FOREVER: coupons_pb2.Coupon.FREQUENCY_FOREVER,
}
_FREQUENCIES_IN = {number: frequency for frequency, number in _FREQUENCIES.items()}
_STATES = {state: pb.AppliedCoupon.State.Value(f"STATE_{state.name}") for state in CouponState}


def coupon_in(message: coupons_pb2.Coupon) -> Coupon:
    """As pricing sent it, who has validated it."""
    fixed = message.fixed_amount
    reduction: Reduction = Decimal(message.rate_percent or 0)
    if message.HasField("fixed_amount"):
        reduction = Money(fixed.minor_units, fixed.currency_code)
    has_end = message.HasField("expire_time")
    return Coupon(
        terms=Terms(message.code, message.name, reduction, tuple(message.plan_codes), tuple(message.meter_codes)),
        frequency=_FREQUENCIES_IN[message.frequency],
        periods=message.periods,
        expire_time=timestamp_in(message.expire_time, True, "expire_time") if has_end else None,
        reusable=message.reusable,
    )


def override_in(request: pb.ApplyCouponRequest, coupon: Coupon) -> Override:
    """Of the same kind as what `coupon` takes off.

    Raises InvalidArgument COUPON_DISCOUNT_MISMATCHED, COUPON_PERIODS_MALFORMED or PERCENT_OUT_OF_RANGE among others.
    """
    reduction = _reduction_in(request)
    if reduction is not None and isinstance(reduction, Money) is not isinstance(coupon.terms.reduction, Money):
        raise InvalidArgument(
            "COUPON_DISCOUNT_MISMATCHED",
            f"coupon {coupon.terms.coupon_code} takes off the other kind of discount",
            field=request.WhichOneof("discount") or "",
        )
    frequency = None
    if request.frequency != coupons_pb2.Coupon.FREQUENCY_UNSPECIFIED:
        frequency = _FREQUENCIES_IN.get(request.frequency)
        if frequency is None:
            raise InvalidArgument(
                "ENUM_VALUE_UNKNOWN", f"frequency is {request.frequency}, which names no frequency", field="frequency"
            )
    if request.periods < 0 or (request.periods > 0) is not (frequency is Frequency.RECURRING):
        raise InvalidArgument(
            "COUPON_PERIODS_MALFORMED",
            f"periods is {request.periods}; a recurring coupon has 1 or more, any other 0",
            field="periods",
        )
    return Override(reduction, frequency, request.periods)


def _reduction_in(request: pb.ApplyCouponRequest) -> Reduction | None:
    match request.WhichOneof("discount"):
        case "fixed_amount":
            amount = money_in(request.fixed_amount, True, "fixed_amount")
            if amount.minor_units <= 0:
                raise InvalidArgument(
                    "AMOUNT_NOT_POSITIVE", f"fixed_amount is {amount}", field="fixed_amount.minor_units"
                )
            return amount
        case "rate_percent":
            rate = decimal_in(request.rate_percent, "rate_percent")
            if not 0 < rate <= MAX_PERCENT:
                raise InvalidArgument(
                    "PERCENT_OUT_OF_RANGE", f"rate_percent is {rate}; above 0, up to 100", field="rate_percent"
                )
            if round(rate, PERCENT_DIGITS) != rate:
                raise InvalidArgument(
                    "PERCENT_TOO_PRECISE",
                    f"rate_percent is {rate}; at most {PERCENT_DIGITS} digits after the point",
                    field="rate_percent",
                )
            return rate
    return None


def applied_coupon_out(coupon: AppliedCoupon) -> pb.AppliedCoupon:
    reduction = coupon.terms.reduction
    message = pb.AppliedCoupon(
        id=coupon.id,
        customer_id=coupon.customer_id,
        coupon_code=coupon.terms.coupon_code,
        name=coupon.terms.name,
        frequency=_FREQUENCIES[coupon.frequency],
        periods=coupon.periods,
        plan_codes=coupon.terms.plan_codes,
        meter_codes=coupon.terms.meter_codes,
        remaining_amount=money_out(coupon.remaining) if coupon.remaining is not None else None,
        remaining_periods=coupon.remaining_uses,
        state=_STATES[coupon.state],
        create_time=timestamp_out(coupon.create_time),
    )
    if isinstance(reduction, Money):
        message.fixed_amount.CopyFrom(money_out(reduction))
    else:
        message.rate_percent = plain(reduction)
    return message

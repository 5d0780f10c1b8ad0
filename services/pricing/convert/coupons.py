"""Coupons on the wire, and what they take off."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import InvalidArgument
from libs.common.money import Money, plain
from libs.common.wire import code_in, currency_in, money_out, text_in, timestamp_in, timestamp_out
from services.pricing.convert.collected import mask_in, read_all, read_fields
from services.pricing.convert.described import charged_in, codes_in
from services.pricing.convert.taxes import percent_in
from services.pricing.domain.coupons import AppliedCoupon, Coupon, Discount, Fee, Frequency, RatedCoupon
from weir.pricing.v1 import coupons_pb2

MAX_FEES = 10_000
MAX_COUPONS = 100

_FREQUENCIES = {
    coupons_pb2.Coupon.FREQUENCY_ONCE: Frequency.ONCE,
    coupons_pb2.Coupon.FREQUENCY_RECURRING: Frequency.RECURRING,
    coupons_pb2.Coupon.FREQUENCY_FOREVER: Frequency.FOREVER,
}
_FREQUENCIES_OUT = {each: number for number, each in _FREQUENCIES.items()}


def coupon_in(message: coupons_pb2.Coupon, create_time: datetime) -> Coupon:
    coupon = Coupon(create_time=create_time, **read_fields(message, _FIELDS, _FIELDS))
    if coupon.plan_codes and coupon.meter_codes:
        raise InvalidArgument(
            "COUPON_LIMITS_EXCLUSIVE",
            "coupon.meter_codes and coupon.plan_codes exclude each other",
            field="coupon.meter_codes",
        )
    if (coupon.periods > 0) is not (coupon.frequency is Frequency.RECURRING) or coupon.periods < 0:
        raise InvalidArgument(
            "COUPON_PERIODS_MALFORMED",
            f"coupon.periods is {coupon.periods}; a recurring coupon has 1 or more, any other 0",
            field="coupon.periods",
        )
    return coupon


def coupon_change_in(message: coupons_pb2.Coupon, mask: FieldMask) -> tuple[str, Callable[[Coupon], Coupon]]:
    """The coupon's code, and what the update makes of it."""
    values = read_fields(message, _FIELDS, {"code", *mask_in(mask, "name", "expire_time")})
    return values["code"], lambda coupon: replace(coupon, **values)


def coupon_out(coupon: Coupon) -> coupons_pb2.Coupon:
    message = coupons_pb2.Coupon(
        code=coupon.code,
        name=coupon.name,
        frequency=_FREQUENCIES_OUT[coupon.frequency],
        periods=coupon.periods,
        plan_codes=coupon.plan_codes,
        meter_codes=coupon.meter_codes,
        expire_time=timestamp_out(coupon.expire_time),
        reusable=coupon.reusable,
        create_time=timestamp_out(coupon.create_time),
    )
    match coupon.discount:
        case Money() as amount:
            message.currency_code = amount.currency
            message.fixed_amount.CopyFrom(money_out(amount))
        case percent:
            message.rate_percent = plain(percent)
    return message


def fees_in(request: coupons_pb2.RateCouponsRequest) -> tuple[str, tuple[Fee, ...]]:
    """The invoice's currency and fees."""
    currency = currency_in(request.currency_code, "currency_code")
    if not request.fees:
        raise InvalidArgument("FIELD_MISSING", "fees is required", field="fees")
    for field, count, most in (("fees", len(request.fees), MAX_FEES), ("coupons", len(request.coupons), MAX_COUPONS)):
        if count > most:
            raise InvalidArgument("REQUESTS_TOO_MANY", f"{count} {field}; at most {most} in one call", field=field)
    return currency, read_all(partial(_fee_in, fee, currency, f"fees[{i}]") for i, fee in enumerate(request.fees))


def coupon_codes_in(messages: Sequence[coupons_pb2.AppliedCoupon]) -> tuple[str, ...]:
    return read_all(partial(code_in, each.coupon_code, f"coupons[{i}].coupon_code") for i, each in enumerate(messages))


def applied_in(
    messages: Sequence[coupons_pb2.AppliedCoupon], coupons: Mapping[str, Coupon]
) -> tuple[AppliedCoupon, ...]:
    """`coupons` has every one that the messages name."""
    return read_all(
        partial(_applied_in, message, coupons[message.coupon_code], f"coupons[{index}]")
        for index, message in enumerate(messages)
    )


def rated_coupons_out(rated: Sequence[RatedCoupon], left: Sequence[Money]) -> coupons_pb2.RateCouponsResponse:
    return coupons_pb2.RateCouponsResponse(coupons=map(_rated_out, rated), fees=map(money_out, left))


def _rated_out(rated: RatedCoupon) -> coupons_pb2.RatedCoupon:
    return coupons_pb2.RatedCoupon(
        coupon_code=rated.coupon_code,
        amount=money_out(rated.amount),
        base_amount=money_out(rated.base),
        shares=[
            coupons_pb2.CouponShare(amount=money_out(share), unrounded_amount=plain(unrounded))
            for share, unrounded in zip(rated.shares, rated.unrounded, strict=True)
        ],
        remaining_amount=None if rated.remaining is None else money_out(rated.remaining),
    )


def _fee_in(message: coupons_pb2.CouponFee, currency: str, field: str) -> Fee:
    return Fee(
        amount=charged_in(message.amount, message.HasField("amount"), f"{field}.amount", currency),
        plan_code=code_in(message.plan_code, f"{field}.plan_code") if message.plan_code else "",
        meter_code=code_in(message.meter_code, f"{field}.meter_code") if message.meter_code else "",
    )


def _applied_in(message: coupons_pb2.AppliedCoupon, coupon: Coupon, field: str) -> AppliedCoupon:
    discount = coupon.discount if message.WhichOneof("discount") is None else _discount_in(message, field, None)
    is_fixed = isinstance(discount, Money)
    if is_fixed is not isinstance(coupon.discount, Money):
        raise InvalidArgument(
            "COUPON_DISCOUNT_MISMATCHED",
            f"{field} is of another kind than coupon {coupon.code}: a fixed amount or a percentage",
            field=field,
        )
    if not message.HasField("remaining_amount"):
        return AppliedCoupon(coupon, discount)
    path = f"{field}.remaining_amount"
    if not isinstance(discount, Money) or coupon.frequency is not Frequency.ONCE:
        raise InvalidArgument(
            "COUPON_DISCOUNT_MISMATCHED", f"{path} is for a fixed amount that is taken off once", field=path
        )
    return AppliedCoupon(coupon, discount, charged_in(message.remaining_amount, True, path, discount.currency))


def _coupon_discount_in(message: coupons_pb2.Coupon) -> Discount:
    is_fixed = message.WhichOneof("discount") == "fixed_amount"
    if message.currency_code and not is_fixed:
        raise InvalidArgument(
            "CURRENCY_MISMATCH", "coupon.currency_code is that of a fixed_amount", field="coupon.currency_code"
        )
    return _discount_in(
        message, "coupon", currency_in(message.currency_code, "coupon.currency_code") if is_fixed else None
    )


def _discount_in(message: coupons_pb2.Coupon | coupons_pb2.AppliedCoupon, field: str, currency: str | None) -> Discount:
    match message.WhichOneof("discount"):
        case "fixed_amount":
            path = f"{field}.fixed_amount"
            amount = charged_in(message.fixed_amount, True, path, currency)
            if not amount.minor_units:
                raise InvalidArgument("AMOUNT_NOT_POSITIVE", f"{path} is 0", field=f"{path}.minor_units")
            return amount
        case "rate_percent":
            path = f"{field}.rate_percent"
            percent: Decimal = percent_in(message.rate_percent, path)
            if not percent:
                raise InvalidArgument("PERCENT_OUT_OF_RANGE", f"{path} is 0", field=path)
            return percent
        case None:
            raise InvalidArgument(
                "FIELD_MISSING",
                f"{field} takes nothing off: give fixed_amount or rate_percent",
                field=f"{field}.discount",
            )


def _frequency_in(value: "coupons_pb2.Coupon.Frequency.ValueType", field: str) -> Frequency:
    if not value:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    if (frequency := _FREQUENCIES.get(value)) is None:
        raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"{field} is {value}, which names no frequency", field=field)
    return frequency


def _expire_time_in(message: coupons_pb2.Coupon) -> datetime | None:
    return timestamp_in(message.expire_time, True, "coupon.expire_time") if message.HasField("expire_time") else None


_FIELDS: dict[str, Callable[[coupons_pb2.Coupon], Any]] = {
    "code": lambda message: code_in(message.code, "coupon.code"),
    "name": lambda message: text_in(message.name, "coupon.name"),
    "discount": _coupon_discount_in,
    "frequency": lambda message: _frequency_in(message.frequency, "coupon.frequency"),
    "periods": lambda message: message.periods,
    "plan_codes": lambda message: codes_in(message.plan_codes, "coupon.plan_codes", "CODE_DUPLICATE"),
    "meter_codes": lambda message: codes_in(message.meter_codes, "coupon.meter_codes", "CODE_DUPLICATE"),
    "expire_time": _expire_time_in,
    "reusable": lambda message: message.reusable,
}

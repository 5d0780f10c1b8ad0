"""Coupons."""

from datetime import datetime
from decimal import Decimal

from libs.common.money import Money, plain
from services.pricing.domain.coupons import Coupon, Frequency
from services.pricing.store.objects import Json, Objects


def _contents(coupon: Coupon) -> Json:
    discount = coupon.discount
    return {
        "name": coupon.name,
        "discount": [discount.minor_units, discount.currency] if isinstance(discount, Money) else plain(discount),
        "frequency": coupon.frequency,
        "periods": coupon.periods,
        "plan_codes": list(coupon.plan_codes),
        "meter_codes": list(coupon.meter_codes),
        "expire_time": None if coupon.expire_time is None else coupon.expire_time.isoformat(),
        "reusable": coupon.reusable,
    }


def _read(code: str, create_time: datetime, value: Json) -> Coupon:
    discount, expire_time = value["discount"], value["expire_time"]
    return Coupon(
        code=code,
        name=value["name"],
        discount=Decimal(discount) if isinstance(discount, str) else Money(*discount),
        frequency=Frequency(value["frequency"]),
        periods=value["periods"],
        plan_codes=tuple(value["plan_codes"]),
        meter_codes=tuple(value["meter_codes"]),
        expire_time=None if expire_time is None else datetime.fromisoformat(expire_time),
        reusable=value["reusable"],
        create_time=create_time,
    )


COUPONS = Objects("coupon", "coupon", "COUPON_EXISTS", "COUPON_NOT_FOUND", _contents, _read)

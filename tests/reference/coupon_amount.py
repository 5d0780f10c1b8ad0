"""Cases of what a coupon takes off: it is made and applied to one fee, both by the real service."""

from uuid import uuid4

from libs.common.clock import system_clock
from libs.common.rpc.client import channel
from services.pricing.main import Settings, running
from tests.reference.cases import Case, Fields, Json, Unsupported, World
from tests.reference.comparison import differences
from weir.common.v1.money_pb2 import Money
from weir.pricing.v1 import coupons_pb2
from weir.pricing.v1.coupons_pb2_grpc import CouponServiceStub

DEFAULT_CURRENCY = "EUR"
FREQUENCIES = {
    "once": coupons_pb2.Coupon.FREQUENCY_ONCE,
    "recurring": coupons_pb2.Coupon.FREQUENCY_RECURRING,
    "forever": coupons_pb2.Coupon.FREQUENCY_FOREVER,
}


async def run(case: Case, world: World) -> list[str]:
    given, when = Fields(case.given, "given"), Fields(case.when, "when")
    currency = given.take("currency", DEFAULT_CURRENCY)
    coupon, applied = _coupon(given, currency)
    fee = coupons_pb2.CouponFee(amount=Money(currency_code=currency, minor_units=when.take("base_amount_cents")))
    given.close()
    when.close()
    settings = Settings(world.database.dsns["pricing"], world.keys.public_pem, world.keys.private_pem, "127.0.0.1:0")
    async with (
        running(settings, system_clock) as port,
        channel(f"127.0.0.1:{port}", world.keys.api_key("reference")) as opened,
    ):
        coupons = CouponServiceStub(opened)
        await coupons.CreateCoupon(coupons_pb2.CreateCouponRequest(request_id=str(uuid4()), coupon=coupon))
        request = coupons_pb2.RateCouponsRequest(currency_code=currency, fees=[fee], coupons=[applied])
        rated = await coupons.RateCoupons(request)
    observed: Json = {"amount_cents": rated.coupons[0].amount.minor_units}
    return differences(case.expect, observed)


def _coupon(given: Fields, currency: str) -> tuple[coupons_pb2.Coupon, coupons_pb2.AppliedCoupon]:
    frequency = given.take("frequency", "once")
    if frequency not in FREQUENCIES:
        raise Unsupported(f"the frequency {frequency!r}")
    coupon = coupons_pb2.Coupon(
        code="coupon", name="Coupon", frequency=FREQUENCIES[frequency], periods=given.take("frequency_duration", 0)
    )
    applied = coupons_pb2.AppliedCoupon(coupon_code="coupon")
    match given.take("type"):
        case "fixed_amount":
            coupon.currency_code = currency
            coupon.fixed_amount.CopyFrom(Money(currency_code=currency, minor_units=given.take("amount_cents")))
        case "percentage":
            coupon.rate_percent = str(given.take("coupon_rate"))
            if (rate := given.take("applied_rate")) is not None:
                applied.rate_percent = str(rate)
        case other:
            raise Unsupported(f"the coupon type {other!r}")
    return coupon, applied

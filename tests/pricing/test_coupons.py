"""What coupons take off, and what keeps them."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Conflict, InvalidArgument, NotFound
from libs.common.money import Money
from libs.common.wire import money_in, timestamp_out
from services.pricing.convert.coupons import coupon_in, coupon_out
from services.pricing.domain.coupons import AppliedCoupon, Coupon, Fee, Frequency, rate_coupons
from services.pricing.store.coupons import COUPONS
from tests.pricing.conftest import NOW, Client, Dial
from tests.pricing.requests import create_plan
from tests.pricing.strategies import codes, instants, names
from weir.common.v1 import money_pb2
from weir.pricing.v1 import coupons_pb2
from weir.pricing.v1.coupons_pb2_grpc import CouponServiceStub

if TYPE_CHECKING:
    from weir.pricing.v1.coupons_pb2_grpc import CouponServiceAsyncStub

METERS, PLANS = ("tokens", "calls"), ("pro", "basic")


def limits() -> st.SearchStrategy[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Plans and meters, never both."""
    return st.sampled_from([((), ()), (PLANS[:1], ()), (PLANS, ()), ((), METERS[:1]), ((), METERS)])


percents = st.integers(1, 100_000_000).map(lambda number: Decimal(number).scaleb(-6))
amounts = st.integers(1, 10**12).map(lambda number: Money(number, "EUR"))
coupons = st.builds(
    lambda limited, frequency, periods, **fields: Coupon(
        plan_codes=limited[0],
        meter_codes=limited[1],
        frequency=frequency,
        periods=periods if frequency is Frequency.RECURRING else 0,
        **fields,
    ),
    limits(),
    frequency=st.sampled_from(Frequency),
    periods=st.integers(1, 36),
    code=codes,
    name=names,
    discount=percents | amounts,
    expire_time=st.none() | instants,
    reusable=st.booleans(),
    create_time=instants,
)
fees = st.lists(
    st.builds(
        Fee,
        st.integers(0, 10**12).map(lambda number: Money(number, "EUR")),
        st.sampled_from(["", *PLANS]),
        st.sampled_from(["", *METERS]),
    ),
    min_size=1,
    max_size=6,
)


@given(coupons)
def test_a_coupon_read_from_the_wire_or_the_database_is_the_one_written(coupon: Coupon) -> None:
    assert coupon_in(coupon_out(coupon), coupon.create_time) == coupon
    assert COUPONS.read(coupon.code, coupon.create_time, COUPONS.contents(coupon)) == coupon


@given(fees, st.lists(coupons.map(lambda coupon: AppliedCoupon(coupon, coupon.discount)), max_size=5))
def test_coupons_take_off_what_their_shares_say_and_never_more_than_there_is(
    fees: list[Fee], applied: list[AppliedCoupon]
) -> None:
    rated, left = rate_coupons(fees, applied, "EUR")
    for entry in rated:
        assert sum(share.minor_units for share in entry.shares) == entry.amount.minor_units
        assert 0 <= entry.amount.minor_units <= entry.base.minor_units
        assert abs(sum(entry.unrounded) - entry.amount.amount) <= len(fees) * Decimal("5e-13")
    assert all(0 <= amount.minor_units <= fee.amount.minor_units for fee, amount in zip(fees, left, strict=True))
    taken = sum(entry.amount.minor_units for entry in rated)
    assert sum(fee.amount.minor_units for fee in fees) - taken == sum(amount.minor_units for amount in left)


@given(fees, st.lists(coupons.map(lambda coupon: AppliedCoupon(coupon, coupon.discount)), max_size=5))
def test_fees_that_a_coupon_is_not_for_stay_as_they_are(fees: list[Fee], applied: list[AppliedCoupon]) -> None:
    by_code = {each.coupon.code: each.coupon for each in applied}
    if len(by_code) < len(applied):
        return
    rated, _ = rate_coupons(fees, applied, "EUR")
    for entry in rated:
        coupon = by_code[entry.coupon_code]
        for fee, share in zip(fees, entry.shares, strict=True):
            if (coupon.meter_codes and fee.meter_code not in coupon.meter_codes) or (
                coupon.plan_codes and fee.plan_code not in coupon.plan_codes
            ):
                assert share.minor_units == 0


def made(discount: Money | Decimal, *, code: str = "welcome", **fields: object) -> Coupon:
    defaults: dict[str, object] = {
        "frequency": Frequency.ONCE, "periods": 0, "plan_codes": (), "meter_codes": (),
        "expire_time": None, "reusable": False,
    }  # fmt: skip
    return Coupon(code=code, name=code, discount=discount, create_time=NOW, **(defaults | fields))  # type: ignore[arg-type]


def test_meters_come_before_plans_and_plans_before_the_rest() -> None:
    """A tenth of the rest of 100 for each: 10, then 9, then 8.10."""
    tenth = Decimal(10)
    applied = [
        made(tenth, code="any"),
        made(tenth, code="plan", plan_codes=("pro",)),
        made(tenth, code="meter", meter_codes=("tokens",)),
    ]
    fee = Fee(Money(10000, "EUR"), "pro", "tokens")
    rated, left = rate_coupons([fee], [AppliedCoupon(each, each.discount) for each in applied], "EUR")
    assert [(each.coupon_code, each.amount.minor_units) for each in rated] == [
        ("meter", 1000),
        ("plan", 900),
        ("any", 810),
    ]
    assert left == (Money(7290, "EUR"),)


def test_a_fixed_amount_is_taken_off_one_invoice_after_the_other() -> None:
    coupon = made(Money(1000, "EUR"))
    fee = [Fee(Money(700, "EUR"))]
    [first], _ = rate_coupons(fee, [AppliedCoupon(coupon, coupon.discount)], "EUR")
    assert (first.amount, first.remaining) == (Money(700, "EUR"), Money(300, "EUR"))
    [second], left = rate_coupons(fee, [AppliedCoupon(coupon, coupon.discount, first.remaining)], "EUR")
    assert (second.amount, second.remaining, left) == (Money(300, "EUR"), Money(0, "EUR"), (Money(400, "EUR"),))


@pytest.mark.parametrize("frequency", [Frequency.RECURRING, Frequency.FOREVER])
def test_what_a_recurring_coupon_does_not_take_off_an_invoice_is_lost(frequency: Frequency) -> None:
    coupon = made(Money(1000, "EUR"), frequency=frequency, periods=3 if frequency is Frequency.RECURRING else 0)
    [rated], _ = rate_coupons([Fee(Money(700, "EUR"))], [AppliedCoupon(coupon, coupon.discount)], "EUR")
    assert (rated.amount, rated.remaining) == (Money(700, "EUR"), None)


def test_a_fixed_amount_of_another_currency_takes_nothing_off_and_is_kept() -> None:
    coupon = made(Money(1000, "USD"))
    [rated], left = rate_coupons([Fee(Money(700, "EUR"))], [AppliedCoupon(coupon, coupon.discount)], "EUR")
    assert (rated.amount, rated.remaining) == (Money(0, "EUR"), Money(1000, "USD"))
    assert left == (Money(700, "EUR"),)


@pytest.fixture
def service(dial: Dial) -> "CouponServiceAsyncStub":
    return CouponServiceStub(dial("acme"))


def create(**fields: object) -> coupons_pb2.CreateCouponRequest:
    coupon = coupons_pb2.Coupon(
        code="welcome", name="Welcome", frequency=coupons_pb2.Coupon.FREQUENCY_ONCE, rate_percent="10"
    )
    coupon.MergeFrom(coupons_pb2.Coupon(**fields))  # type: ignore[arg-type]
    return coupons_pb2.CreateCouponRequest(request_id=str(uuid4()), coupon=coupon)


def fixed(minor_units: int) -> coupons_pb2.Coupon:
    return coupons_pb2.Coupon(currency_code="EUR", fixed_amount=euros(minor_units))


def euros(minor_units: int) -> money_pb2.Money:
    return money_pb2.Money(currency_code="EUR", minor_units=minor_units)


async def test_a_coupon_is_recorded_as_it_was_given(service: "CouponServiceAsyncStub", pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    request = create(plan_codes=["llm-api"], reusable=True)
    first = await service.CreateCoupon(request)
    assert first.coupon.plan_codes == ["llm-api"]
    assert (await service.GetCoupon(coupons_pb2.GetCouponRequest(code="welcome"))).coupon == first.coupon
    assert await service.CreateCoupon(request) == first
    assert list((await service.ListCoupons(coupons_pb2.ListCouponsRequest())).coupons) == [first.coupon]


async def test_only_its_name_and_end_can_change(service: "CouponServiceAsyncStub") -> None:
    created = (await service.CreateCoupon(create())).coupon
    end = timestamp_out(datetime(2024, 1, 1, tzinfo=UTC))
    change = coupons_pb2.Coupon(code="welcome", name="Hello", expire_time=end, rate_percent="50")
    mask = FieldMask(paths=["name", "expire_time"])
    created.name = "Hello"
    created.expire_time.CopyFrom(change.expire_time)
    updated = await service.UpdateCoupon(coupons_pb2.UpdateCouponRequest(coupon=change, update_mask=mask))
    assert updated.coupon == created
    mask.paths[:] = ["rate_percent"]
    with pytest.raises(InvalidArgument) as refused:
        await service.UpdateCoupon(coupons_pb2.UpdateCouponRequest(coupon=change, update_mask=mask))
    assert refused.value.reason == "MASK_PATH_UNKNOWN"


async def test_a_plan_that_is_not_there_cannot_limit_a_coupon_and_nothing_is_made(
    service: "CouponServiceAsyncStub",
) -> None:
    with pytest.raises(NotFound) as refused:
        await service.CreateCoupon(create(plan_codes=["pro"]))
    assert refused.value.metadata == {"plan_code": "pro", "field": "coupon.plan_codes[0]"}
    assert not (await service.ListCoupons(coupons_pb2.ListCouponsRequest())).coupons


async def test_a_code_is_taken_once_and_a_request_id_means_one_coupon(service: "CouponServiceAsyncStub") -> None:
    request = create()
    await service.CreateCoupon(request)
    with pytest.raises(Conflict) as refused:
        await service.CreateCoupon(create())
    assert refused.value.reason == "COUPON_EXISTS"
    request.coupon.name = "Another"
    with pytest.raises(Conflict) as refused:
        await service.CreateCoupon(request)
    assert refused.value.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        (lambda c: c.ClearField("rate_percent"), "FIELD_MISSING", "coupon.discount"),
        (lambda c: c.ClearField("frequency"), "FIELD_MISSING", "coupon.frequency"),
        (lambda c: setattr(c, "frequency", 9), "ENUM_VALUE_UNKNOWN", "coupon.frequency"),
        (lambda c: setattr(c, "rate_percent", "0"), "PERCENT_OUT_OF_RANGE", "coupon.rate_percent"),
        (lambda c: setattr(c, "rate_percent", "100.1"), "PERCENT_OUT_OF_RANGE", "coupon.rate_percent"),
        (lambda c: c.MergeFrom(fixed(0)), "AMOUNT_NOT_POSITIVE", "coupon.fixed_amount.minor_units"),
        (lambda c: c.MergeFrom(fixed(-1)), "AMOUNT_NEGATIVE", "coupon.fixed_amount.minor_units"),
        (lambda c: c.fixed_amount.CopyFrom(euros(1)), "FIELD_MISSING", "coupon.currency_code"),
        (lambda c: setattr(c, "currency_code", "EUR"), "CURRENCY_MISMATCH", "coupon.currency_code"),
        (lambda c: setattr(c, "periods", 1), "COUPON_PERIODS_MALFORMED", "coupon.periods"),
        (lambda c: setattr(c, "frequency", 2), "COUPON_PERIODS_MALFORMED", "coupon.periods"),
        (lambda c: setattr(c, "periods", -1), "COUPON_PERIODS_MALFORMED", "coupon.periods"),
        (lambda c: c.meter_codes.extend(["a", "a"]), "CODE_DUPLICATE", "coupon.meter_codes[1]"),
        (
            lambda c: (c.meter_codes.append("a"), c.plan_codes.append("b")),
            "COUPON_LIMITS_EXCLUSIVE",
            "coupon.meter_codes",
        ),
    ],
)
def test_a_wrong_field_of_a_coupon_is_named(
    change: Callable[[coupons_pb2.Coupon], object], reason: str, field: str
) -> None:
    coupon = create().coupon
    change(coupon)
    with pytest.raises(InvalidArgument) as refused:
        coupon_in(coupon, NOW)
    assert (refused.value.reason, refused.value.field) == (reason, field)


def test_every_wrong_field_of_a_coupon_is_named_at_once() -> None:
    with pytest.raises(InvalidArgument) as refused:
        coupon_in(coupons_pb2.Coupon(code="Not a code"), NOW)
    assert [each.field for each in refused.value.violations] == [
        "coupon.code",
        "coupon.name",
        "coupon.discount",
        "coupon.frequency",
    ]


def applied(**fields: object) -> coupons_pb2.RateCouponsRequest:
    return coupons_pb2.RateCouponsRequest(
        currency_code="EUR",
        fees=[coupons_pb2.CouponFee(amount=euros(1000)), coupons_pb2.CouponFee(amount=euros(2000))],
        coupons=[coupons_pb2.AppliedCoupon(coupon_code="welcome", **fields)],  # type: ignore[arg-type]
    )


async def test_a_coupon_is_shared_by_the_fees(service: "CouponServiceAsyncStub") -> None:
    await service.CreateCoupon(create())
    rated = await service.RateCoupons(applied(rate_percent="33.333333"))
    [coupon] = rated.coupons
    assert (coupon.amount.minor_units, coupon.base_amount.minor_units) == (1000, 3000)
    assert [share.amount.minor_units for share in coupon.shares] == [333, 667]
    assert [share.unrounded_amount for share in coupon.shares] == ["3.333333333333", "6.666666666667"]
    assert [money_in(left, True, "").minor_units for left in rated.fees] == [667, 1333]


async def test_an_unknown_coupon_or_a_discount_of_another_kind_is_refused(dial: Dial) -> None:
    acme, rival = CouponServiceStub(dial("acme")), CouponServiceStub(dial("rival"))
    await acme.CreateCoupon(create())
    with pytest.raises(NotFound) as missing:
        await rival.RateCoupons(applied())
    assert missing.value.reason == "COUPON_NOT_FOUND"
    for request, field in (
        (applied(fixed_amount=euros(1)), "coupons[0]"),
        (applied(remaining_amount=euros(1)), "coupons[0].remaining_amount"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await acme.RateCoupons(request)
        assert (refused.value.reason, refused.value.field) == ("COUPON_DISCOUNT_MISMATCHED", field)


@pytest.mark.parametrize(
    ("fees", "reason"),
    [
        ([], "FIELD_MISSING"),
        ([coupons_pb2.CouponFee(amount=euros(-1))], "AMOUNT_NEGATIVE"),
        ([coupons_pb2.CouponFee(amount=money_pb2.Money(currency_code="USD", minor_units=1))], "CURRENCY_MISMATCH"),
        ([coupons_pb2.CouponFee(amount=euros(2**63 - 1))] * 2, "AMOUNT_TOO_LARGE"),
        ([coupons_pb2.CouponFee(amount=euros(1))] * 10_001, "REQUESTS_TOO_MANY"),
    ],
)
async def test_fees_that_are_none_are_refused(
    service: "CouponServiceAsyncStub", fees: list[coupons_pb2.CouponFee], reason: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await service.RateCoupons(coupons_pb2.RateCouponsRequest(currency_code="EUR", fees=fees))
    assert refused.value.reason == reason


async def test_many_invoices_are_rated_at_once_as_each_by_itself(service: "CouponServiceAsyncStub") -> None:
    await service.CreateCoupon(create())
    requests = [applied(rate_percent=rate) for rate in ("10", "20", "33.333333")]
    together = await service.BatchRateCoupons(coupons_pb2.BatchRateCouponsRequest(requests=requests))
    assert list(together.responses) == [await service.RateCoupons(each) for each in requests]


async def test_of_many_invoices_the_first_that_is_wrong_is_told(service: "CouponServiceAsyncStub") -> None:
    await service.CreateCoupon(create())
    wrong = applied()
    wrong.coupons.add(coupon_code="summer")
    wrong.coupons.add(coupon_code="autumn")
    with pytest.raises(NotFound, match="COUPON_NOT_FOUND") as refused:
        await service.BatchRateCoupons(
            coupons_pb2.BatchRateCouponsRequest(requests=[applied(), wrong, coupons_pb2.RateCouponsRequest()])
        )
    assert refused.value.metadata["request_index"] == "1"
    assert [each.field for each in refused.value.violations] == ["coupons[1].coupon_code", "coupons[2].coupon_code"]
    with pytest.raises(InvalidArgument, match="FIELD_MISSING"):
        await service.BatchRateCoupons(coupons_pb2.BatchRateCouponsRequest())

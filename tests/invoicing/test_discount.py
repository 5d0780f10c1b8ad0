"""What coupons take off."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import FailedPrecondition
from libs.common.money import Money
from services.invoicing.domain.bill import Fee, share_of
from services.invoicing.domain.coupon import AppliedCoupon, Coupon, CouponState, Frequency, Override, applied, left_of
from services.invoicing.domain.discount import Discount, Reduction, Terms, discounted
from tests.invoicing.world import utc

NOW = utc("2023-12-01")


def euro(minor_units: int) -> Money:
    return Money(minor_units, "EUR")


def fee(amount: int, plan: str = "", meter: str = "") -> Fee:
    return Fee(euro(amount), (), plan_code=plan, meter_code=meter)


def off(lines: list[Fee], *coupons: Terms, currency: str = "EUR") -> tuple[Discount, ...]:
    return discounted(lines, [(str(i), each) for i, each in enumerate(coupons)], currency)


@pytest.mark.parametrize(
    ("reduction", "base", "amount"),
    [
        (euro(12), 0, 0),
        (euro(12), 6, 6),
        (euro(12), 300, 12),
        (Decimal(20), 300, 60),
        (Decimal("12.5"), 4, 1),
        (Decimal(100), 7, 7),
    ],
)
def test_a_coupon_takes_off_no_more_than_there_is(reduction: Reduction, base: int, amount: int) -> None:
    """Reference cases coupon-amt-02, 03 and 05 among others."""
    assert sum(each.amount.minor_units for each in off([fee(base)], Terms("c", "C", reduction))) == amount


def test_those_for_meters_come_first_then_those_for_plans_then_the_others() -> None:
    lines = [fee(1000, "a", "calls"), fee(1000, "a"), fee(1000, "b")]
    everything = Terms("all", "All", Decimal(10))
    plan = Terms("plan", "Plan", Decimal(50), plan_codes=("a",))
    meter = Terms("meter", "Meter", euro(400), meter_codes=("calls",))
    found = off(lines, everything, plan, meter)
    assert [(each.terms.coupon_code, each.base, each.amount.minor_units) for each in found] == [
        ("meter", Decimal("10"), 400),
        ("plan", Decimal("16"), 800),
        ("all", Decimal("18"), 180),
    ]
    assert [share_of(found, i) for i in range(3)] == [Decimal("7.3"), Decimal("5.5"), Decimal("1")]


def test_a_coupon_in_another_currency_is_not_used() -> None:
    assert off([fee(1000)], Terms("c", "C", Money(100, "USD"))) == ()


def test_a_line_that_takes_away_gives_its_share_back() -> None:
    [found] = off([fee(1500), fee(-500)], Terms("c", "C", euro(100)))
    assert found.shares == {0: Decimal("1.5"), 1: Decimal("-0.5")}


amounts = st.lists(st.integers(-(10**6), 10**9), min_size=1, max_size=12)
reductions = st.one_of(st.integers(1, 10**10).map(euro), st.decimals("0.000001", "100", places=6))
codes = st.sampled_from(["", "a", "b"])
limited = st.builds(
    Terms,
    st.just("c"),
    st.just("C"),
    reductions,
    plan_codes=st.lists(st.sampled_from(["a", "b"]), unique=True).map(tuple),
)


@given(st.lists(st.tuples(st.integers(0, 10**9), codes), min_size=1, max_size=10), st.lists(limited, max_size=5))
def test_discounts_never_exceed_the_lines_they_are_for(lines: list[tuple[int, str]], coupons: list[Terms]) -> None:
    charged = [fee(amount, plan) for amount, plan in lines]
    found = off(charged, *coupons)
    for each in found:
        assert sum(each.shares.values()) == each.amount.amount <= each.base
        assert all(each.terms.applies_to(charged[position]) for position in each.shares)
        assert all(share == round(share, 7) for share in each.shares.values())
    for position, line in enumerate(charged):
        assert 0 <= share_of(found, position) <= line.amount.amount


@given(amounts, limited)
def test_shares_add_up_among_lines_of_both_signs(lines: list[int], coupon: Terms) -> None:
    charged = [fee(amount, "a") for amount in lines]
    for each in off(charged, coupon):
        assert sum(each.shares.values()) == each.amount.amount
        for position, share in each.shares.items():
            assert abs(share) <= abs(charged[position].amount.amount)
            assert share * charged[position].amount.minor_units >= 0


@given(amounts, st.lists(limited, max_size=4))
def test_what_was_taken_off_is_computed_again_from_its_own_terms(lines: list[int], coupons: list[Terms]) -> None:
    charged = [fee(amount, "a") for amount in lines]
    found = off(charged, *coupons)
    assert discounted(charged, [(each.applied_coupon_id, each.terms) for each in found], "EUR") == found


def coupon(
    reduction: Reduction = Decimal(10),
    frequency: Frequency = Frequency.ONCE,
    periods: int = 0,
    **terms: tuple[str, ...],
) -> Coupon:
    return Coupon(Terms("welcome", "Welcome", reduction, **terms), frequency, periods, None, reusable=False)


def given_to(of: Coupon, *had: AppliedCoupon, override: Override | None = None) -> AppliedCoupon:
    return applied(of, override or Override(), "cpn_1", "globex", had, NOW)


def invoiced(has: AppliedCoupon, *totals: int) -> list[int]:
    """What is taken off invoices of these totals, one after the other."""
    taken = []
    coupons = [has]
    for total in totals:
        found = discounted([fee(total)], [each.offer for each in coupons], "EUR")
        coupons = left_of(coupons, found)
        taken.append(sum(each.amount.minor_units for each in found))
    return taken


@pytest.mark.parametrize(
    ("of", "taken"),
    [
        (coupon(euro(1000)), [600, 400, 0]),
        (coupon(Decimal(50)), [300, 0, 0]),
        (coupon(euro(1000), Frequency.RECURRING, 2), [600, 600, 0]),
        (coupon(Decimal(10), Frequency.RECURRING, 2), [60, 60, 0]),
        (coupon(euro(100), Frequency.FOREVER), [100, 100, 100]),
    ],
)
def test_how_often_a_coupon_takes_something_off(of: Coupon, taken: list[int]) -> None:
    assert invoiced(given_to(of), 600, 600, 600) == taken


def test_an_invoice_over_nothing_uses_nothing_up() -> None:
    assert invoiced(given_to(coupon(euro(5), Frequency.RECURRING, 1)), 0, 600, 600) == [0, 5, 0]


def test_terms_that_were_agreed_replace_those_of_the_coupon() -> None:
    agreed = Override(euro(700), Frequency.RECURRING, 3)
    has = given_to(coupon(euro(1000)), override=agreed)
    assert (has.terms.reduction, has.remaining, has.remaining_uses) == (euro(700), None, 3)


def test_who_can_not_be_given_a_coupon() -> None:
    has = given_to(coupon(plan_codes=("a", "b")))
    for of, reason in (
        (coupon(), "COUPON_NOT_REUSABLE"),
        (Coupon(Terms("x", "X", Decimal(5), ("b",)), Frequency.ONCE, 0, None, reusable=True), "COUPON_OVERLAPS"),
        (Coupon(Terms("x", "X", Decimal(5)), Frequency.ONCE, 0, NOW, reusable=True), "COUPON_EXPIRED"),
    ):
        with pytest.raises(FailedPrecondition) as refused:
            given_to(of, has)
        assert refused.value.reason == reason
    other = Coupon(Terms("x", "X", Decimal(5), meter_codes=("b",)), Frequency.ONCE, 0, None, reusable=True)
    assert given_to(other, has).state is CouponState.ACTIVE

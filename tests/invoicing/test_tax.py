"""Taxes, added and contained."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.money import Money
from services.invoicing.domain.bill import Fee, Totals, totalled
from services.invoicing.domain.discount import Terms, discounted
from services.invoicing.domain.tax import Tax

RATES = {"vat": "20", "city": "0.5", "sales": "8.875", "zero": "0", "whole": "100"}
TAXES = {code: Tax(code, code.upper(), Decimal(rate)) for code, rate in RATES.items()}
fees = st.builds(
    Fee,
    st.integers(0, 10**9).map(lambda amount: Money(amount, "EUR")),
    st.lists(st.sampled_from(sorted(TAXES)), unique=True).map(tuple),
    st.booleans(),
)


def euro(minor_units: int) -> Money:
    return Money(minor_units, "EUR")


def taxed(*charged: Fee, defaults: Sequence[str] = (), coupons: Sequence[Terms] = ()) -> Totals:
    discounts = discounted(charged, [(each.coupon_code, each) for each in coupons], "EUR")
    return totalled(charged, TAXES, "EUR", discounts, tuple(defaults))


@pytest.mark.parametrize(
    ("gross", "codes", "contained"),
    [
        (12000, ["vat"], [(10000, 2000)]),
        (1000, ["vat"], [(833, 167)]),
        (1, ["vat"], [(1, 0)]),
        (3, ["whole"], [(1, 2)]),
        (10938, ["vat", "sales"], [(8487, 1697), (8487, 753)]),
        (1000, ["zero"], [(1000, 0)]),
    ],
)
def test_a_price_that_contains_its_taxes_is_split_and_not_changed(
    gross: int, codes: list[str], contained: list[tuple[int, int]]
) -> None:
    found = taxed(Fee(euro(gross), tuple(codes), is_tax_inclusive=True))
    assert [(tax.taxable.minor_units, tax.amount.minor_units) for tax in found.taxes] == contained
    assert (found.subtotal, found.tax, found.total) == (euro(gross), euro(0), euro(gross))


def test_a_tax_that_is_both_added_and_contained_has_two_entries() -> None:
    found = taxed(Fee(euro(1000), ("vat",)), Fee(euro(1200), ("vat",), is_tax_inclusive=True))
    assert [(tax.key, tax.taxable, tax.amount) for tax in found.taxes] == [
        (("vat", False), euro(1000), euro(200)),
        (("vat", True), euro(1000), euro(200)),
    ]
    assert found.total == euro(2400)


def test_lines_without_taxes_of_their_own_bear_the_default_ones() -> None:
    found = taxed(Fee(euro(1000), ("city",)), Fee(euro(1000), ()), defaults=["vat", "sales"])
    assert [(tax.code, tax.amount.minor_units) for tax in found.taxes] == [("city", 5), ("vat", 200), ("sales", 89)]


def test_the_coupon_is_spread_over_all_lines_and_then_each_is_taxed_by_its_own() -> None:
    """Reference case sc-tax-01: 100.00 at 10 %, 50.00 at 0 %, 30.00 and its true-up of 20.00 at 20 %; 10.00 off."""
    taxes = {code: Tax(code, code, Decimal(rate)) for code, rate in {"banking": 10, "fr": 0, "sales": 20}.items()}
    lines = [(10000, "banking"), (5000, "fr"), (3000, "sales"), (2000, "sales")]
    charged = [Fee(euro(amount), (code,)) for amount, code in lines]
    [off] = discounts = discounted(charged, [("c1", Terms("c1", "C1", euro(1000)))], "EUR")
    assert [*off.shares.values()] == [Decimal("5.00"), Decimal("2.50"), Decimal("1.50"), Decimal("1.00")]
    found = totalled(charged, taxes, "EUR", discounts)
    assert [tax.amount.minor_units for tax in found.taxes] == [950, 0, 950]
    assert (found.subtotal, found.discount, found.tax, found.total) == (
        euro(20000),
        euro(1000),
        euro(1900),
        euro(20900),
    )


def test_a_tax_is_rounded_once_for_all_lines() -> None:
    """8 lines of 0.01 at 40 %: of each 0.004, together 0.03."""
    found = totalled([Fee(euro(1), ("t",))] * 8, {"t": Tax("t", "T", Decimal(40))}, "EUR")
    assert found.total == euro(11)


@given(st.lists(fees, max_size=8))
def test_contained_taxes_never_change_the_sum(charged: list[Fee]) -> None:
    found = taxed(*charged)
    added = sum(tax.amount.minor_units for tax in found.taxes if not tax.is_included)
    assert found.total.minor_units == sum(fee.amount.minor_units for fee in charged) + added
    for tax in found.taxes:
        alone = [fee for fee in charged if fee.is_tax_inclusive and tax.code in fee.tax_codes]
        if tax.is_included and all(fee.tax_codes == (tax.code,) for fee in alone):
            assert tax.taxable + tax.amount == sum((fee.amount for fee in alone), euro(0))


@given(st.lists(fees, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_no_tax(charged: list[Fee], random: object) -> None:
    shuffled = list(charged)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {tax.key: tax for tax in taxed(*shuffled).taxes} == {tax.key: tax for tax in taxed(*charged).taxes}


@given(st.lists(fees, max_size=6), st.decimals("0.000001", "100", places=6))
def test_a_total_is_lines_less_discounts_plus_tax_and_never_negative(charged: list[Fee], rate: Decimal) -> None:
    found = taxed(*charged, coupons=[Terms("a", "A", rate), Terms("b", "B", euro(500), plan_codes=("",))])
    assert found.total == found.subtotal - found.discount + found.tax
    assert found.total.minor_units >= 0
    for tax in found.taxes:
        assert abs(tax.amount.amount - tax.unrounded_amount) <= Decimal("0.005")

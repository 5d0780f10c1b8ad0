"""Every way in which a processor's records can differ from ours is found, and nothing else is."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.payments.domain.reconciliation import (
    CAUSES,
    Difference,
    DifferenceKind,
    Entry,
    EntryKind,
    EntryState,
    Item,
    ItemKind,
    Payout,
    compare,
    compare_payout,
    not_paid_out,
)

CHARGE = Entry(EntryKind.CHARGE, "pi_1", "pay_1/1", Decimal("38.98"), "USD", EntryState.SUCCEEDED)
REFUND = Entry(EntryKind.REFUND, "re_1", "re_a-1", Decimal("5.00"), "USD", EntryState.SUCCEEDED)
PAID = Item(ItemKind.CHARGE, "pi_1", Decimal("38.98"), Decimal("1.43"), Decimal("37.55"))
GIVEN = Item(ItemKind.REFUND, "re_1", Decimal("-5.00"), Decimal(0), Decimal("-5.00"))
FEE = Item(ItemKind.FEE, "", Decimal("-0.55"), Decimal(0), Decimal("-0.55"))
TAKEN = Item(ItemKind.DISPUTE, "pi_9", Decimal("-10"), Decimal(0), Decimal("-10"))
PAYOUT = Payout("po_1", Decimal("32.00"), "USD", (PAID, GIVEN, FEE))
OURS = {(each.kind, each.reference): each for each in (CHARGE, REFUND)}


def kinds(found: list[Difference]) -> list[str]:
    return [each.kind.value for each in found]


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ([CHARGE, REFUND], []),
        ([REFUND], ["MISSING_AT_PROCESSOR"]),
        ([CHARGE], ["REFUND_MISSING_AT_PROCESSOR"]),
        ([CHARGE, REFUND, replace(CHARGE, reference="pi_2", name="pay_2/1")], ["MISSING_HERE"]),
        ([CHARGE, REFUND, replace(CHARGE, reference="pi_2", name="")], ["UNKNOWN_CHARGE"]),
        ([CHARGE, REFUND, replace(REFUND, reference="re_2", name="re_b-1")], ["REFUND_MISSING_HERE"]),
        ([CHARGE, REFUND, replace(REFUND, reference="re_2", name="")], ["UNKNOWN_REFUND"]),
        ([CHARGE, REFUND, replace(CHARGE, reference="pi_2")], ["MISSING_HERE", "CHARGED_TWICE", "CHARGED_TWICE"]),
        ([replace(CHARGE, amount=Decimal("38.97")), REFUND], ["AMOUNT_DIFFERS"]),
        ([CHARGE, replace(REFUND, amount=Decimal("4.99"))], ["AMOUNT_DIFFERS"]),
        ([replace(CHARGE, currency="EUR"), REFUND], ["CURRENCY_DIFFERS"]),
        ([replace(CHARGE, state=EntryState.FAILED), REFUND], ["STATE_DIFFERS"]),
        ([CHARGE, replace(REFUND, state=EntryState.OPEN)], ["STATE_DIFFERS"]),
        ([CHARGE, REFUND, replace(CHARGE, reference="pi_2", name="", state=EntryState.FAILED)], []),
    ],
)
def test_a_record_that_differs_is_listed(theirs: list[Entry], expected: list[str]) -> None:
    assert kinds(compare([CHARGE, REFUND], theirs)) == expected


def test_a_charge_that_moved_no_money_is_missed_by_nobody() -> None:
    assert compare([replace(CHARGE, state=EntryState.FAILED)], []) == []


def test_a_charge_that_was_taken_back_may_be_called_failed() -> None:
    assert compare([replace(CHARGE, disputed=True)], [replace(CHARGE, state=EntryState.FAILED)]) == []


@pytest.mark.parametrize(
    ("payout", "expected"),
    [
        (PAYOUT, []),
        (replace(PAYOUT, items=(PAID, GIVEN, replace(FEE, gross=Decimal("-0.554"), net=Decimal("-0.554")))), []),
        (replace(PAYOUT, items=()), ["PAYOUT_WITHOUT_CHARGES"]),
        (replace(PAYOUT, amount=Decimal("32.01")), ["PAYOUT_SUM_DIFFERS"]),
        (replace(PAYOUT, items=(PAID, GIVEN, FEE, TAKEN), amount=Decimal("22.00")), ["DISPUTE_MISSING_HERE"]),
        (
            replace(PAYOUT, items=(PAID, GIVEN, FEE, replace(PAID, reference="pi_2")), amount=Decimal("69.55")),
            ["PAID_OUT_UNKNOWN"],
        ),
        (replace(PAYOUT, items=(PAID, GIVEN, FEE, PAID), amount=Decimal("69.55")), ["PAID_OUT_TWICE"]),
        (
            replace(PAYOUT, items=(replace(PAID, fee=Decimal("1.40")), GIVEN, FEE)),
            ["FEE_DIFFERS"],
        ),
        (
            replace(PAYOUT, items=(replace(PAID, gross=Decimal("39.98"), net=Decimal("38.55")), GIVEN, FEE)),
            ["PAYOUT_SUM_DIFFERS", "PAID_OUT_AMOUNT_DIFFERS"],
        ),
        (replace(PAYOUT, currency="EUR"), ["PAID_OUT_AMOUNT_DIFFERS", "PAID_OUT_AMOUNT_DIFFERS"]),
    ],
)
def test_a_payout_that_is_not_as_it_should_be_is_listed(payout: Payout, expected: list[str]) -> None:
    assert kinds(compare_payout(payout, OURS, (), ())) == expected


def test_what_an_earlier_payout_contains_is_not_paid_out_again() -> None:
    assert kinds(compare_payout(PAYOUT, OURS, (), (PAID,))) == ["PAID_OUT_TWICE"]


def test_a_charge_is_not_paid_out_before_it_has_succeeded() -> None:
    pending = {**OURS, (CHARGE.kind, CHARGE.reference): replace(CHARGE, state=EntryState.OPEN)}
    assert kinds(compare_payout(PAYOUT, pending, (), ())) == ["PAID_OUT_UNCOLLECTED"]


def test_a_dispute_that_we_know_is_none() -> None:
    payout = replace(PAYOUT, items=(*PAYOUT.items, TAKEN), amount=Decimal("22.00"))
    assert compare_payout(payout, OURS, ("pi_9",), ()) == []


def test_every_kind_has_a_likely_cause() -> None:
    assert set(CAUSES) == set(DifferenceKind)
    assert not_paid_out(CHARGE).cause == CAUSES[DifferenceKind.NOT_PAID_OUT]


ENTRIES = st.builds(
    Entry,
    st.sampled_from(EntryKind),
    st.integers(0, 6).map("ref_{}".format),
    st.sampled_from(("", "pay_1/1", "pay_2/1")),
    st.integers(1, 3).map(Decimal),
    st.sampled_from(("USD", "EUR")),
    st.sampled_from(EntryState),
)
BOOKS = st.lists(ENTRIES, max_size=6, unique_by=lambda entry: (entry.kind, entry.reference))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(BOOKS, BOOKS)
def test_money_that_only_one_side_knows_is_never_passed_over(ours: list[Entry], theirs: list[Entry]) -> None:
    found = {each.reference for each in compare(ours, theirs)}
    for one, other in ((ours, theirs), (theirs, ours)):
        known = {(each.kind, each.reference): each for each in other}
        for entry in one:
            same = known.get((entry.kind, entry.reference))
            moved = entry.state is EntryState.SUCCEEDED
            if moved and (same is None or (same.amount, same.currency) != (entry.amount, entry.currency)):
                assert entry.reference in found


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(BOOKS)
def test_books_that_are_the_same_have_no_difference_but_charges_made_twice(books: list[Entry]) -> None:
    assert {each.kind for each in compare(books, books)} <= {DifferenceKind.CHARGED_TWICE}

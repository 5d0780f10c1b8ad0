"""What is given back of an invoice, and how balances pay the next ones."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import BillingError, FailedPrecondition
from libs.common.money import Money
from services.invoicing.domain.balance import Application, Balance, Owed, applied, left_after, with_credits
from services.invoicing.domain.bill import Bill, totalled
from services.invoicing.domain.credit_note import Credited, CreditNote, Item, Kind, NoteRequest, Reason, voided
from services.invoicing.domain.discount import Terms, discounted
from services.invoicing.domain.drafted_note import drafted
from services.invoicing.domain.invoice import Invoice, PaymentStatus, State
from services.invoicing.domain.line import Line, LineKind
from services.invoicing.domain.period import Period
from services.invoicing.domain.tax import Tax, TaxKey

NOVEMBER = Period(datetime(2023, 11, 1, tzinfo=UTC), datetime(2023, 12, 1, tzinfo=UTC))


def euro(minor_units: int) -> Money:
    return Money(minor_units, "EUR")


def invoice(
    *amounts: int, rates: Sequence[str] = ("20",), coupons: Sequence[Terms] = (), inclusive: bool = False
) -> Invoice:
    """Finalized, with a line for each amount, less coupons and taxed by each rate."""
    codes = tuple(f"tax{i}" for i in range(len(rates)))
    lines = tuple(
        Line(
            LineKind.USAGE,
            f"line{i}",
            "",
            None,
            NOVEMBER,
            euro(amount),
            euro(amount).amount,
            codes,
            is_tax_inclusive=inclusive,
        )
        for i, amount in enumerate(amounts)
    )
    known = {code: Tax(code, code, Decimal(rate)) for code, rate in zip(codes, rates, strict=True)}
    discounts = discounted(lines, [(each.coupon_code, each) for each in coupons], "EUR")
    taxes = totalled(lines, known, "EUR", discounts).taxes
    return Invoice(
        id="inv_1",
        number="INV-202312-000042",
        customer_id="globex",
        settlements=(),
        bill=Bill("EUR", lines, taxes, discounts),
        state=State.FINALIZED,
        payment_status=PaymentStatus.PENDING,
        amount_paid=euro(0),
        due_time=NOVEMBER.end,
        issue_date=date(2023, 12, 1),
        create_time=NOVEMBER.end,
        finalize_time=NOVEMBER.end,
        offset=euro(0),
    )


def credited(notes: Sequence[CreditNote]) -> Credited:
    lines: dict[int, int] = {}
    taxes: dict[TaxKey, int] = {}
    discount = 0
    for note in notes:
        if note.voided == note.total:
            continue
        for position, amount in note.items:
            lines[position] = lines.get(position, 0) + amount.minor_units
        for tax in note.taxes:
            taxes[tax.key] = taxes.get(tax.key, 0) + tax.amount.minor_units
        discount += note.discount.minor_units
    return Credited(lines, taxes, discount, len(notes))


def ask(*items: tuple[int, int | None], kind: Kind = Kind.CREDIT) -> NoteRequest:
    asked = tuple(Item(position, None if amount is None else euro(amount)) for position, amount in items)
    return NoteRequest("inv_1", kind, Reason.OTHER, "", asked)


def test_the_note_that_takes_the_rest_takes_up_the_rounding() -> None:
    whole = invoice(6833, 6833)
    assert (whole.bill.total, whole.bill.tax) == (euro(16399), euro(2733))
    first = drafted(whole, credited([]), ask((0, 6833)))
    assert (first.subtotal, first.tax, first.total) == (euro(6833), euro(1367), euro(8200))
    assert first.taxes[0].unrounded_amount == Decimal("13.666")
    last = drafted(whole, credited([first]), ask((1, 6833)))
    assert (last.subtotal, last.tax, last.total) == (euro(6833), euro(1366), euro(8199))
    assert (first.number, last.number) == ("INV-202312-000042-CN001", "INV-202312-000042-CN002")
    assert first.total + last.total == whole.bill.total


def test_a_total_is_the_rounded_subtotal_and_the_rounded_tax() -> None:
    note = drafted(invoice(16000, rates=["25"]), credited([]), ask((0, 15467)))
    assert (note.subtotal, note.tax, note.total) == (euro(15467), euro(3867), euro(19334))
    assert note.balance == note.total


@pytest.mark.parametrize(("rate", "parts", "taxes"), [("0.5", [60, 40], [0, 1]), ("50", [1, 1, 1, 1], [1, 1, 0, 0])])
def test_taxes_that_round_one_way_end_at_the_invoice_all_the_same(
    rate: str, parts: list[int], taxes: list[int]
) -> None:
    whole = invoice(*parts, rates=[rate])
    notes: list[CreditNote] = []
    for position, part in enumerate(parts):
        notes.append(drafted(whole, credited(notes), ask((position, part))))
    assert [note.tax.minor_units for note in notes] == taxes
    assert sum(taxes) == whole.bill.tax.minor_units


def test_without_items_everything_that_is_left_is_credited() -> None:
    whole = invoice(100, 0, -30)
    some = drafted(whole, credited([]), ask((0, 60)))
    rest = drafted(whole, credited([some]), ask())
    assert rest.items == ((0, euro(40)), (2, euro(-30)))
    assert some.total + rest.total == whole.bill.total


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([(0, 101)], "CREDIT_EXCEEDS_LINE"),
        ([(0, 100), (1, 0)], "CREDIT_AMOUNT_INVALID"),
        ([(0, -1)], "CREDIT_AMOUNT_INVALID"),
        ([(1, 1)], "CREDIT_AMOUNT_INVALID"),
        ([(1, -30)], "NOTHING_TO_CREDIT"),
        ([(0, 71)], "CREDIT_EXCEEDS_INVOICE"),
        ([(2, None)], "CREDIT_EXCEEDS_LINE"),
        ([(3, 1)], "LINE_NOT_FOUND"),
        ([(-1, 1)], "LINE_NOT_FOUND"),
    ],
)
def test_what_an_invoice_does_not_have_can_not_be_credited(items: list[tuple[int, int | None]], reason: str) -> None:
    with pytest.raises(BillingError) as refused:
        drafted(invoice(100, -30, 0), credited([]), ask(*items))
    assert refused.value.reason == reason


def test_a_note_gives_back_what_was_paid_and_not_what_a_coupon_took_off() -> None:
    """100.00 and 60.00 less 40.00 at 20 %: half of the first line gives 37.50 and its tax back."""
    whole = invoice(10000, 6000, coupons=[Terms("c", "C", euro(4000))])
    assert whole.bill.total == euro(14400)
    half = drafted(whole, credited([]), ask((0, 5000)))
    assert (half.subtotal, half.discount, half.tax, half.total) == (euro(5000), euro(1250), euro(750), euro(4500))
    rest = drafted(whole, credited([half]), ask())
    assert (rest.subtotal, rest.discount, rest.tax, rest.total) == (euro(11000), euro(2750), euro(1650), euro(9900))


def test_a_note_of_a_price_that_contains_its_tax_adds_none() -> None:
    note = drafted(invoice(12000, inclusive=True), credited([]), ask((0, 6000)))
    assert [(tax.taxable, tax.amount) for tax in note.taxes] == [(euro(5000), euro(1000))]
    assert (note.tax, note.total) == (euro(0), euro(6000))


def test_an_offset_is_used_at_once_and_never_more_than_is_due() -> None:
    whole = replace(invoice(1000), offset=euro(700))
    note = drafted(whole, credited([]), ask((0, 416), kind=Kind.OFFSET))
    assert (note.total, note.balance, note.used) == (euro(499), euro(0), euro(499))
    with pytest.raises(FailedPrecondition) as refused:
        drafted(whole, credited([]), ask((0, 418), kind=Kind.OFFSET))
    assert refused.value.reason == "OFFSET_EXCEEDS_DUE"


LINES = st.lists(st.integers(0, 10_000), min_size=1, max_size=5)
RATES = st.lists(st.sampled_from(["0", "0.5", "8.875", "20", "33.333", "100"]), max_size=3)
ASKED = st.lists(
    st.one_of(
        st.just("void"),
        st.lists(st.tuples(st.integers(0, 4), st.integers(1, 6000)), min_size=1, max_size=3, unique_by=lambda i: i[0]),
    ),
    max_size=12,
)


COUPONS = st.lists(
    st.one_of(st.integers(1, 9000).map(euro), st.decimals("0.01", "100", places=2)).map(
        lambda off: Terms("c", "C", off)
    ),
    max_size=2,
)


@given(LINES, RATES, ASKED, COUPONS, st.booleans())
def test_no_sequence_of_notes_exceeds_a_line_and_the_last_one_ends_exactly_at_the_invoice(
    amounts: list[int],
    rates: list[str],
    sequence: list[str | list[tuple[int, int | None]]],
    coupons: list[Terms],
    inclusive: bool,
) -> None:
    whole = invoice(*amounts, rates=rates, coupons=coupons, inclusive=inclusive)
    notes: list[CreditNote] = []
    for step in [*sequence, []]:
        try:
            if isinstance(step, str):
                notes[-1:] = [voided(note) for note in notes[-1:]]
            else:
                notes.append(drafted(whole, credited(notes), ask(*step)))
        except BillingError as refused:
            assert refused.reason in {  # noqa: PT017 which step is refused is not the matter
                "CREDIT_EXCEEDS_LINE", "CREDIT_EXCEEDS_INVOICE", "NOTHING_TO_CREDIT", "LINE_NOT_FOUND",
                "CREDIT_AMOUNT_INVALID", "CREDIT_NOTE_CONSUMED",
            }  # fmt: skip
        sums = credited(notes)
        assert all(0 <= sums.lines.get(i, 0) <= amount for i, amount in enumerate(amounts))
        assert all(0 <= sums.taxes.get(tax.key, 0) <= tax.amount.minor_units for tax in whole.bill.taxes)
    assert 0 <= sums.discount <= whole.bill.discount.minor_units
    counting = [note.total.minor_units for note in notes if note.voided != note.total]
    assert sum(counting) == whole.bill.total.minor_units


def test_the_oldest_note_pays_first_and_only_its_customer_in_its_currency() -> None:
    balances = [
        Balance("cn_1", "CN001", "globex", euro(70)),
        Balance("cn_2", "CN002", "globex", Money(500, "USD")),
        Balance("cn_3", "CN003", "initech", euro(500)),
        Balance("cn_4", "CN004", "globex", euro(500)),
    ]
    owed = [Owed("inv_1", "globex", euro(100)), Owed("inv_2", "globex", euro(0)), Owed("inv_3", "globex", euro(600))]
    assert applied(owed, balances) == [
        Application("inv_1", "cn_1", euro(70)),
        Application("inv_1", "cn_4", euro(30)),
        Application("inv_3", "cn_4", euro(470)),
    ]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 99))),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 99))),
)
def test_credits_never_exceed_an_invoice_or_a_balance_and_nothing_is_left_of_both(
    invoices: list[tuple[str, int]], notes: list[tuple[str, int]]
) -> None:
    owed = [Owed(f"inv_{i}", customer, euro(amount)) for i, (customer, amount) in enumerate(invoices)]
    balances = [Balance(f"cn_{i}", "", customer, euro(amount)) for i, (customer, amount) in enumerate(notes)]
    used = applied(owed, balances)
    due = {each.invoice_id: each.total.minor_units for each in owed}
    left = {each.credit_note_id: each.amount.minor_units for each in balances}
    for each in used:
        due[each.invoice_id] -= each.amount.minor_units
        left[each.credit_note_id] -= each.amount.minor_units
    assert min([*due.values(), *left.values()], default=0) >= 0
    for customer in "ab":
        is_due = sum(due[each.invoice_id] for each in owed if each.customer_id == customer)
        is_left = sum(left[each.credit_note_id] for each in balances if each.customer_id == customer)
        assert not (is_due and is_left)


def test_what_one_draft_uses_is_not_left_for_the_next() -> None:
    balances = [Balance("cn_1", "CN001", "globex", euro(70)), Balance("cn_2", "CN002", "globex", euro(50))]
    first = with_credits(invoice(100, rates=()), balances)
    left = left_after(first, balances)
    assert [each.amount for each in left] == [euro(0), euro(20)]
    assert [each.amount for each in with_credits(invoice(100, rates=()), left).credits] == [euro(20)]

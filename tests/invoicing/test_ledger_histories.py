"""Random histories of documents and money in the pure ledger: it balances, agrees with the documents, and keeps what
is closed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libs.common.errors import FailedPrecondition, InvalidArgument
from libs.common.money import EXACT, Money, exponent
from services.invoicing.domain.bill import Bill, share_of, totalled
from services.invoicing.domain.credit_note import (
    Credited,
    CreditNote,
    Item,
    Kind,
    NoteRequest,
    Reason,
    voided,
)
from services.invoicing.domain.discount import Terms, discounted
from services.invoicing.domain.drafted_note import drafted
from services.invoicing.domain.invoice import AppliedCredit, Invoice, PaymentStatus, State
from services.invoicing.domain.ledger import collection, correction
from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.booked import Booked
from services.invoicing.domain.ledger.booking import Booking
from services.invoicing.domain.ledger.issue import Issued, issued
from services.invoicing.domain.ledger.part import PartKey, apportioned, key_of, net
from services.invoicing.domain.ledger.trial_balance import Balance, Earned, trial_balance
from services.invoicing.domain.line import Line, LineKind
from services.invoicing.domain.period import Period
from services.invoicing.domain.tax import Tax
from services.invoicing.domain.voiding import GivenBack, note_of, require_voidable
from tests.invoicing.test_credit_note import credited

EPOCH, END = date(2023, 11, 1), date(2025, 1, 1)
OPEN = date(2000, 1, 1)
NOVEMBER = datetime(2023, 11, 1, tzinfo=UTC)
KINDS = [LineKind.BASE_FEE, LineKind.USAGE, LineKind.ADD_ON, LineKind.PROGRESSIVE_CREDIT]
CODES = {"a": Tax("a", "A", Decimal("19")), "b": Tax("b", "B", Decimal("8.875"))}
amounts = st.integers(0, 99999)


@dataclass
class Document:
    """An invoice with its notes and its money. `nets` are what was invoiced and given back without taxes, by day."""

    invoice: Invoice
    notes: list[CreditNote] = field(default_factory=list)
    refunds: list[int] = field(default_factory=list)
    disputed: int = 0
    bookings: list[Booking] = field(default_factory=list)
    nets: list[tuple[date, int]] = field(default_factory=list)


def an_invoice(draw: Any, number: int, today: date) -> Invoice:
    """Of one to five lines, some of which may take away, with coupons and taxes that are added or contained."""
    is_inclusive = draw(st.booleans())
    codes = tuple(draw(st.sampled_from([(), ("a",), ("a", "b")])))
    lines = []
    for position in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(KINDS))
        start = datetime(2023, 11, 1, tzinfo=UTC) + timedelta(
            days=draw(st.integers(-40, 60)), hours=draw(st.integers(0, 23))
        )
        period = Period(start, start + timedelta(days=draw(st.integers(1, 90)), hours=draw(st.integers(0, 5))))
        amount = draw(amounts) * (-1 if kind is LineKind.PROGRESSIVE_CREDIT and lines else 1)
        lines.append(
            Line(kind, f"l{position}", "", None, period, Money(amount, "EUR"), Decimal(amount).scaleb(-2), codes,
                 is_tax_inclusive=is_inclusive)
        )  # fmt: skip
    percentage = draw(st.sampled_from([None, Decimal(10), Decimal("33.3"), Decimal(50)]))
    offers = [("c", Terms("c", "c", percentage))] if percentage else []
    discounts = discounted(lines, offers, "EUR")
    taxes = totalled(lines, CODES, "EUR", discounts).taxes
    return Invoice(
        id=f"inv_{number}",
        number=f"INV-{number}",
        customer_id="globex",
        settlements=(),
        bill=Bill("EUR", tuple(lines), taxes, discounts),
        state=State.FINALIZED,
        payment_status=PaymentStatus.PENDING,
        amount_paid=Money(0, "EUR"),
        due_time=NOVEMBER,
        issue_date=today,
        create_time=NOVEMBER,
        finalize_time=None,
        offset=Money(0, "EUR"),
    )


def parts(bill: Bill) -> dict[PartKey, int]:
    exact: dict[PartKey, Fraction] = {}
    rates = {tax.code: tax.rate_percent for tax in bill.taxes if tax.is_included}
    for position, line in enumerate(bill.lines):
        off = EXACT.scaleb(share_of(bill.discounts, position), exponent(bill.currency))
        codes = line.tax_codes if line.is_tax_inclusive else ()
        of_line = net(line.amount.minor_units, off, [rates[code] for code in codes])
        exact[key_of(line)] = exact.get(key_of(line), Fraction(0)) + of_line
    return dict(zip(exact, apportioned(net_of(bill), list(exact.values())), strict=True))


def net_of(bill: Bill) -> int:
    return (bill.total - bill.tax - bill.included_tax).minor_units


def net_of_note(note: CreditNote) -> int:
    return note.total.minor_units - sum(each.amount.minor_units for each in note.taxes)


class Histories(RuleBasedStateMachine):
    @initialize(zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"]))
    def begin(self, zone: str) -> None:
        self.tz = ZoneInfo(zone)
        self.today, self.open_from = EPOCH, OPEN
        self.documents: list[Document] = []
        self.closed: dict[date, list[Balance]] = {}

    def document(self, data: Any) -> Document:
        return self.documents[data.draw(st.integers(0, len(self.documents) - 1))]

    def booked(self, of: Document) -> Booked:
        legs = {each.source: dict(each.legs) for each in of.bookings}
        day = max(self.today, of.invoice.issue_date, self.open_from)
        earnings = {each.source: each.earnings for each in of.bookings}
        return Booked(of.invoice.id, "default", "EUR", legs, earnings, day, self.open_from)

    def book(self, of: Document, booking: Booking, net: int = 0) -> None:
        assert booking.source not in {each.source for each in of.bookings}
        assert booking.effective >= self.open_from
        of.bookings.append(booking)
        of.nets.append((booking.effective, net))

    @rule(days=st.integers(1, 20))
    def time_passes(self, days: int) -> None:
        self.today += timedelta(days=days)

    @rule(days=st.integers(1, 30))
    def a_period_is_closed(self, days: int) -> None:
        through = max(self.open_from, self.today - timedelta(days=days))
        if through < self.today:
            self.open_from = through + timedelta(days=1)
            for day in (through, through - timedelta(days=7)):
                self.closed.setdefault(day, self.balances(day))

    @rule(data=st.data(), late=st.integers(0, 40))
    def an_invoice_is_issued(self, data: Any, late: int) -> None:
        invoice = an_invoice(data.draw, len(self.documents), self.today - timedelta(days=late))
        if invoice.bill.total.minor_units < 0 or invoice.bill.subtotal.minor_units < 0:
            return
        due, used = invoice.bill.total, []
        for of in self.documents:
            for i, note in enumerate(of.notes):
                paid = Money(min(note.balance.minor_units, due.minor_units), "EUR")
                if paid.minor_units:
                    of.notes[i] = replace(note, balance=note.balance - paid)
                    used.append(AppliedCredit(note.id, note.number, paid))
                    due -= paid
        invoice = replace(invoice, credits=tuple(used))
        of = Document(invoice)
        self.documents.append(of)
        tax = (invoice.bill.tax + invoice.bill.included_tax).minor_units
        total, credits_used = invoice.bill.total.minor_units, (invoice.bill.total - due).minor_units
        what = Issued(
            invoice.id, "EUR", "default", invoice.issue_date, self.tz, total, credits_used, 0, tax, parts(invoice.bill)
        )
        self.book(of, issued(what, self.open_from), net_of(invoice.bill))

    @precondition(lambda self: self.documents)
    @rule(data=st.data(), kind=st.sampled_from(Kind))
    def a_note_is_made(self, data: Any, kind: Kind) -> None:
        of = self.document(data)
        before = self.credited(of)
        items = []
        for position, line in enumerate(of.invoice.bill.lines):
            left = line.amount.minor_units - before.lines.get(position, 0)
            amount = data.draw(st.integers(min(left, 0), max(left, 0)))
            if amount:
                items.append(Item(position, Money(amount, "EUR")))
        asked = NoteRequest(of.invoice.id, kind, Reason.OTHER, "", tuple(items) if data.draw(st.booleans()) else ())
        try:
            note = drafted(of.invoice, before, asked)
        except (FailedPrecondition, InvalidArgument):
            return
        self.book_note(of, note)

    def credited(self, of: Document) -> Credited:
        refunds = sum(each.total.minor_units for each in of.notes if each.kind is Kind.REFUND)
        return replace(credited(of.notes), refunded=refunds)

    def book_note(self, of: Document, note: CreditNote) -> None:
        note = replace(note, id=f"cn_{note.number}")
        of.notes.append(note)
        booking = correction.noted(self.booked(of), of.invoice, note, credited(of.notes).lines)
        if note.kind is Kind.OFFSET:
            of.invoice = replace(of.invoice, offset=of.invoice.offset + note.total)
        self.book(of, booking, -net_of_note(note))

    @precondition(lambda self: any(note.balance.minor_units for of in self.documents for note in of.notes))
    @rule(data=st.data())
    def a_note_is_voided(self, data: Any) -> None:
        left = [(of, i) for of in self.documents for i, note in enumerate(of.notes) if note.balance.minor_units]
        of, i = data.draw(st.sampled_from(left))
        note = of.notes[i] = voided(of.notes[i])
        booked = self.booked(of)
        of_void = of.invoice.state is State.VOIDED
        again = net_of_note(note) if note.voided == note.total and not of_void else 0
        self.book(of, correction.note_voided(booked, note, of_void=of_void), again)

    @precondition(lambda self: self.documents)
    @rule(data=st.data())
    def an_invoice_is_voided(self, data: Any) -> None:
        of = self.document(data)
        paid = of.invoice.amount_paid.minor_units
        credit, refund = (data.draw(st.sampled_from([0, paid // 2, paid - paid // 2, paid])) for _ in range(2))
        back = GivenBack(Money(credit, "EUR"), Money(refund, "EUR"))
        try:
            require_voidable(of.invoice, of.notes, self.credited(of), back)
            for kind, amount in ((Kind.REFUND, refund), (Kind.CREDIT, credit)):
                if (asked := note_of(of.invoice, self.credited(of), kind, Money(amount, "EUR"))) is not None:
                    self.book_note(of, drafted(of.invoice, self.credited(of), asked))
        except FailedPrecondition:
            return
        for used in of.invoice.credits:
            for other in self.documents:
                for i, note in enumerate(other.notes):
                    if note.id == used.credit_note_id:
                        other.notes[i] = replace(note, balance=note.balance + used.amount)
        of.invoice = replace(of.invoice, state=State.VOIDED)
        self.book(of, correction.voided(self.booked(of)), -sum(net for _, net in of.nets))
        day = of.bookings[-1].effective
        assert not sum(each.earned(day) for its in of.bookings for each in its.earnings)

    @precondition(lambda self: self.documents)
    @rule(data=st.data(), share=st.integers(0, 4))
    def a_payment_is_reported(self, data: Any, share: int) -> None:
        of = self.document(data)
        due = of.invoice.amount_due.minor_units
        if of.invoice.state is not State.FINALIZED or due <= 0:
            return
        paid = due * share // 4
        change = paid - of.invoice.amount_paid.minor_units
        of.invoice = replace(of.invoice, amount_paid=Money(paid, "EUR"))
        booked = self.booked(of)
        legs = collection.paid(change, booked.balance(Account.BAD_DEBT))
        self.book(of, booked.booking(f"payment/p/{len(of.bookings)}", legs))

    @precondition(lambda self: self.documents)
    @rule(data=st.data(), amount=st.integers(1, 500), what=st.sampled_from(["refund", "dispute", "write_off"]))
    def money_goes(self, data: Any, amount: int, what: str) -> None:
        of = self.document(data)
        if of.invoice.state is not State.FINALIZED:
            return
        if what != "write_off" and not of.invoice.amount_paid.minor_units:
            return
        booked = self.booked(of)
        if what == "refund":
            if of.refunds and data.draw(st.booleans()):
                amount = -of.refunds.pop()  # the bank sent it back
            else:
                of.refunds.append(amount)
            legs = collection.refunded(amount)
        elif what == "dispute":
            change = -of.disputed or amount
            of.disputed += change
            legs = collection.disputed(change)
        else:
            legs = collection.written_off(booked.balance(Account.RECEIVABLE))
        self.book(of, booked.booking(f"{what}/x/{len(of.bookings)}", legs))

    def bookings(self) -> Iterator[Booking]:
        return (booking for of in self.documents for booking in of.bookings)

    def balances(self, day: date, bookings: list[Booking] | None = None) -> list[Balance]:
        all_of_them = list(self.bookings()) if bookings is None else bookings
        return balances_of(all_of_them, day)

    @invariant()
    def every_day_balances_and_adds_up_to_what_was_invoiced(self) -> None:
        for day in (self.today - timedelta(days=17), self.today, self.today + timedelta(days=11), END):
            found = {each.account: each.amount for each in self.balances(day)}
            assert sum(found.values()) == 0
            revenue = (Account.REVENUE, Account.DEFERRED_REVENUE, Account.UNBILLED_REVENUE, Account.ROUNDING)
            invoiced = sum(net for of in self.documents for booked, net in of.nets if booked <= day)
            assert -sum(found.get(each, 0) for each in revenue) == invoiced
        assert not {Account.DEFERRED_REVENUE, Account.UNBILLED_REVENUE} & found.keys()  # at the end all is earned

    @invariant()
    def documents_and_ledger_agree(self) -> None:
        for of in self.documents:
            booked = self.booked(of)
            assert {each: booked.balance(each) for each in Account if booked.balance(each)} == {
                each: amount for each, amount in expected(of, booked).items() if amount
            }

    @invariant()
    def what_is_closed_stays_as_it_was(self) -> None:
        for day, before in self.closed.items():
            assert self.balances(day) == before

    def teardown(self) -> None:
        if getattr(self, "documents", None):
            again = sorted(self.bookings(), key=lambda each: (each.source, each.invoice_id))
            for day in (self.today, END):
                assert self.balances(day, again) == self.balances(day)


def balances_of(bookings: list[Booking], day: date) -> list[Balance]:
    posted = [
        Balance("default", "EUR", account, amount)
        for each in bookings
        if each.effective <= day
        for account, amount in each.legs.items()
    ]
    earnings = [each for booking in bookings for each in booking.earnings]
    invoiced = sum(each.earned(day) for each in earnings if each.booked <= day)
    unbilled = sum(each.earned(day) for each in earnings if each.booked > day)
    return trial_balance(posted, [Earned("default", "EUR", invoiced, unbilled)])


def expected(of: Document, booked: Booked) -> dict[Account, int]:
    """By the documents. How much of what is owed is written off, and how deferred revenue is split, the ledger says."""
    invoice, stands = of.invoice, of.invoice.state is State.FINALIZED
    counted = [each for each in of.notes if each.voided != each.total]
    back = sum(each.total.minor_units for each in counted if each.kind is not Kind.OFFSET)
    owed = (invoice.amount_due.minor_units if stands else back) - invoice.amount_paid.minor_units
    lost = booked.balance(Account.BAD_DEBT)
    assert lost >= 0
    assert not lost or owed >= lost
    taxes = invoice.bill.tax + invoice.bill.included_tax
    noted = sum(tax.amount.minor_units for each in counted for tax in each.taxes)
    rounding = booked.balance(Account.ROUNDING)
    assert abs(rounding) <= len(of.notes) * 3
    refunds = sum(each.total.minor_units for each in of.notes if each.kind is Kind.REFUND)
    used = sum(each.amount.minor_units for each in invoice.credits) if stands else 0
    return {
        Account.RECEIVABLE: owed - lost,
        Account.BAD_DEBT: lost,
        Account.CASH: invoice.amount_paid.minor_units - sum(of.refunds) - of.disputed,
        Account.DISPUTES: of.disputed,
        Account.REFUNDS_PAYABLE: sum(of.refunds) - refunds,
        Account.CUSTOMER_CREDIT: used
        + sum((each.voided - each.total).minor_units for each in of.notes if each.kind is Kind.CREDIT),
        Account.FORFEITED_CREDIT: -sum(each.voided.minor_units for each in counted),
        Account.TAX_PAYABLE: noted - taxes.minor_units if stands else 0,
        Account.ROUNDING: rounding,
        Account.DEFERRED_REVENUE: (sum(map(net_of_note, counted)) - net_of(invoice.bill) if stands else 0) - rounding,
    }


def test_any_history_balances_and_agrees_with_its_documents() -> None:
    run_state_machine_as_test(Histories, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))

"""What was paid of an invoice is given back when it is voided, by notes that add up to what was asked."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import BillingError, FailedPrecondition, InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_out
from services.invoicing.domain.credit_note import Credited, Kind
from services.invoicing.domain.drafted_note import drafted
from services.invoicing.domain.voiding import note_of
from tests.invoicing.test_credit_note import invoice as domain_invoice
from tests.invoicing.test_credit_notes import CREDIT, REFUND, bill, billed, create, require_books, wanted
from tests.invoicing.test_finalized import report
from tests.invoicing.world import Tenant, World, new_request_id
from weir.invoicing.v1 import credit_notes_pb2, invoicing_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice


def asked(invoice: Invoice, credit: int, refund: int, currency: str = "USD") -> invoicing_pb2.VoidInvoiceRequest:
    return invoicing_pb2.VoidInvoiceRequest(
        request_id=new_request_id(),
        id=invoice.id,
        credit_amount=money_out(Money(credit, currency)),
        refund_amount=money_out(Money(refund, currency)),
    )


async def void(acme: Tenant, invoice: Invoice, credit: int, refund: int, currency: str = "USD") -> Invoice:
    return (await acme.invoicing.VoidInvoice(asked(invoice, credit, refund, currency))).invoice


async def paid(world: World, invoice: Invoice, amount: int) -> None:
    status = Invoice.PAYMENT_STATUS_SUCCEEDED if amount == invoice.amount_due.minor_units else 1
    await world.tenant("acme", "internal").invoicing.RecordPayment(report(invoice.id, 1, status, amount))


async def notes(acme: Tenant, invoice: Invoice) -> list[tuple[int, int]]:
    request = credit_notes_pb2.ListCreditNotesRequest(invoice_id=invoice.id)
    found = (await acme.credit_notes.ListCreditNotes(request)).credit_notes
    return sorted((each.kind, each.total.minor_units) for each in found)


async def test_what_was_paid_is_refunded_and_credited(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    await paid(world, invoice, 2400)
    for credit, refund, reason in (
        (0, 0, "INVOICE_PAID"),
        (1399, 1000, "INVOICE_PAID"),
        (0, 2401, "REFUND_EXCEEDS_PAID"),
        (1401, 1000, "CREDIT_EXCEEDS_INVOICE"),
    ):
        with pytest.raises(FailedPrecondition) as refused:
            await void(acme, invoice, credit, refund)
        assert refused.value.reason == reason
    for credit, currency, reason in ((2400, "EUR", "CURRENCY_MISMATCH"), (-1, "USD", "AMOUNT_NEGATIVE")):
        with pytest.raises(InvalidArgument) as wrong:
            await void(acme, invoice, credit, 0, currency)
        assert wrong.value.reason == reason
    assert not await notes(acme, invoice)
    request = asked(invoice, 1400, 1000)
    voided = (await acme.invoicing.VoidInvoice(request)).invoice
    assert (await acme.invoicing.VoidInvoice(request)).invoice == voided
    assert (voided.state, voided.total, voided.lines) == (Invoice.STATE_VOIDED, invoice.total, invoice.lines)
    # 833 and 166.6 of taxes: a minor unit of the refund is left, and credited
    assert await notes(acme, invoice) == [(CREDIT, 1400), (REFUND, 1000)]
    following = (await bill(world, acme, "2024-01-01"))[1]
    assert (following.total.minor_units, following.amount_due.minor_units) == (2400, 1000)
    await require_books(world)


async def test_an_invoice_that_nobody_paid_may_be_voided_with_a_credit(world: World, acme: Tenant) -> None:
    """Case sc-void-01. What was given back before is in the way of it."""
    first = await billed(world, acme)
    assert (await void(acme, first, 2400, 0)).state == Invoice.STATE_VOIDED
    assert await notes(acme, first) == [(CREDIT, 2400)]
    second = (await bill(world, acme, "2024-01-01"))[1]
    assert second.amount_due.minor_units == 0
    with pytest.raises(FailedPrecondition) as exceeds:
        await void(acme, second, 1, 0)
    assert exceeds.value.reason == "CREDIT_EXCEEDS_INVOICE"
    third = (await bill(world, acme, "2024-02-01"))[2]
    await create(acme, wanted(third, 500))
    with pytest.raises(FailedPrecondition) as credited:
        await void(acme, third, 1200, 0)
    assert credited.value.reason == "INVOICE_CREDITED"
    await require_books(world)


async def test_voids_at_once_give_back_once(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    await paid(world, invoice, 2400)
    answers = await asyncio.gather(*(void(acme, invoice, 0, 2400) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, Invoice) for each in answers) == 1
    assert all(isinstance(each, Invoice | BillingError) for each in answers)
    assert await notes(acme, invoice) == [(REFUND, 2400)]
    await require_books(world)


AMOUNTS = st.lists(st.integers(-5000, 100_000), min_size=1, max_size=4)


@settings(max_examples=200)
@given(AMOUNTS, st.lists(st.sampled_from(["20", "8.875", "5.5"]), max_size=2), st.integers(0, 10**6), st.booleans())
def test_a_note_comes_to_what_is_asked_but_for_what_rounding_leaves(
    amounts: list[int], rates: list[str], most: int, inclusive: bool
) -> None:
    made = domain_invoice(*amounts, rates=rates, inclusive=inclusive)
    whole = made.bill.total.minor_units
    if whole <= 0 or made.bill.subtotal.minor_units <= 0:
        return
    made = replace(made, amount_paid=made.bill.total)
    amount = Money(1 + most % whole, "EUR")
    nothing = Credited({}, {}, 0, 0)
    for kind, least, greatest in ((Kind.REFUND, -2, 0), (Kind.CREDIT, 0, 2)):
        note = note_of(made, nothing, kind, amount)
        total = drafted(made, nothing, note).total.minor_units if note else 0
        assert least <= total - amount.minor_units <= greatest
        assert total <= whole

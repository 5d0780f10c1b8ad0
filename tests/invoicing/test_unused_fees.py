"""Days paid in advance that are not used are given back."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.money import Money
from services.invoicing.domain.credit_note import Item, Kind, NoteRequest, Reason
from services.invoicing.domain.unused_fee import split
from tests.invoicing.test_activation import pay
from tests.invoicing.test_changes import PlanChange, asked_preview, bill_until, change, change_to, event, terminate
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import credit_notes_pb2, invoicing_pb2

Terminate = invoicing_pb2.TerminateSubscriptionRequest
PAID = invoicing_pb2.Invoice.PAYMENT_STATUS_SUCCEEDED
ANNIVERSARY = invoicing_pb2.Subscription.BILLING_TIME_ANNIVERSARY


async def notes(acme: Tenant) -> list[credit_notes_pb2.CreditNote]:
    request = credit_notes_pb2.ListCreditNotesRequest(page_size=500)
    return list((await acme.credit_notes.ListCreditNotes(request)).credit_notes)


async def paid_in_advance(acme: Tenant, start: str, fee: int, *, tax: str = "20", time: Any = None) -> None:
    await acme.start_clock(start)
    await acme.customer("globex")
    await acme.tax("vat", tax)
    await acme.plan("p", base_fee=fee, in_advance=True, taxes=["vat"])
    made = invoicing_pb2.Subscription(id="s", customer_id="globex", plan_code="p", billing_time=time)
    made.start_time.FromDatetime(utc(start))
    request = invoicing_pb2.CreateSubscriptionRequest(request_id=new_request_id(), subscription=made)
    await acme.invoicing.CreateSubscription(request)


@pytest.mark.parametrize(
    ("start", "end", "fee", "tax", "time", "credit"),
    [
        ("2023-02-08", "2023-02-08T00:00:00.000001", 5000, "20", None, (3571, 714)),
        ("2023-02-08", "2023-02-08T00:00:00.000001", 5000, "20", ANNIVERSARY, (4821, 964)),
        ("2025-02-08", "2025-02-08T12:00", 10000, "20", None, (7143, 1429)),
        ("2025-02-08", "2025-02-21T00:00:00.000001", 10000, "20", None, (2500, 500)),
        ("2025-09-18T16:00", "2025-09-18T16:40", 16000, "25", ANNIVERSARY, (15467, 3867)),
        ("2024-02-01T03:00", "2024-02-01T18:00", 2900, "0", None, (2800, 0)),
    ],
)
async def test_an_end_gives_the_days_after_its_own_back(
    world: World, acme: Tenant, start: str, end: str, fee: int, tax: str, time: Any, credit: tuple[int, int]
) -> None:
    """Cases sc-termadv-01 and -04, sc-term-05 and -04, sc-cn-06 and sc-inv-17."""
    await paid_in_advance(acme, start, fee, tax=tax, time=time)
    await bill_until(world, acme, end)
    await terminate(acme, end)
    await asyncio.gather(world.bill(), world.bill())
    [note] = await notes(acme)
    assert (note.subtotal.minor_units, note.tax.minor_units) == credit
    assert note.balance == note.total
    first, last = await acme.invoices()
    assert (note.invoice_id, last.total.minor_units) == (first.id, 0)


async def test_the_invoice_of_a_change_uses_the_credit_for_the_day_of_the_change_and_those_after(
    world: World, acme: Tenant
) -> None:
    """As in case sc-inv-13, with usage and a tax: 18 of 29 days of 29.00 are given back; 18 of 290.00 are charged."""
    await paid_in_advance(acme, "2024-01-01", 2900)
    await acme.plan("new", base_fee=29000, in_advance=True, taxes=["vat"])
    await bill_until(world, acme, "2024-02-12T06:00:00")
    foreseen = (await acme.changes.PreviewChange(asked_preview(change_to("new")))).invoices
    await change(acme, "new")
    invoices = await bill_until(world, acme, "2024-02-13")
    [note] = await notes(acme)
    assert (note.invoice_id, note.total.minor_units, note.balance.minor_units) == (invoices[1].id, 2160, 0)
    assert (invoices[2].total.minor_units, invoices[2].amount_due.minor_units) == (21600, 19440)
    assert [(each.total, each.amount_due) for each in foreseen] == [(invoices[2].total, invoices[2].amount_due)]


async def test_a_kept_fee_gives_nothing_back(world: World, acme: Tenant) -> None:
    await paid_in_advance(acme, "2024-01-01", 2900)
    await acme.plan("new", base_fee=29000, in_advance=True)
    await bill_until(world, acme, "2024-01-12")
    await change(acme, "new", on_unused_fee=PlanChange.ON_UNUSED_FEE_KEEP)
    await bill_until(world, acme, "2024-01-20")
    request = Terminate(request_id=new_request_id(), id="s", on_unused_fee=Terminate.ON_UNUSED_FEE_KEEP)
    await acme.invoicing.TerminateSubscription(request)
    await bill_until(world, acme, "2024-03-01")
    assert await notes(acme) == []


async def test_an_end_at_the_beginning_of_a_paid_period_gives_it_back_at_once(world: World, acme: Tenant) -> None:
    await paid_in_advance(acme, "2024-01-01", 2900)
    await bill_until(world, acme, "2024-02-01")
    await terminate(acme, "2024-02-01")
    [note] = await notes(acme)
    assert note.subtotal.minor_units == 2900


async def test_a_skipped_last_invoice_bills_no_usage_and_still_gives_back(world: World, acme: Tenant) -> None:
    await acme.meter("tokens", "tokens")
    await paid_in_advance(acme, "2025-02-08", 10000)
    await event(acme, utc("2025-02-10"), "used", "5")
    await bill_until(world, acme, "2025-02-21")
    request = Terminate(request_id=new_request_id(), id="s", last_invoice=Terminate.LAST_INVOICE_SKIP)
    await acme.invoicing.TerminateSubscription(request)
    assert len(await bill_until(world, acme, "2025-06-01")) == 1
    assert len(await notes(acme)) == 1


async def test_what_was_credited_by_hand_is_not_given_back_again_and_a_void_invoice_gives_nothing(
    world: World, acme: Tenant
) -> None:
    await paid_in_advance(acme, "2024-01-01", 3100)
    await bill_until(world, acme, "2024-01-10")
    [invoice] = await acme.invoices()
    item = credit_notes_pb2.CreditNoteItem(line_number=1)
    item.amount.minor_units, item.amount.currency_code = 3000, "USD"
    asked = credit_notes_pb2.CreditNote(invoice_id=invoice.id, kind=credit_notes_pb2.CreditNote.KIND_CREDIT)
    asked.items.append(item)
    made = credit_notes_pb2.CreateCreditNoteRequest(request_id=new_request_id(), credit_note=asked)
    await acme.credit_notes.CreateCreditNote(made)
    await terminate(acme, "2024-01-10T12:00")
    await bill_until(world, acme, "2024-01-10T12:00")
    assert sorted(each.subtotal.minor_units for each in await notes(acme)) == [100, 3000]


@pytest.mark.parametrize(
    ("paid", "expected"),
    [
        (0, [("OFFSET", 3000)]),
        (7500, [("CREDIT", 1500), ("OFFSET", 1500)]),
        (8999, [("CREDIT", 3000 - 1), ("OFFSET", 1)]),
        (9000, [("CREDIT", 3000)]),
    ],
)
async def test_unused_days_are_offset_against_what_is_due_and_the_rest_is_credited(
    world: World, acme: Tenant, paid: int, expected: list[tuple[str, int]]
) -> None:
    assert await given_back(world, acme, paid, Terminate.ON_UNUSED_FEE_OFFSET) == expected
    first, _ = await acme.invoices()
    assert first.amount_due.minor_units == 9000 - sum(total for kind, total in expected if kind == "OFFSET")


async def given_back(
    world: World, acme: Tenant, paid: int, way: "Terminate.OnUnusedFee.ValueType"
) -> list[tuple[str, int]]:
    """Of 90.00, of which 60.00 are used: kinds of notes and their totals."""
    await paid_in_advance(acme, "2025-02-08", 10000)
    [opening] = await bill_until(world, acme, "2025-02-21T00:00:00.000001")
    await pay(world, opening, PAID if paid == 9000 else invoicing_pb2.Invoice.PAYMENT_STATUS_PENDING, paid)
    request = Terminate(request_id=new_request_id(), id="s", on_unused_fee=way)
    await acme.invoicing.TerminateSubscription(request)
    await world.bill()
    made = await notes(acme)
    kinds = credit_notes_pb2.CreditNote.Kind
    return sorted((kinds.Name(each.kind).removeprefix("KIND_"), each.total.minor_units) for each in made)


@pytest.mark.parametrize(
    ("paid", "expected"),
    [
        (0, [("CREDIT", 3000)]),
        (6000, [("CREDIT", 3000)]),
        (7500, [("CREDIT", 1500), ("REFUND", 1500)]),
        (9000, [("REFUND", 3000)]),
    ],
)
async def test_what_was_paid_beyond_the_used_days_is_refunded_and_the_rest_is_credited(
    world: World, acme: Tenant, paid: int, expected: list[tuple[str, int]]
) -> None:
    """The figures of case sc-term-02."""
    assert await given_back(world, acme, paid, Terminate.ON_UNUSED_FEE_REFUND) == expected


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=3),
    st.integers(0, 2 * 10**6),
    st.sampled_from((Decimal("0"), Decimal("0.07"), Decimal("0.2"))),
)
def test_both_parts_of_a_note_add_up_to_it_and_one_keeps_within_its_limit(
    amounts: list[int], limit: int, rate: Decimal
) -> None:
    def total_of(asked: NoteRequest) -> Money:
        together = sum(each.amount.minor_units for each in asked.items if each.amount)
        return Money.rounded(Decimal(together) * (1 + rate) / 100, "USD")

    items = tuple(Item(i, Money(amount, "USD")) for i, amount in enumerate(amounts))
    asked = NoteRequest("i", Kind.CREDIT, Reason.OTHER, "", items)
    parts = split(asked, Money(limit, "USD"), total_of)
    sums = [0] * len(amounts)
    for part in parts:
        for item in part.items if part else ():
            assert item.amount is not None
            assert item.amount.minor_units > 0
            sums[item.position] += item.amount.minor_units
    assert sums == amounts
    due = total_of(parts[0]).minor_units if parts[0] else 0
    assert due <= limit
    assert parts[1] is None or due > limit - 3 - len(amounts)

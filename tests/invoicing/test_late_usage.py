"""Usage that comes after the bill is billed on the next one (law 6)."""

import random
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from libs.common.wire import timestamp_out
from tests.invoicing.test_changes import DOLLAR_EACH, begin, bill_until, change, event, terminate
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import credit_notes_pb2, invoicing_pb2
from weir.metering.v1 import corrections_pb2, metering_pb2
from weir.pricing.v1 import pricing_pb2

LATE = invoicing_pb2.InvoiceLine.KIND_LATE_USAGE


async def amend(acme: Tenant, name: str, at: str, replaced_by: str = "") -> None:
    """Deprecate an event, or let it have so many tokens."""
    change = corrections_pb2.EventChange(
        subscription_id="s", transaction_id=name, timestamp=timestamp_out(utc(at)), reason="wrong"
    )
    if replaced_by:
        made = metering_pb2.Event(transaction_id=name, subscription_id="s", code="request")
        made.timestamp.CopyFrom(timestamp_out(utc(at)))
        made.properties["tokens"] = replaced_by
        change.replacement.CopyFrom(made)
    request = corrections_pb2.AmendEventsRequest(request_id=new_request_id(), changes=[change])
    answer = await acme.corrections.AmendEvents(request)
    assert not answer.failures, answer


async def notes(acme: Tenant) -> list[credit_notes_pb2.CreditNote]:
    request = credit_notes_pb2.ListCreditNotesRequest(page_size=500)
    return list((await acme.credit_notes.ListCreditNotes(request)).credit_notes)


def lines(invoice: invoicing_pb2.Invoice) -> list[tuple[str, bool, int]]:
    return [(line.code, line.kind == LATE, line.amount.minor_units) for line in invoice.lines]


async def reproduced(acme: Tenant, invoices: list[invoicing_pb2.Invoice]) -> bool:
    replays = [await acme.invoicing.ReplayInvoice(invoicing_pb2.ReplayInvoiceRequest(id=each.id)) for each in invoices]
    return all(each.reproduced for each in replays)


async def test_late_usage_is_on_the_next_invoice_with_its_own_period(world: World, acme: Tenant) -> None:
    """The tiers of January go on where they ended: 30 tokens more, of which 20 are above the first 100."""
    tiers = pricing_pb2.Charge()
    tiers.CopyFrom(DOLLAR_EACH)
    tiers.graduated.tiers.add(up_to="100", unit_price="1")
    tiers.graduated.tiers.add(unit_price="0.1")
    await acme.meter("tokens", "tokens")
    await acme.start_clock("2024-01-01")
    await acme.plan("tiers", tiers, base_fee=None)
    await acme.customer("globex")
    await acme.subscribe("s", "globex", "tiers", "2024-01-01")
    await event(acme, utc("2024-01-10"), "in time", "90")
    [january] = await bill_until(world, acme, "2024-02-01")
    await event(acme, utc("2024-01-31T23:59:59.999999"), "late", "30")
    await event(acme, utc("2024-02-01"), "february", "5")
    foreseen = await acme.invoicing.PreviewInvoice(invoicing_pb2.PreviewInvoiceRequest(subscription_id="s"))
    _, february = await bill_until(world, acme, "2024-03-01")
    assert (lines(january), lines(february)) == (
        [("tokens", False, 9000)],
        [("tokens", False, 500), ("tokens", True, 1200)],
    )
    assert february.total == foreseen.invoice.total
    late = february.lines[1]
    assert (late.period, late.prior_watermark, late.watermark) == (
        january.lines[0].period,
        january.lines[0].watermark,
        february.lines[0].watermark,
    )
    assert late.rating.quantity == "120"
    explained = await acme.invoicing.ExplainLine(
        invoicing_pb2.ExplainLineRequest(invoice_id=february.id, line_number=2)
    )
    assert explained.reproduced
    assert any("90.00 USD were billed for it before" in each for each in explained.sentences)
    assert await reproduced(acme, [january, february])
    assert [lines(each) for each in (await bill_until(world, acme, "2024-04-01"))[2:]] == [[]]


async def test_usage_that_became_less_is_given_back_at_the_rates_it_was_taxed_with(world: World, acme: Tenant) -> None:
    await acme.tax("vat", "20")
    await acme.meter("tokens", "tokens")
    await acme.start_clock("2024-01-01")
    await acme.plan("taxed", DOLLAR_EACH, base_fee=3100, taxes=["vat"])
    await acme.customer("globex")
    await acme.subscribe("s", "globex", "taxed", "2024-01-01")
    await event(acme, utc("2024-01-10"), "wrong", "10")
    await event(acme, utc("2024-01-11"), "too much", "10")
    await bill_until(world, acme, "2024-02-01")
    await amend(acme, "wrong", "2024-01-10")
    await amend(acme, "too much", "2024-01-11", "4")
    january, february = await bill_until(world, acme, "2024-03-01")
    [note] = await notes(acme)
    assert (note.invoice_id, note.subtotal.minor_units, note.tax.minor_units) == (january.id, 1600, 320)
    assert [(each.line_number, each.amount.minor_units) for each in note.items] == [(2, 1600)]
    assert (lines(february), february.total.minor_units) == ([("base", False, 3100)], 3720)
    assert (february.amount_due.minor_units, [each.amount.minor_units for each in february.credits]) == (1800, [1920])
    await bill_until(world, acme, "2024-04-01")
    assert len(await notes(acme)) == 1


async def test_a_correction_waits_for_the_invoice_that_it_corrects(world: World, acme: Tenant) -> None:
    """The clock jumps, and the draft of January waits for another subscription of the customer."""
    await begin(acme)
    await event(acme, utc("2024-01-10"), "wrong", "10")
    await bill_until(world, acme, "2024-02-01")
    await amend(acme, "wrong", "2024-01-10")
    await acme.advance("2024-06-01")
    await world.bill(chunk_size=1)
    assert sum(each.subtotal.minor_units for each in await notes(acme)) == 1000
    assert len(await acme.invoices()) == 5


@pytest.mark.parametrize("seed", range(3))
async def test_each_event_of_a_history_is_billed_exactly_once(world: World, acme: Tenant, seed: int) -> None:
    """Across changes of plan, an end, late arrivals, replacements and deprecations: what invoices charge for usage,
    less what notes give back, is each event at the price of the phase it belongs to.
    """
    chance = random.Random(seed)
    await acme.meter("tokens", "tokens")
    await acme.start_clock("2024-01-01")
    prices = {"one": Decimal(1), "three": Decimal(3)}
    for code, price in prices.items():
        charge = pricing_pb2.Charge()
        charge.CopyFrom(DOLLAR_EACH)
        charge.standard.unit_price = str(price)
        await acme.plan(code, charge, base_fee=None)
    await acme.customer("globex")
    await acme.subscribe("s", "globex", "one", "2024-01-01")
    changed = utc("2024-02-10T08:00") + timedelta(seconds=chance.randrange(86_400))
    counts: Counter[str] = Counter()
    times: dict[str, datetime] = {}
    amended: set[str] = set()
    for month in range(2, 7):
        now = utc(f"2024-{month:02}-01") + timedelta(days=chance.randrange(8))
        for _ in range(chance.randrange(1, 6)):
            at = min(utc("2024-01-01") + timedelta(minutes=chance.randrange(60 * 24 * 150)), now)
            name = f"e{len(times)}"
            counts[name], times[name] = chance.randrange(1, 9), at
            await event(acme, at, name, str(counts[name]))
        name, to = chance.choice(list(times)), chance.randrange(0, 9)
        if name not in amended and to != counts[name]:
            await amend(acme, name, times[name].isoformat(), str(to) if to else "")
            amended.add(name)
            counts[name] = to
        if month == 2:
            await change(acme, "three", changed.isoformat())
        if month == 6:
            await terminate(acme, "2024-06-20")
        await bill_until(world, acme, now.isoformat())
    await bill_until(world, acme, "2024-08-01")
    invoices = await acme.invoices()
    charged = sum(line.amount.minor_units for each in invoices for line in each.lines)
    given_back = sum(each.subtotal.minor_units for each in await notes(acme))
    owed = sum(count * prices["three" if times[name] >= changed else "one"] * 100 for name, count in counts.items())
    assert charged - given_back == owed
    assert await reproduced(acme, invoices)


async def test_usage_of_an_ended_subscription_is_billed_late_too(world: World, acme: Tenant) -> None:
    await begin(acme)
    await terminate(acme, "2024-01-20")
    await bill_until(world, acme, "2024-02-01")
    await event(acme, utc("2024-01-15"), "late", "7")
    await event(acme, utc("2024-01-25"), "after the end", "7")
    invoices = await bill_until(world, acme, "2024-03-01")
    assert [lines(each) for each in invoices[1:]] == [[("tokens", True, 700)]]
    assert await reproduced(acme, invoices)
    assert len(await bill_until(world, acme, "2024-06-01")) == 2

"""A period comes to its commitment or to its fees, whichever is more, whenever its usage is known."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.money import Money
from libs.common.wire import money_out
from services.invoicing.domain.commitment import missing_to
from services.invoicing.domain.late_commitment import Committed, reconciled_again
from services.invoicing.domain.late_usage import RatingKey, Slice, credited, late_usage
from services.invoicing.domain.line import Line, LineKind, RatedUsage, Source
from services.invoicing.domain.proration import Proration
from tests.invoicing.test_changes import DOLLAR_EACH, bill_until, change, event
from tests.invoicing.test_credit_note import NOVEMBER
from tests.invoicing.test_fixed_charges import fixed, set_units
from tests.invoicing.test_invoice import plan
from tests.invoicing.test_late_usage import amend, lines, notes, reproduced
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import credit_notes_pb2, invoicing_pb2
from weir.pricing.v1 import addons_pb2, pricing_pb2

SOURCE = Source("s", 1, "basic", 1)
CODES = ("a", "b", "c")


def usd(minor_units: int) -> Money:
    return Money(minor_units, "USD")


def key_of(rated_as: RatedUsage | Line) -> RatingKey:
    return rated_as.code, ("", (), None, False)


def usage(amounts: tuple[int, ...]) -> list[RatedUsage]:
    return [
        RatedUsage(code, code, Decimal(each), usd(each), usd(each).amount, b"")
        for code, each in zip(CODES, amounts, strict=True)
        if each
    ]


@given(
    st.integers(1, 200),
    st.integers(0, 120),
    st.lists(st.tuples(*[st.integers(0, 90)] * 3), min_size=1, max_size=7),
)
def test_what_is_billed_less_what_is_given_back_is_what_it_would_have_been_in_time(
    commitment: int, fees: int, states: list[tuple[int, int, int]]
) -> None:
    committed = Committed(Proration(usd(commitment), 30, 30), usd(fees))
    first, *later = map(usage, states)
    missing = committed.missing(first)
    billed = [
        Line(LineKind.USAGE, each.code, "", SOURCE, NOVEMBER, each.amount, Decimal(0), (), rating=b"") for each in first
    ]
    billed.append(Line(LineKind.COMMITMENT, "minimum", "", SOURCE, NOVEMBER, missing, missing.amount, ()))
    left = [each.amount.minor_units for each in billed]
    before = first
    for number, now in enumerate(later, 1):
        late = Slice(SOURCE, NOVEMBER, number, number + 1)
        added, corrections = late_usage(late, before, now, key_of, plan(None))
        corrections = reconciled_again(late, committed.missing(before), committed.missing(now), corrections)
        for each in corrections:
            creditable = [(line, usd(rest)) for line, rest in zip(billed, left, strict=True)]
            taken = dict(credited(each, creditable, key_of))
            assert sum(amount.minor_units for amount in taken.values()) == each.amount.minor_units
            left = [rest - (taken[i].minor_units if i in taken else 0) for i, rest in enumerate(left)]
        billed += added
        left += [each.amount.minor_units for each in added]
        before = now
        spent = sum(each.amount.minor_units for each in now)
        assert sum(left) + fees == max(spent + fees, commitment)
        assert min(left) >= 0


def test_a_commitment_is_missing_what_the_fees_are_below_it() -> None:
    assert missing_to(Proration(usd(100), 15, 30), usd(20), ()) == Decimal("0.3")


async def committed_plan(acme: Tenant, *charges: pricing_pb2.Charge, **terms: object) -> None:
    """At least 100.00 a month."""
    version = pricing_pb2.PlanVersion(
        currency_code="USD",
        billing_interval=pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY,
        charges=charges,
        minimum_commitment=pricing_pb2.MinimumCommitment(amount=money_out(usd(10000))),
        **terms,  # type: ignore[arg-type]
    )
    made = pricing_pb2.Plan(code="committed", name="committed")
    request = pricing_pb2.CreatePlanRequest(request_id=new_request_id(), plan=made, version=version)
    await acme.pricing.CreatePlan(request)


@pytest.fixture
async def committed(acme: Tenant) -> Tenant:
    await acme.meter("tokens", "tokens")
    await acme.start_clock("2024-01-01")
    await committed_plan(acme, DOLLAR_EACH)
    await acme.customer("globex")
    await acme.subscribe("s", "globex", "committed", "2024-01-01")
    return acme


async def test_late_usage_lowers_what_was_missing_and_becomes_less_only_above_the_commitment(
    world: World, committed: Tenant
) -> None:
    """January: 30, then 80, then 120, then 110, and then 60 in the end; each later month is a commitment of its own."""
    acme = committed
    await event(acme, utc("2024-01-10"), "in time", "30")
    [january] = await bill_until(world, acme, "2024-02-01")
    assert lines(january) == [("tokens", False, 3000), ("minimum_commitment", False, 7000)]
    given_back = []
    for month, (name, tokens, amended) in enumerate(
        [("fifty", "50", ""), ("forty", "40", ""), ("forty", "40", "30"), ("fifty", "50", "0")], 3
    ):
        if amended:
            await amend(acme, name, "2024-01-20", "" if amended == "0" else amended)
        else:
            await event(acme, utc("2024-01-20"), name, tokens)
        await bill_until(world, acme, f"2024-{month:02}-01")
        found: list[credit_notes_pb2.CreditNote] = await notes(acme)
        given_back.append([each.subtotal.minor_units for each in found])
    # 50 late take 50 off 70; 40 more take 20; 10 less are given back; of 50 less, 10 lay above the commitment
    assert [sorted(each) for each in given_back] == [
        [5000],
        [2000, 5000],
        [1000, 2000, 5000],
        [1000, 1000, 2000, 5000],
    ]
    invoices = await acme.invoices()
    of_january = [line for each in invoices for line in each.lines if line.period == january.lines[0].period]
    assert sum(line.amount.minor_units for line in of_january) - sum(given_back[-1]) == 10000
    assert all(each.invoice_id == january.id or each.subtotal.minor_units == 1000 for each in await notes(acme))
    assert await reproduced(acme, invoices)


async def test_what_is_charged_in_advance_counts_towards_the_commitment(world: World, acme: Tenant) -> None:
    """20 seats at a dollar are 30 from the 11th on; 15 tokens cost a dollar each at once, and 10 calls in arrears."""
    await acme.meter("tokens", "tokens")
    add_on = addons_pb2.AddOn(code="seat", name="Seat", currency_code="USD", amount=money_out(usd(0)))
    await acme.add_ons.CreateAddOn(addons_pb2.CreateAddOnRequest(request_id=new_request_id(), add_on=add_on))
    await acme.start_clock("2024-01-01")
    ahead, apart = pricing_pb2.Charge(), pricing_pb2.Charge()
    ahead.CopyFrom(DOLLAR_EACH)
    ahead.in_advance = True
    apart.CopyFrom(DOLLAR_EACH)
    apart.code = "apart"
    await committed_plan(acme, ahead, apart, fixed_charges=[fixed("seats", "20", "1", in_advance=True, prorated=True)])
    await acme.plan("next", base_fee=None)
    await acme.customer("globex")
    await acme.subscribe("s", "globex", "committed", "2024-01-01")
    await bill_until(world, acme, "2024-01-11")
    await event(acme, utc("2024-01-10"), "in time", "15")
    await set_units(acme, "seats", "30")
    await world.bill()
    foreseen = await acme.invoicing.PreviewInvoice(invoicing_pb2.PreviewInvoiceRequest(subscription_id="s"))
    invoices = await bill_until(world, acme, "2024-02-01")
    # 20.00 and 10 × 21 of 31 days of seats, 15.00 at once and as much in arrears
    [missing] = [line for each in invoices for line in each.lines if line.code == "minimum_commitment"]
    assert missing.amount.minor_units == 10000 - 2000 - 677 - 1500 - 1500
    assert "minimum_commitment" in {line.code for line in foreseen.invoice.lines}
    last = next(each for each in invoices if missing in each.lines)
    request = invoicing_pb2.ExplainLineRequest(invoice_id=last.id, line_number=missing.number)
    explained = await acme.invoicing.ExplainLine(request)
    assert explained.reproduced
    assert "with the 41.77 USD that other invoices bill for them, come to 56.77 USD" in explained.sentences[3]
    await event(acme, utc("2024-01-20"), "late", "4")
    await bill_until(world, acme, "2024-02-11")
    await change(acme, "next", "2024-02-11")
    invoices = await bill_until(world, acme, "2024-03-01")
    assert [each.subtotal.minor_units for each in await notes(acme)] == [800]
    # 10 of 29 days of a commitment, in which 30 seats are counted
    cut = [line.amount.minor_units for each in invoices for line in each.lines if line.code == "minimum_commitment"]
    assert sorted(cut) == sorted([missing.amount.minor_units, 3448 - 1034])
    assert await reproduced(acme, invoices)

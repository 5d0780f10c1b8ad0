"""Drafts wait for the end of the customer's grace period, and are fresh when they are finalized. Through gRPC."""

import asyncio

import pytest

from libs.common.errors import BillingError, Conflict, FailedPrecondition, NotFound
from services.invoicing.domain.run import OpenRun
from tests.invoicing.world import REQUESTS, Tenant, World, new_request_id, utc
from weir.invoicing.v1 import drafts_pb2, invoicing_pb2
from weir.invoicing.v1.invoicing_pb2 import Customer, Invoice
from weir.pricing.v1 import pricing_pb2

CALLS = pricing_pb2.Charge(
    code="calls", name="Calls", meter_code="requests", standard=pricing_pb2.StandardPrice(unit_price="1")
)


@pytest.fixture
async def graced(acme: Tenant) -> Tenant:
    """Globex pays 20 dollars a month and a dollar for each request, and has 10 days of grace in Tokyo."""
    await acme.meter("requests")
    await acme.tax("vat", "10")
    await acme.plan("api", CALLS, taxes=["vat"])
    await acme.start_clock("2023-11-01")
    await acme.customer("globex", "Asia/Tokyo", grace_period_days=10)
    await acme.subscribe("globex-1", "globex", "api", "2023-11-01T00:00+09:00")
    return acme


async def walk(world: World, acme: Tenant, to: str) -> str:
    run_id = await acme.advance(to)
    await world.bill()
    return run_id


async def refresh(acme: Tenant, invoice_id: str) -> Invoice:
    request = drafts_pb2.RefreshInvoiceRequest(request_id=new_request_id(), id=invoice_id)
    return (await acme.drafts.RefreshInvoice(request)).invoice


async def finalize(acme: Tenant, invoice_id: str) -> Invoice:
    request = drafts_pb2.FinalizeInvoiceRequest(request_id=new_request_id(), id=invoice_id)
    return (await acme.drafts.FinalizeInvoice(request)).invoice


async def require_reproduced(acme: Tenant) -> None:
    for each in await acme.invoices():
        answer = await acme.invoicing.ReplayInvoice(invoicing_pb2.ReplayInvoiceRequest(id=each.id))
        assert answer.reproduced, answer


async def test_a_draft_waits_for_its_grace_period_takes_late_usage_in_and_is_finalized(
    world: World, graced: Tenant
) -> None:
    await graced.events("globex-1", 3)
    run_id = await walk(world, graced, "2023-12-05")
    assert (await graced.run(run_id)).state == invoicing_pb2.BillingRun.STATE_COMPLETED
    [draft] = await graced.invoices()
    assert (draft.state, draft.number) == (Invoice.STATE_DRAFT, "")
    assert (draft.subtotal.minor_units, draft.tax.minor_units, draft.total.minor_units) == (2300, 230, 2530)
    assert draft.draft_until_time.ToJsonString() == "2023-12-10T15:00:00Z"
    await graced.events("globex-1", 2, prefix="late")
    assert (await graced.invoices()) == [draft]
    refreshed = await refresh(graced, draft.id)
    assert (refreshed.subtotal.minor_units, refreshed.total.minor_units) == (2500, 2750)
    await graced.events("globex-1", 1, prefix="later")
    later_run = await walk(world, graced, "2023-12-20")
    [final] = await graced.invoices()
    assert (final.state, final.number, final.total.minor_units) == (
        Invoice.STATE_FINALIZED,
        "INV-202312-000001",
        2860,
    )
    assert final.finalize_time.ToJsonString() == "2023-12-10T15:00:00Z"
    assert not final.HasField("draft_until_time")
    assert (await graced.run(later_run)).finalized_count == 1
    assert (await graced.run(run_id)).finalized_count == 0
    await require_reproduced(graced)


async def test_usage_is_billed_once_however_drafts_and_late_lines_overlap(world: World, acme: Tenant) -> None:
    """With 40 days of grace two months are in draft at once; events of November come at every point of it."""
    await acme.meter("requests")
    await acme.plan("api", CALLS)
    await acme.start_clock("2023-11-01")
    await acme.customer("globex", grace_period_days=40)
    await acme.subscribe("globex-1", "globex", "api", "2023-11-01")
    total = 0

    async def late(count: int) -> None:
        nonlocal total
        for month in ("2023-11-10", "2023-12-10"):
            await acme.events("globex-1", count, at=month, prefix=f"{month}-{total}")
        total += 2 * count

    for to, count in (
        ("2023-11-20", 1),
        ("2023-12-05", 2),  # November is in draft
        ("2024-01-05", 4),  # December too: what is late of November waits for its draft
        ("2024-01-08", 8),
        ("2024-01-12", 16),  # November is finalized, December is in draft
        ("2024-02-05", 32),  # what came late of November is on January's draft
    ):
        await walk(world, acme, to)
        if total:
            for each in await acme.invoices():
                if each.state == Invoice.STATE_DRAFT and count != 8:
                    await refresh(acme, each.id)
        await late(count)
    await walk(world, acme, "2024-04-15")
    lines = [line for each in await acme.invoices() for line in each.lines if line.kind != line.KIND_BASE_FEE]
    assert sum(line.amount.minor_units for line in lines) == total * 100
    assert {line.kind for line in lines} == {lines[0].KIND_USAGE, lines[0].KIND_LATE_USAGE}
    await require_reproduced(acme)


async def test_what_came_late_in_the_race_of_billing_and_finalizing_is_billed_once(world: World, acme: Tenant) -> None:
    """The worker bills two months before it finalizes the first one, whose usage grows between the two."""
    await acme.meter("requests")
    await acme.plan("api", CALLS)
    await acme.customer("globex")
    await acme.subscribe("globex-1", "globex", "api", "2023-11-01")
    await acme.events("globex-1", 5)
    async with world.worker() as biller:
        await biller._start_runs()
        for round_number in range(3):
            async with world.database() as conn:
                run_id = await conn.fetchval("SELECT id FROM billing_run WHERE state = 'running'")
            await biller._bill_chunk(OpenRun("acme", run_id, None, utc("2024-02-01")))
            await acme.events("globex-1", 1, prefix=f"late-{round_number}")
    await world.bill()
    lines = [line for each in await acme.invoices() for line in each.lines if line.kind != line.KIND_BASE_FEE]
    assert sum(line.amount.minor_units for line in lines) == 800
    await require_reproduced(acme)


async def test_a_draft_is_finalized_at_once_when_it_is_asked_for(world: World, graced: Tenant) -> None:
    await walk(world, graced, "2023-12-05")
    [draft] = await graced.invoices()
    await graced.events("globex-1", 2)
    request = drafts_pb2.FinalizeInvoiceRequest(request_id=new_request_id(), id=draft.id)
    answers = await asyncio.gather(*(graced.drafts.FinalizeInvoice(request) for _ in range(4)), world.bill())
    assert (await graced.drafts.FinalizeInvoice(request)).invoice.state == Invoice.STATE_FINALIZED
    assert answers[-1] is None
    [final] = await graced.invoices()
    assert (final.state, final.total.minor_units) == (Invoice.STATE_FINALIZED, 2420)
    for call in (refresh(graced, draft.id), finalize(graced, draft.id)):
        with pytest.raises(FailedPrecondition) as refused:
            await call
        assert refused.value.reason == "INVOICE_NOT_DRAFT"
    request.id = "inv_other"
    with pytest.raises(NotFound):
        await graced.drafts.FinalizeInvoice(request)


async def test_refreshing_while_it_is_finalized_changes_nothing_that_is_final(world: World, graced: Tenant) -> None:
    await graced.events("globex-1", 3)
    await walk(world, graced, "2023-12-05")
    [draft] = await graced.invoices()
    results = await asyncio.gather(
        *(refresh(graced, draft.id) for _ in range(6)), finalize(graced, draft.id), return_exceptions=True
    )
    assert not [each for each in results if isinstance(each, BaseException) and not isinstance(each, BillingError)]
    await world.bill()
    [final] = await graced.invoices()
    assert (final.state, final.total.minor_units) == (Invoice.STATE_FINALIZED, 2530)
    await require_reproduced(graced)


async def test_an_invoice_of_nothing_is_closed_without_a_number_if_the_customer_wants_none(
    world: World, acme: Tenant
) -> None:
    await acme.meter("requests")
    await acme.plan("metered", REQUESTS, base_fee=None)
    await acme.plan("basic")
    await acme.start_clock("2023-11-01")
    skip, as_usual = Customer.ZERO_AMOUNT_INVOICES_SKIP, Customer.ZERO_AMOUNT_INVOICES_FINALIZE
    for name, choice in (("globex", skip), ("initech", as_usual)):
        await acme.customer(name, zero_amount_invoices=choice)
        for plan in ("metered", "basic"):
            await acme.subscribe(f"{name}-{plan}", name, plan, "2023-11-01")
    await walk(world, acme, "2023-12-01")
    found = {each.subscription_id: each for each in await acme.invoices()}
    closed = found.pop("globex-metered")
    assert (closed.state, closed.number, closed.payment_status) == (
        Invoice.STATE_CLOSED,
        "",
        Invoice.PAYMENT_STATUS_SUCCEEDED,
    )
    assert {each.number for each in found.values()} == {f"INV-202312-00000{i}" for i in (1, 2, 3)}
    with pytest.raises(FailedPrecondition) as refused:
        await acme.invoicing.VoidInvoice(invoicing_pb2.VoidInvoiceRequest(request_id=new_request_id(), id=closed.id))
    assert refused.value.reason == "INVOICE_NOT_FINALIZED"


async def test_a_request_id_is_for_one_draft(world: World, graced: Tenant) -> None:
    await graced.subscribe("globex-2", "globex", "api", "2023-11-01T00:00+09:00")
    await walk(world, graced, "2023-12-05")
    first, second = await graced.invoices()
    request = drafts_pb2.RefreshInvoiceRequest(request_id=new_request_id(), id=first.id)
    await graced.drafts.RefreshInvoice(request)
    request.id = second.id
    with pytest.raises(Conflict) as refused:
        await graced.drafts.RefreshInvoice(request)
    assert refused.value.reason == "REQUEST_ID_REUSED"

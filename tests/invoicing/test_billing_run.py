"""A month is billed: real metering and pricing, and a worker whose sweeps run here."""

import asyncio
from datetime import timedelta

from libs.common.clock import system_clock
from libs.common.wire import timestamp_out
from tests.invoicing.world import CLOSED, REQUESTS, TOKENS, Tenant, World, utc
from weir.invoicing.v1 import invoicing_pb2
from weir.pricing.v1 import pricing_pb2

COMPLETED = invoicing_pb2.BillingRun.STATE_COMPLETED


async def metered(acme: Tenant) -> None:
    """A plan with a tax, a base fee of 20 and two charges, and their meters."""
    await acme.tax("sales", "8.875")
    await acme.meter("requests")
    await acme.meter("tokens", "tokens")
    await acme.plan("llm-api", REQUESTS, TOKENS, taxes=["sales"])


async def subscribed(acme: Tenant, count: int, plan_code: str = "basic", start: str = "2023-11-01") -> None:
    await acme.customer("globex")
    for i in range(count):
        await acme.subscribe(f"globex-{i:03}", "globex", plan_code, start)


async def test_a_month_becomes_a_finalized_invoice(world: World, acme: Tenant) -> None:
    await metered(acme)
    await acme.start_clock("2023-11-01")
    await subscribed(acme, 1, "llm-api")
    await acme.events("globex-000", 2600, tokens="1000.5")
    run_id = await acme.advance("2023-12-01T09:00")
    await world.bill()

    [invoice] = await acme.invoices()
    assert [(line.code, line.amount.minor_units, line.unrounded_amount) for line in invoice.lines] == [
        ("base", 2000, "20"),
        ("requests", 300, "3"),
        ("tokens", 570, "5.7026"),
    ]
    assert (invoice.subtotal.minor_units, invoice.tax.minor_units, invoice.total.minor_units) == (2870, 255, 3125)
    assert [(tax.code, tax.taxable.minor_units, tax.unrounded_amount) for tax in invoice.taxes] == [
        ("sales", 2870, "2.547125")
    ]
    assert (invoice.number, invoice.state) == ("INV-202312-000001", invoicing_pb2.Invoice.STATE_FINALIZED)
    assert invoice.payment_status == invoicing_pb2.Invoice.PAYMENT_STATUS_PENDING
    assert (invoice.issue_date.year, invoice.issue_date.month, invoice.issue_date.day) == (2023, 12, 1)
    assert invoice.finalize_time == invoice.create_time == timestamp_out(utc("2023-12-01"))
    assert invoice.lines[0].proration.days == invoice.lines[0].proration.period_days == 30
    assert invoice.lines[2].rating.quantity == "2601300"
    assert len(invoice.lines[2].rating.tiers) == 2
    assert invoice.lines[1].watermark == invoice.lines[2].watermark > 0
    assert list(invoice.lines[1].tax_codes) == ["sales"]

    run = await acme.run(run_id)
    assert (run.state, run.due_count, run.finalized_count) == (COMPLETED, 0, 1)
    read = await acme.invoicing.GetInvoice(invoicing_pb2.GetInvoiceRequest(id=invoice.id))
    assert read.invoice == invoice


async def test_two_workers_at_once_bill_every_month_once(world: World, acme: Tenant) -> None:
    await metered(acme)
    await acme.start_clock("2023-11-01")
    await subscribed(acme, 20, "llm-api")
    run_id = await acme.advance("2024-02-01")
    await asyncio.gather(*(world.bill(chunk_size=3) for _ in range(2)))

    invoices = await acme.invoices()
    periods = {(each.subscription_id, each.period.start_time.ToJsonString()) for each in invoices}
    assert len(invoices) == len(periods) == 60
    assert sorted(each.number[-6:] for each in invoices) == [f"{i:06}" for i in range(1, 61)]
    run = await acme.run(run_id)
    assert (run.state, run.finalized_count) == (COMPLETED, 60)


async def test_a_worker_that_lost_its_lease_bills_nothing_twice(world: World, acme: Tenant) -> None:
    """With leases of no length each worker takes what the other is billing."""
    await metered(acme)
    await acme.start_clock("2023-11-01")
    await subscribed(acme, 10, "llm-api")
    await acme.advance("2024-01-01")
    await asyncio.gather(*(world.bill(chunk_size=10, lease_seconds=0) for _ in range(4)))
    invoices = await acme.invoices()
    assert len(invoices) == len({(each.subscription_id, each.period.start_time.seconds) for each in invoices}) == 20


async def test_several_months_are_billed_in_order(world: World, acme: Tenant) -> None:
    await acme.plan("basic")
    await acme.start_clock("2024-01-15T12:00")
    await subscribed(acme, 1, start="2024-01-15T12:00")
    await acme.advance("2024-05-01")
    await world.bill()
    invoices = await acme.invoices()
    assert [(each.lines[0].proration.days, each.total.minor_units) for each in invoices] == [
        (17, 1097),
        (29, 2000),
        (31, 2000),
        (30, 2000),
    ]
    assert [each.number for each in invoices] == [f"INV-20240{i + 1}-00000{i}" for i in range(1, 5)]
    ends = [each.period.end_time for each in invoices]
    assert [each.period.start_time for each in invoices] == [timestamp_out(utc("2024-01-15T12:00")), *ends[:-1]]


async def test_usage_counts_in_the_month_where_the_customer_lives(world: World, acme: Tenant) -> None:
    """Berlin's November begins at 23:00 UTC on 31 October."""
    await metered(acme)
    await acme.plan("tokens", TOKENS, base_fee=None)
    await acme.start_clock("2023-10-01")
    await acme.customer("kraftwerk", "Europe/Berlin")
    await acme.subscribe("k", "kraftwerk", "tokens", "2023-09-30T22:00")
    for i, moment in enumerate(("2023-10-31T22:59:59.999999", "2023-10-31T23:00", "2023-11-30T22:59:59.999999")):
        await acme.events("k", 1, moment, tokens=f"{10**i}00000", prefix=moment)
    await acme.advance("2023-12-01")
    await world.bill()
    october, november = await acme.invoices()
    assert [line.rating.quantity for invoice in (october, november) for line in invoice.lines] == ["100000", "11000000"]
    assert november.period.end_time == timestamp_out(utc("2023-11-30T23:00"))


async def test_a_period_that_has_not_ended_is_not_billed(world: World, acme: Tenant) -> None:
    await acme.plan("basic")
    await acme.start_clock("2023-11-01")
    await subscribed(acme, 1)
    await acme.advance("2023-11-30T23:59:59.999999")
    await world.bill()
    assert await acme.invoices() == []
    await acme.advance("2023-12-01")
    await world.bill()
    assert len(await acme.invoices()) == 1


async def test_a_subscription_made_after_its_first_months_is_billed_for_them(world: World, acme: Tenant) -> None:
    await acme.plan("basic")
    await acme.start_clock("2023-12-20")
    await subscribed(acme, 1, start="2023-10-31")
    await world.bill()
    assert [each.total.minor_units for each in await acme.invoices()] == [65, 2000]


async def test_in_real_time_what_is_due_starts_a_run_by_itself(world: World, acme: Tenant) -> None:
    await acme.plan("basic")
    now = system_clock()
    last_month = (now.replace(day=1) - timedelta(days=3)).isoformat()
    await subscribed(acme, 2, start=last_month)
    await acme.subscribe("later", "globex", "basic", (now + timedelta(days=40)).isoformat())
    await world.bill()
    assert len(await acme.invoices()) == 2
    [run] = (await acme.invoicing.ListBillingRuns(invoicing_pb2.ListBillingRunsRequest())).billing_runs
    assert (run.state, run.finalized_count) == (COMPLETED, 2)
    await world.bill()
    assert len((await acme.invoicing.ListBillingRuns(invoicing_pb2.ListBillingRunsRequest())).billing_runs) == 1


async def test_a_missing_meter_stalls_only_the_subscriptions_that_need_it(world: World, acme: Tenant) -> None:
    await metered(acme)
    missing = pricing_pb2.Charge(code="gpu", meter_code="gpu", standard=pricing_pb2.StandardPrice(unit_price="2"))
    await acme.plan("gpu", missing)
    await acme.start_clock("2023-11-01")
    await subscribed(acme, 5, "llm-api")
    await acme.subscribe("stuck", "globex", "gpu", "2023-11-01")
    run_id = await acme.advance("2023-12-01")
    await world.bill()

    assert len(await acme.invoices()) == 5
    run = await acme.run(run_id)
    assert (run.state, run.due_count) == (invoicing_pb2.BillingRun.STATE_RUNNING, 1)
    [failure] = run.failures
    assert (failure.subscription_id, failure.reason) == ("stuck", "METER_NOT_FOUND")
    assert "gpu" in failure.message

    later = await acme.advance("2024-01-01")
    await world.bill()
    assert len(await acme.invoices()) == 10
    assert (await acme.run(later)).finalized_count == 5

    await acme.meter("gpu")
    async with world.database() as conn:
        retry_time = await conn.fetchval("SELECT available_time FROM subscription WHERE id = 'stuck'")
    await asyncio.sleep((retry_time - system_clock()).total_seconds())
    await world.bill()
    assert len(await acme.invoices(subscription_id="stuck")) == 2
    for each in (run_id, later):
        assert (await acme.run(each)).state == COMPLETED
    assert not (await acme.run(run_id)).failures


async def test_what_is_due_waits_while_metering_is_away(world: World, acme: Tenant) -> None:
    await metered(acme)
    await acme.start_clock("2023-11-01")
    await subscribed(acme, 3, "llm-api")
    run_id = await acme.advance("2023-12-01")
    await world.bill(metering_target=CLOSED)
    run = await acme.run(run_id)
    assert (run.due_count, run.finalized_count, len(run.failures)) == (3, 0, 0)
    async with world.database() as conn:
        await conn.execute("UPDATE subscription SET available_time = '-infinity'")
    await world.bill()
    assert len(await acme.invoices()) == 3


async def test_an_invoice_of_nothing_is_paid_when_it_is_finalized(world: World, acme: Tenant) -> None:
    await acme.plan("free", base_fee=0)
    await acme.plan("empty", base_fee=None)
    await acme.start_clock("2023-11-01")
    await subscribed(acme, 1, "free")
    await acme.subscribe("empty", "globex", "empty", "2023-11-01")
    await acme.advance("2023-12-01")
    await world.bill()
    invoices = await acme.invoices()
    assert sorted([line.code for line in each.lines] for each in invoices) == [[], ["base"]]
    assert {each.payment_status for each in invoices} == {invoicing_pb2.Invoice.PAYMENT_STATUS_SUCCEEDED}
    async with world.worker() as biller:
        assert not await biller.hand_over()


async def test_tenants_are_billed_apart(world: World, acme: Tenant) -> None:
    other = world.tenant("initech")
    for tenant in (acme, other):
        await tenant.plan("basic")
        await tenant.start_clock("2023-11-01")
        await subscribed(tenant, 2)
    await acme.advance("2023-12-01")
    await world.bill()
    assert await other.invoices() == []
    await other.advance("2023-12-01")
    await world.bill()
    for tenant in (acme, other):
        numbers = sorted(each.number for each in await tenant.invoices())
        assert numbers == ["INV-202312-000001", "INV-202312-000002"]


async def test_invoices_are_found_by_customer_subscription_and_number(world: World, acme: Tenant) -> None:
    await acme.plan("basic")
    await acme.start_clock("2023-11-01")
    await subscribed(acme, 3)
    await acme.customer("initech")
    await acme.subscribe("initech-1", "initech", "basic", "2023-11-01")
    await acme.advance("2023-12-01")
    await world.bill()
    assert len(await acme.invoices(customer_id="globex")) == 3
    assert len(await acme.invoices(subscription_id="initech-1")) == 1
    [third] = await acme.invoices(number="INV-202312-000003")
    first = await acme.invoicing.ListInvoices(invoicing_pb2.ListInvoicesRequest(page_size=3))
    rest = await acme.invoicing.ListInvoices(invoicing_pb2.ListInvoicesRequest(page_token=first.next_page_token))
    ids = [each.id for each in (*first.invoices, *rest.invoices)]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 4
    assert third.id in ids


async def test_plans_are_billed_in_their_own_currency(world: World, acme: Tenant) -> None:
    await acme.plan("yen", base_fee=500, currency="JPY")
    await acme.start_clock("2023-11-16")
    await subscribed(acme, 1, "yen", "2023-11-16")
    await acme.advance("2023-12-01")
    await world.bill()
    [invoice] = await acme.invoices()
    assert (invoice.currency_code, invoice.total.minor_units) == ("JPY", 250)


async def test_a_mid_month_start_in_berlin_is_prorated_by_days(world: World) -> None:
    for start, end, days, month_days in (
        ("2023-01-10", "2023-02-01", 22, 31),
        ("2023-02-10", "2023-03-01", 19, 28),
        ("2024-02-10", "2024-03-01", 20, 29),
        ("2023-03-26T01:30", "2023-04-01", 6, 31),
        ("2023-04-10", "2023-05-01", 21, 30),
        ("2023-10-29T00:30", "2023-11-01", 3, 31),
    ):
        tenant = world.tenant(f"in-{start[:7]}")
        await tenant.plan("basic", base_fee=3100)
        await tenant.start_clock(start)
        await tenant.customer("kraftwerk", "Europe/Berlin")
        await tenant.subscribe("k", "kraftwerk", "basic", start)
        await tenant.advance(end)
        await world.bill()
        [first] = await tenant.invoices()
        part = first.lines[0].proration
        assert (part.days, part.period_days) == (days, month_days)
        assert first.total.minor_units == (2 * 3100 * days + month_days) // (2 * month_days)


async def test_a_level_in_a_month_begun_midway_is_averaged_over_the_whole_month(world: World, acme: Tenant) -> None:
    """10 gigabytes held from 16 November, for half of its 30 days, are 5 on average."""
    await acme.level_meter("stored", "gigabytes")
    price = pricing_pb2.StandardPrice(unit_price="2")
    await acme.plan("storage", pricing_pb2.Charge(code="stored", meter_code="stored", standard=price), base_fee=None)
    await acme.start_clock("2023-11-16")
    await subscribed(acme, 1, "storage", "2023-11-16")
    await acme.hold("globex-000", "gigabytes", "10", "2023-11-16")
    await acme.advance("2023-12-01")
    await world.bill()
    [invoice] = await acme.invoices()
    assert [(line.rating.quantity, line.amount.minor_units) for line in invoice.lines] == [("5", 1000)]
    request = invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_code="stored")
    assert (await acme.invoicing.ExplainLine(request)).reproduced

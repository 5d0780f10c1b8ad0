"""What falls due at the same time of a customer is on one invoice."""

import asyncio

from tests.invoicing.test_billing_run import metered
from tests.invoicing.world import TOKENS, Tenant, World
from weir.invoicing.v1 import invoicing_pb2
from weir.pricing.v1 import pricing_pb2

COUNT = 7


async def together(acme: Tenant, count: int = COUNT, plan_code: str = "llm-api") -> None:
    await metered(acme)
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    for i in range(count):
        await acme.subscribe(f"globex-{i}", "globex", plan_code, "2023-11-01", alone=False)
        await acme.events(f"globex-{i}", 100 * i + 1)


def bills(invoice: invoicing_pb2.Invoice) -> list[str]:
    return [each.source.subscription_id for each in invoice.settlements]


async def test_subscriptions_due_at_once_share_an_invoice_whose_tax_is_rounded_once(world: World, acme: Tenant) -> None:
    await together(acme)
    await acme.subscribe("later", "globex", "llm-api", "2023-11-15", alone=True)
    await acme.plan("euro", TOKENS, currency="EUR")
    await acme.subscribe("euro", "globex", "euro", "2023-11-01", alone=False)
    foreseen = await acme.invoicing.PreviewInvoice(invoicing_pb2.PreviewInvoiceRequest(subscription_id="globex-3"))
    await acme.advance("2023-12-01")
    await world.bill()
    invoices = {tuple(bills(each)): each for each in await acme.invoices()}
    assert set(invoices) == {tuple(f"globex-{i}" for i in range(COUNT)), ("later",), ("euro",)}
    whole = invoices[tuple(f"globex-{i}" for i in range(COUNT))]
    assert len(whole.lines) == 3 * COUNT
    assert sum(line.amount.minor_units for line in whole.lines) == whole.subtotal.minor_units
    [tax] = whole.taxes
    assert (tax.taxable, tax.amount.minor_units) == (whole.subtotal, round(whole.subtotal.minor_units * 0.08875))
    assert {line.source.subscription_id for line in whole.lines} == set(bills(whole))
    assert (foreseen.invoice.total, len(foreseen.invoice.lines)) == (whole.total, len(whole.lines))
    assert (whole.subscription_id, whole.plan_code) == ("", "")
    assert invoices[("later",)].subscription_id == "later"
    replayed = await acme.invoicing.ReplayInvoice(invoicing_pb2.ReplayInvoiceRequest(id=whole.id))
    assert (replayed.reproduced, replayed.recomputed_total) == (True, whole.total)
    assert bills((await acme.invoices(subscription_id="globex-2"))[0]) == bills(whole)


async def test_small_chunks_and_racing_workers_make_one_invoice_a_month(world: World, acme: Tenant) -> None:
    await together(acme)
    await acme.advance("2024-02-01")
    await asyncio.gather(*(world.bill(chunk_size=2) for _ in range(3)))
    invoices = await acme.invoices()
    assert [len(each.settlements) for each in invoices] == [COUNT] * 3
    assert [each.number[-6:] for each in invoices] == ["000001", "000002", "000003"]


async def test_one_that_can_not_be_billed_does_not_hold_up_the_others(world: World, acme: Tenant) -> None:
    await together(acme, 2)
    broken = pricing_pb2.Charge()
    broken.CopyFrom(TOKENS)
    broken.code, broken.meter_code = "missing", "missing"
    await acme.plan("broken", broken)
    await acme.subscribe("broken", "globex", "broken", "2023-11-01", alone=False)
    await acme.advance("2023-12-01")
    await world.bill()
    [invoice] = await acme.invoices()
    assert bills(invoice) == ["globex-0", "globex-1"]
    await acme.meter("missing")
    async with world.database() as conn:
        await conn.execute("UPDATE subscription SET available_time = '-infinity'")
    await world.bill()
    assert [bills(each) for each in await acme.invoices()] == [["globex-0", "globex-1"], ["broken"]]

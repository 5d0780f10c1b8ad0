"""Billing takes turns between customers, and between tenants."""

import asyncio

from tests.invoicing.world import Tenant, World
from weir.invoicing.v1.invoicing_pb2 import Invoice

MANY = 80
FEW = 5
CHUNK = 15
FINALIZED = Invoice.STATE_FINALIZED


async def begin(tenant: Tenant, *, many: int, few: int) -> None:
    """A customer with `many` subscriptions, made first, and `few` with one each; all are due."""
    await tenant.start_clock("2023-11-01")
    await tenant.plan("plan")
    await tenant.customer("a_huge_one")
    await asyncio.gather(
        *(tenant.subscribe(f"a_{n:02}", "a_huge_one", "plan", "2023-11-01", alone=False) for n in range(many))
    )
    for n in range(few):
        await tenant.customer(f"small_{n}")
        await tenant.subscribe(f"small_{n}", f"small_{n}", "plan", "2023-11-01", alone=False)
    await tenant.advance("2023-12-01")


async def test_a_customer_with_many_subscriptions_keeps_no_other_customer_or_tenant_waiting(world: World) -> None:
    acme, other = world.tenant("acme"), world.tenant("other")
    await begin(acme, many=MANY, few=FEW)
    await begin(other, many=0, few=FEW)

    async with world.worker(chunk_size=CHUNK) as biller:
        for _ in range(2):  # sweeps: one bills, the next finalizes
            await biller.bill()
        for tenant in (acme, other):
            done = [each.customer_id for each in await tenant.invoices() if each.state == FINALIZED]
            assert sorted(done) == [f"small_{n}" for n in range(FEW)]
        while await biller.bill():
            pass

    [huge] = await acme.invoices(customer_id="a_huge_one")
    assert len(huge.settlements) == MANY
    assert huge.state == FINALIZED


async def test_of_two_customers_with_many_subscriptions_both_get_on(world: World, acme: Tenant) -> None:
    await begin(acme, many=MANY, few=0)
    await acme.customer("z_huge_too")
    for n in range(MANY):
        await acme.subscribe(f"z_{n:02}", "z_huge_too", "plan", "2023-11-01", alone=False)

    async with world.worker(chunk_size=MANY // 4) as biller:
        await biller.bill()  # two chunks

    async with world.database() as conn:
        billed = await conn.fetch("SELECT customer_id, line_count FROM invoice ORDER BY customer_id")
    # fifteen of each are of the first four turns, and ten of anyone's of the fifth
    assert [row["customer_id"] for row in billed] == ["a_huge_one", "z_huge_too"]
    assert all(15 <= row["line_count"] <= 25 for row in billed), billed


async def test_turns_are_taken_in_the_order_in_which_a_customer_subscribed(world: World, acme: Tenant) -> None:
    await acme.plan("plan")
    await acme.customer("customer")
    for n in range(9):
        await acme.subscribe(f"sub_{n}", "customer", "plan", "2023-11-01")

    async with world.database() as conn:
        turns = await conn.fetch("SELECT turn FROM subscription ORDER BY id")
    assert [row["turn"] for row in turns] == [0, 1, 1, 2, 2, 2, 2, 3, 3]

"""A month of usage that is charged when it is recorded, while workers are killed: each event is billed exactly once."""

import asyncio
import signal
from collections import Counter
from random import Random

from libs.common.wire import timestamp_out
from tests.invoicing.test_change_races import arrived
from tests.invoicing.test_kinds_of_charges import charge, require_replayed, standard, subscribed
from tests.invoicing.test_progressive import PROGRESSIVE, at
from tests.invoicing.test_worker_process import completed, process
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import advance_fees_pb2, changes_pb2, invoicing_pb2
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import pricing_pb2

UNIT_PRICE = 100
EVENTS_OF_STINT = 14


async def begin(acme: Tenant) -> None:
    """Subscription "s" pays for each event, "t" whenever its usage passes a threshold; by any plan a dollar a unit."""
    await subscribed(acme, in_advance())
    await acme.plan("p2", in_advance(), base_fee=None)
    for plan_code, threshold in (("q", 2000), ("q2", 1700)):
        thresholds = [at(threshold, recurring=True)]
        await acme.plan(plan_code, charge(standard=standard("1")), base_fee=None, usage_thresholds=thresholds)
    await acme.subscribe("t", "globex", "q", "2023-11-01")


def in_advance() -> pricing_pb2.Charge:
    return pricing_pb2.Charge(code="seats", name="Seats", meter_code="seats", in_advance=True, standard=standard("1"))


async def use(acme: Tenant, random: Random, until: str) -> Counter[str]:
    """Units of each subscription, at any time before; half of the events are sent twice."""
    span = utc(until) - utc("2023-11-01")
    used: Counter[str] = Counter()
    for _ in range(EVENTS_OF_STINT):
        name, units = random.choice("st"), random.randint(1, 9)
        event = metering_pb2.Event(
            transaction_id=new_request_id(),
            subscription_id=name,
            code="seats",
            timestamp=timestamp_out(utc("2023-11-01") + random.random() * span),
            properties={"n": str(units)},
        )
        used[name] += units
        for _ in range(random.randint(1, 2)):
            await acme.metering.IngestEvents(metering_pb2.IngestEventsRequest(events=[event]))
        await asyncio.sleep(random.random() * 0.05)
    return used


async def change(acme: Tenant, subscription_id: str, plan_code: str) -> None:
    asked = changes_pb2.PlanChange(plan_code=plan_code, effective=changes_pb2.PlanChange.EFFECTIVE_NOW)
    request = changes_pb2.ChangePlanRequest(request_id=new_request_id(), id=subscription_id, change=asked)
    await acme.changes.ChangePlan(request)


async def terminate(acme: Tenant, end: str) -> None:
    for name in "st":
        request = invoicing_pb2.TerminateSubscriptionRequest(request_id=new_request_id(), id=name)
        request.end_time.CopyFrom(timestamp_out(utc(end)))
        await acme.invoicing.TerminateSubscription(request)


async def followed(world: World) -> None:
    """Until a worker has charged an event and billed a threshold, in its life or before."""
    both = "SELECT (SELECT count(*) FROM advance_fee) > 0 AND (SELECT count(*) FROM progressive_invoice) > 0"
    async with world.database() as conn, asyncio.timeout(60):
        while not await conn.fetchval(both):  # noqa: ASYNC110 another process
            await asyncio.sleep(0.02)


async def fees(acme: Tenant) -> list[advance_fees_pb2.AdvanceFee]:
    request = advance_fees_pb2.ListAdvanceFeesRequest(subscription_id="s", page_size=500)
    return list((await acme.advance_fees.ListAdvanceFees(request)).advance_fees)


async def test_every_event_is_billed_once_whoever_is_killed_and_whatever_is_changed(world: World, acme: Tenant) -> None:
    await begin(acme)
    random, used = Random(11), Counter[str]()
    for until, plans in (("2023-11-08", ("p2", "q2")), ("2023-11-15", ("p", "q")), ("2023-11-22", ("p2", "q2"))):
        async with process(world) as worker:
            await acme.advance(until)
            await arrived(acme)
            used += await use(acme, random, until)
            await followed(world)
            used += await use(acme, random, until)
            worker.send_signal(signal.SIGKILL)
        for name, plan_code in zip("st", plans, strict=True):
            await change(acme, name, plan_code)
    await terminate(acme, "2023-11-25T12:00")
    used += await use(acme, random, "2023-11-22")  # nobody is there to charge it
    async with process(world):
        await completed(acme, await acme.advance("2023-11-24"))
        used += await use(acme, random, "2023-11-22")
        await completed(acme, await acme.advance("2024-03-01"))
    await asyncio.gather(world.bill(), world.bill())

    charged = await fees(acme)
    assert len({each.transaction_id for each in charged}) == len(charged)
    assert sum(each.amount.minor_units for each in charged) == used["s"] * UNIT_PRICE
    invoices = await acme.invoices()
    for name, units in used.items():
        billed = await acme.invoices(subscription_id=name)
        assert sum(each.total.minor_units for each in billed) == units * UNIT_PRICE
    assert [each for each in invoices if each.kind == PROGRESSIVE]
    assert {each.state for each in invoices} == {invoicing_pb2.Invoice.STATE_FINALIZED}
    assert sorted(each.number[-6:] for each in invoices) == [f"{i + 1:06}" for i in range(len(invoices))]
    await require_replayed(acme, invoices)

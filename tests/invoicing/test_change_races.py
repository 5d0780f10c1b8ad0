"""Changes of plan beside billing runs, ends and kills: the invoices tile time, whoever comes first."""

import asyncio
import signal
from datetime import datetime, timedelta

from libs.common.wire import timestamp_out
from services.invoicing import store
from services.invoicing.domain.run import OpenRun
from tests.invoicing.test_changes import PlanChange, begin, bill_until, cancel, change, event, summary, terminate
from tests.invoicing.test_walking import clock
from tests.invoicing.test_worker_process import process
from tests.invoicing.world import Tenant, World, utc
from weir.invoicing.v1 import invoicing_pb2

REFUSALS = {"PERIOD_BILLED", "PLAN_UNCHANGED", "SUBSCRIPTION_CLOSED", "CHANGE_AFTER_END"}


async def test_changing_ending_and_billing_at_once_bill_every_day_and_event_once(world: World, acme: Tenant) -> None:
    await begin(acme)
    for i in range(60):
        await event(acme, utc("2024-01-01") + timedelta(days=i, hours=7), f"e{i}")
    await acme.advance("2024-02-20")
    _, *answers, _ = await asyncio.gather(
        world.bill(),
        change(acme, "pro", "2024-02-05T12:00:00"),
        change(acme, "pro", "2024-02-07"),
        terminate(acme, "2024-02-10T12:00:00"),
        world.bill(),
        return_exceptions=True,
    )
    assert all(each.reason in REFUSALS for each in answers if isinstance(each, BaseException))
    assert not isinstance(answers[-1], BaseException)
    await require_tiled(await bill_until(world, acme, "2024-05-01"), utc("2024-02-10T12:00:00"))


async def require_tiled(invoices: list[invoicing_pb2.Invoice], end: datetime) -> None:
    """Of a subscription from 1 January to `end`, with an event a day at 7:00."""
    periods = [each.period for each in invoices]
    assert [each.end_time for each in periods[:-1]] == [each.start_time for each in periods[1:]]
    assert (periods[0].start_time, periods[-1].end_time) == (timestamp_out(utc("2024-01-01")), timestamp_out(end))
    lines = [line for each in invoices for line in each.lines]
    days = (end - utc("2024-01-01")).days + 1
    assert sum(line.proration.days for line in lines if line.code == "base") == days
    assert sum(int(line.rating.quantity) for line in lines if line.code == "tokens") == days


async def test_a_worker_killed_amid_changes_loses_and_doubles_nothing(world: World, acme: Tenant) -> None:
    await begin(acme)
    for i in range(100):
        await event(acme, utc("2024-01-01") + timedelta(days=i, hours=7), f"e{i}")
    for at, plan_code in (("2024-01-20", "pro"), ("2024-02-20T09:00:00", "basic"), ("2024-03-10T01:00:00", "pro")):
        async with process(world) as worker:
            await acme.advance(at)
            await arrived(acme)
            await change(acme, plan_code, effective=PlanChange.EFFECTIVE_NOW)
            worker.send_signal(signal.SIGKILL)
    await terminate(acme, "2024-03-30T12:00:00")
    await require_tiled(await bill_until_leases_end(world, acme, "2024-05-01"), utc("2024-03-30T12:00:00"))


async def arrived(acme: Tenant) -> None:
    async with asyncio.timeout(20):
        while (await clock(acme)).HasField("target_time"):  # noqa: ASYNC110 another process
            await asyncio.sleep(0.05)


async def bill_until_leases_end(world: World, acme: Tenant, to: str) -> list[invoicing_pb2.Invoice]:
    run_id = await acme.advance(to)
    async with asyncio.timeout(20):
        while (await acme.run(run_id)).state != invoicing_pb2.BillingRun.STATE_COMPLETED:
            await world.bill()
            await asyncio.sleep(0.1)
    return sorted(await acme.invoices(), key=lambda each: each.period.start_time.ToNanoseconds())


async def test_a_bill_from_before_a_change_is_not_saved(world: World, acme: Tenant) -> None:
    """The period stays as it was in both cases: what follows it does not."""
    await begin(acme)
    await acme.advance("2024-01-20")
    run, now = OpenRun("acme", "run_1", None, utc("2024-02-01")), utc("2030-01-01")
    async with world.database() as conn:
        found = await store.subscriptions.claim_due(conn, run, now, now, 10)
        await change(acme, "pro", effective=PlanChange.EFFECTIVE_PERIOD_END)
        assert await store.subscriptions.advance(conn, "acme", found, [1]) == set()
        found = await store.subscriptions.claim_due(conn, run, now, now, 10)
        await cancel(acme)
        assert await store.subscriptions.advance(conn, "acme", found, [1]) == set()
    invoices = await bill_until(world, acme, "2024-03-01")
    assert [summary(each)[0] for each in invoices] == ["basic", "basic"]

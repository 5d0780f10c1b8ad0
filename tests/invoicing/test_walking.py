"""The walk of a test clock: everything falls due in order, as if the time had passed."""

import asyncio
from collections.abc import Sequence

import pytest

from libs.common.errors import FailedPrecondition
from libs.common.wire import timestamp_out
from tests.invoicing.test_billing_run import COMPLETED, metered
from tests.invoicing.world import CLOSED, Tenant, World, utc
from weir.invoicing.v1 import invoicing_pb2
from weir.pricing.v1 import pricing_pb2

WEEKLY = pricing_pb2.PlanVersion.BILLING_INTERVAL_WEEKLY


async def prepared(acme: Tenant) -> None:
    """A monthly and a weekly subscription, from Monday 2 October 2023 on."""
    await acme.plan("monthly")
    await acme.plan("weekly", base_fee=700, interval=WEEKLY)
    await acme.start_clock("2023-10-02")
    await acme.customer("globex")
    await acme.customer("initech")
    await acme.subscribe("month", "globex", "monthly", "2023-10-02")
    await acme.subscribe("week", "initech", "weekly", "2023-10-02")


async def steps(acme: Tenant, run_id: str, after: str = "") -> list[tuple[str, int, int, int]]:
    request = invoicing_pb2.GetBillingRunRequest(id=run_id)
    if after:
        request.steps_after_time.FromDatetime(utc(after))
    found = (await acme.invoicing.GetBillingRun(request)).steps
    return [
        (each.step_time.ToDatetime().date().isoformat(), each.made_count, each.finalized_count, each.failed_count)
        for each in found
    ]


def story(invoices: Sequence[invoicing_pb2.Invoice]) -> list[tuple[str, str, int]]:
    """What was billed when, and with which number; at one instant in any order."""
    by_number = sorted(invoices, key=lambda each: each.number[-6:])
    assert [int(each.number[-6:]) for each in by_number] == list(range(1, len(invoices) + 1))
    assert [each.create_time.seconds for each in by_number] == sorted(each.create_time.seconds for each in invoices)
    assert all(each.create_time == each.finalize_time for each in invoices)
    return sorted((each.create_time.ToJsonString(), each.subscription_id, each.total.minor_units) for each in invoices)


async def clock(acme: Tenant) -> invoicing_pb2.Clock:
    return (await acme.invoicing.GetClock(invoicing_pb2.GetClockRequest())).clock


async def test_everything_is_made_and_finalized_at_the_instant_it_falls_due(world: World, acme: Tenant) -> None:
    await prepared(acme)
    run_id = await acme.advance("2023-11-10")
    await world.bill()
    assert [(made[:10], name) for made, name, _ in story(await acme.invoices())] == [
        ("2023-10-09", "week"),
        ("2023-10-16", "week"),
        ("2023-10-23", "week"),
        ("2023-10-30", "week"),
        ("2023-11-01", "month"),
        ("2023-11-06", "week"),
    ]
    every_step = await steps(acme, run_id)
    assert [(made, finalized, failed) for _, made, finalized, failed in every_step] == [(1, 1, 0)] * 6
    assert await steps(acme, run_id, after="2023-10-30") == every_step[4:]
    arrived = await clock(acme)
    assert (arrived.now, arrived.HasField("target_time")) == (timestamp_out(utc("2023-11-10")), False)
    run = await acme.run(run_id)
    assert (run.state, run.drained, run.finalized_count) == (COMPLETED, True, 6)


async def test_one_long_walk_and_many_short_ones_come_to_the_same(world: World) -> None:
    stories = []
    for name, targets in (
        ("long", ["2024-01-15"]),
        ("short", ["2023-10-09", "2023-10-31", "2023-12-04", "2024-01-15"]),
    ):
        tenant = world.tenant(name)
        await prepared(tenant)
        for target in targets:
            await tenant.advance(target)
            await world.bill()
        stories.append(story(await tenant.invoices()))
    assert stories[0] == stories[1]


async def test_a_clock_on_its_way_stands_where_something_is_due(world: World, acme: Tenant) -> None:
    """With no worker it waits there; it can be sent further, and not back."""
    await prepared(acme)
    await acme.advance("2023-11-10")
    on_its_way = await clock(acme)
    assert on_its_way.now == timestamp_out(utc("2023-10-09"))
    assert on_its_way.target_time == timestamp_out(utc("2023-11-10"))
    with pytest.raises(FailedPrecondition) as refused:
        await acme.advance("2023-11-01")
    assert refused.value.reason == "CLOCK_BACKWARD"
    runs = [await acme.advance("2023-11-10"), await acme.advance("2023-11-13")]
    await world.bill()
    assert (await clock(acme)).now == timestamp_out(utc("2023-11-13"))
    assert [(await acme.run(each)).state for each in runs] == [COMPLETED, COMPLETED]
    assert len(await acme.invoices()) == 7


async def test_what_is_made_due_on_the_way_is_billed_where_the_clock_stands(world: World, acme: Tenant) -> None:
    await prepared(acme)
    run_id = await acme.advance("2023-10-20")
    await acme.subscribe("late", "initech", "weekly", "2023-09-25")
    await world.bill()
    [first, *_] = await acme.invoices(subscription_id="late")
    assert first.create_time == timestamp_out(utc("2023-10-09"))
    assert (await acme.run(run_id)).state == COMPLETED


async def test_a_subscription_that_can_not_be_billed_does_not_stop_the_walk(world: World, acme: Tenant) -> None:
    await prepared(acme)
    missing = pricing_pb2.Charge(code="gpu", meter_code="gpu", standard=pricing_pb2.StandardPrice(unit_price="2"))
    await acme.plan("gpu", missing)
    await acme.subscribe("stuck", "initech", "gpu", "2023-10-02")
    run_id = await acme.advance("2023-12-15")
    await world.bill()
    assert (await clock(acme)).now == timestamp_out(utc("2023-12-15"))
    run = await acme.run(run_id)
    assert (run.state, run.drained, run.due_count) == (invoicing_pb2.BillingRun.STATE_RUNNING, True, 1)
    assert [each for each in await steps(acme, run_id) if each[3]] == [("2023-11-01", 1, 1, 1)]
    assert len(await acme.invoices(subscription_id="month")) == 2

    await acme.meter("gpu")
    async with world.database() as conn:
        await conn.execute("UPDATE subscription SET available_time = '-infinity'")
    await world.bill()
    late = await acme.invoices(subscription_id="stuck")
    assert [each.create_time for each in late] == [timestamp_out(utc("2023-12-15"))] * 2
    assert (await steps(acme, run_id))[-1] == ("2023-12-15", 2, 2, 0)
    assert (await acme.run(run_id)).state == COMPLETED


async def test_the_walk_waits_for_a_peer_that_is_away(world: World, acme: Tenant) -> None:
    await metered(acme)
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    await acme.subscribe("globex-1", "globex", "llm-api", "2023-11-01")
    run_id = await acme.advance("2024-02-10")
    await world.bill(metering_target=CLOSED)
    assert (await clock(acme)).now == timestamp_out(utc("2023-12-01"))
    assert not (await acme.run(run_id)).drained
    async with world.database() as conn:
        await conn.execute("UPDATE subscription SET available_time = '-infinity'")
    await world.bill()
    assert [each.create_time for each in await acme.invoices()] == [
        timestamp_out(utc(each)) for each in ("2023-12-01", "2024-01-01", "2024-02-01")
    ]


async def test_workers_that_race_and_lose_their_leases_walk_as_one_does(world: World) -> None:
    stories = []
    for name, racers in (("one", 1), ("four", 4)):
        tenant = world.tenant(name)
        await prepared(tenant)
        for i in range(6):
            await tenant.subscribe(f"more-{i}", "globex", "monthly", "2023-10-02")
        run_id = await tenant.advance("2024-01-02")
        await asyncio.gather(*(world.bill(chunk_size=2, lease_seconds=0) for _ in range(racers)))
        assert (await tenant.run(run_id)).state == COMPLETED
        invoices = await tenant.invoices()
        assert [each.create_time for each in invoices] == [each.period.end_time for each in invoices]
        walked = await steps(tenant, run_id)
        assert sum(made for _, made, _, _ in walked) == sum(done for _, _, done, _ in walked) == len(invoices)
        stories.append((walked, story(invoices)))
    assert stories[0] == stories[1]


async def test_ten_years_of_months_are_walked_one_by_one(world: World, acme: Tenant) -> None:
    await acme.plan("monthly")
    await acme.start_clock("2014-01-01")
    await acme.customer("globex")
    await acme.subscribe("globex-1", "globex", "monthly", "2014-01-01")
    run_id = await acme.advance("2024-01-01")
    await world.bill()
    invoices = await acme.invoices()
    assert len(invoices) == len(await steps(acme, run_id)) == 120
    assert [each.create_time for each in invoices] == [each.period.end_time for each in invoices]
    assert len({date for date, _, _ in story(invoices)}) == 120

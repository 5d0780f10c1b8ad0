"""The billing clock, through gRPC: real time, test clocks, and the runs that moving one starts."""

import asyncio

import pytest

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from libs.common.wire import timestamp_out
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import invoicing_pb2

TEST, REAL = invoicing_pb2.Clock.MODE_TEST, invoicing_pb2.Clock.MODE_REAL


def create_request(start: str = "2023-11-01") -> invoicing_pb2.CreateTestClockRequest:
    return invoicing_pb2.CreateTestClockRequest(request_id=new_request_id(), start_time=timestamp_out(utc(start)))


def advance_request(target: str) -> invoicing_pb2.AdvanceClockRequest:
    return invoicing_pb2.AdvanceClockRequest(request_id=new_request_id(), target_time=timestamp_out(utc(target)))


async def now(tenant: Tenant) -> invoicing_pb2.Clock:
    return (await tenant.invoicing.GetClock(invoicing_pb2.GetClockRequest())).clock


async def test_a_tenant_starts_on_real_time(acme: Tenant) -> None:
    first, second = await now(acme), await now(acme)
    assert first.mode == second.mode == REAL
    assert first.now.ToDatetime() < second.now.ToDatetime()


async def test_a_test_clock_stands_still_until_it_is_advanced(acme: Tenant) -> None:
    request = create_request()
    made = (await acme.invoicing.CreateTestClock(request)).clock
    assert made == await now(acme) == invoicing_pb2.Clock(mode=TEST, now=timestamp_out(utc("2023-11-01")))
    await acme.advance("2023-11-20")
    assert (await now(acme)).now == timestamp_out(utc("2023-11-20"))
    assert (await acme.invoicing.CreateTestClock(request)).clock == made


async def test_a_tenant_has_one_test_clock(acme: Tenant) -> None:
    request = create_request()
    await acme.invoicing.CreateTestClock(request)
    with pytest.raises(FailedPrecondition) as refused:
        await acme.invoicing.CreateTestClock(create_request())
    assert refused.value.reason == "CLOCK_EXISTS"
    request.start_time.FromDatetime(utc("2023-11-02"))
    with pytest.raises(Conflict) as reused:
        await acme.invoicing.CreateTestClock(request)
    assert reused.value.reason == "REQUEST_ID_REUSED"


async def test_a_tenant_with_subscriptions_keeps_its_clock(acme: Tenant) -> None:
    await acme.customer("globex")
    await acme.plan("basic")
    await acme.subscribe("globex-1", "globex", "basic", "2023-11-01")
    with pytest.raises(FailedPrecondition) as refused:
        await acme.invoicing.CreateTestClock(create_request())
    assert refused.value.reason == "CLOCK_IN_USE"


async def test_time_can_not_be_moved_for_real_money(world: World) -> None:
    live = world.tenant("acme", live=True)
    for call in (
        live.invoicing.CreateTestClock(create_request()),
        live.invoicing.AdvanceClock(advance_request("2030-01-01")),
    ):
        with pytest.raises(FailedPrecondition) as refused:
            await call
        assert refused.value.reason == "TENANT_LIVE"
    assert (await now(live)).mode == REAL


async def test_a_clock_does_not_go_back(acme: Tenant) -> None:
    await acme.start_clock("2023-11-01")
    await acme.advance("2023-11-01")
    with pytest.raises(FailedPrecondition) as refused:
        await acme.advance("2023-10-31T23:59:59")
    assert refused.value.reason == "CLOCK_BACKWARD"
    assert len((await acme.invoicing.ListBillingRuns(invoicing_pb2.ListBillingRunsRequest())).billing_runs) == 1


async def test_a_tenant_on_real_time_gets_a_test_clock_that_starts_from_now(acme: Tenant) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await acme.advance("2023-11-01")
    assert refused.value.reason == "CLOCK_BACKWARD"
    await acme.advance("2190-01-01")
    assert await now(acme) == invoicing_pb2.Clock(mode=TEST, now=timestamp_out(utc("2190-01-01")))


async def test_a_repeated_advance_moves_the_clock_once_and_starts_one_run(acme: Tenant) -> None:
    await acme.start_clock("2023-11-01")
    request = advance_request("2023-12-01")
    answers = await asyncio.gather(*(acme.invoicing.AdvanceClock(request) for _ in range(8)))
    assert len({answer.billing_run.id for answer in answers}) == 1
    await acme.advance("2024-01-01")
    again = await acme.invoicing.AdvanceClock(request)
    assert again.billing_run.id == answers[0].billing_run.id
    assert again.clock == await now(acme)
    assert (await now(acme)).now == timestamp_out(utc("2024-01-01"))
    request.target_time.FromDatetime(utc("2024-02-01"))
    with pytest.raises(Conflict) as reused:
        await acme.invoicing.AdvanceClock(request)
    assert reused.value.reason == "REQUEST_ID_REUSED"


async def test_an_advance_needs_a_target(acme: Tenant) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await acme.invoicing.AdvanceClock(invoicing_pb2.AdvanceClockRequest(request_id=new_request_id()))
    assert (refused.value.field, refused.value.reason) == ("target_time", "FIELD_MISSING")


async def test_runs_are_listed_newest_first_and_only_to_their_tenant(world: World, acme: Tenant) -> None:
    await acme.start_clock("2023-11-01")
    runs = [await acme.advance(f"2023-11-0{day}") for day in (2, 3, 4)]
    first = await acme.invoicing.ListBillingRuns(invoicing_pb2.ListBillingRunsRequest(page_size=2))
    request = invoicing_pb2.ListBillingRunsRequest(page_token=first.next_page_token)
    rest = await acme.invoicing.ListBillingRuns(request)
    assert [each.id for each in (*first.billing_runs, *rest.billing_runs)] == runs[::-1]
    with pytest.raises(NotFound) as refused:
        await world.tenant("initech").run(runs[0])
    assert refused.value.reason == "BILLING_RUN_NOT_FOUND"
    assert (await now(world.tenant("initech"))).mode == REAL


async def test_a_run_without_anything_due_completes(world: World, acme: Tenant) -> None:
    await acme.start_clock("2023-11-01")
    run_id = await acme.advance("2023-11-30")
    assert (await acme.run(run_id)).state == invoicing_pb2.BillingRun.STATE_RUNNING
    await world.bill()
    run = await acme.run(run_id)
    assert run.state == invoicing_pb2.BillingRun.STATE_COMPLETED
    assert run.HasField("complete_time")

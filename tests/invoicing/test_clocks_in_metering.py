"""Metering takes events as far as the tenant's test clock goes, also ahead of real time."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from libs.common.clock import system_clock
from libs.common.errors import InvalidArgument, PermissionDenied
from libs.common.rpc.client import channel
from libs.common.wire import timestamp_out
from services.invoicing import main as invoicing
from services.invoicing.worker import TELL_AGAIN_DELAY
from tests.invoicing.world import CLOSED, TOKENS, Tenant, World, new_request_id
from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceStub
from weir.metering.v1 import clocks_pb2, metering_pb2, meters_pb2
from weir.metering.v1.clocks_pb2_grpc import ClockServiceStub
from weir.metering.v1.meters_pb2_grpc import MeterServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.clocks_pb2_grpc import ClockServiceAsyncStub
    from weir.metering.v1.meters_pb2_grpc import MeterServiceAsyncStub

LEAD, JUST_OVER = timedelta(minutes=5), timedelta(minutes=5, microseconds=1)
NEXT_YEAR = system_clock().replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=400)


@pytest.fixture
async def metered(acme: Tenant) -> Tenant:
    await acme.meter("tokens", "tokens")
    return acme


@pytest.fixture
async def away(world: World) -> AsyncIterator[Tenant]:
    """An invoicing server that can't reach metering."""
    settings = replace(world.settings, listen="127.0.0.1:0", metering_target=CLOSED)
    async with (
        invoicing.running(settings, system_clock) as port,
        channel(f"127.0.0.1:{port}", world.keys.api_key("acme")) as opened,
    ):
        yield replace(world.tenant(), invoicing=InvoicingServiceStub(opened))


async def is_taken(tenant: Tenant, at: datetime) -> bool:
    event = metering_pb2.Event(
        transaction_id=new_request_id(),
        subscription_id="s",
        code="request",
        timestamp=timestamp_out(at),
        properties={"tokens": "1"},
    )
    answer = await tenant.metering.IngestEvents(metering_pb2.IngestEventsRequest(events=[event]))
    assert {each.reason for each in answer.failures} <= {"TIMESTAMP_IN_FUTURE"}
    return answer.accepted_count == 1


async def test_events_are_taken_as_far_as_the_test_clock_goes(world: World, metered: Tenant) -> None:
    other = world.tenant("initech")
    await other.meter("tokens", "tokens")
    assert not await is_taken(metered, NEXT_YEAR)
    await metered.start_clock(NEXT_YEAR.isoformat())
    assert await is_taken(metered, NEXT_YEAR + LEAD)
    assert not await is_taken(metered, NEXT_YEAR + JUST_OVER)
    for days in (10, 40):
        end = NEXT_YEAR + timedelta(days=days)
        assert not await is_taken(metered, end)
        await metered.advance(end.isoformat())
        assert await is_taken(metered, end + LEAD)
        assert not await is_taken(metered, end + JUST_OVER)
    assert not await is_taken(other, NEXT_YEAR)


async def test_events_of_the_present_are_taken_from_a_tenant_who_lives_in_the_past(metered: Tenant) -> None:
    await metered.start_clock("2023-11-01")
    assert await is_taken(metered, system_clock())
    assert not await is_taken(metered, system_clock() + timedelta(hours=1))


async def test_months_that_are_yet_to_come_are_billed_with_their_usage(world: World, metered: Tenant) -> None:
    await metered.plan("api", TOKENS, base_fee=None)
    start = NEXT_YEAR.replace(day=1)
    await metered.start_clock(start.isoformat())
    await metered.customer("globex")
    await metered.subscribe("s", "globex", "api", start.isoformat())
    for month in range(3):
        middle = start + timedelta(days=31 * month + 14)
        await metered.advance(middle.isoformat())
        await world.bill()
        await metered.events("s", 2, middle.isoformat(), tokens="1000000", prefix=f"{month}")
    await metered.advance((start + timedelta(days=95)).isoformat())
    await world.bill()
    invoices = await metered.invoices()
    assert [each.lines[0].rating.quantity for each in invoices] == ["2000000"] * 3
    assert [each.create_time for each in invoices] == [each.period.end_time for each in invoices]


async def test_metering_that_was_away_is_told_later(world: World, metered: Tenant, away: Tenant) -> None:
    await away.start_clock(NEXT_YEAR.isoformat())
    assert not await is_taken(metered, NEXT_YEAR)
    async with world.worker(metering_target=CLOSED) as biller:
        await biller.tell_metering()
    async with world.worker() as biller:
        await biller.tell_metering()
        assert not await is_taken(metered, NEXT_YEAR)
        biller._clock = lambda: system_clock() + TELL_AGAIN_DELAY
        await biller.tell_metering()
    assert await is_taken(metered, NEXT_YEAR)
    async with world.database() as conn:
        assert await conn.fetchval("SELECT tell_time FROM billing_clock WHERE tenant_id = 'acme'") is None


async def test_only_services_tell_metering_of_clocks_and_those_never_go_back(world: World, metered: Tenant) -> None:
    def clocks(*scopes: str) -> "ClockServiceAsyncStub":
        made: ClockServiceAsyncStub = ClockServiceStub(
            world._channel(world.settings.metering_target, world.keys.api_key("acme", *scopes))
        )
        return made

    request = clocks_pb2.SetTestClockRequest(now=timestamp_out(NEXT_YEAR))
    with pytest.raises(PermissionDenied):
        await clocks("events:write", "billing:write").SetTestClock(request)
    assert not await is_taken(metered, NEXT_YEAR)
    await clocks("internal").SetTestClock(request)
    earlier = clocks_pb2.SetTestClockRequest(now=timestamp_out(NEXT_YEAR - timedelta(days=9)))
    assert (await clocks("internal").SetTestClock(earlier)).now == timestamp_out(NEXT_YEAR)
    assert await is_taken(metered, NEXT_YEAR)
    with pytest.raises(InvalidArgument):
        await clocks("internal").SetTestClock(clocks_pb2.SetTestClockRequest())


async def test_a_meter_version_takes_effect_after_whatever_may_be_recorded(world: World, metered: Tenant) -> None:
    await metered.start_clock(NEXT_YEAR.isoformat())
    meters: MeterServiceAsyncStub = MeterServiceStub(
        world._channel(world.settings.metering_target, world.keys.api_key("acme"))
    )
    request = meters_pb2.CreateMeterVersionRequest(
        request_id=new_request_id(),
        code="tokens",
        definition=metering_pb2.MeterDefinition(event_code="request", value_property="tokens"),
        effective_time=timestamp_out(NEXT_YEAR),
    )
    with pytest.raises(InvalidArgument) as refused:
        await meters.CreateMeterVersion(request)
    assert refused.value.reason == "EFFECTIVE_TIME_TOO_EARLY"
    request.effective_time.FromDatetime(NEXT_YEAR + timedelta(minutes=10))
    await meters.CreateMeterVersion(request)

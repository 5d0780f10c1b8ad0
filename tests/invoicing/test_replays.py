"""Every day a sample of the invoices is computed again, and what differs is found."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from libs.common.clock import Clock, system_clock
from libs.common.rpc.client import channel
from services.invoicing import main as invoicing
from services.invoicing.domain.replay import day_of_replay
from tests.invoicing.test_billing_run import metered
from tests.invoicing.world import CLOSED, Tenant, World
from weir.invoicing.v1.replays_pb2 import ListReplaysRequest, Replay
from weir.invoicing.v1.replays_pb2_grpc import ReplayServiceStub

COUNT = 6


async def billed(world: World, acme: Tenant) -> None:
    await metered(acme)
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    for n in range(COUNT):
        await acme.subscribe(f"globex-{n}", "globex", "llm-api", "2023-11-01")
        await acme.events(f"globex-{n}", 10 * n + 1, prefix=f"e{n}")
    await acme.advance("2023-12-01")
    await world.bill()


async def replay(world: World, *, clock: Clock = system_clock, **changes: object) -> None:
    """All that is to be replayed now."""
    settings = invoicing.Settings(
        **{name: getattr(world.settings, name) for name in world.settings.__dataclass_fields__} | changes
    )
    async with invoicing.billing(settings, clock) as biller:
        while await biller.replay():
            pass


async def replays(world: World, tenant_id: str = "acme") -> Sequence[Replay]:
    async with channel(f"127.0.0.1:{world.invoicing_port}", world.keys.api_key(tenant_id)) as opened:
        return (await ReplayServiceStub(opened).ListReplays(ListReplaysRequest())).replays


async def spoil(world: World, number: str, line: int) -> None:
    """What only a defect of the software, or somebody with the database's password, can do."""
    async with world.database() as conn, conn.transaction():
        await conn.execute("ALTER TABLE invoice_line DISABLE TRIGGER line_is_immutable")
        changed = await conn.execute(
            "UPDATE invoice_line l SET amount_minor = amount_minor + 1 FROM invoice i"
            " WHERE i.number = $1 AND i.id = l.invoice_id AND l.position = $2",
            number,
            line - 1,
        )
        assert changed == "UPDATE 1"
        await conn.execute("ALTER TABLE invoice_line ENABLE TRIGGER line_is_immutable")


async def test_a_cent_that_is_wrong_is_found_once_a_day(world: World, acme: Tenant) -> None:
    await billed(world, acme)
    await spoil(world, "INV-202312-000003", 2)
    await asyncio.gather(replay(world), replay(world))
    for _ in range(2):  # the second time nothing is left of the day
        [day] = await replays(world)
        assert (day.sample_count, day.waiting_count, day.reproduced_count) == (COUNT, 0, COUNT - 1)
        [found] = day.differences
        assert (found.invoice_number, list(found.line_numbers)) == ("INV-202312-000003", [2])
        assert found.recomputed_total == found.total  # which the invoice still has
        await replay(world)
    assert await replays(world, "other") == []

    await replay(world, clock=lambda: datetime.now(UTC) + timedelta(days=1))
    assert [each.reproduced_count for each in await replays(world)] == [COUNT - 1, COUNT - 1]


async def test_a_sample_is_as_large_as_the_setting_says(world: World, acme: Tenant) -> None:
    await billed(world, acme)
    await replay(world, replay_sample=0)
    assert await replays(world) == []
    await replay(world, replay_sample=2)
    [day] = await replays(world)
    assert (day.waiting_count, list(day.differences)) == (0, [])
    assert 1 <= day.reproduced_count == day.sample_count <= 2


async def test_a_peer_that_is_away_delays_replays_and_is_no_difference(world: World, acme: Tenant) -> None:
    await billed(world, acme)
    await replay(world, metering_target=CLOSED)
    [day] = await replays(world)
    assert (day.waiting_count, list(day.differences)) == (COUNT, [])
    await replay(world, clock=lambda: datetime.now(UTC) + timedelta(minutes=2))
    [day] = await replays(world)
    assert (day.waiting_count, day.reproduced_count) == (0, COUNT)


@pytest.mark.parametrize(
    ("now", "day"),
    [("2026-11-21T02:59:59", date(2026, 11, 20)), ("2026-11-21T03:00", date(2026, 11, 21))],
)
def test_the_day_begins_at_night(now: str, day: date) -> None:
    assert day_of_replay(datetime.fromisoformat(now).replace(tzinfo=UTC)) == day

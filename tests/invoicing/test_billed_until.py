"""After a billing run metering knows until when usage is billed, also when it was away."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from libs.common.clock import system_clock
from libs.common.rpc.client import channel
from services.invoicing.worker import TELL_AGAIN_DELAY
from tests.invoicing.world import CLOSED, REQUESTS, Tenant, World, utc
from weir.metering.v1.archive_pb2 import ListArchivedMonthsRequest
from weir.metering.v1.archive_pb2_grpc import ArchiveServiceStub

if TYPE_CHECKING:
    from services.invoicing.worker import Biller


async def billed_until(world: World) -> datetime | None:
    async with channel(world.settings.metering_target, world.keys.api_key("acme")) as opened:
        found = await ArchiveServiceStub(opened).ListArchivedMonths(ListArchivedMonthsRequest())
    return found.billed_end_time.ToDatetime(UTC) if found.HasField("billed_end_time") else None


async def prepared(acme: Tenant) -> None:
    """One subscription that began in November, and one in December."""
    await acme.meter("requests")
    await acme.plan("api", REQUESTS)
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    await acme.subscribe("first", "globex", "api", "2023-11-01")
    await acme.subscribe("second", "globex", "api", "2023-12-10")


async def bill_all(biller: "Biller") -> None:
    while await biller.bill():
        pass


async def test_metering_is_told_the_earliest_period_that_is_still_open(world: World, acme: Tenant) -> None:
    await prepared(acme)
    async with world.worker() as biller:
        await biller.tell_metering()
        assert await billed_until(world) is None
        for month, expected in ("2023-12-01", "2023-12-01"), ("2024-02-01", "2024-02-01"):
            await acme.advance(month)
            await bill_all(biller)
            await biller.tell_metering()
            assert await billed_until(world) == utc(expected)


async def test_metering_that_was_away_is_told_later(world: World, acme: Tenant) -> None:
    await prepared(acme)
    await acme.advance("2023-12-01")
    async with world.worker() as biller:
        await bill_all(biller)
    async with world.worker(metering_target=CLOSED) as biller:
        await biller.tell_metering()
    async with world.worker() as biller:
        await biller.tell_metering()
        assert await billed_until(world) is None
        biller._clock = lambda: system_clock() + TELL_AGAIN_DELAY
        await biller.tell_metering()
        assert await billed_until(world) == utc("2023-12-01")

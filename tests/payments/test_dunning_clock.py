"""Time that is let pass for dunning that is tried out."""

import pytest

from libs.common.credentials import ALL_SCOPES
from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument
from libs.common.rpc.client import channel
from tests.payments.shop import Shop, new_request_id
from tests.payments.test_dunning import failed, set_policy, story
from weir.payments.v1.dunning_clock_pb2 import PassDunningTimeRequest
from weir.payments.v1.dunning_clock_pb2_grpc import DunningClockServiceStub


async def pass_hours(shop: Shop, hours: int, request_id: str = "") -> int:
    stub = DunningClockServiceStub(shop.deployment.channel(shop.tenant_id))
    request = PassDunningTimeRequest(request_id=request_id or new_request_id(), hours=hours)
    return (await stub.PassDunningTime(request)).campaign_count


async def test_a_campaign_comes_to_its_end_without_waiting(shop: Shop) -> None:
    await set_policy(shop)
    await failed(shop)
    await shop.sweeps.dun()
    while await pass_hours(shop, 24):
        for sweep in (shop.sweeps.dun, shop.sweeps.charge):
            await sweep()
    expected = ["EXHAUSTED", "remind done", "retry done", "remind done", "retry done", "final done"]
    assert await story(shop) == expected


async def test_time_passes_once_for_a_request_and_for_nobody_else(shop: Shop) -> None:
    await set_policy(shop)
    await failed(shop)
    await shop.sweeps.dun()
    other, request_id = Shop(shop.deployment, "other"), new_request_id()
    assert await pass_hours(other, 24 * 7) == 0
    for _ in range(2):
        assert await pass_hours(shop, 3, request_id) == 1
    with pytest.raises(Conflict):
        await pass_hours(shop, 4, request_id)
    rows = await shop.deployment.rows("SELECT now() - start_time AS passed FROM dunning_campaign")
    assert 3 <= rows[0]["passed"].total_seconds() / 3600 < 4


async def test_time_does_not_pass_for_live_keys_or_backwards(shop: Shop) -> None:
    for hours in (0, -1, 100_000):
        with pytest.raises(InvalidArgument) as refused:
            await pass_hours(shop, hours)
        assert (refused.value.reason, refused.value.field) == ("HOURS_INVALID", "hours")
    key = shop.deployment.keys.issuer.api_key("acme", ALL_SCOPES, live=True)
    request = PassDunningTimeRequest(request_id=new_request_id(), hours=1)
    async with channel(f"127.0.0.1:{shop.deployment.ports.rpc}", key) as opened:
        with pytest.raises(FailedPrecondition) as not_allowed:
            await DunningClockServiceStub(opened).PassDunningTime(request)
    assert not_allowed.value.reason == "KEY_IS_LIVE"

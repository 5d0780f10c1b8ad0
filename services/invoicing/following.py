"""Sweeps that follow metering's log of what is recorded, late or not.

Where a subscription stands in the log is on its row. Whoever moves that, by compare-and-set, writes what comes of the
usage in between in the same transaction: two workers, a kill and a repetition do nothing twice, and leave nothing out.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import grpc
import structlog

from libs.common.errors import BillingError
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.domain.period import LATEST
from services.invoicing.domain.question import LateQuestion
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recorded:
    """Usage after the watermark `since`, up to the `watermark`; the first of it is of `first_time`."""

    since: int
    watermark: int
    first_time: datetime


Handle: TypeAlias = Callable[[str, Subscription, Recorded], Awaitable[bool]]
"""What a tenant's subscription does about what was recorded. True if there was something to do."""


async def follow(
    pool: Pool, peers: Peers, followed: Mapping[str, Sequence[tuple[str, int]]], handle: Handle, sweep: str
) -> bool:
    """Handle what was recorded of each subscription since its watermark, by tenant. What fails is tried again by the
    next `sweep`, and holds up no other.
    """
    done = False
    for tenant_id, subscriptions in followed.items():
        try:
            done |= await _follow_tenant(pool, peers, tenant_id, dict(subscriptions), handle, sweep)
        except (BillingError, grpc.aio.AioRpcError) as error:
            log.warning("log not followed", sweep=sweep, tenant=tenant_id, cause=str(error))
    return done


async def _follow_tenant(
    pool: Pool, peers: Peers, tenant_id: str, since: Mapping[str, int], handle: Handle, sweep: str
) -> bool:
    questions = [LateQuestion(each, watermark, LATEST) for each, watermark in since.items()]
    changed, watermark = await peers.metering.late_usage(tenant_id, questions, 0)
    if not changed:
        return False
    async with pool.acquire() as conn:
        found = await store.subscriptions.by_ids(conn, tenant_id, changed)
    done = False
    for each in found.values():
        try:
            done |= await handle(tenant_id, each, Recorded(since[each.id], watermark, changed[each.id]))
        except (BillingError, grpc.aio.AioRpcError) as error:
            log.warning("log not followed", sweep=sweep, tenant=tenant_id, subscription=each.id, cause=str(error))
    return done

"""What metering is told: until when usage is billed, and where test clocks are going. The row is the job."""

from datetime import datetime

import grpc
import structlog

from libs.common.errors import BillingError
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.peers import Peers

log = structlog.get_logger()


async def tell_clock(pool: Pool, peers: Peers, tenant_id: str, furthest: datetime) -> None:
    """That the tenant's test clock goes to `furthest`. If metering does not take it now, the worker tells it."""
    try:
        await peers.metering.set_test_clock(tenant_id, furthest)
    except (BillingError, grpc.aio.AioRpcError) as error:
        log.warning("metering not told of a clock", tenant=tenant_id, cause=str(error))
        return
    async with pool.acquire() as conn:
        await store.clocks.set_told(conn, tenant_id, furthest)


async def tell_clocks(pool: Pool, peers: Peers, now: datetime, leased_until: datetime) -> None:
    async with pool.acquire() as conn:
        due = await store.clocks.claim_told(conn, now, leased_until)
    for tenant_id, furthest in due.items():
        await tell_clock(pool, peers, tenant_id, furthest)


async def tell_billed(pool: Pool, peers: Peers, now: datetime, leased_until: datetime) -> None:
    """After a run is completed, until when usage is billed: metering archives nothing that is not."""
    async with pool.acquire() as conn:
        due = await store.runs.claim_told(conn, now, leased_until)
    told = []
    for tenant_id, billed_end in due.items():
        try:
            await peers.metering.set_billed_until(tenant_id, billed_end)
            told.append(tenant_id)
        except (BillingError, grpc.aio.AioRpcError) as error:
            log.warning("metering not told what is billed", tenant=tenant_id, cause=str(error))
    async with pool.acquire() as conn:
        await store.runs.set_told(conn, told, leased_until)

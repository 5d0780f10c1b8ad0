"""The daily replays: a sample of each tenant's invoices is computed again, and what differs is recorded (law 5)."""

from datetime import date, datetime, timedelta

import grpc
import structlog

from libs.common.clock import Clock
from libs.common.errors import BillingError, ResourceExhausted, Unavailable
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.domain.replay import Outcome, Replayed, day_of_replay
from services.invoicing.explaining import replay
from services.invoicing.peers import Peers

log = structlog.get_logger()

CHUNK = 10
PEER_AWAY_DELAY = timedelta(minutes=1)


async def begin_replays(pool: Pool, now: datetime, sample_size: int) -> None:
    """Draw the day's samples that are not drawn yet."""
    day = day_of_replay(now)
    async with pool.acquire() as conn:
        tenants = await store.replays.tenants_to_replay(conn, day, now)
    for tenant_id in tenants:
        async with pool.acquire() as conn, conn.transaction():
            await store.replays.begin(conn, tenant_id, day, sample_size, now)


async def replay_some(pool: Pool, peers: Peers, clock: Clock, lease: timedelta) -> bool:
    """Replay a few invoices of the samples. True if there may be more."""
    now = clock()
    leased_until = now + lease
    async with pool.acquire() as conn:
        due = await store.replays.claim(conn, now, leased_until, CHUNK)
    for tenant_id, day, invoice_id in due:
        try:
            result = await _replayed(pool, peers, tenant_id, day, invoice_id)
        except (Unavailable, ResourceExhausted) as error:
            log.warning("replays wait for a peer", tenant=tenant_id, cause=str(error))
            async with pool.acquire() as conn:
                await store.replays.release(conn, tenant_id, day, leased_until, clock() + PEER_AWAY_DELAY)
            return False
        if result.outcome is not Outcome.REPRODUCED:
            log.error("an invoice is not reproduced", tenant=tenant_id, invoice=invoice_id, result=result)
        async with pool.acquire() as conn:
            await store.replays.record(conn, result)
    return bool(due)


async def _replayed(pool: Pool, peers: Peers, tenant_id: str, day: date, invoice_id: str) -> Replayed:
    async with pool.acquire() as conn:
        invoice = await store.invoices.get(conn, tenant_id, invoice_id)
        assert invoice is not None, "invoices are never deleted"
        ids = {line.source.subscription_id for line in invoice.bill.lines if line.source}
        subscriptions = await store.subscriptions.by_ids(conn, tenant_id, ids)
    try:
        again = await replay(peers, tenant_id, invoice, subscriptions)
    except (Unavailable, ResourceExhausted):
        raise
    except BillingError as error:
        return _failed(tenant_id, day, invoice_id, error.reason, error.message)
    except grpc.aio.AioRpcError as error:
        reason = f"PEER_{error.code().name}"
        return _failed(tenant_id, day, invoice_id, reason, error.details() or "a peer failed")
    return Replayed(
        tenant_id,
        day,
        invoice_id,
        Outcome.REPRODUCED if again.bill == invoice.bill else Outcome.DIFFERENT,
        again.bill.total,
        tuple(position + 1 for position in again.differences),
    )


def _failed(tenant_id: str, day: date, invoice_id: str, reason: str, message: str) -> Replayed:
    return Replayed(tenant_id, day, invoice_id, Outcome.FAILED, failure_reason=reason, failure_message=message)

"""Changes of plan: pricing is asked for the plan in effect with no transaction open, and again if it is another one by
the time of the transaction.
"""

from datetime import datetime
from uuid import UUID

from libs.common.clock import Clock
from libs.common.idempotency import require_same
from libs.common.postgres import Conn, Pool
from services.invoicing import store
from services.invoicing.domain.change import PlanChange, changed
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.subscription import Subscription
from services.invoicing.giving_back import give_back_unused
from services.invoicing.peers import Peers
from services.invoicing.subscribing import found_subscription


async def change_plan(
    pool: Pool,
    peers: Peers,
    clock: Clock,
    tenant_id: str,
    subscription_id: str,
    change: PlanChange,
    request_id: UUID,
    request_hash: bytes,
) -> Subscription:
    """Once for a request_id. Raises what `changed` does."""
    while True:
        async with pool.acquire() as conn:
            read, now = await as_of_now(conn, tenant_id, subscription_id, clock)
        present = await present_plan(peers, tenant_id, read, now)
        async with pool.acquire() as conn, conn.transaction():
            await store.clocks.hold(conn, tenant_id)
            found = await found_subscription(conn, tenant_id, subscription_id, store.subscriptions.lock)
            now = (await store.clocks.get(conn, tenant_id)).now(clock())
            if found.phase_at(now) != read.phase_at(now):
                continue
            before = await store.subscriptions.record_change(
                conn, tenant_id, subscription_id, request_id, request_hash, clock()
            )
            if before is not None:
                require_same(before, request_hash, str(request_id))
                return found
            made, _ = changed(found, change, present, now)
            await store.subscriptions.save(conn, tenant_id, made)
            await give_back_unused(conn, tenant_id, found, made, clock())
            return made


async def as_of_now(conn: Conn, tenant_id: str, subscription_id: str, clock: Clock) -> tuple[Subscription, datetime]:
    found = await found_subscription(conn, tenant_id, subscription_id)
    return found, (await store.clocks.get(conn, tenant_id)).now(clock())


async def present_plan(peers: Peers, tenant_id: str, found: Subscription, now: datetime) -> PlanVersion:
    """The plan version in effect at `now`."""
    phase = found.phase_at(now)
    return await peers.pricing.plan_version(tenant_id, phase.plan_code, phase.plan_version)

"""The walk of a test clock to where it was advanced, from one instant at which something falls due to the next."""

from libs.common.postgres import Conn
from services.invoicing import store
from services.invoicing.domain.clock import BillingClock


async def step(conn: Conn, tenant_id: str) -> bool:
    """Take the clock one step on, if it is going somewhere and all that is due where it stands is done.

    Who makes something due, or bills it, holds the clock meanwhile. It is locked, and all is looked at again, only once
    nothing seems to be left: so nobody who bills waits for this.
    """
    if not await _may_go(conn, tenant_id, await store.clocks.get(conn, tenant_id)):
        return False
    clock = await store.clocks.lock(conn, tenant_id)
    if not await _may_go(conn, tenant_id, clock):
        return False
    assert clock.test_now is not None
    next_due = await store.dues.following(conn, tenant_id, clock.test_now)
    await store.clocks.move(conn, tenant_id, clock.stepped(next_due))
    return True


async def _may_go(conn: Conn, tenant_id: str, clock: BillingClock) -> bool:
    if clock.test_now is None or clock.target is None:
        return False
    return await store.dues.is_drained(conn, tenant_id, clock.test_now)

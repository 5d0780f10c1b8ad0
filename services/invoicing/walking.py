"""The walk of a test clock to where it was advanced, from one instant at which something falls due to the next."""

from libs.common.postgres import Conn
from services.invoicing import store


async def step(conn: Conn, tenant_id: str) -> bool:
    """Take the clock one step on, if it is going somewhere and all that is due where it stands is done.

    The clock is locked first: who makes something due, or bills it, holds it meanwhile.
    """
    clock = await store.clocks.lock(conn, tenant_id)
    if clock.test_now is None or clock.target is None:
        return False
    if not await store.dues.is_drained(conn, tenant_id, clock.test_now):
        return False
    next_due = await store.dues.following(conn, tenant_id, clock.test_now)
    await store.clocks.move(conn, tenant_id, clock.stepped(next_due))
    return True

"""Subscriptions that wait for their first payment: paid, they are active; not paid in time, they are canceled."""

from datetime import datetime, timedelta

import grpc
import structlog

from libs.common.clock import Clock
from libs.common.errors import BillingError
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.crediting import Till
from services.invoicing.domain.activation import Overdue
from services.invoicing.domain.invoice import State
from services.invoicing.domain.lifecycle import canceled
from services.invoicing.voiding import void_invoice

log = structlog.get_logger()

CHUNK = 50
RETRY_DELAY = timedelta(seconds=2)


async def decide(pool: Pool, till: Till, clock: Clock) -> bool:
    """Activate what is paid, and cancel a chunk of what is overdue. True if there may be more.

    Each is leased while payments is asked to give its invoice back. Where a payment is under way, it is waited for.
    """
    now = clock()
    async with pool.acquire() as conn:
        for subscription_id in await store.activations.activate_paid(conn):
            log.info("subscription active", subscription=subscription_id)
        overdue = await store.activations.claim_overdue(conn, now, now + RETRY_DELAY, CHUNK)
    decided = [await _cancel(pool, till, each, now) for each in overdue]
    return any(decided)


async def _cancel(pool: Pool, till: Till, overdue: Overdue, now: datetime) -> bool:
    async def cancel() -> None:
        """The invoice's lock comes first: a payment that is recorded meanwhile is waited for, and refuses the void."""
        tenant_id, invoice_id = overdue.tenant_id, overdue.invoice_id
        async with pool.acquire() as conn, conn.transaction():
            await store.clocks.hold(conn, tenant_id)
            invoice = await store.invoices.lock(conn, tenant_id, invoice_id) if invoice_id else None
            found = await store.subscriptions.lock(conn, tenant_id, overdue.subscription_id)
            if found is None or not found.is_incomplete or found.is_opening != (invoice is None):
                return
            if invoice is not None and invoice.state is not State.VOIDED:
                await void_invoice(conn, tenant_id, invoice.id, now)
            changed = canceled(found, overdue.reason)
            await store.activations.save(conn, tenant_id, changed)
            await store.subscriptions.save(conn, tenant_id, changed)

    try:
        await till.taken_back(overdue.tenant_id, overdue.invoice_id or "", cancel)
    except (BillingError, grpc.aio.AioRpcError) as error:
        log.warning(
            "subscription not canceled",
            tenant=overdue.tenant_id,
            subscription=overdue.subscription_id,
            cause=str(error),
        )
        return False
    return True

"""Offsets of unused days against invoices that payments has: it gives them back first."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import grpc
import structlog

from libs.common.clock import Clock
from libs.common.errors import BillingError
from libs.common.postgres import Pool
from services.invoicing import crediting, store
from services.invoicing.crediting import Till
from services.invoicing.domain.credit_note import Kind
from services.invoicing.domain.drafted_note import NothingToCredit
from services.invoicing.domain.invoice import State
from services.invoicing.store.waiting_offsets import WaitingOffset

log = structlog.get_logger()

CHUNK = 50
RETRY_DELAY = timedelta(seconds=2)


async def offset_waiting(pool: Pool, till: Till, clock: Clock) -> bool:
    """Make a chunk of those that wait. True if there may be more."""
    now = clock()
    async with pool.acquire() as conn:
        waiting = await store.waiting_offsets.claim(conn, now, now + RETRY_DELAY, CHUNK)
    return any([await _made(pool, till, clock, each) for each in waiting])


async def _made(pool: Pool, till: Till, clock: Clock, waiting: WaitingOffset) -> bool:
    async def make() -> None:
        """What has been paid meanwhile is credited instead; nothing is given back of a void invoice."""
        tenant_id, asked = waiting.tenant_id, waiting.asked
        async with pool.acquire() as conn, conn.transaction():
            invoice = await store.invoices.lock(conn, tenant_id, asked.invoice_id)
            if not await store.waiting_offsets.delete(conn, tenant_id, waiting.request_id):
                return
            if invoice is None or invoice.state is State.VOIDED:
                return
            with suppress(NothingToCredit):
                note = await crediting.estimated(conn, tenant_id, replace(asked, kind=Kind.CREDIT))
                kind = Kind.OFFSET if note.total.minor_units <= invoice.unpaid.minor_units else Kind.CREDIT
                request_id = waiting.request_id
                await crediting.created(
                    conn, tenant_id, replace(asked, kind=kind), request_id, request_id.bytes, clock()
                )

    try:
        await till.taken_back(waiting.tenant_id, waiting.asked.invoice_id, make)
    except (BillingError, grpc.aio.AioRpcError) as error:
        log.warning(
            "offset waits for payments",
            tenant=waiting.tenant_id,
            invoice=waiting.asked.invoice_id,
            cause=str(error),
        )
        return False
    return True

"""The customer's prepaid credit, which pays what credit notes have left of an invoice.

What is asked is recorded first, on a draft that is *sealed*: its totals are final and nothing is added to it. Then,
with no transaction open, the credit is asked for under a key derived from the invoice; then the answer is recorded, and
the invoice is numbered and frozen. Whoever dies in between leaves a sealed draft, and the next one asks again by the
same key. What a voided invoice has drawn is given back the same way.
"""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import grpc
import structlog

from libs.common.errors import BillingError
from libs.common.money import Money
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.domain.prepaid import Draw

log = structlog.get_logger()

GIVE_BACK_CHUNK = 50
ASKED_AT_ONCE = 20
_KEYS = uuid.UUID("8c8f6a4e-2d0a-4a44-b3f4-6f2c4a6a3b10")


class PrepaidCredit(Protocol):
    """Where prepaid credit is kept. Raises the peer's errors, and Unavailable where it is away."""

    async def draw(self, asked: Draw, key: uuid.UUID) -> Money:
        """Take up to `asked.amount` of the customer's credit in that currency, and say how much. Asked again by a key,
        it takes nothing more and gives the same answer.
        """
        ...

    async def give_back(self, drawn: Draw, key: uuid.UUID) -> None:
        """Return what was drawn by the key. Again, it does nothing."""
        ...


async def draw_all(prepaid: PrepaidCredit, asked: Sequence[Draw]) -> dict[str, Money]:
    """Ask for each, with no transaction open: what was drawn, by invoice. One that fails is left out and holds up no
    other.
    """
    turns = asyncio.Semaphore(ASKED_AT_ONCE)

    async def ask(each: Draw) -> Money | None:
        async with turns:
            return await _draw(prepaid, each)

    answers = await asyncio.gather(*map(ask, asked))
    return {each.invoice_id: drawn for each, drawn in zip(asked, answers, strict=True) if drawn is not None}


async def _draw(prepaid: PrepaidCredit, asked: Draw) -> Money | None:
    try:
        amount = await prepaid.draw(asked, key_of(asked))
    except (BillingError, grpc.aio.AioRpcError) as error:
        log.warning("invoice waits for prepaid credit", invoice=asked.invoice_id, cause=str(error))
        return None
    if amount.currency != asked.amount.currency or not 0 <= amount.minor_units <= asked.amount.minor_units:
        log.error("prepaid credit drew what was not asked", invoice=asked.invoice_id, drawn=str(amount))
        return None
    return amount


async def give_back(pool: Pool, prepaid: PrepaidCredit, now: datetime, lease: timedelta) -> bool:
    """Return what voided invoices have drawn, a little of it. True if there may be more."""
    async with pool.acquire() as conn:
        drawn = await store.prepaid.claim_returns(conn, now, now + lease, GIVE_BACK_CHUNK)
    for each in drawn:
        try:
            await prepaid.give_back(each, key_of(each))
        except (BillingError, grpc.aio.AioRpcError) as error:
            log.warning("prepaid credit is not given back yet", invoice=each.invoice_id, cause=str(error))
        else:
            async with pool.acquire() as conn:
                await store.prepaid.returned(conn, each)
    return len(drawn) == GIVE_BACK_CHUNK


def key_of(draw: Draw) -> uuid.UUID:
    """An invoice draws once (law 7)."""
    return uuid.uuid5(_KEYS, f"{draw.tenant_id}/{draw.invoice_id}")

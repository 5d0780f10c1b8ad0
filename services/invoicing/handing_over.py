"""Payments is asked to collect what is finalized: a chunk of a tenant's invoices in one call."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TypeAlias

import grpc
import structlog

from libs.common.clock import Clock
from libs.common.errors import BillingError, ResourceExhausted, Unavailable
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.domain.invoice import HandOver
from services.invoicing.peers import Payments

log = structlog.get_logger()

CHUNK = 500
"""At most MAX_PAYMENTS of payments."""

PAYMENTS_AWAY_DELAY = timedelta(seconds=2)
REFUSED_DELAY = timedelta(minutes=1)

_Outcome: TypeAlias = Mapping[timedelta | None, Sequence[HandOver]]
"""Invoices by how long to wait before payments is asked again; None: it has them."""


async def hand_over(pool: Pool, payments: Payments, clock: Clock, lease: timedelta) -> bool:
    """A chunk of what payments does not have. True if it has taken any, so that there may be more."""
    now = clock()
    async with pool.acquire() as conn:
        due = await store.hand_overs.claim(conn, now, now + lease, CHUNK)
    by_tenant: dict[str, list[HandOver]] = defaultdict(list)
    for each in due:
        by_tenant[each.tenant_id].append(each)
    outcome = _joined(await asyncio.gather(*(_ask(payments, *of) for of in by_tenant.items())))
    now = clock()
    async with pool.acquire() as conn:
        for delay, invoices in outcome.items():
            if delay is None:
                await store.hand_overs.end(conn, invoices)
            else:
                await store.hand_overs.postpone(conn, invoices, now + delay)
    return None in outcome


async def _ask(payments: Payments, tenant_id: str, invoices: Sequence[HandOver]) -> _Outcome:
    """Where payments fails over some invoices, the others are found by halving."""
    try:
        refusals = await payments.create_payments(tenant_id, invoices)
    except (Unavailable, ResourceExhausted) as error:
        log.warning("invoices wait for payments", tenant=tenant_id, invoices=len(invoices), cause=str(error))
        return {PAYMENTS_AWAY_DELAY: invoices}
    except (BillingError, grpc.aio.AioRpcError) as error:
        if len(invoices) > 1:
            half = len(invoices) // 2
            return _joined([await _ask(payments, tenant_id, part) for part in (invoices[:half], invoices[half:])])
        refusals = [str(error)]
    for invoice, refusal in zip(invoices, refusals, strict=True):
        if refusal:
            log.error("payments refused an invoice", tenant=tenant_id, invoice=invoice.invoice_id, cause=refusal)
    return _joined(
        {REFUSED_DELAY if refusal else None: [invoice]} for invoice, refusal in zip(invoices, refusals, strict=True)
    )


def _joined(outcomes: Iterable[_Outcome]) -> _Outcome:
    found: dict[timedelta | None, list[HandOver]] = defaultdict(list)
    for outcome in outcomes:
        for delay, invoices in outcome.items():
            found[delay] += invoices
    return found

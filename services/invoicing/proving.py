"""The daily proof that documents and the ledger agree (law 10)."""

from datetime import datetime, timedelta

import structlog

from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.domain.replay import day_of_replay

log = structlog.get_logger()

CHUNK = 5_000
"""Invoices that are compared at a time."""

MAX_DIFFERENCES = 1_000
"""Of a chunk. Where there are more, they are of one kind."""


async def begin_proofs(pool: Pool, now: datetime) -> None:
    """Those of the day, at night."""
    day = day_of_replay(now)
    async with pool.acquire() as conn:
        for tenant_id in await store.ledger_proofs.tenants_to_prove(conn, day):
            await store.ledger_proofs.begin(conn, tenant_id, day, now)


async def prove_some(pool: Pool, now: datetime, lease: timedelta) -> bool:
    """Compare a chunk of invoices. True if there may be more."""
    async with pool.acquire() as conn:
        proof = await store.ledger_proofs.claim(conn, now, now + lease)
        if proof is None:
            return False
        until = await store.ledger_proofs.last_of(conn, proof.tenant_id, proof.checked_until, CHUNK)
        found = await store.ledger_proofs.differences(
            conn, proof.tenant_id, proof.checked_until, until, MAX_DIFFERENCES
        )
    for each in found:
        log.error("documents and the ledger differ", tenant=proof.tenant_id, difference=each)
    async with pool.acquire() as conn, conn.transaction():
        await store.ledger_proofs.record(conn, proof, until, found, now)
    return True

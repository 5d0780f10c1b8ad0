"""From complete drafts to invoices: what they come to, what pays for them, and their numbers."""

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.crediting import use_credits
from services.invoicing.domain.bill import totalled
from services.invoicing.domain.invoice import number
from services.invoicing.peers import Peers

log = structlog.get_logger()

CHUNK = 500


async def finalize(pool: Pool, peers: Peers, clock: Clock, tenant_id: str) -> bool:
    """Total, number and freeze a chunk of drafts. True if there may be more.

    Pricing is asked for the taxes with no transaction open; a draft that has got another one meanwhile is left for the
    next time.
    """
    now = clock()
    async with pool.acquire() as conn:
        tax_codes = await store.drafts.complete(conn, tenant_id, CHUNK)
    if not tax_codes:
        return False
    taxes = await peers.taxes(tenant_id, sorted({code for codes in tax_codes.values() for code in codes}))
    async with pool.acquire() as conn, conn.transaction():
        billing_clock = await store.clocks.hold(conn, tenant_id)
        drafts = await store.drafts.take(conn, tenant_id, list(tax_codes))
        fees = await store.lines.fees(conn, tenant_id, {draft.id: draft.currency for draft in drafts})
        drafts = [draft for draft in drafts if all(taxes.keys() >= set(fee.tax_codes) for fee in fees[draft.id])]
        if not drafts:
            return False
        totals = {draft.id: totalled(fees[draft.id], taxes, draft.currency) for draft in drafts}
        await store.drafts.total(conn, tenant_id, totals)
        await use_credits(conn, tenant_id, [draft.id for draft in drafts])
        sequences = await store.drafts.take_sequences(conn, tenant_id, len(drafts))
        numbered = [
            (draft.id, sequence, number(draft.issue_date, sequence))
            for draft, sequence in zip(drafts, sequences, strict=True)
        ]
        await store.drafts.finalize(conn, tenant_id, numbered, billing_clock.now(now), now)
        await store.runs.count_finalized(conn, tenant_id, [draft.run_id for draft in drafts], billing_clock.test_now)
    log.info("finalized", tenant=tenant_id, first=numbered[0][2], last=numbered[-1][2])
    return True

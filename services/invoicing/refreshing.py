"""Drafts are billed again with the usage that metering knows by now."""

from collections.abc import AsyncIterator, Mapping, Sequence

import grpc
import structlog

from libs.common.errors import BillingError, ResourceExhausted, Unavailable
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.domain.commitment import commitment_line
from services.invoicing.domain.draft import Draft, refreshed, require_refreshable
from services.invoicing.domain.line import Line
from services.invoicing.domain.question import usage_question
from services.invoicing.domain.settlement import Settlement, lines_of
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers
from services.invoicing.slices import line_key

log = structlog.get_logger()


async def refresh_each(pool: Pool, peers: Peers, tenant_id: str, ids: Sequence[str]) -> bool:
    """Before they are finalized: one that can't be billed does not keep the others from it. True if any was refreshed.

    Raises Unavailable and ResourceExhausted.
    """
    try:
        return await refresh(pool, peers, tenant_id, ids, is_last=True)
    except (Unavailable, ResourceExhausted):
        raise
    except (BillingError, grpc.aio.AioRpcError) as error:
        log.warning("drafts not refreshed", tenant=tenant_id, drafts=ids[:3], cause=str(error))
    if len(ids) == 1:
        return False
    middle = len(ids) // 2
    parts = [await refresh_each(pool, peers, tenant_id, half) for half in (ids[:middle], ids[middle:])]
    return any(parts)


async def refresh(pool: Pool, peers: Peers, tenant_id: str, ids: Sequence[str], *, is_last: bool) -> bool:
    """Replace the lines of drafts; one that changes meanwhile stays as it is. `is_last` before they are finalized. True
    if any was refreshed. Raises what keeps one from being billed.
    """
    async with pool.acquire() as conn:
        drafts = await store.refreshes.read(conn, tenant_id, ids)
        require_refreshable(drafts)
        sources = {each.source.subscription_id for draft in drafts for each in draft.settlements}
        subscriptions = await store.subscriptions.by_ids(conn, tenant_id, sources)
    fresh, watermark = await _billed_again(peers, tenant_id, drafts, subscriptions)
    again = []
    for draft in drafts:
        lines = refreshed(draft, fresh, line_key)
        missing = [each async for each in _missing(peers, tenant_id, draft, lines, subscriptions)]
        again.append((draft, (*lines, *missing)))
    async with pool.acquire() as conn, conn.transaction():
        saved = [
            await store.refreshes.save(conn, tenant_id, draft, lines, watermark, is_last=is_last)
            for draft, lines in again
        ]
    log.info("refreshed", tenant=tenant_id, drafts=sum(saved))
    return any(saved)


async def _missing(
    peers: Peers, tenant_id: str, draft: Draft, lines: Sequence[Line], subscriptions: Mapping[str, Subscription]
) -> AsyncIterator[Line]:
    """To the commitments of the periods that a draft with these lines settles."""
    for each in draft.settlements:
        plan = await peers.plan_version(tenant_id, each.source.plan_code, each.source.plan_version)
        if each.usage is None or plan.commitment is None:
            continue
        owner = subscriptions[each.source.subscription_id]
        phase = owner.numbered(each.source.phase_number)
        if line := commitment_line(owner, phase, each.usage, plan, each.source, lines):
            yield line


async def _billed_again(
    peers: Peers, tenant_id: str, drafts: Sequence[Draft], subscriptions: Mapping[str, Subscription]
) -> tuple[dict[Settlement, tuple[Line, ...]], int]:
    """The lines of each settlement, with the usage recorded up to a watermark."""
    settlements = [each for draft in drafts for each in draft.settlements]
    plans = [
        await peers.plan_version(tenant_id, each.source.plan_code, each.source.plan_version) for each in settlements
    ]
    owners = [subscriptions[each.source.subscription_id] for each in settlements]
    phases = [owner.numbered(each.source.phase_number) for each, owner in zip(settlements, owners, strict=True)]
    billed = [plan if each.usage else None for each, plan in zip(settlements, plans, strict=True)]
    used, watermark = await peers.usage(
        tenant_id,
        [
            usage_question(owner, phase, plan, each.usage or each.period)
            for each, owner, phase, plan in zip(settlements, owners, phases, billed, strict=True)
        ],
    )
    days = [
        owner.days_in(phase, each.usage or each.period)
        for each, owner, phase in zip(settlements, owners, phases, strict=True)
    ]
    usages = await peers.rate(tenant_id, list(zip(billed, used, days, strict=True)))
    return {
        each: lines_of(each.source, plan, each.settled, owner.schedule_of(phase), usage, watermark)
        for each, owner, phase, plan, usage in zip(settlements, owners, phases, plans, usages, strict=True)
    }, watermark

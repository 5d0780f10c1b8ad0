"""Drafts are billed again with the usage that metering knows by now."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import grpc
import structlog

from libs.common.errors import BillingError, ResourceExhausted, Unavailable
from libs.common.money import Money
from libs.common.postgres import Conn, Pool
from services.invoicing import store
from services.invoicing.committing import counted_on_drafts
from services.invoicing.domain.commitment import commitment_line
from services.invoicing.domain.draft import Draft, committed, refreshed, require_refreshable
from services.invoicing.domain.line import Line, Source
from services.invoicing.domain.plan import PlanVersion
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
        subscriptions = await subscriptions_of(conn, tenant_id, drafts)
    plans = await plans_of(peers, tenant_id, drafts)
    fresh, watermark = await _billed_again(peers, tenant_id, drafts, subscriptions, plans)
    apart = await counted_on_drafts(pool, tenant_id, drafts, subscriptions, plans, watermark)
    missing = partial(missing_of, subscriptions, plans, apart)
    again = [(draft, committed(draft, refreshed(draft, fresh, line_key), missing)) for draft in drafts]
    async with pool.acquire() as conn, conn.transaction():
        saved = [
            await store.refreshes.save(conn, tenant_id, draft, lines, watermark, is_last=is_last)
            for draft, lines in again
        ]
    log.info("refreshed", tenant=tenant_id, drafts=sum(saved))
    return any(saved)


async def subscriptions_of(conn: Conn, tenant_id: str, drafts: Sequence[Draft]) -> Mapping[str, Subscription]:
    """Those that drafts are for, by id."""
    ids = {each.source.subscription_id for draft in drafts for each in draft.settlements}
    return await store.subscriptions.by_ids(conn, tenant_id, ids)


async def plans_of(peers: Peers, tenant_id: str, drafts: Sequence[Draft]) -> Mapping[Source, PlanVersion]:
    """That which prices each phase on drafts."""
    return {
        each.source: await peers.pricing.plan_version(tenant_id, each.source.plan_code, each.source.plan_version)
        for draft in drafts
        for each in draft.settlements
    }


def missing_of(
    subscriptions: Mapping[str, Subscription],
    plans: Mapping[Source, PlanVersion],
    apart: Mapping[Settlement, Money],
    settlement: Settlement,
    fees: Sequence[Line],
) -> Line | None:
    """What is missing to the minimum commitment of the period whose usage is settled; what is counted `apart` is on
    other invoices.
    """
    source, period = settlement.source, settlement.usage
    assert period is not None, "usage is settled"
    owner = subscriptions[source.subscription_id]
    phase = owner.numbered(source.phase_number)
    return commitment_line(owner, phase, period, plans[source], source, fees, apart[settlement])


async def _billed_again(
    peers: Peers,
    tenant_id: str,
    drafts: Sequence[Draft],
    subscriptions: Mapping[str, Subscription],
    plans: Mapping[Source, PlanVersion],
) -> tuple[dict[Settlement, tuple[Line, ...]], int]:
    """The lines of each settlement, with the usage recorded up to a watermark."""
    settlements = [each for draft in drafts for each in draft.settlements]
    owners = [subscriptions[each.source.subscription_id] for each in settlements]
    phases = [owner.numbered(each.source.phase_number) for each, owner in zip(settlements, owners, strict=True)]
    questions = [
        usage_question(owner, phase, plans[each.source] if each.usage else None, each.usage or each.period)
        for each, owner, phase in zip(settlements, owners, phases, strict=True)
    ]
    used, watermark = await peers.metering.usage(tenant_id, questions)
    days = [
        owner.days_in(phase, each.usage or each.period)
        for each, owner, phase in zip(settlements, owners, phases, strict=True)
    ]
    usages = await peers.pricing.rate(
        tenant_id,
        [(asked.plan, quantities, its_days) for asked, quantities, its_days in zip(questions, used, days, strict=True)],
    )
    return {
        each: lines_of(
            each.source,
            plans[each.source],
            replace(each.settled, fee_month=owner.fee_month(phase, each.fee.start) if each.fee else 0),
            owner.fee_schedule_of(phase),
            usage,
            watermark,
        )
        for each, owner, phase, usage in zip(settlements, owners, phases, usages, strict=True)
    }, watermark

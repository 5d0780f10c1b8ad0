"""Usage that passes a threshold is billed at once: whoever moves a subscription on in metering's log writes the
invoice, and only while the period is not billed.
"""

from functools import partial

import structlog

from libs.common.clock import Clock
from libs.common.ids import new_id
from libs.common.money import Money
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.correcting import are_final, give_back
from services.invoicing.domain.invoice import InvoiceKind
from services.invoicing.domain.late_usage import Correction
from services.invoicing.domain.line import Line, Source
from services.invoicing.domain.progressive import Progress, taken_off
from services.invoicing.domain.settlement import Settled, lines_of
from services.invoicing.domain.subscription import Subscription
from services.invoicing.following import Recorded, follow
from services.invoicing.peers import Peers
from services.invoicing.slices import is_minimum, key_of, rated_slices

log = structlog.get_logger()

_NOTHING = Progress((), 0)


async def bill_passed(pool: Pool, peers: Peers, clock: Clock) -> bool:
    """Bill the usage that has passed a threshold since the last time. True if any has."""
    async with pool.acquire() as conn:
        followed = await store.progressive.followed(conn)
    return await follow(pool, peers, followed, partial(_bill, pool, peers, clock), "thresholds")


async def _bill(pool: Pool, peers: Peers, clock: Clock, tenant_id: str, of: Subscription, recorded: Recorded) -> bool:
    async with pool.acquire() as conn:
        now = (await store.clocks.get(conn, tenant_id)).now(clock())
    if not of.phase.has_thresholds or of.is_incomplete or now >= of.current_period.end:
        return False
    usage = await _usage(peers, tenant_id, of, recorded.watermark)
    async with pool.acquire() as conn:
        progress = await store.progressive.progress(conn, tenant_id, of) or _NOTHING
    total = sum(each.amount.minor_units for each in usage)
    bills = total > progress.highest and await _passes(pool, peers, tenant_id, of, usage, progress, total)
    off, corrections = taken_off(progress, usage, key_of) if bills else ([], [])
    return await _save(pool, clock, tenant_id, of, recorded, (*usage, *off), corrections, total, bills)


async def _usage(peers: Peers, tenant_id: str, of: Subscription, watermark: int) -> tuple[Line, ...]:
    """What the current period has so far, without what leads to the minimums of charges: that is known at its end."""
    plan = await peers.pricing.plan_version(tenant_id, of.phase.plan_code, of.phase.plan_version)
    source, period = Source(of.id, of.phase_number, plan.plan_code, plan.version), of.current_period
    asked = source, period, watermark
    rated = await rated_slices(peers, tenant_id, [asked], {of.id: of})
    lines = lines_of(source, plan, Settled(period, None, period), of.schedule, rated[asked], watermark)
    return tuple(line for line in lines if not is_minimum(line))


async def _passes(
    pool: Pool,
    peers: Peers,
    tenant_id: str,
    of: Subscription,
    usage: tuple[Line, ...],
    progress: Progress,
    total: int,
) -> bool:
    currency = usage[0].amount.currency
    async with pool.acquire() as conn:
        invoiced = max(await store.progressive.invoiced(conn, tenant_id, of.id, currency), 0)
    amounts = (Money(each, currency) for each in (total, progress.highest, invoiced))
    return await peers.pricing.passes_threshold(tenant_id, of.phase.plan_code, of.phase.plan_version, *amounts)


async def _save(
    pool: Pool,
    clock: Clock,
    tenant_id: str,
    of: Subscription,
    recorded: Recorded,
    lines: tuple[Line, ...],
    corrections: list[Correction],
    total: int,
    bills: bool,
) -> bool:
    async with pool.acquire() as conn, conn.transaction():
        now = (await store.clocks.hold(conn, tenant_id)).now(clock())
        if not await are_final(conn, tenant_id, corrections):
            return False
        if not await store.progressive.move(conn, tenant_id, of, recorded.since, recorded.watermark, bills=bills):
            return False
        if not bills:
            return False
        await give_back(conn, tenant_id, corrections, clock(), clock())
        invoice_id = new_id("inv", clock())
        await store.immediate.insert(conn, tenant_id, invoice_id, InvoiceKind.PROGRESSIVE, of, lines, now)
        await store.progressive.insert(conn, tenant_id, of, recorded.watermark, total, invoice_id)
    log.info("usage passed a threshold", tenant=tenant_id, subscription=of.id, invoice=invoice_id)
    return True

"""Usage in advance is charged when it is recorded: whoever moves a subscription on in metering's log writes the fees of
the events in between.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial

import structlog

from libs.common.clock import Clock
from libs.common.ids import new_id
from libs.common.money import Money
from libs.common.postgres import Pool
from services.invoicing import convert, store
from services.invoicing.domain.advance_fee import ZERO, Advance, AdvanceFee, Group, Step, advance, advances, fee, steps
from services.invoicing.domain.invoice import InvoiceKind
from services.invoicing.domain.line import Line
from services.invoicing.domain.period import Period
from services.invoicing.domain.subscription import Subscription
from services.invoicing.following import Recorded, follow
from services.invoicing.peers import Peers

log = structlog.get_logger()

_AHEAD = timedelta(hours=1)
"""More than metering lets events be ahead of the clock."""


async def charge_all(pool: Pool, peers: Peers, clock: Clock) -> bool:
    """Charge what was recorded since the last time. True if any was."""
    async with pool.acquire() as conn:
        followed = await store.advance_fees.followed(conn)
    return await follow(pool, peers, followed, partial(_charge, pool, peers, clock), "usage in advance")


async def _charge(pool: Pool, peers: Peers, clock: Clock, tenant_id: str, of: Subscription, recorded: Recorded) -> bool:
    async with pool.acquire() as conn:
        now = (await store.clocks.get(conn, tenant_id)).now(clock())
        marks = await store.advance_fees.marks(conn, tenant_id, of.id)
    plans = [
        (each, await peers.pricing.plan_version(tenant_id, each.plan_code, each.plan_version)) for each in of.phases
    ]
    since, watermark = recorded.since, recorded.watermark
    span = Period(recorded.first_time, max(now, recorded.first_time) + _AHEAD)
    fees: list[AdvanceFee] = []
    for each in advances(of, plans, span):
        its_marks = dict(await _charged_otherwise(pool, tenant_id, of, each))
        its_marks |= {
            (part, group): mark
            for (source, code, period, part, group), mark in marks.items()
            if (source, code, period.start) == (each.source, each.charge.code, each.period.start)
        }
        events = await peers.metering.event_charges(tenant_id, each, watermark, since)
        fees += await charged(peers, tenant_id, each, list(steps(events, since, its_marks)), watermark)
    fees.sort(key=lambda each: (each.step.event.sequence, each.step.event.event_time, each.step.event.transaction_id))
    at_once = [each for each in fees if each.of.charge.is_invoiceable and each.amount.minor_units]
    async with pool.acquire() as conn, conn.transaction():
        now = (await store.clocks.hold(conn, tenant_id)).now(clock())
        if not await store.advance_fees.move(conn, tenant_id, of.id, since, watermark):
            return False
        await store.advance_fees.insert(conn, tenant_id, fees, clock())
        if at_once:
            lines = [each.line for each in at_once]
            kind = InvoiceKind.ADVANCE_USAGE
            await store.immediate.insert(conn, tenant_id, new_id("inv", clock()), kind, of, lines, now)
    log.info("charged usage in advance", tenant=tenant_id, subscription=of.id, fees=len(fees))
    return bool(fees)


async def _charged_otherwise(
    pool: Pool, tenant_id: str, of: Subscription, each: Advance
) -> Mapping[tuple[str, Group], Decimal]:
    if len(of.phases) == 1:
        return {}
    async with pool.acquire() as conn:
        return await store.advance_fees.charged_otherwise(conn, tenant_id, each)


async def charged(peers: Peers, tenant_id: str, of: Advance, taken: Sequence[Step], watermark: int) -> list[AdvanceFee]:
    """A fee for each step: one question to pricing for all of a charge."""
    plan = await peers.pricing.plan_version(tenant_id, of.source.plan_code, of.source.plan_version)
    rated = await peers.pricing.rate_steps(tenant_id, plan, of, taken)
    return [fee(of, plan, step, *pair, watermark) for step, pair in zip(taken, rated, strict=True)]


async def charged_again(peers: Peers, tenant_id: str, line: Line, subscriptions: Mapping[str, Subscription]) -> Money:
    """What a line comes to, computed again: its event is read at its watermark, beyond what was charged before it."""
    assert line.source is not None, "usage is a subscription's"
    assert line.rating is not None, "usage is rated"
    assert line.watermark is not None, "usage has a watermark"
    plan = await peers.pricing.plan_version(tenant_id, line.source.plan_code, line.source.plan_version)
    charge = next(each for each in plan.advance_charges if each.code == line.code)
    owner = subscriptions[line.source.subscription_id]
    of = advance(owner, owner.numbered(line.source.phase_number), plan, line.source, charge, line.period)
    rating = convert.rating_in(line.rating)
    events = await peers.metering.event_charges(tenant_id, of, line.watermark, 0)
    marks = {(rating.part, rating.group): rating.quantity_before or ZERO}
    found = [i for i, each in enumerate(events) if each.transaction_id == line.transaction_id]
    if not found:
        return Money(0, line.amount.currency)
    at = found[-1]
    taken = list(steps(events[: at + 1], events[at].sequence - 1, marks))[-1:]
    [again] = await charged(peers, tenant_id, of, taken, line.watermark)
    return again.amount

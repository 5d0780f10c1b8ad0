"""Lines of drafts are made into others, which are computed again like all."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial

from libs.common.errors import FailedPrecondition
from libs.common.postgres import Conn, Pool
from services.invoicing import convert, store
from services.invoicing.committing import counted_on_drafts
from services.invoicing.domain.adjustment import Adjustment, adjusted, require_adjustable
from services.invoicing.domain.draft import Draft, committed
from services.invoicing.domain.line import Line, LineKind, RatedUsage, Source
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.progressive import takes_off
from services.invoicing.domain.settlement import usage_line
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers
from services.invoicing.refreshing import missing_of, plans_of, subscriptions_of
from services.invoicing.slices import is_limit, key_of


async def replace_line(
    pool: Pool,
    peers: Peers,
    tenant_id: str,
    invoice_id: str,
    find: Callable[[Sequence[Line]], int],
    unused_code: str,
    change: Callable[[Line], Awaitable[Line]],
    record: Callable[[Conn], Awaitable[bool]],
) -> None:
    """Change the line of a draft at the position that `find` says. A charge with the `unused_code`, if there is one,
    has a line of 0 units where it has none. Whoever is first where two change a draft, the other looks at it again.
    `record` says, in the transaction that saves the line, whether that was not done before.
    """
    while True:
        async with pool.acquire() as conn:
            found = await store.refreshes.read(conn, tenant_id, [invoice_id])
            subscriptions = await subscriptions_of(conn, tenant_id, found)
        if not found:
            return
        plans = await plans_of(peers, tenant_id, found)
        apart = await counted_on_drafts(pool, tenant_id, found, subscriptions, plans)
        missing = partial(missing_of, subscriptions, plans, apart)
        [draft] = found
        before = await _with_unused(peers, tenant_id, draft, unused_code, subscriptions, plans)
        position = find(before)
        _require_not_billed_before(before[position], before)
        line = await change(before[position])
        lines = committed(draft, (*before[:position], line, *before[position + 1 :]), missing)
        async with pool.acquire() as conn, conn.transaction():
            if await store.refreshes.save(conn, tenant_id, draft, lines, draft.watermark, is_last=False):
                await record(conn)
                return


async def _with_unused(
    peers: Peers,
    tenant_id: str,
    draft: Draft,
    code: str,
    subscriptions: Mapping[str, Subscription],
    plans: Mapping[Source, PlanVersion],
) -> tuple[Line, ...]:
    """The draft's lines, with those of 0 units of the charges with the code, unless one of them has a line of usage."""
    if not code or any(line.code == code and not is_limit(line) for line in draft.lines):
        return draft.lines
    asked = [
        (each.source, each.usage, subscriptions[each.source.subscription_id])
        for each in draft.settlements
        if each.usage and any(charge.code == code and not charge.in_advance for charge in plans[each.source].charges)
    ]
    questions = []
    for source, period, owner in asked:
        phase = owner.numbered(source.phase_number)
        plan = plans[source].in_month(owner.contract_month(phase, period.start))
        questions.append((plan, (), owner.days_in(phase, period)))
    rated = await peers.pricing.rate(tenant_id, questions)
    unused = (
        usage_line(source, plans[source], period, next(each for each in usages if each.code == code), draft.watermark)
        for (source, period, _), usages in zip(asked, rated, strict=True)
    )
    return (*draft.lines, *unused)


def _require_not_billed_before(line: Line, lines: Sequence[Line]) -> None:
    """Raises FailedPrecondition LINE_NOT_ADJUSTABLE for usage of which some was billed progressively."""
    off = (each for each in lines if each.kind is LineKind.PROGRESSIVE_CREDIT)
    if line.kind is LineKind.PROGRESSIVE_CREDIT or any(takes_off(each, line, key_of) for each in off):
        raise FailedPrecondition(
            "LINE_NOT_ADJUSTABLE", f"usage of {line.code} was billed before in part: it can't be adjusted"
        )


async def adjust(
    peers: Peers, tenant_id: str, line: Line, asked: Adjustment, subscriptions: Mapping[str, Subscription]
) -> Line:
    """`subscriptions` has at least the line's. Raises FailedPrecondition LINE_NOT_ADJUSTABLE or AMOUNT_TOO_LARGE, and
    what pricing refuses.
    """
    require_adjustable(line)
    repriced = None
    if asked.units is not None and asked.is_repriced and line.kind is LineKind.USAGE:
        repriced = await priced_units(peers, tenant_id, line, asked.units, subscriptions)
    return adjusted(line, asked, repriced)


def unadjusted(line: Line) -> Line:
    """To be refreshed."""
    return replace(line, units=None, unit_amount=None, is_adjusted=False)


async def priced_units(
    peers: Peers, tenant_id: str, line: Line, units: Decimal, subscriptions: Mapping[str, Subscription]
) -> RatedUsage:
    """What so many units of the line's usage cost under its plan version."""
    assert line.source is not None, "usage is of a subscription"
    assert line.rating is not None, "usage is rated"
    source, owner = line.source, subscriptions[line.source.subscription_id]
    plan = await peers.pricing.plan_version(tenant_id, source.plan_code, source.plan_version)
    phase = owner.numbered(source.phase_number)
    days = owner.days_in(phase, line.period)
    plan = plan.in_month(owner.contract_month(phase, line.period.start))
    [usages] = await peers.pricing.rate(tenant_id, [(plan, [convert.other_units(line.code, line.rating, units)], days)])
    return next(each for each in usages if key_of(each) == key_of(line))

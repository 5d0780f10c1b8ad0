"""What a minimum commitment counts besides the lines of the invoice that it is on."""

from collections.abc import Mapping, Sequence

from libs.common.money import Money
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.domain.commitment import base_fee, commitment_of, fees_of_days
from services.invoicing.domain.draft import Draft
from services.invoicing.domain.late_commitment import Committed
from services.invoicing.domain.late_usage import Slice
from services.invoicing.domain.line import Source
from services.invoicing.domain.period import LATEST, Period
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.question import LateQuestion
from services.invoicing.domain.settlement import Settlement
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers


async def counted_apart(
    pool: Pool,
    tenant_id: str,
    of: Subscription,
    plan: PlanVersion,
    source: Source,
    period: Period,
    watermark: int,
    *,
    but: str = "",
) -> Money:
    """Fees for a period that are billed otherwise than with its usage: fixed charges, but for those on the invoice with
    the id `but`, and events up to `watermark` that are charged in advance.
    """
    nothing = Money(0, plan.currency)
    if plan.commitment is None or not (plan.fixed_charges or plan.advance_charges):
        return nothing
    async with pool.acquire() as conn:
        fixed = await store.period_fees.fixed(conn, tenant_id, source, period, but)
        in_advance = await store.period_fees.in_advance(conn, tenant_id, source, period, watermark)
    fees = fees_of_days(of, of.numbered(source.phase_number), plan, period, fixed)
    return fees + Money(in_advance, plan.currency)


async def counted_on_drafts(
    pool: Pool,
    tenant_id: str,
    drafts: Sequence[Draft],
    subscriptions: Mapping[str, Subscription],
    plans: Mapping[Source, PlanVersion],
    watermark: int = 0,
) -> dict[Settlement, Money]:
    """As `counted_apart`, for each settlement of usage, up to `watermark` or that of its draft."""
    return {
        each: await counted_apart(
            pool,
            tenant_id,
            subscriptions[each.source.subscription_id],
            plans[each.source],
            each.source,
            each.usage,
            watermark or draft.watermark,
            but=draft.id,
        )
        for draft in drafts
        for each in draft.settlements
        if each.usage
    }


async def committed_of(
    pool: Pool, tenant_id: str, of: Subscription, plan: PlanVersion, late: Slice
) -> tuple[Committed, Committed] | None:
    """The commitment of a slice, as it was and as it is now; None without one."""
    phase = of.numbered(late.source.phase_number)
    if (part := commitment_of(of, phase, plan, late.period)) is None:
        return None
    fee = base_fee(of, phase, plan, late.period)
    apart = [
        await counted_apart(pool, tenant_id, of, plan, late.source, late.period, watermark)
        for watermark in (late.prior, late.watermark)
    ]
    before, now = (Committed(part, fee + each) for each in apart)
    return before, now


async def is_charged(pool: Pool, peers: Peers, tenant_id: str, of: Subscription, watermark: int) -> bool:
    """Whether all of a subscription's events up to `watermark` have been charged in advance."""
    async with pool.acquire() as conn:
        since = await store.period_fees.charged_watermark(conn, tenant_id, of.id)
    question = LateQuestion(of.id, since, LATEST)
    return since >= watermark or not (await peers.metering.late_usage(tenant_id, [question], watermark))[0]

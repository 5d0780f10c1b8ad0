"""Lines for units that are renewed with a period: how many there are, and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from libs.common.money import Money
from services.invoicing.domain.advance_fee import Renewed
from services.invoicing.domain.line import Line, LineKind, RatedUsage, Source
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.question import UsageQuestion
from services.invoicing.domain.renewal import renewal_question, renewing
from services.invoicing.domain.settlement import usage_line
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers
from services.invoicing.slices import key_of


@dataclass(frozen=True, slots=True)
class Renewals:
    """Of a subscription: `lines` for the invoice, and what is `waiting` to be paid."""

    lines: tuple[Line, ...] = ()
    waiting: tuple[Renewed, ...] = ()


async def renewals_of(
    peers: Peers, tenant_id: str, due: Sequence[Subscription], watermark: int
) -> tuple[list[Renewals], int]:
    """For each that is `due`, as of `watermark` or now (0); and that watermark, 0 where nothing was asked."""
    asked: list[tuple[Subscription, PlanVersion, UsageQuestion] | None] = []
    for each in due:
        asked.append(await _asked(peers, tenant_id, after) if (after := renewing(each)) else None)
    questions = [question for _, _, question in filter(None, asked)]
    used, at = await peers.metering.usage(tenant_id, questions, watermark)
    rates = [(question.plan, its, (1, 1)) for question, its in zip(questions, used, strict=True)]
    rated = iter(await peers.pricing.rate(tenant_id, rates))
    found = [Renewals() if one is None else _renewals(one[0], one[1], next(rated), at) for one in asked]
    return found, watermark or at


def _renewals(after: Subscription, plan: PlanVersion, rated: Sequence[RatedUsage], watermark: int) -> Renewals:
    source = Source(after.id, after.phase_number, plan.plan_code, plan.version)
    waiting = {each.code for each in plan.advance_charges if each.is_regrouped}
    there = [each for each in rated if each.quantity]
    lines = [
        replace(usage_line(source, plan, after.current_period, each, watermark), kind=LineKind.RENEWAL)
        for each in there
    ]
    fees = (
        Renewed(line, key_of(line)[1][0], key_of(line)[1][1], each.quantity)
        for line, each in zip(lines, there, strict=True)
        if line.code in waiting
    )
    return Renewals(tuple(line for line in lines if line.code not in waiting), tuple(fees))


async def renewed_again(peers: Peers, tenant_id: str, line: Line, subscriptions: Mapping[str, Subscription]) -> Money:
    """What a line comes to, computed again."""
    source = line.source
    assert source is not None, "units are a subscription's"
    assert line.watermark is not None, "usage has a watermark"
    of, plan = (
        subscriptions[source.subscription_id],
        await _plan(peers, tenant_id, source.plan_code, source.plan_version),
    )
    question = renewal_question(of, of.numbered(source.phase_number), plan, {line.code}, line.period)
    [used], _ = await peers.metering.usage(tenant_id, [question], line.watermark)
    [rated] = await peers.pricing.rate(tenant_id, [(question.plan, used, (1, 1))])
    return next((each.amount for each in rated if key_of(each) == key_of(line)), Money(0, line.amount.currency))


async def _asked(
    peers: Peers, tenant_id: str, after: Subscription
) -> tuple[Subscription, PlanVersion, UsageQuestion] | None:
    plan = await _plan(peers, tenant_id, after.phase.plan_code, after.phase.plan_version)
    codes = {
        each.code for each in plan.advance_charges if (await peers.metering.meter(tenant_id, each.meter_code)).recurring
    }
    if not codes:
        return None
    return after, plan, renewal_question(after, after.phase, plan, codes, after.current_period)


async def _plan(peers: Peers, tenant_id: str, plan_code: str, version: int) -> PlanVersion:
    return await peers.pricing.plan_version(tenant_id, plan_code, version)

"""From lines back to their amounts: computed again from what they recorded."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

from libs.common.money import Money
from services.invoicing import convert
from services.invoicing.billing import rated
from services.invoicing.domain.line import Line, LineKind, RatedUsage, Source
from services.invoicing.domain.period import Period
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers, Quantities, UsageQuestion

Slice: TypeAlias = tuple[Source, Period, int]
"""The usage of a phase in a period, as of a watermark."""


async def recomputed(
    peers: Peers, tenant_id: str, lines: Sequence[Line], subscriptions: Mapping[str, Subscription]
) -> list[Money]:
    """The lines' amounts, in their order; `subscriptions` has at least theirs, by id."""
    usages = await _rated_again(peers, tenant_id, lines, subscriptions)
    return [
        _amount_of(line, usages[_slice(line)])
        if line.kind is LineKind.USAGE
        else await _base_fee(peers, tenant_id, line, subscriptions)
        for line in lines
    ]


async def _base_fee(peers: Peers, tenant_id: str, line: Line, subscriptions: Mapping[str, Subscription]) -> Money:
    source = _source(line)
    found = subscriptions[source.subscription_id]
    plan = await peers.plan_version(tenant_id, source.plan_code, source.plan_version)
    assert plan.base_fee is not None, "a plan version never changes"
    schedule = found.schedule_of(found.numbered(source.phase_number))
    return Proration(plan.base_fee, *schedule.days_in(line.period)).amount


async def _rated_again(
    peers: Peers, tenant_id: str, lines: Sequence[Line], subscriptions: Mapping[str, Subscription]
) -> dict[Slice, list[RatedUsage]]:
    """What each slice of usage came to: one question to metering for each watermark, one to pricing for all."""
    slices = sorted({_slice(line) for line in lines if line.kind is LineKind.USAGE}, key=_watermark)
    questions: list[UsageQuestion] = []
    used: list[Quantities] = []
    for watermark, group in groupby(slices, key=_watermark):
        asked = [await _question(peers, tenant_id, source, period, subscriptions) for source, period, _ in group]
        questions += asked
        # at 0 nothing had been recorded yet
        used += (await peers.usage(tenant_id, asked, watermark))[0] if watermark else [()] * len(asked)
    days = [
        subscriptions[source.subscription_id].days_in(
            subscriptions[source.subscription_id].numbered(source.phase_number), period
        )
        for source, period, _ in slices
    ]
    plans = [each.plan for each in questions]
    usages = await rated(peers, tenant_id, list(zip(plans, used, days, strict=True)))
    return dict(zip(slices, usages, strict=True))


async def _question(
    peers: Peers, tenant_id: str, source: Source, period: Period, subscriptions: Mapping[str, Subscription]
) -> UsageQuestion:
    found = subscriptions[source.subscription_id]
    plan = await peers.plan_version(tenant_id, source.plan_code, source.plan_version)
    return UsageQuestion(found.id, plan, period, found.schedule_of(found.numbered(source.phase_number)))


def _amount_of(line: Line, usages: Sequence[RatedUsage]) -> Money:
    assert line.rating is not None, "usage is rated"
    billed = convert.rating_in(line.rating)
    same = (each.amount for each in usages if each.code == line.code and billed.is_of(convert.rating_in(each.rating)))
    return next(same, Money(0, line.amount.currency))


def _slice(line: Line) -> Slice:
    assert line.watermark is not None, "usage has a watermark"
    return _source(line), line.period, line.watermark


def _source(line: Line) -> Source:
    assert line.source is not None, "what is computed is for a subscription"
    return line.source


def _watermark(part: Slice) -> int:
    return part[2]

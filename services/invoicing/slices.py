"""Usage that was billed, rated again as of a watermark."""

from collections.abc import Hashable, Iterable, Mapping
from itertools import groupby
from typing import TypeAlias

from services.invoicing import convert
from services.invoicing.domain.late_usage import RatingKey
from services.invoicing.domain.line import Line, RatedUsage, Source
from services.invoicing.domain.period import Period
from services.invoicing.domain.question import UsageQuestion, usage_question
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers, Quantities

Slice: TypeAlias = tuple[Source, Period, int]
"""The usage of a phase in a period, as of a watermark."""


async def rated_slices(
    peers: Peers, tenant_id: str, asked: Iterable[Slice], subscriptions: Mapping[str, Subscription]
) -> dict[Slice, list[RatedUsage]]:
    """What each slice of usage comes to: one question to metering for each watermark, one to pricing for all.
    `subscriptions` has at least theirs, by id.
    """
    slices = sorted(set(asked), key=_watermark)
    questions: list[UsageQuestion] = []
    used: list[Quantities] = []
    for watermark, group in groupby(slices, key=_watermark):
        asking = [await _question(peers, tenant_id, source, period, subscriptions) for source, period, _ in group]
        questions += asking
        # at 0 nothing had been recorded yet
        used += (await peers.metering.usage(tenant_id, asking, watermark))[0] if watermark else [()] * len(asking)
    days = [
        subscriptions[source.subscription_id].days_in(
            subscriptions[source.subscription_id].numbered(source.phase_number), period
        )
        for source, period, _ in slices
    ]
    plans = [each.plan for each in questions]
    usages = await peers.pricing.rate(tenant_id, list(zip(plans, used, days, strict=True)))
    return dict(zip(slices, usages, strict=True))


def key_of(rated_as: RatedUsage | Line) -> RatingKey:
    """What of a charge a line of usage is for."""
    assert rated_as.rating is not None, "usage is rated"
    return rated_as.code, convert.rating_in(rated_as.rating).part_key


def is_limit(line: Line) -> bool:
    """Whether a line leads to the minimum or maximum of its charge."""
    return line.rating is not None and convert.rating_in(line.rating).part_key[-1]


def is_minimum(line: Line) -> bool:
    """Whether a line leads to the minimum of its charge."""
    return line.rating is not None and convert.rating_in(line.rating).charge_model == "minimum"


def line_key(line: Line) -> Hashable:
    """Which of an invoice's lines it is, however often that is refreshed."""
    return line.kind, line.source, line.period, key_of(line) if line.rating is not None else line.code


async def _question(
    peers: Peers, tenant_id: str, source: Source, period: Period, subscriptions: Mapping[str, Subscription]
) -> UsageQuestion:
    found = subscriptions[source.subscription_id]
    plan = await peers.pricing.plan_version(tenant_id, source.plan_code, source.plan_version)
    return usage_question(found, found.numbered(source.phase_number), plan, period)


def _watermark(part: Slice) -> int:
    return part[2]

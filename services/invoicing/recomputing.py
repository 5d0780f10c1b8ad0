"""From lines back to their amounts: computed again from what they recorded."""

from collections.abc import Iterator, Mapping, Sequence

from libs.common.money import Money
from services.invoicing.domain.line import Line, LineKind, RatedUsage, Source
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers
from services.invoicing.slices import Slice, key_of, rated_slices


async def recomputed(
    peers: Peers, tenant_id: str, lines: Sequence[Line], subscriptions: Mapping[str, Subscription]
) -> list[Money]:
    """The lines' amounts, in their order; `subscriptions` has at least theirs, by id."""
    usages = await rated_slices(peers, tenant_id, (each for line in lines for each in _slices(line)), subscriptions)
    return [await _amount(peers, tenant_id, line, subscriptions, usages) for line in lines]


async def _amount(
    peers: Peers,
    tenant_id: str,
    line: Line,
    subscriptions: Mapping[str, Subscription],
    usages: Mapping[Slice, Sequence[RatedUsage]],
) -> Money:
    if line.kind is LineKind.BASE_FEE:
        return await _base_fee(peers, tenant_id, line, subscriptions)
    now, *before = (_amount_of(line, usages[each]) for each in _slices(line))
    return now - before[0] if before else now


async def _base_fee(peers: Peers, tenant_id: str, line: Line, subscriptions: Mapping[str, Subscription]) -> Money:
    source = _source(line)
    found = subscriptions[source.subscription_id]
    plan = await peers.plan_version(tenant_id, source.plan_code, source.plan_version)
    assert plan.base_fee is not None, "a plan version never changes"
    schedule = found.schedule_of(found.numbered(source.phase_number))
    return Proration(plan.base_fee, *schedule.days_in(line.period)).amount


def _slices(line: Line) -> Iterator[Slice]:
    """The usage that a line is computed from; of late usage, also what had been billed before."""
    if line.watermark is not None:
        yield _source(line), line.period, line.watermark
    if line.prior_watermark is not None:
        yield _source(line), line.period, line.prior_watermark


def _amount_of(line: Line, usages: Sequence[RatedUsage]) -> Money:
    key = key_of(line)
    return next((each.amount for each in usages if key_of(each) == key), Money(0, line.amount.currency))


def _source(line: Line) -> Source:
    assert line.source is not None, "what is computed is for a subscription"
    return line.source

"""Usage that came after the bill: found when the next period is billed, and billed with it (law 6)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.domain.late_usage import Correction, Slice, late_usage
from services.invoicing.domain.line import Line
from services.invoicing.domain.settlement import Settlement
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import LateQuestion, Peers
from services.invoicing.slices import key_of, rated_slices

SettlementsOf: TypeAlias = Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[Settlement]]]]
"""What has been settled of subscriptions, by their ids."""


def settlements_of(pool: Pool, tenant_id: str) -> SettlementsOf:
    async def read(subscription_ids: Sequence[str]) -> Mapping[str, Sequence[Settlement]]:
        async with pool.acquire() as conn:
            return await store.lines.settlements_of(conn, tenant_id, subscription_ids)

    return read


@dataclass(frozen=True, slots=True)
class Late:
    """What the usage that came late of a subscription comes to, and what is given back of what was billed."""

    lines: tuple[Line, ...]
    corrections: tuple[Correction, ...]


async def late_of(
    peers: Peers, tenant_id: str, due: Sequence[Subscription], watermark: int, settlements_of: SettlementsOf
) -> tuple[dict[str, Late], int]:
    """Of those in `due` that have some, by id: what has changed of what is billed, between the watermark that
    each is billed at and `watermark`, or now (0); and that watermark.
    """
    questions = {
        each.id: LateQuestion(each.id, each.billed_watermark, each.billed_until)
        for each in due
        if each.billed_until > each.start_time
    }
    if not questions:
        return {}, watermark
    first_times, watermark = await peers.late_usage(tenant_id, list(questions.values()), watermark)
    if not first_times:
        return {}, watermark
    subscriptions = {each.id: each for each in due if each.id in first_times}
    settlements = await settlements_of(list(subscriptions))
    slices = {
        found.id: _slices(found, settlements[found.id], first_times[found.id], watermark)
        for found in subscriptions.values()
    }
    usages = await rated_slices(
        peers,
        tenant_id,
        (
            (each.source, each.period, at)
            for found in slices.values()
            for each in found
            for at in (each.prior, each.watermark)
        ),
        subscriptions,
    )
    late = {}
    for subscription_id, found in slices.items():
        lines: list[Line] = []
        corrections: list[Correction] = []
        for each in found:
            plan = await peers.plan_version(tenant_id, each.source.plan_code, each.source.plan_version)
            before, now = (usages[each.source, each.period, at] for at in (each.prior, each.watermark))
            more_lines, more_corrections = late_usage(each, before, now, key_of, plan)
            lines += more_lines
            corrections += more_corrections
        late[subscription_id] = Late(tuple(lines), tuple(corrections))
    return late, watermark


def _slices(of: Subscription, settlements: Sequence[Settlement], first_time: datetime, watermark: int) -> list[Slice]:
    """The usage that was billed of the time from `first_time` on: what is carried from period to period, and tiers that
    go on over the contract, make a late event count in every later one, too.
    """
    return [
        Slice(each.source, each.period, of.billed_watermark, watermark)
        for each in settlements
        if not each.is_opening and first_time < each.period.end <= of.billed_until
    ]

"""Usage that came after the bill: found when the next period is billed, and billed with it (law 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.committing import committed_of
from services.invoicing.domain.deduction import PaidUnits
from services.invoicing.domain.late_commitment import reconciled_again
from services.invoicing.domain.late_usage import Correction, Slice, late_usage
from services.invoicing.domain.line import Line
from services.invoicing.domain.phase import Phase
from services.invoicing.domain.progressive import Progress
from services.invoicing.domain.question import LateQuestion
from services.invoicing.domain.settlement import SettledUsage
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers
from services.invoicing.slices import key_of, rated_slices


@dataclass(frozen=True, slots=True)
class History:
    """What was billed of a tenant's subscriptions."""

    pool: Pool
    tenant_id: str

    async def settlements(self, subscription_ids: Sequence[str]) -> Mapping[str, Sequence[SettledUsage]]:
        async with self.pool.acquire() as conn:
            return await store.settlements.usage_of(conn, self.tenant_id, subscription_ids)

    async def paid_units(self, due: Subscription, before: Sequence[Phase]) -> Sequence[PaidUnits]:
        """In the phases `before`, for the time from the next invoice of a subscription on."""
        numbers = [each.number for each in before]
        async with self.pool.acquire() as conn:
            return await store.paid_units.of_phases(conn, self.tenant_id, due.id, numbers, due.due_time)

    async def progress(self, of: Subscription) -> Progress | None:
        """Of its current period."""
        if not of.phase.has_thresholds:
            return None
        async with self.pool.acquire() as conn:
            return await store.progressive.progress(conn, self.tenant_id, of)


@dataclass(frozen=True, slots=True)
class Late:
    """What the usage that came late of a subscription comes to, and what is given back of what was billed.
    What came late of usage that is on drafts, `to_refresh`, is not in it.
    """

    lines: tuple[Line, ...]
    corrections: tuple[Correction, ...]
    to_refresh: frozenset[str]


async def late_of(
    peers: Peers, tenant_id: str, due: Sequence[Subscription], watermark: int, history: History
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
    first_times, watermark = await peers.metering.late_usage(tenant_id, list(questions.values()), watermark)
    if not first_times:
        return {}, watermark
    subscriptions = {each.id: each for each in due if each.id in first_times}
    settlements = await history.settlements(list(subscriptions))
    changed = {
        found.id: [
            each for each in settlements[found.id] if first_times[found.id] < each.period.end <= found.billed_until
        ]
        for found in subscriptions.values()
    }
    slices = {found.id: _slices(found, changed[found.id], watermark) for found in subscriptions.values()}
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
            plan = await peers.pricing.plan_version(tenant_id, each.source.plan_code, each.source.plan_version)
            before, now = (usages[each.source, each.period, at] for at in (each.prior, each.watermark))
            more_lines, more_corrections = late_usage(each, before, now, key_of, plan)
            owner = subscriptions[subscription_id]
            if (commitments := await committed_of(history.pool, tenant_id, owner, plan, each)) is not None:
                advance = {charge.code for charge in plan.advance_charges}
                was, is_now = (
                    of.missing(rated for rated in its if rated.code not in advance)
                    for of, its in zip(commitments, (before, now), strict=True)
                )
                more_corrections = reconciled_again(each, was, is_now, more_corrections)
            lines += more_lines
            corrections += more_corrections
        late[subscription_id] = Late(
            tuple(lines),
            tuple(corrections),
            frozenset(each.draft_id for each in changed[subscription_id] if each.draft_id),
        )
    return late, watermark


def _slices(of: Subscription, changed: Sequence[SettledUsage], watermark: int) -> list[Slice]:
    """The usage that was billed of the time from the first late event on: what is carried from period to period, and
    tiers that go on over the contract, make a late event count in every later one, too.
    """
    billed = ((each, max(of.billed_watermark, each.watermark)) for each in changed if not each.draft_id)
    return [Slice(each.source, each.period, prior, watermark) for each, prior in billed if prior < watermark]

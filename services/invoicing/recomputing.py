"""From lines back to their amounts: computed again from what they recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from libs.common.money import Money
from services.invoicing.adjusting import priced_units
from services.invoicing.charging import charged_again
from services.invoicing.domain.adjustment import priced, priced_fee
from services.invoicing.domain.commitment import base_fee, missing_to, reconciled
from services.invoicing.domain.deduction import deducts_from, limited
from services.invoicing.domain.line import Line, LineKind, RatedUsage, Source
from services.invoicing.domain.progressive import takes_off
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.subscription import Subscription
from services.invoicing.fixed_billing import fixed_again
from services.invoicing.peers import Peers
from services.invoicing.renewing import renewed_again
from services.invoicing.slices import Slice, key_of, rated_slices


async def recomputed(
    peers: Peers, tenant_id: str, lines: Sequence[Line], subscriptions: Mapping[str, Subscription]
) -> list[Money]:
    """The lines' amounts, in their order; `subscriptions` has at least theirs, by id."""
    usages = await rated_slices(peers, tenant_id, (each for line in lines for each in _slices(line)), subscriptions)
    amounts = {
        i: await _amount(peers, tenant_id, line, subscriptions, usages)
        for i, line in enumerate(lines)
        if not _is_commitment(line) and line.kind is not LineKind.DEDUCTION
    }
    amounts |= {
        i: _taken_off(line, amounts[i], lines, amounts)
        for i, line in enumerate(lines)
        if line.kind is LineKind.PROGRESSIVE_CREDIT
    }
    for i, line in enumerate(lines):
        if line.kind is LineKind.DEDUCTION:
            amounts[i] = _deduction(line, lines[:i], amounts)
    again = [replace(lines[i], amount=amount) for i, amount in amounts.items()]
    return [
        amounts[i] if i in amounts else await _commitment(peers, tenant_id, line, subscriptions, again)
        for i, line in enumerate(lines)
    ]


def computed_from(line: Line, lines: Sequence[Line]) -> list[Line]:
    """Those of an invoice's lines that a line's amount is a matter of, then itself."""
    if line.kind is LineKind.PROGRESSIVE_CREDIT:
        return [*(each for each in lines if takes_off(line, each, key_of)), line]
    if line.kind is LineKind.DEDUCTION:
        its = (LineKind.FIXED_CHARGE, LineKind.DEDUCTION)
        return [*(each for each in lines[: lines.index(line)] if each.kind in its), line]
    if not _is_commitment(line):
        return [line]
    return [*reconciled(lines, _source(line), line.period), line]


def _taken_off(line: Line, billed: Money, lines: Sequence[Line], amounts: Mapping[int, Money]) -> Money:
    """Of what was `billed` before, no more than there is now."""
    now = (amounts[i].minor_units for i, each in enumerate(lines) if takes_off(line, each, key_of))
    return Money(-min(billed.minor_units, sum(now)), billed.currency)


def _deduction(line: Line, before: Sequence[Line], amounts: Mapping[int, Money]) -> Money:
    """Deductions come after what they are deducted from, one after another."""
    charged = sum(
        (
            amounts[i]
            for i, each in enumerate(before)
            if each.kind is LineKind.FIXED_CHARGE and deducts_from(line, each)
        ),
        Money(0, line.amount.currency),
    )
    earlier = (replace(each, amount=amounts[i]) for i, each in enumerate(before) if each.kind is LineKind.DEDUCTION)
    return limited(line, charged, earlier)


def _is_commitment(line: Line) -> bool:
    """As it was billed; one that somebody adjusted is what they made of it."""
    return line.kind is LineKind.COMMITMENT and line.units is None


async def _commitment(
    peers: Peers, tenant_id: str, line: Line, subscriptions: Mapping[str, Subscription], again: Sequence[Line]
) -> Money:
    """`again` are the lines of its invoice, computed again."""
    source = _source(line)
    found = subscriptions[source.subscription_id]
    phase = found.numbered(source.phase_number)
    plan = await peers.pricing.plan_version(tenant_id, source.plan_code, source.plan_version)
    assert plan.commitment is not None, "a plan version never changes"
    part = Proration(plan.commitment.amount, *found.days_in(phase, line.period))
    fee = base_fee(found, phase, plan, line.period) + (line.counted_apart or Money(0, plan.currency))
    return Money.rounded(missing_to(part, fee, reconciled(again, source, line.period)), plan.currency)


async def _amount(
    peers: Peers,
    tenant_id: str,
    line: Line,
    subscriptions: Mapping[str, Subscription],
    usages: Mapping[Slice, Sequence[RatedUsage]],
) -> Money:
    if line.units is not None:
        return await _of_units(peers, tenant_id, line, line.units, subscriptions)
    if line.kind is LineKind.BASE_FEE:
        return await _base_fee(peers, tenant_id, line, subscriptions)
    if line.kind is LineKind.ADVANCE_USAGE:
        return await charged_again(peers, tenant_id, line, subscriptions)
    if line.kind is LineKind.RENEWAL:
        return await renewed_again(peers, tenant_id, line, subscriptions)
    if line.kind is LineKind.FIXED_CHARGE:
        return await fixed_again(peers, tenant_id, line, subscriptions)
    now, *before = (_amount_of(line, usages[each]) for each in _slices(line))
    return now - before[0] if before else now


async def _of_units(
    peers: Peers, tenant_id: str, line: Line, units: Decimal, subscriptions: Mapping[str, Subscription]
) -> Money:
    if line.unit_amount is not None:
        return priced(units, line.unit_amount, line.amount.currency)[0]
    if line.kind is LineKind.USAGE:
        return (await priced_units(peers, tenant_id, line, units, subscriptions)).amount
    return priced_fee(line, units)[0]


async def _base_fee(peers: Peers, tenant_id: str, line: Line, subscriptions: Mapping[str, Subscription]) -> Money:
    source = _source(line)
    found = subscriptions[source.subscription_id]
    plan = await peers.pricing.plan_version(tenant_id, source.plan_code, source.plan_version)
    phase = found.numbered(source.phase_number)
    base_fee = plan.in_month(found.fee_month(phase, line.period.start)).base_fee
    assert base_fee is not None, "a plan version never changes"
    return Proration(base_fee, *found.fee_schedule_of(phase).days_in(line.period)).amount


def _slices(line: Line) -> Iterator[Slice]:
    """The usage that a line is computed from; of late usage, also what had been billed before."""
    if line.units is not None:
        return
    if line.watermark is not None and line.kind not in (LineKind.ADVANCE_USAGE, LineKind.RENEWAL):
        yield _source(line), line.period, line.watermark
    if line.prior_watermark is not None:
        yield _source(line), line.period, line.prior_watermark


def _amount_of(line: Line, usages: Sequence[RatedUsage]) -> Money:
    key = key_of(line)
    return next((each.amount for each in usages if key_of(each) == key), Money(0, line.amount.currency))


def _source(line: Line) -> Source:
    assert line.source is not None, "what is computed is for a subscription"
    return line.source

"""From due subscriptions to what they owe: usage from metering, prices from pricing.

Here is all that a billing run asks of its peers. Nothing is written, and no transaction is open meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import grpc

from libs.common.errors import BillingError, ResourceExhausted, Unavailable
from libs.common.money import Money
from services.invoicing.committing import counted_apart, is_charged
from services.invoicing.domain.advance_fee import Renewed
from services.invoicing.domain.bill import Bill, totalled
from services.invoicing.domain.commitment import commitment_line
from services.invoicing.domain.discount import discounted
from services.invoicing.domain.invoice import Invoice, PaymentStatus, State, issue_date
from services.invoicing.domain.late_usage import Correction
from services.invoicing.domain.line import RatedUsage, Source, bearing
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.progressive import taken_off
from services.invoicing.domain.question import usage_question
from services.invoicing.domain.settlement import (
    InvoiceKey,
    Portion,
    Settled,
    Settlement,
    by_invoice,
    lines_of,
    require_statable,
    settled,
)
from services.invoicing.domain.standing import Standing
from services.invoicing.domain.subscription import Subscription
from services.invoicing.domain.tax import Taxes
from services.invoicing.fixed_billing import deducted_lines, fixed_lines
from services.invoicing.late_billing import History, Late, late_of
from services.invoicing.peers import Peers
from services.invoicing.renewing import renewals_of
from services.invoicing.slices import key_of

_NOTHING_LATE = Late((), (), frozenset())


@dataclass(frozen=True, slots=True)
class Billed:
    """What a subscription that is `due` owes, with all usage that was recorded up to `watermark`, and what is given
    back of what was billed before. What came late of usage that is still on drafts, `to_refresh`, is left to them. It
    `waits` where a commitment counts events in advance that are not charged yet. Fees of
    `renewed` units wait to be paid.
    """

    due: Subscription
    portion: Portion
    watermark: int
    corrections: tuple[Correction, ...]
    to_refresh: frozenset[str] = frozenset()
    waits: bool = False
    renewed: tuple[Renewed, ...] = ()

    @property
    def makes_invoice(self) -> bool:
        return bool(self.portion.lines) or self.due.makes_invoice


@dataclass(frozen=True, slots=True)
class Refused:
    """A subscription that can't be billed now: `reason` is stable and UPPER_SNAKE, `message` a sentence."""

    due: Subscription
    reason: str
    message: str


async def bill_all(
    peers: Peers, tenant_id: str, due: Sequence[Subscription], history: History
) -> tuple[list[Billed], list[Refused]]:
    """Bill a chunk with one question to metering for its usage, one for what came late, and one to pricing.

    A batch fails as a whole for one that is wrong: then each half is billed alone, down to the culprits. Raises
    Unavailable or ResourceExhausted, the fault of no subscription.
    """
    try:
        return await _bill_together(peers, tenant_id, due, history), []
    except (Unavailable, ResourceExhausted):
        raise
    except (BillingError, grpc.aio.AioRpcError) as error:
        if len(due) == 1:
            return [], [_refused(due[0], error)]
    middle = len(due) // 2
    billed, refused = await bill_all(peers, tenant_id, due[:middle], history)
    more_billed, more_refused = await bill_all(peers, tenant_id, due[middle:], history)
    return billed + more_billed, refused + more_refused


async def preview(
    peers: Peers,
    tenant_id: str,
    due: Sequence[Subscription],
    history: History,
    standing: Standing,
    now: datetime,
) -> list[Invoice]:
    """The drafts that billing them makes, by due time, with what their customer's `standing` takes off them; of a
    subscription that stands in `due` several times, the steps are in order.

    Raises what keeps one from being billed.
    """
    portions = by_invoice(each.portion for each in await _bill_together(peers, tenant_id, due, history))
    codes = {code for group in portions.values() for each in group for line in each.lines for code in line.tax_codes}
    taxes = await peers.pricing.taxes(tenant_id, codes | {*standing.tax_codes})
    return drafts_of(portions, taxes, standing, now)


def drafts_of(
    portions: Mapping[InvoiceKey, Sequence[Portion]], taxes: Taxes, standing: Standing, now: datetime
) -> list[Invoice]:
    """Of one customer, by due time."""
    drafts = []
    for key in sorted(portions, key=lambda key: key.due_time):
        draft, standing = standing.paying(_draft(key, portions[key], taxes, standing, now))
        drafts.append(draft)
    return drafts


def _draft(key: InvoiceKey, portions: Sequence[Portion], taxes: Taxes, standing: Standing, now: datetime) -> Invoice:
    default_codes = taxes.of_customer(standing.tax_codes)
    lines = tuple(bearing((line for each in portions for line in each.lines), default_codes))
    discounts = discounted(lines, (each.offer for each in standing.coupons), key.currency)
    return Invoice(
        id="",
        number=None,
        customer_id=key.customer_id,
        settlements=tuple(each.settlement for each in portions),
        bill=Bill(key.currency, lines, totalled(lines, taxes.by_code, key.currency, discounts).taxes, discounts),
        state=State.DRAFT,
        payment_status=PaymentStatus.PENDING,
        amount_paid=Money(0, key.currency),
        due_time=key.due_time,
        issue_date=portions[0].issue_date,
        create_time=now,
        finalize_time=None,
        offset=Money(0, key.currency),
    )


async def _bill_together(peers: Peers, tenant_id: str, due: Sequence[Subscription], history: History) -> list[Billed]:
    plans = [await peers.pricing.plan_version(tenant_id, each.phase.plan_code, each.phase.plan_version) for each in due]
    settles = [settled(each) for each in due]
    questions = [
        usage_question(each, each.phase, plan if part.usage else None, each.current_period)
        for each, plan, part in zip(due, plans, settles, strict=True)
    ]
    used, watermark = await peers.metering.usage(tenant_id, questions)
    days = [each.days_in(each.phase, each.current_period) for each in due]
    usages = await peers.pricing.rate(
        tenant_id,
        [(asked.plan, quantities, its_days) for asked, quantities, its_days in zip(questions, used, days, strict=True)],
    )
    fixed = await fixed_lines(peers, tenant_id, due, plans)
    renewals, watermark = await renewals_of(peers, tenant_id, due, watermark)
    beside = [(its_fixed + each.lines, each.waiting) for its_fixed, each in zip(fixed, renewals, strict=True)]
    closing = {each.id: each for each in reversed(due) if each.is_closing}  # the first of each
    late, watermark = await late_of(peers, tenant_id, list(closing.values()), watermark, history)
    billed = []
    for each, plan, part, usage, (more, renewed) in zip(due, plans, settles, usages, beside, strict=True):
        portion = _portion(each, plan, part, usage, watermark)
        its_late = late.get(each.id, _NOTHING_LATE) if closing.get(each.id) is each else _NOTHING_LATE
        off = await deducted_lines(peers, each, plan, more, history)
        portion = replace(portion, lines=(*portion.lines, *more, *off))
        missing = None
        if part.usage:
            source = portion.settlement.source
            apart = await counted_apart(history.pool, tenant_id, each, plan, source, part.usage, watermark)
            missing = commitment_line(each, each.phase, part.usage, plan, source, portion.lines, apart)
        portion = replace(portion, lines=(*portion.lines, *((missing,) if missing else ()), *its_late.lines))
        portion, corrections = await _less_billed(portion, each, history)
        require_statable(portion.lines)
        at = watermark if each.is_closing else 0
        counts_events = part.usage and plan.commitment and plan.advance_charges
        waits = bool(counts_events) and not await is_charged(history.pool, peers, tenant_id, each, at)
        billed.append(
            Billed(each, portion, at, (*its_late.corrections, *corrections), its_late.to_refresh, waits, renewed)
        )
    return billed


async def _less_billed(portion: Portion, due: Subscription, history: History) -> tuple[Portion, list[Correction]]:
    """Less what progressive invoices billed of the period, and what they billed too much."""
    progress = await history.progress(due) if portion.settlement.usage else None
    if progress is None:
        return portion, []
    off, corrections = taken_off(progress, portion.lines, key_of)
    settlement = replace(portion.settlement, is_fixed=True)
    return replace(portion, settlement=settlement, lines=(*portion.lines, *off)), corrections


def _portion(
    due: Subscription, plan: PlanVersion, settles: Settled, usage: Sequence[RatedUsage], watermark: int
) -> Portion:
    source = Source(due.id, due.phase_number, plan.plan_code, plan.version)
    return Portion(
        customer_id=due.customer_id,
        invoiced_alone=due.invoiced_alone or due.is_incomplete,  # its invoice may be voided
        settlement=Settlement(
            source,
            settles.period,
            due.due_time,
            due.is_opening and not due.is_addition,
            settles.fee,
            settles.usage,
            due.is_addition,
        ),
        currency=plan.currency,
        lines=lines_of(source, plan, settles, due.fee_schedule_of(due.phase), usage, watermark),
        issue_date=issue_date(due.due_time, due.schedule.tz),
        skips_grace=due.is_incomplete,
    )


def _refused(due: Subscription, error: BillingError | grpc.aio.AioRpcError) -> Refused:
    if isinstance(error, BillingError):
        return Refused(due, error.reason, error.message)
    return Refused(due, f"PEER_{error.code().name}", error.details() or "a peer failed")

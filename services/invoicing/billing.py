"""From due subscriptions to bills, and from a line back to its amount: usage from metering, prices from pricing.

Here is all that a billing run asks of its peers. Nothing is written, and no transaction is open meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import grpc

from libs.common.errors import BillingError, ResourceExhausted, Unavailable
from libs.common.money import Money
from services.invoicing import convert
from services.invoicing.domain.invoice import (
    Bill,
    Invoice,
    Line,
    PaymentStatus,
    RatedUsage,
    State,
    bill,
    issue_date,
    settled,
)
from services.invoicing.domain.period import Period
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers, Quantities, UsageQuestion


@dataclass(frozen=True, slots=True)
class Billed:
    """What an invoice for `period` comes to."""

    due: Subscription
    period: Period
    bill: Bill

    def draft(self, invoice_id: str, create_time: datetime) -> Invoice:
        return Invoice(
            id=invoice_id,
            number=None,
            customer_id=self.due.customer_id,
            subscription_id=self.due.id,
            plan_code=self.due.phase.plan_code,
            plan_version=self.due.phase.plan_version,
            phase_number=self.due.phase_number,
            period=self.period,
            bill=self.bill,
            state=State.DRAFT,
            payment_status=PaymentStatus.PENDING,
            amount_paid=Money(0, self.bill.currency),
            due_time=self.due.due_time,
            is_opening=self.due.is_opening,
            issue_date=issue_date(self.due.due_time, self.due.schedule.tz),
            create_time=create_time,
            finalize_time=None,
            offset=Money(0, self.bill.currency),
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """A subscription that can't be billed now: `reason` is stable and UPPER_SNAKE, `message` a sentence."""

    due: Subscription
    reason: str
    message: str


async def bill_all(peers: Peers, tenant_id: str, due: Sequence[Subscription]) -> tuple[list[Billed], list[Refused]]:
    """Bill a chunk with one question to metering and one to pricing.

    A batch fails as a whole for one that is wrong: then each half is billed alone, down to the culprits. Raises
    Unavailable or ResourceExhausted, the fault of no subscription.
    """
    try:
        return await _bill_together(peers, tenant_id, due), []
    except (Unavailable, ResourceExhausted):
        raise
    except (BillingError, grpc.aio.AioRpcError) as error:
        if len(due) == 1:
            return [], [_refused(due[0], error)]
    middle = len(due) // 2
    billed, refused = await bill_all(peers, tenant_id, due[:middle])
    more_billed, more_refused = await bill_all(peers, tenant_id, due[middle:])
    return billed + more_billed, refused + more_refused


async def bill_one(peers: Peers, tenant_id: str, due: Subscription) -> Billed:
    """Raises what keeps it from being billed."""
    [billed] = await _bill_together(peers, tenant_id, [due])
    return billed


async def _bill_together(peers: Peers, tenant_id: str, due: Sequence[Subscription]) -> list[Billed]:
    plans = [await peers.plan_version(tenant_id, each.phase.plan_code, each.phase.plan_version) for each in due]
    taxes = await peers.taxes(tenant_id, sorted({code for plan in plans for code in plan.tax_codes}))
    settles = [settled(each) for each in due]
    used, watermark = await peers.usage(
        tenant_id,
        [
            UsageQuestion(each.id, plan if part.usage else None, each.current_period, each.schedule)
            for each, plan, part in zip(due, plans, settles, strict=True)
        ],
    )
    days = [each.days_in(each.phase, each.current_period) for each in due]
    rated = await _rated(
        peers,
        tenant_id,
        [
            (plan if part.usage else None, quantities, its_days)
            for plan, part, quantities, its_days in zip(plans, settles, used, days, strict=True)
        ],
    )
    return [
        Billed(each, part.period, bill(plan, part, each.schedule, usage, watermark, taxes))
        for each, plan, part, usage in zip(due, plans, settles, rated, strict=True)
    ]


async def _rated(
    peers: Peers, tenant_id: str, questions: Sequence[tuple[PlanVersion | None, Quantities, tuple[int, int]]]
) -> list[list[RatedUsage]]:
    """In the order of `questions`; nothing is asked without a plan, or for one without charges."""
    asked = [(plan, used, days) for plan, used, days in questions if plan and plan.charges]
    rated = iter(await peers.rate(tenant_id, asked) if asked else [])
    return [next(rated) if plan and plan.charges else [] for plan, _, _ in questions]


async def recomputed(peers: Peers, tenant_id: str, invoice: Invoice, line: Line, subscription: Subscription) -> Money:
    """The line's amount, computed again from what it recorded."""
    plan = await peers.plan_version(tenant_id, invoice.plan_code, invoice.plan_version)
    phase = subscription.numbered(invoice.phase_number)
    schedule = subscription.schedule_of(phase)
    if line.rating is None:
        assert plan.base_fee is not None, "a plan version never changes"
        return Proration(plan.base_fee, *schedule.days_in(line.period)).amount
    [charge] = [each for each in plan.charges if each.code == line.code]
    used: Quantities = []
    if line.watermark:  # at 0 nothing had been recorded yet
        used = await peers.usage_at(tenant_id, invoice.subscription_id, charge, line.period, schedule, line.watermark)
    [rated] = await peers.rate(tenant_id, [(plan, used, subscription.days_in(phase, line.period))])
    billed = convert.rating_in(line.rating)
    same = (each.amount for each in rated if each.code == line.code and billed.is_of(convert.rating_in(each.rating)))
    return next(same, Money(0, plan.currency))


def _refused(due: Subscription, error: BillingError | grpc.aio.AioRpcError) -> Refused:
    if isinstance(error, BillingError):
        return Refused(due, error.reason, error.message)
    return Refused(due, f"PEER_{error.code().name}", error.details() or "a peer failed")

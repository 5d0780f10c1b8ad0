"""Dunning: a campaign begins for a payment that failed, its steps are done when they fall due, and it ends at once when
the payment is paid or taken back, in the transaction in which that happens.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from libs.common.clock import Clock
from libs.common.ids import new_id
from libs.common.postgres import Conn, Pool
from services.payments import routing
from services.payments.domain.decline import obstacle
from services.payments.domain.dunning import Campaign, CampaignState, Step, StepKind, StepState, plan
from services.payments.domain.message import Message
from services.payments.domain.payment import RETRIABLE, Payment, PaymentState
from services.payments.store import accounts, attempts, dunning, messages, payments

log = structlog.get_logger()

CHUNK = 100
RETRY_GRACE = timedelta(hours=1)
"""A retry has this long to come to its end before the next step."""
OUTCOME_GRACE = timedelta(days=1)
"""The final action waits so long at a time while money may be coming."""

LONGEST_WAIT = timedelta(days=1)
"""A try that could not be made by then is left out, so that the steps after it are not held up."""

DUNNED = RETRIABLE | {PaymentState.AWAITING_METHOD}


@dataclass(frozen=True, slots=True)
class Dunning:
    pool: Pool
    clock: Clock

    async def begin(self) -> bool:
        """Begin campaigns for payments that failed. True if there may be more."""
        async with self.pool.acquire() as conn:
            due = await dunning.to_begin(conn, CHUNK)
        for tenant_id, payment_id in due:
            async with self.pool.acquire() as conn, conn.transaction():
                await self._begin(conn, tenant_id, payment_id)
        return len(due) == CHUNK

    async def _begin(self, conn: Conn, tenant_id: str, payment_id: str) -> None:
        payment = await payments.lock(conn, tenant_id, payment_id)
        policy = await dunning.find_policy(conn, tenant_id, payment.segment) if payment else None
        if payment is None or policy is None or payment.state not in DUNNED:
            return
        now = self.clock()
        campaign = Campaign(
            tenant_id=tenant_id,
            id=new_id("dun", now),
            payment_id=payment_id,
            invoice_id=payment.invoice_id,
            state=CampaignState.ACTIVE,
            final_action=policy.final_action,
            start_time=now,
            end_time=None,
            revision=0,
            final_plan_code=policy.final_plan_code,
        )
        if await dunning.insert(conn, campaign, plan(policy, now)):
            await dunning.tell(conn, campaign, "dunning.begun", now)
            log.info("dunning begun", tenant=tenant_id, payment=payment_id, campaign=campaign.id)

    async def go_on(self, claimed: Campaign) -> None:
        """Do the steps of a claimed campaign that are due."""
        async with self.pool.acquire() as conn, conn.transaction():
            payment = await payments.lock(conn, claimed.tenant_id, claimed.payment_id)
            campaign = await dunning.lock(conn, claimed.tenant_id, claimed.id)
            if payment is None or campaign is None or campaign.state is not CampaignState.ACTIVE:
                return
            now = self.clock()
            steps = await dunning.steps_of(conn, campaign.tenant_id, campaign.id)
            waiting = [step for step in steps if step.state is StepState.WAITING]
            due_time = await self._do(conn, payment, campaign, waiting, now)
            if due_time is not None:
                await dunning.set_due_time(conn, campaign, due_time)

    async def _do(
        self, conn: Conn, payment: Payment, campaign: Campaign, waiting: list[Step], now: datetime
    ) -> datetime | None:
        """When the campaign is due next; None at its end."""
        last_reminder = max((step.position for step in waiting if _is_due_reminder(step, now)), default=0)
        for step in waiting:
            if step.due_time > now:
                return step.due_time
            match step.kind:
                case StepKind.REMIND if step.position < last_reminder:
                    await _skip(conn, campaign, step, "a later reminder is due too")
                case StepKind.REMIND:
                    await self._remind(conn, campaign, step, now)
                case StepKind.RETRY:
                    if problem := await _obstacle(conn, payment, now):
                        await _skip(conn, campaign, step, problem)
                        continue
                    await payments.set_state(conn, payment, PaymentState.PENDING, now, due_time=now)
                    await dunning.conclude_step(conn, campaign, replace(step, state=StepState.DONE))
                    return now + RETRY_GRACE
                case StepKind.FINAL:
                    if payment.state not in DUNNED:
                        return now + OUTCOME_GRACE
                    await dunning.conclude_step(conn, campaign, replace(step, state=StepState.DONE))
                    await dunning.exhaust(conn, campaign, now)
                    await dunning.tell(conn, campaign, "dunning.exhausted", now)
        return None

    async def _remind(self, conn: Conn, campaign: Campaign, step: Step, now: datetime) -> None:
        message = Message(
            tenant_id=campaign.tenant_id,
            id=new_id("msg", now),
            payment_id=campaign.payment_id,
            campaign_id=campaign.id,
            subject=step.subject,
            body=step.body,
            tries=0,
            create_time=now,
        )
        await messages.insert(conn, message)
        await dunning.tell(conn, campaign, "dunning.reminder", now)
        await dunning.conclude_step(conn, campaign, replace(step, state=StepState.DONE, note=message.id))


async def _obstacle(conn: Conn, payment: Payment, now: datetime) -> str:
    """Why the locked payment is not charged again now, or ""."""
    if payment.state is not PaymentState.FAILED:
        return f"the payment is {payment.state}"
    method, wait = await routing.foreseen(conn, payment, now)
    if method is None:
        return "the customer has no method"
    if wait is not None and wait.until - now > LONGEST_WAIT:
        return wait.reason
    last = await attempts.find_last(conn, payment.tenant_id, payment.id)
    account = await accounts.find(conn, payment.tenant_id, method.processor_account_id)
    assert account is not None, "methods name their account by a foreign key"
    return obstacle(last, account.processor, method.id)


async def _skip(conn: Conn, campaign: Campaign, step: Step, note: str) -> None:
    await dunning.conclude_step(conn, campaign, replace(step, state=StepState.SKIPPED, note=note))


def _is_due_reminder(step: Step, now: datetime) -> bool:
    return step.kind is StepKind.REMIND and step.due_time <= now

"""The story of a payment that fails: a card without funds, tries and reminders over a week, and the end."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC

from cli.connection import Connection
from cli.demo import month, paying
from cli.demo.story import Story, Told
from cli.errors import CliError
from cli.output import state
from libs.common.clock import system_clock
from weir.invoicing.v1.invoicing_pb2 import GetInvoiceRequest, GetSubscriptionRequest, Invoice
from weir.payments.v1.dunning_clock_pb2 import PassDunningTimeRequest
from weir.payments.v1.dunning_pb2 import (
    DunningCampaign,
    DunningPolicy,
    DunningReminder,
    DunningStep,
    GetDunningCampaignRequest,
    ListDunningCampaignsRequest,
    SetDunningPolicyRequest,
)
from weir.payments.v1.payments_pb2 import ListPaymentsRequest, Payment, PaymentAttempt

CUSTOMER = "customer-3"
CARD = "pm_card_chargeCustomerFail"
POLICY = DunningPolicy(  # one thing a day, as a retry has an hour before the next
    retry_days=[1, 3, 5],
    reminders=[DunningReminder(day=0), DunningReminder(day=2), DunningReminder(day=6)],
    final_day=7,
    final_action=DunningPolicy.FINAL_ACTION_CANCEL,
)
DAY_HOURS = 24
LAST_DAY = 9
SETTLED = (Payment.STATE_FAILED, Payment.STATE_REQUIRES_ACTION, Payment.STATE_AWAITING_METHOD)


async def prepare(services: Connection) -> None:
    """The customer, beside those of the month, and the policy."""
    await services.dunning.SetDunningPolicy(
        SetDunningPolicyRequest(request_id=str(uuid.uuid4()), dunning_policy=POLICY)
    )
    await month.subscribe(services, CUSTOMER)
    await paying.save_method(services, CUSTOMER, "stripe", str(uuid.uuid4()), CARD)


async def tell(services: Connection) -> Story:
    """Days pass until the campaign has ended."""
    campaign = await _campaign(services)
    for _ in range(LAST_DAY):
        await _wait_until_quiet(services, campaign)
        campaign = await _read(services, campaign.id)
        if campaign.state != DunningCampaign.STATE_ACTIVE:
            break
        await services.dunning_clock.PassDunningTime(
            PassDunningTimeRequest(request_id=str(uuid.uuid4()), hours=DAY_HOURS)
        )
    payment = await _payment(services)
    return Story(
        customer=CUSTOMER,
        events=tuple(_events(campaign, payment)),
        campaign=state(DunningCampaign.State, campaign.state),
        invoice=await _invoice(services, campaign.invoice_id),
        subscription=await _subscription(services),
    )


def _events(campaign: DunningCampaign, payment: Payment) -> list[Told]:
    """The attempts belong to the first failure and to the retries that were done, in order."""
    declines = iter([each.decline_code for each in payment.attempts if each.state == PaymentAttempt.STATE_DECLINED])
    events = [Told(0, "charged", f"declined: {next(declines, '')}")]
    for step in campaign.steps:
        day = round((step.due_time.seconds - campaign.start_time.seconds) / 86_400)
        match step.kind, step.state:
            case DunningStep.KIND_RETRY, DunningStep.STATE_DONE:
                events.append(Told(day, "charged again", f"declined: {next(declines, '')}"))
            case DunningStep.KIND_FINAL, DunningStep.STATE_DONE:
                action = state(DunningPolicy.FinalAction, campaign.final_action)
                events.append(Told(day, "the end", f"final action: {action}"))
            case kind, done:
                outcome = step.note if done == DunningStep.STATE_SKIPPED else state(DunningStep.State, done)
                events.append(Told(day, state(DunningStep.Kind, kind), outcome))
    return events


async def _campaign(services: Connection) -> DunningCampaign:
    """The customer's, once it has begun."""
    async with _patience("no dunning began"):
        while True:
            found = (await services.dunning.ListDunningCampaigns(ListDunningCampaignsRequest())).dunning_campaigns
            if found:
                return await _read(services, found[0].id)
            await asyncio.sleep(month.POLL_SECONDS)


async def _read(services: Connection, campaign_id: str) -> DunningCampaign:
    return (await services.dunning.GetDunningCampaign(GetDunningCampaignRequest(id=campaign_id))).dunning_campaign


async def _payment(services: Connection) -> Payment:
    return (await services.payments.ListPayments(ListPaymentsRequest(customer_id=CUSTOMER))).payments[0]


async def _wait_until_quiet(services: Connection, campaign: DunningCampaign) -> None:
    """Until all that has fallen due is done, and the payment is settled for now."""
    async with _patience("dunning does not go on"):
        while True:
            if not _is_due(await _read(services, campaign.id)) and (await _payment(services)).state in SETTLED:
                return
            await asyncio.sleep(month.POLL_SECONDS)


def _is_due(campaign: DunningCampaign) -> bool:
    """Whether something happens now."""
    waiting = [step for step in campaign.steps if step.state == DunningStep.STATE_WAITING]
    return any(step.due_time.ToDatetime(UTC) <= system_clock() for step in waiting)


async def _invoice(services: Connection, invoice_id: str) -> str:
    """As it is when the last decline has reached it."""
    async with _patience("the invoice does not know that its payment failed"):
        while True:
            invoice = (await services.invoicing.GetInvoice(GetInvoiceRequest(id=invoice_id))).invoice
            if invoice.payment_status != Invoice.PAYMENT_STATUS_PENDING:
                told = state(Invoice.PaymentStatus, invoice.payment_status)
                return f"{state(Invoice.State, invoice.state)}, its payment {told}"
            await asyncio.sleep(month.POLL_SECONDS)


async def _subscription(services: Connection) -> str:
    """As it is when the final action has reached it."""
    request = GetSubscriptionRequest(id=CUSTOMER)
    async with _patience("the subscription was not canceled"):
        while True:
            subscription = (await services.invoicing.GetSubscription(request)).subscription
            if subscription.HasField("end_time"):
                return f"ends {subscription.end_time.ToDatetime(UTC):%Y-%m-%d}"
            await asyncio.sleep(month.POLL_SECONDS)


@asynccontextmanager
async def _patience(complaint: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(month.WAIT_SECONDS):
            yield
    except TimeoutError:
        raise CliError(f"gave up after {month.WAIT_SECONDS:.0f} s: {complaint}") from None

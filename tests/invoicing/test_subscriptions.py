"""Subscriptions on the anniversary, and their ends."""

import asyncio
import uuid

import pytest

from libs.common.errors import BillingError, Conflict, FailedPrecondition, NotFound
from libs.common.wire import timestamp_out
from tests.invoicing.world import TOKENS, Tenant, World, new_request_id, utc
from weir.invoicing.v1 import invoicing_pb2
from weir.pricing.v1 import pricing_pb2

Subscription = invoicing_pb2.Subscription


async def begin(
    acme: Tenant, start: str, billing_time: "Subscription.BillingTime.ValueType" = 0, now: str = ""
) -> None:
    await acme.meter("tokens", "tokens")
    await acme.start_clock(now or start)
    await acme.plan("pro", TOKENS, base_fee=3100)
    await acme.customer("globex")
    made = Subscription(
        id="globex-1",
        customer_id="globex",
        plan_code="pro",
        start_time=timestamp_out(utc(start)),
        billing_time=billing_time,
    )
    request = invoicing_pb2.CreateSubscriptionRequest(request_id=new_request_id(), subscription=made)
    await acme.invoicing.CreateSubscription(request)


@pytest.mark.parametrize(
    ("version", "outcome"),
    [(0, 2), (1, 1), (2, 2), (3, "PLAN_NOT_ACTIVE"), (4, "PLAN_VERSION_NOT_FOUND"), (-1, "VERSION_NOT_POSITIVE")],
)
async def test_a_subscription_begins_on_the_version_that_is_asked_for(
    acme: Tenant, version: int, outcome: int | str
) -> None:
    """The third is a draft."""
    await begin(acme, "2024-01-01")
    for number in (2, 3):
        made = pricing_pb2.PlanVersion(currency_code="USD")
        made.billing_interval = pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY
        asked = pricing_pb2.CreatePlanVersionRequest(
            request_id=new_request_id(), plan_code="pro", base_version=number - 1, version=made, as_draft=number == 3
        )
        await acme.pricing.CreatePlanVersion(asked)
    second = Subscription(id="second", customer_id="globex", plan_code="pro", plan_version=version)
    second.start_time.FromJsonString("2024-01-01T00:00:00Z")
    request = invoicing_pb2.CreateSubscriptionRequest(request_id=new_request_id(), subscription=second)
    if isinstance(outcome, int):
        assert (await acme.invoicing.CreateSubscription(request)).subscription.plan_version == outcome
        return
    with pytest.raises(BillingError) as refused:
        await acme.invoicing.CreateSubscription(request)
    assert refused.value.reason == outcome


def ending(at: str = "", **more: str) -> invoicing_pb2.TerminateSubscriptionRequest:
    request = invoicing_pb2.TerminateSubscriptionRequest(**{"request_id": new_request_id(), "id": "globex-1"} | more)
    if at:
        request.end_time.CopyFrom(timestamp_out(utc(at)))
    return request


async def end(acme: Tenant, at: str = "") -> Subscription:
    return (await acme.invoicing.TerminateSubscription(ending(at))).subscription


async def bill_until(world: World, acme: Tenant, to: str) -> list[invoicing_pb2.Invoice]:
    """Every invoice, by its period."""
    await acme.advance(to)
    await world.bill()
    return sorted(await acme.invoices(), key=period)


def period(message: invoicing_pb2.Invoice) -> tuple[str, str]:
    return message.period.start_time.ToJsonString()[:10], message.period.end_time.ToJsonString()[:10]


async def test_an_anniversary_month_begins_on_the_day_of_the_start_and_returns_to_it(
    world: World, acme: Tenant
) -> None:
    await begin(acme, "2024-01-31", Subscription.BILLING_TIME_ANNIVERSARY)
    invoices = await bill_until(world, acme, "2024-05-01")
    assert [period(each) for each in invoices] == [
        ("2024-01-31", "2024-02-29"),
        ("2024-02-29", "2024-03-31"),
        ("2024-03-31", "2024-04-30"),
    ]
    assert [each.lines[0].amount.minor_units for each in invoices] == [3100, 3100, 3100]


async def test_of_an_ended_subscription_the_days_up_to_the_end_are_billed_and_the_usage_before_it(
    world: World, acme: Tenant
) -> None:
    await begin(acme, "2024-01-01")
    await acme.events("globex-1", 3, at="2024-01-10T11:59:59", prefix="before")
    await acme.events("globex-1", 5, at="2024-01-10T12:00:00", prefix="after")
    assert (await end(acme, "2024-01-10T12:00:00")).state == Subscription.STATE_ACTIVE
    [invoice] = await bill_until(world, acme, "2024-04-01")
    base, tokens = invoice.lines
    assert (base.proration.days, base.proration.period_days, base.amount.minor_units) == (10, 31, 1000)
    assert tokens.rating.quantity == "3000"
    assert period(invoice) == ("2024-01-01", "2024-01-10")
    found = await acme.invoicing.GetSubscription(invoicing_pb2.GetSubscriptionRequest(id="globex-1"))
    assert found.subscription.state == Subscription.STATE_TERMINATED
    for line in invoice.lines:
        request = invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_number=line.number)
        assert (await acme.invoicing.ExplainLine(request)).reproduced


async def test_without_a_time_it_ends_now_and_is_billed_at_once(world: World, acme: Tenant) -> None:
    await begin(acme, "2024-01-01")
    await acme.advance("2024-01-20T08:00:00")
    assert (await end(acme)).end_time == timestamp_out(utc("2024-01-20T08:00:00"))
    await world.bill()
    [invoice] = await acme.invoices()
    assert invoice.lines[0].proration.days == 20


async def test_an_end_in_the_future_may_be_moved_until_it_is_billed(world: World, acme: Tenant) -> None:
    await begin(acme, "2024-01-01")
    await end(acme, "2024-02-10")
    await end(acme, "2024-03-15")
    invoices = await bill_until(world, acme, "2024-03-01")
    assert [period(each) for each in invoices] == [("2024-01-01", "2024-02-01"), ("2024-02-01", "2024-03-01")]
    [*_, last] = await bill_until(world, acme, "2024-06-01")
    assert (period(last), last.lines[0].proration.days) == (("2024-03-01", "2024-03-15"), 14)
    with pytest.raises(FailedPrecondition) as closed:
        await end(acme, "2024-05-01")
    assert closed.value.reason == "SUBSCRIPTION_CLOSED"
    assert len(await acme.invoices()) == 3


async def test_what_is_billed_stays_billed(world: World, acme: Tenant) -> None:
    await begin(acme, "2024-01-01")
    await bill_until(world, acme, "2024-02-15")
    with pytest.raises(FailedPrecondition) as refused:
        await end(acme, "2024-01-31")
    assert refused.value.reason == "PERIOD_BILLED"


async def test_a_subscription_that_ends_before_it_begins_owes_nothing(world: World, acme: Tenant) -> None:
    await begin(acme, "2024-03-01", now="2024-01-01")
    assert (await end(acme, "2024-03-01")).state == Subscription.STATE_TERMINATED
    assert await bill_until(world, acme, "2024-06-01") == []


async def test_ending_is_done_once_however_often_it_is_asked(world: World, acme: Tenant) -> None:
    await begin(acme, "2024-01-01")
    request = ending("2024-01-15")
    first = await acme.invoicing.TerminateSubscription(request)
    await bill_until(world, acme, "2024-03-01")
    again = await acme.invoicing.TerminateSubscription(request)
    assert again.subscription.end_time == first.subscription.end_time
    with pytest.raises(Conflict) as reused:
        await acme.invoicing.TerminateSubscription(ending("2024-01-16", request_id=request.request_id))
    assert reused.value.reason == "REQUEST_ID_REUSED"
    with pytest.raises(NotFound):
        await acme.invoicing.TerminateSubscription(ending(id="nobody", request_id=str(uuid.uuid4())))


async def test_billing_and_ending_at_once_bill_every_day_once(world: World, acme: Tenant) -> None:
    """Whichever comes first, the invoices tile the time up to the end."""
    await begin(acme, "2024-01-01")
    await acme.advance("2024-02-20")
    await asyncio.gather(world.bill(), end(acme, "2024-02-10"))
    invoices = await bill_until(world, acme, "2024-05-01")
    assert [period(each) for each in invoices] == [("2024-01-01", "2024-02-01"), ("2024-02-01", "2024-02-10")]


async def preview(acme: Tenant) -> invoicing_pb2.Invoice:
    request = invoicing_pb2.PreviewInvoiceRequest(subscription_id="globex-1")
    return (await acme.invoicing.PreviewInvoice(request)).invoice


async def test_a_preview_is_what_the_invoice_will_be_and_writes_nothing(world: World, acme: Tenant) -> None:
    await begin(acme, "2024-01-10")
    assert [line.code for line in (await preview(acme)).lines] == ["base"]
    await acme.events("globex-1", 7, at="2024-01-20")
    foreseen = await preview(acme)
    assert (foreseen.id, foreseen.number, foreseen.state) == ("", "", invoicing_pb2.Invoice.STATE_DRAFT)
    assert await acme.invoices() == []
    [invoice] = await bill_until(world, acme, "2024-02-01")
    assert (foreseen.total, list(foreseen.lines)) == (invoice.total, list(invoice.lines))
    assert [line.code for line in (await preview(acme)).lines] == ["base"]


async def test_there_is_no_preview_of_what_is_over(world: World, acme: Tenant) -> None:
    await begin(acme, "2024-01-10")
    await end(acme, "2024-01-20")
    assert (await preview(acme)).lines[0].proration.days == 10
    await bill_until(world, acme, "2024-02-01")
    with pytest.raises(FailedPrecondition) as refused:
        await preview(acme)
    assert refused.value.reason == "SUBSCRIPTION_CLOSED"


async def test_an_invoice_is_replayed_to_the_cent_and_a_wrong_one_is_told(world: World, acme: Tenant) -> None:
    await begin(acme, "2024-01-10")
    await acme.events("globex-1", 7, at="2024-01-20")
    [invoice] = await bill_until(world, acme, "2024-02-01")
    request = invoicing_pb2.ReplayInvoiceRequest(id=invoice.id)
    replayed = await acme.invoicing.ReplayInvoice(request)
    assert replayed.reproduced
    assert (replayed.recomputed_total, list(replayed.differences)) == (invoice.total, [])
    async with world.database() as conn:
        await conn.execute("ALTER TABLE invoice_line DISABLE TRIGGER USER")
        await conn.execute("UPDATE invoice_line SET amount_minor = amount_minor + 1 WHERE code = 'base'")
    replayed = await acme.invoicing.ReplayInvoice(request)
    assert not replayed.reproduced
    [difference] = replayed.differences
    assert (difference.line.code, difference.recomputed_amount) == ("base", invoice.lines[0].amount)

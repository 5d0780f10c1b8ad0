"""Subscriptions that wait for their first payment."""

import pytest
from google.protobuf.duration_pb2 import Duration

from libs.common.errors import FailedPrecondition, InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_out, timestamp_out
from tests.invoicing.test_lines import amounts
from tests.invoicing.world import TOKENS, Tenant, World, new_request_id, utc
from weir.invoicing.v1 import invoicing_pb2
from weir.invoicing.v1.activation_pb2 import Activation
from weir.invoicing.v1.invoicing_pb2 import Invoice, Subscription

DAY = 24 * 60 * 60


async def subscribe(acme: Tenant, seconds: int = DAY, plan: str = "p", start: str = "2023-11-01") -> Subscription:
    made = Subscription(
        id="s",
        customer_id="globex",
        plan_code=plan,
        start_time=timestamp_out(utc(start)),
        activation=Activation(payment_timeout=Duration(seconds=seconds)),
    )
    request = invoicing_pb2.CreateSubscriptionRequest(request_id=new_request_id(), subscription=made)
    return (await acme.invoicing.CreateSubscription(request)).subscription


async def begin(acme: Tenant, grace: int = 0) -> None:
    await acme.meter("tokens", "tokens")
    await acme.start_clock("2023-11-01")
    customer = invoicing_pb2.Customer(id="globex", name="Globex", grace_period_days=grace)
    await acme.invoicing.CreateCustomer(
        invoicing_pb2.CreateCustomerRequest(request_id=new_request_id(), customer=customer)
    )
    await acme.plan("p", TOKENS, base_fee=3000, in_advance=True)


async def reread(acme: Tenant) -> Subscription:
    return (await acme.invoicing.GetSubscription(invoicing_pb2.GetSubscriptionRequest(id="s"))).subscription


async def pay(world: World, invoice: Invoice, status: "Invoice.PaymentStatus.ValueType", minor_units: int) -> None:
    request = invoicing_pb2.RecordPaymentRequest(
        invoice_id=invoice.id,
        payment_id="pay",
        revision=1,
        payment_status=status,
        amount_paid=money_out(Money(minor_units, "USD")),
    )
    await world.tenant("acme", "internal").invoicing.RecordPayment(request)


async def test_a_paid_subscription_is_active_from_its_start(world: World, acme: Tenant) -> None:
    await begin(acme)
    made = await subscribe(acme)
    assert made.state == Subscription.STATE_INCOMPLETE
    assert made.activation.expire_time == timestamp_out(utc("2023-11-02"))
    await acme.events("s", 1, "2023-11-01T01:00", "2000000")
    await world.bill()
    [opening] = await acme.invoices()
    assert (amounts(opening), opening.state) == ([("Base fee", 3000)], Invoice.STATE_FINALIZED)
    assert (await reread(acme)).state == Subscription.STATE_INCOMPLETE
    await pay(world, opening, Invoice.PAYMENT_STATUS_SUCCEEDED, 3000)
    await world.bill()
    assert (await reread(acme)).state == Subscription.STATE_ACTIVE
    await acme.advance("2023-12-01")
    await world.bill()
    invoices = await acme.invoices()
    assert [amounts(each) for each in invoices] == [
        [("Base fee", 3000)],
        [("Base fee", 3000), ("Tokens", 450)],
    ]
    assert (await reread(acme)).state == Subscription.STATE_ACTIVE


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (None, Activation.CANCEL_REASON_TIMEOUT),
        (Invoice.PAYMENT_STATUS_FAILED, Activation.CANCEL_REASON_PAYMENT_FAILED),
    ],
)
async def test_an_unpaid_subscription_is_canceled_and_its_invoice_is_void(
    world: World,
    acme: Tenant,
    status: "Invoice.PaymentStatus.ValueType | None",
    reason: "Activation.CancelReason.ValueType",
) -> None:
    """A failed try to collect is not the end before time is up; the clock stops when it is."""
    await begin(acme)
    await subscribe(acme)
    await acme.events("s", 1, "2023-11-01T01:00", "2000000")
    await world.bill()
    [opening] = await acme.invoices()
    if status is not None:
        await pay(world, opening, status, 0)
        await world.bill()
        assert (await reread(acme)).state == Subscription.STATE_INCOMPLETE
    run = await acme.advance("2024-02-01")
    await world.bill()
    found = await reread(acme)
    assert (found.state, found.activation.cancel_reason) == (Subscription.STATE_CANCELED, reason)
    assert [each.state for each in await acme.invoices()] == [Invoice.STATE_VOIDED]
    done = await acme.run(run)
    assert (done.state, list(done.failures)) == (done.STATE_COMPLETED, [])
    await pay(world, opening, Invoice.PAYMENT_STATUS_SUCCEEDED, 3000)
    await world.bill()
    assert (await reread(acme)).state == Subscription.STATE_CANCELED


async def test_an_invoice_of_its_own_is_voided_and_no_others(world: World, acme: Tenant) -> None:
    await begin(acme)
    await acme.subscribe("other", "globex", "p", "2023-11-01", alone=False)
    await subscribe(acme)
    await acme.advance("2023-11-03")
    await world.bill()
    states = {each.settlements[0].source.subscription_id: each.state for each in await acme.invoices()}
    assert states == {"other": Invoice.STATE_FINALIZED, "s": Invoice.STATE_VOIDED}


async def test_time_is_up_when_the_first_period_ends(world: World, acme: Tenant) -> None:
    """What is recorded in it is never billed without the payment, even where both fall due at once."""
    await begin(acme)
    made = await subscribe(acme, 31 * DAY, start="2023-11-20")
    assert made.activation.expire_time == timestamp_out(utc("2023-12-01"))
    await acme.events("s", 1, "2023-11-21", "2000000")
    await acme.advance("2024-01-01")
    await world.bill()
    assert (await reread(acme)).state == Subscription.STATE_CANCELED
    assert [each.state for each in await acme.invoices()] == [Invoice.STATE_VOIDED]


async def test_an_invoice_whose_payment_is_waited_for_has_no_grace_period(world: World, acme: Tenant) -> None:
    await begin(acme, grace=5)
    await subscribe(acme)
    await world.bill()
    assert [each.state for each in await acme.invoices()] == [Invoice.STATE_FINALIZED]


async def test_what_waits_for_its_payment_is_not_changed(world: World, acme: Tenant) -> None:
    await begin(acme)
    await subscribe(acme)
    with pytest.raises(FailedPrecondition) as refused:
        await acme.invoicing.TerminateSubscription(
            invoicing_pb2.TerminateSubscriptionRequest(request_id=new_request_id(), id="s")
        )
    assert refused.value.reason == "SUBSCRIPTION_INCOMPLETE"


async def test_only_what_is_charged_at_the_start_can_be_waited_for(world: World, acme: Tenant) -> None:
    await begin(acme)
    await acme.plan("arrears", base_fee=3000)
    await acme.plan("trial", base_fee=3000, in_advance=True, trial_days=3)
    for plan, start, reason in (
        ("arrears", "2023-11-01", "ACTIVATION_WITHOUT_INVOICE"),
        ("trial", "2023-11-01", "ACTIVATION_WITHOUT_INVOICE"),
        ("p", "2023-10-01", "ACTIVATION_TOO_LATE"),
    ):
        with pytest.raises(FailedPrecondition) as refused:
            await subscribe(acme, plan=plan, start=start)
        assert refused.value.reason == reason
    for seconds in (0, -1, 31 * DAY + 1):
        with pytest.raises(InvalidArgument) as wrong:
            await subscribe(acme, seconds)
        assert (wrong.value.field, wrong.value.reason) == (
            "subscription.activation.payment_timeout",
            "DURATION_OUT_OF_RANGE",
        )

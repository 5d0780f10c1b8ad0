"""Pages on which customers pay, at all three processors: never twice, whatever else is tried."""

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from libs.common.errors import Conflict, FailedPrecondition, NotFound
from libs.common.money import Money
from libs.common.rpc.client import channel, credential
from libs.common.wire import money_out
from tests.payments.shop import Deployment, eventually, new_request_id, states
from tests.payments.test_three_processors import Store
from tests.payments.till import CONNECTIONS, WAYS
from weir.payments.v1 import payment_pages_pb2 as pb
from weir.payments.v1 import payments_pb2
from weir.payments.v1.payment_pages_pb2_grpc import PaymentPageServiceStub
from weir.payments.v1.payments_pb2_grpc import PaymentsServiceStub

if TYPE_CHECKING:
    from weir.payments.v1.payment_pages_pb2_grpc import PaymentPageServiceAsyncStub

EACH = pytest.mark.parametrize("processor_name", list(CONNECTIONS))
OPEN, PAID, CLOSED = pb.PaymentPage.STATE_OPEN, pb.PaymentPage.STATE_PAID, pb.PaymentPage.STATE_CLOSED


class Counter(Store):
    """A shop whose customers pay by hand."""

    @property
    def pages(self) -> "PaymentPageServiceAsyncStub":
        return PaymentPageServiceStub(self.deployment.channel(self.tenant_id))

    async def billed(self, processor: str) -> payments_pb2.Payment:
        """An invoice of somebody who has no method."""
        await self.connect(processor)
        self.secret_key = self.credentials.get("secret_key", "")
        return await self.bill(currency=WAYS[processor].currency)

    async def page(self, request_id: str = "", **changes: str) -> pb.PaymentPage:
        asked = {
            "request_id": request_id or new_request_id(),
            "invoice_id": "inv_1",
            "processor_account_id": self.account_id,
            "return_url": "https://shop.example/back",
        }
        return (await self.pages.CreatePaymentPage(pb.CreatePaymentPageRequest(**(asked | changes)))).payment_page

    async def state(self, page: pb.PaymentPage) -> int:
        return (await self.pages.GetPaymentPage(pb.GetPaymentPageRequest(id=page.id))).payment_page.state

    async def close(self, page: pb.PaymentPage) -> int:
        return (await self.pages.ClosePaymentPage(pb.ClosePaymentPageRequest(id=page.id))).payment_page.state

    async def pick(self, page: pb.PaymentPage, choice: str) -> int:
        """What a customer does there; the status of the answer."""
        async with httpx.AsyncClient(trust_env=False) as browser:
            return (await browser.post(page.url, json={"method": choice})).status_code

    async def is_paid(self, payment_id: str) -> bool:
        await self.sweeps.events()
        return (await self.payment(payment_id)).state == payments_pb2.Payment.STATE_SUCCEEDED

    async def has_heard_of_a_decline(self) -> bool:
        await self.sweeps.events()
        kinds = [event["type"] for event in await self.events() if event["state"] == "PROCESSED"]
        return "payment_intent.payment_failed" in kinds

    async def receipts_minor(self) -> list[int]:
        return [row["minor_units"] for row in await self.deployment.rows("SELECT minor_units FROM receipt")]


@pytest.fixture
def counter(deployment: Deployment) -> Counter:
    return Counter(deployment)


@EACH
async def test_a_customer_pays_on_a_page_and_the_payment_is_paid_once(counter: Counter, processor_name: str) -> None:
    payment = await counter.billed(processor_name)
    request_id = new_request_id()
    page = await counter.page(request_id)
    again = await counter.page(request_id)
    assert (again.id, again.state) == (page.id, OPEN)
    assert states(await counter.payment(payment.id)) == ("AWAITING_METHOD", ["REQUIRES_ACTION"])
    assert await counter.pick(page, WAYS[processor_name].good) < 400
    await eventually(lambda: counter.is_paid(payment.id))
    assert await counter.state(page) == PAID
    assert await counter.close(page) == PAID
    assert await counter.receipts_minor() == [3898]
    paid = await counter.payment(payment.id)
    assert paid.attempts[0].processor_reference
    with pytest.raises(FailedPrecondition) as refused:
        await counter.page()
    assert refused.value.reason == "PAYMENT_NOT_PAYABLE"


@EACH
async def test_a_page_that_is_closed_takes_nothing_and_another_one_can_be_made(
    counter: Counter, processor_name: str
) -> None:
    payment = await counter.billed(processor_name)
    first = await counter.page()
    assert [await counter.close(first) for _ in range(2)] == [CLOSED, CLOSED]
    assert await counter.pick(first, WAYS[processor_name].good) == 404
    second, third = await counter.page(), await counter.page()
    assert await counter.state(second) == CLOSED, "a new page ends the one before"
    assert await counter.pick(second, WAYS[processor_name].good) == 404
    assert await counter.pick(third, WAYS[processor_name].good) < 400
    await eventually(lambda: counter.is_paid(payment.id))
    assert await counter.receipts_minor() == [3898]


@EACH
async def test_money_by_hand_and_a_page_do_not_both_pay(counter: Counter, processor_name: str) -> None:
    """The customer pays on the page, and before anybody has heard of it a transfer is recorded."""
    payment = await counter.billed(processor_name)
    counter.deployment.sandbox.post("/_sandbox/webhooks/pause")
    page = await counter.page()
    assert await counter.pick(page, WAYS[processor_name].good) < 400
    with pytest.raises(FailedPrecondition) as refused:
        await counter.receive(3898, currency=WAYS[processor_name].currency)
    assert refused.value.reason == "PAYMENT_UNDER_WAY"
    counter.deployment.sandbox.post("/_sandbox/webhooks/resume")
    await eventually(lambda: counter.is_paid(payment.id))
    assert await counter.receipts_minor() == [3898]


async def test_a_card_that_is_saved_while_a_page_is_open_closes_it_before_it_is_charged(counter: Counter) -> None:
    payment = await counter.billed("stripe")
    page = await counter.page()
    await counter.save()
    await counter.sweeps.charge()
    assert states(await counter.payment(payment.id)) == ("SUCCEEDED", ["DECLINED", "SUCCEEDED"])
    assert await counter.pick(page, "pm_card_visa") == 404
    assert len(counter.charges()) == 1


async def test_a_charge_that_waits_for_the_customer_is_handed_over_to_a_page(counter: Counter) -> None:
    payment = await counter.billed("stripe")
    await counter.save("pm_card_authenticationRequired")
    await counter.sweeps.charge()
    assert states(await counter.payment(payment.id)) == ("REQUIRES_ACTION", ["REQUIRES_ACTION"])
    page = await counter.page()
    assert states(await counter.payment(payment.id))[1] == ["DECLINED", "REQUIRES_ACTION"]
    assert await counter.pick(page, "pm_card_visa") < 400
    await eventually(lambda: counter.is_paid(payment.id))
    assert len(counter.charges()) == 1


@EACH
async def test_a_page_that_nobody_pays_on_ends_by_itself(counter: Counter, processor_name: str) -> None:
    payment = await counter.billed(processor_name)
    page = await counter.page()
    await counter.later(timedelta(hours=1)).resolve()
    assert await counter.state(page) == OPEN
    await counter.later(timedelta(hours=23)).resolve()
    assert await counter.state(page) == CLOSED
    assert states(await counter.payment(payment.id)) == ("AWAITING_METHOD", ["DECLINED"])


async def test_a_card_that_is_declined_on_a_page_can_be_replaced_there(counter: Counter) -> None:
    payment = await counter.billed("stripe")
    page = await counter.page()
    await counter.pick(page, "pm_card_chargeDeclinedInsufficientFunds")
    await eventually(counter.has_heard_of_a_decline)
    assert states(await counter.payment(payment.id)) == ("AWAITING_METHOD", ["REQUIRES_ACTION"])
    assert await counter.pick(page, "pm_card_visa") < 400
    await eventually(lambda: counter.is_paid(payment.id))
    assert await counter.receipts_minor() == [3898]


async def take_back(counter: Counter) -> None:
    request = payments_pb2.CancelPaymentRequest(
        invoice_id="inv_1",
        invoice_number="WEIR-inv_1",
        customer_id="ada",
        amount=money_out(Money(3898, "EUR")),
        version=1,
    )
    metadata = credential(counter.deployment.keys.issuer.internal_key(counter.tenant_id))
    async with channel(f"127.0.0.1:{counter.deployment.ports.rpc}") as opened:
        await PaymentsServiceStub(opened).CancelPayment(request, metadata=metadata)


async def test_an_invoice_that_is_taken_back_closes_its_page(counter: Counter) -> None:
    await counter.billed("stripe")
    page = await counter.page()
    await take_back(counter)
    assert await counter.state(page) == CLOSED
    assert await counter.pick(page, "pm_card_visa") == 404


async def test_a_processor_that_does_not_answer_is_asked_again_for_the_same_page(counter: Counter) -> None:
    payment = await counter.billed("stripe")
    counter.deployment.fault("drop_after_commit", "/v1/checkout/sessions", times=3)
    page = await counter.page()  # the client repeats what is answered with UNAVAILABLE
    assert len((await counter.payment(payment.id)).attempts) == 1
    assert await counter.pick(page, "pm_card_visa") < 400
    await eventually(lambda: counter.is_paid(payment.id))


async def test_what_is_asked_wrongly_is_refused(counter: Counter) -> None:
    await counter.billed("gocardless")
    request_id = new_request_id()
    await counter.page(request_id)
    with pytest.raises(Conflict):
        await counter.page(request_id, return_url="https://elsewhere.example")
    with pytest.raises(NotFound):
        await counter.page(invoice_id="inv_nobody")
    with pytest.raises(NotFound):
        await counter.page(processor_account_id="nowhere")
    await counter.bill("inv_chf", currency="CHF", customer_id="bob")
    with pytest.raises(FailedPrecondition) as refused:
        await counter.page(invoice_id="inv_chf")
    assert refused.value.reason == "PAYMENT_PAGE_REFUSED"
    stranger = Counter(counter.deployment, tenant_id="initech")
    with pytest.raises(NotFound):
        await stranger.pages.GetPaymentPage(pb.GetPaymentPageRequest(id=str(uuid.uuid4())))

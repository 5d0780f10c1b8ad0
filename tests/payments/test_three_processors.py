"""The service with accounts at all three processors: connected, paid through, rotated, forged."""

import base64
import hashlib
import hmac
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from libs.common.rpc.client import channel
from services.payments import accounts
from tests.payments.shop import Deployment, Shop, eventually, new_request_id, states
from tests.payments.till import CONNECTIONS, WAYS, credentials_at
from weir.payments.v1 import payments_pb2 as pb
from weir.payments.v1 import processors_pb2
from weir.payments.v1.processors_pb2_grpc import ProcessorServiceStub

if TYPE_CHECKING:
    from weir.payments.v1.processors_pb2_grpc import ProcessorServiceAsyncStub

EACH = pytest.mark.parametrize("processor_name", list(CONNECTIONS))
NUMBERS = {
    "stripe": pb.PROCESSOR_STRIPE,
    "adyen": pb.PROCESSOR_ADYEN,
    "gocardless": pb.PROCESSOR_GOCARDLESS,
}
KEYS: dict[str, Any] = {
    "stripe": pb.StripeCredentials,
    "adyen": pb.AdyenCredentials,
    "gocardless": pb.GoCardlessCredentials,
}


class Store(Shop):
    """A shop with an account at a processor, named after it."""

    credentials: dict[str, str]

    @property
    def processors(self) -> "ProcessorServiceAsyncStub":
        opened = channel(f"127.0.0.1:{self.deployment.ports.rpc}", self.deployment.keys.api_key(self.tenant_id))
        self.deployment.stack.push_async_callback(opened.close)
        return ProcessorServiceStub(opened)

    async def connect(self, processor: str, account_id: str = "") -> "Store":
        self.account_id = account_id or processor
        url = f"{self.deployment.webhook_url}/webhooks/{self.tenant_id}/{self.account_id}"
        self.credentials = credentials_at(self.deployment.sandbox, processor, url)
        await self.payments.CreateProcessorAccount(
            pb.CreateProcessorAccountRequest(
                request_id=new_request_id(),
                processor_account=pb.ProcessorAccount(id=self.account_id, processor=NUMBERS[processor]),
                **{processor: KEYS[processor](**self.credentials)},
            )
        )
        return self

    def page_request(self, processor: str, **changes: str) -> processors_pb2.CreateSetupPageRequest:
        asked = {
            "request_id": new_request_id(),
            "customer_id": "ada",
            "processor_account_id": self.account_id,
            "currency_code": WAYS[processor].currency,
            "return_url": "https://shop.example/back",
        }
        return processors_pb2.CreateSetupPageRequest(**(asked | changes))

    async def save_on_page(self, processor: str, choice: str) -> None:
        page = await self.processors.CreateSetupPage(self.page_request(processor))
        async with httpx.AsyncClient(trust_env=False) as browser:
            (await browser.post(page.url, json={"method": choice})).raise_for_status()
        await eventually(self.has_method)

    async def has_method(self) -> bool:
        await self.sweeps.events()
        await self.sweeps.methods()
        listed = await self.payments.ListPaymentMethods(pb.ListPaymentMethodsRequest(customer_id="ada"))
        return any(method.state == pb.PaymentMethod.STATE_ACTIVE for method in listed.payment_methods)


@pytest.fixture
def store(deployment: Deployment) -> Store:
    return Store(deployment)


@EACH
async def test_a_customer_who_saves_a_method_on_a_page_is_charged(store: Store, processor_name: str) -> None:
    await store.connect(processor_name)
    payment = await store.bill(currency=WAYS[processor_name].currency)
    await store.sweeps.charge()
    assert states(await store.payment(payment.id)) == ("AWAITING_METHOD", [])
    await store.save_on_page(processor_name, WAYS[processor_name].good)
    await store.sweeps.charge()
    if processor_name == "gocardless":
        assert states(await store.payment(payment.id)) == ("PROCESSING", ["PENDING"])
        for _ in range(2):
            store.deployment.sandbox.post("/_sandbox/gocardless/next_day")

    async def is_paid() -> bool:
        await store.sweeps.events()
        return states(await store.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])

    await eventually(is_paid)
    listed = await store.payments.ListPaymentMethods(pb.ListPaymentMethodsRequest(customer_id="ada"))
    assert len(listed.payment_methods) == 1, "the method is recorded once, however often the webhook comes"


async def test_a_debit_that_the_bank_does_not_pay_fails_for_its_reason(store: Store) -> None:
    await store.connect("gocardless")
    await store.save_on_page("gocardless", "bank_account_closed")
    payment = await store.bill(currency="GBP")
    await store.sweeps.charge()
    for _ in range(2):
        store.deployment.sandbox.post("/_sandbox/gocardless/next_day")

    async def has_failed() -> bool:
        await store.sweeps.events()
        return states(await store.payment(payment.id)) == ("FAILED", ["DECLINED"])

    await eventually(has_failed)
    [attempt] = (await store.payment(payment.id)).attempts
    assert attempt.decline_code == "bank_account_closed"


async def test_what_webhooks_did_not_bring_is_listed(store: Store) -> None:
    """Not one arrives, neither of the method nor of the debit."""
    store.deployment.sandbox.post("/_sandbox/webhooks/pause")
    await store.connect("gocardless")
    page = await store.processors.CreateSetupPage(store.page_request("gocardless"))
    async with httpx.AsyncClient(trust_env=False) as browser:
        (await browser.post(page.url, json={"method": "pays"})).raise_for_status()
    payment = await store.bill(currency="GBP")
    await store.sweeps.catch_up()
    assert await store.has_method()
    await store.sweeps.charge()
    for _ in range(2):
        store.deployment.sandbox.post("/_sandbox/gocardless/next_day")
    await store.sweeps.catch_up()
    assert states(await store.payment(payment.id)) == ("PROCESSING", ["PENDING"]), "it is not due yet"
    await store.later(timedelta(minutes=20)).catch_up()
    await store.sweeps.events()
    assert states(await store.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    count = len(await store.events())
    await store.later(timedelta(minutes=20)).catch_up()
    assert len(await store.events()) == count


async def test_adyens_webhook_alone_tells_of_a_charge_whose_answer_was_lost(store: Store) -> None:
    """It may come before the request is repeated, and the charge is made once."""
    await store.connect("adyen")
    await store.save_on_page("adyen", "APPROVED")
    payment = await store.bill(currency="EUR")
    store.deployment.fault("drop_after_commit", "/v72/payments")
    await store.sweeps.charge()
    assert states(await store.payment(payment.id)) == ("PROCESSING", ["UNKNOWN"])

    async def is_paid() -> bool:
        await store.sweeps.events()
        return states(await store.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])

    await eventually(is_paid)
    await store.later().resolve()
    made = store.deployment.sandbox.get("/_sandbox/state")["adyen"]
    mine = [
        each for account in made.values() for each in account["payments"] if each["reference"].startswith(payment.id)
    ]
    assert len(mine) == 1


async def test_a_tenant_has_several_accounts_at_a_processor(store: Store) -> None:
    await store.connect("adyen", "europe")
    await store.save_on_page("adyen", "APPROVED")
    other = await Store(store.deployment).connect("adyen", "america")
    payment = await store.bill(currency="EUR")
    await store.sweeps.charge()
    assert states(await store.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    made = store.deployment.sandbox.get("/_sandbox/state")["adyen"]
    charged = [each["merchantAccount"] for account in made.values() for each in account["payments"]]
    assert store.credentials["merchant_account"] in charged
    assert other.credentials["merchant_account"] not in charged


def signed(processor: str, body: bytes, secret: str) -> dict[str, str]:
    """The headers that the processor would send with the body."""
    if processor == "gocardless":
        return {"Webhook-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}
    return {"hmacsignature": base64.b64encode(hmac.digest(bytes.fromhex(secret), body, "sha256")).decode()}


BODIES = {
    "adyen": b'{"eventId": "E1", "type": "recurring.token.disabled", "data": {"merchantAccount": "%s"}}',
    "gocardless": b'{"events": [{"id": "EV1", "resource_type": "mandates", "action": "invented", "links": {}}]}',
}


@pytest.mark.parametrize("processor_name", ["adyen", "gocardless"])
async def test_secrets_of_webhooks_are_changed_without_losing_any(
    store: Store, processor_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "KEPT_SECONDS", 0.0)
    await store.connect(processor_name)
    name = "hmac_key" if processor_name == "adyen" else "webhook_secret"
    old, new = store.credentials[name], "AB" * 32
    body = BODIES[processor_name].replace(b"%s", store.credentials.get("merchant_account", "").encode())

    async def post(secret: str) -> int:
        headers = signed(processor_name, body, secret)
        url = f"{store.deployment.webhook_url}/webhooks/acme/{processor_name}"
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.post(url, content=body, headers=headers)).status_code

    async def replace_keys(**changes: str) -> None:
        request = processors_pb2.ReplaceProcessorCredentialsRequest(
            request_id=new_request_id(),
            id=processor_name,
            **{processor_name: KEYS[processor_name](**(store.credentials | changes))},
        )
        await store.processors.ReplaceProcessorCredentials(request)
        await store.processors.ReplaceProcessorCredentials(request)

    assert (await post(old), await post(new)) == (200, 400)
    await replace_keys(**{name: new, f"previous_{name}": old})
    assert (await post(old), await post(new)) == (200, 200)
    await replace_keys(**{name: new})
    assert (await post(old), await post(new)) == (400, 200)
    [account] = (await store.payments.ListProcessorAccounts(pb.ListProcessorAccountsRequest())).processor_accounts
    assert account.refused_webhook_count == 2
    assert account.HasField("refused_webhook_time")
    [event] = await store.events()
    assert event["type"] in ("recurring.token.disabled", "mandates.invented")
    await store.sweeps.events()
    [event] = await store.events()
    assert event["state"] == "PROCESSED"


async def test_a_debit_that_the_payer_takes_back_is_a_dispute(store: Store) -> None:
    await store.connect("gocardless")
    await store.save_on_page("gocardless", "pays")
    payment = await store.bill(currency="GBP")
    await store.sweeps.charge()
    for _ in range(2):
        store.deployment.sandbox.post("/_sandbox/gocardless/next_day")

    async def is_paid() -> bool:
        await store.sweeps.events()
        return states(await store.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])

    await eventually(is_paid)
    reference = (await store.payment(payment.id)).attempts[0].processor_reference
    async with httpx.AsyncClient(trust_env=False, base_url=store.deployment.sandbox.url) as bank:
        answer = await bank.post(
            "/scenario_simulators/payment_charged_back/actions/run",
            json={"data": {"links": {"resource": reference}}},
            headers={
                "Authorization": f"Bearer {store.credentials['access_token']}",
                "GoCardless-Version": "2015-07-06",
            },
        )
    answer.raise_for_status()

    async def is_disputed() -> bool:
        await store.sweeps.events()
        return bool(await store.deployment.rows("SELECT FROM dispute"))

    await eventually(is_disputed)
    [dispute] = await store.deployment.rows("SELECT payment_id, state, code, minor_units, currency FROM dispute")
    assert tuple(dispute) == (payment.id, "LOST", "refund_requested", 3898, "GBP")
    assert states(await store.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])


async def test_credentials_belong_to_their_processor_and_look_like_it(store: Store) -> None:
    await store.connect("adyen")
    adyen = pb.AdyenCredentials(**store.credentials)
    asked = {"request_id": new_request_id(), "id": "adyen"}
    with pytest.raises(InvalidArgument) as refused:
        await store.processors.ReplaceProcessorCredentials(
            processors_pb2.ReplaceProcessorCredentialsRequest(**asked, stripe=pb.StripeCredentials(secret_key="sk_x"))
        )
    assert refused.value.reason == "FIELD_MISSING"
    broken = pb.AdyenCredentials()
    broken.CopyFrom(adyen)
    broken.hmac_key = "no hexadecimal"
    with pytest.raises(InvalidArgument) as refused:
        await store.processors.ReplaceProcessorCredentials(
            processors_pb2.ReplaceProcessorCredentialsRequest(**asked, adyen=broken)
        )
    assert refused.value.reason == "CREDENTIALS_MALFORMED"
    with pytest.raises(NotFound):
        await store.processors.ReplaceProcessorCredentials(
            processors_pb2.ReplaceProcessorCredentialsRequest(request_id=str(uuid.uuid4()), id="nowhere", adyen=adyen)
        )
    await store.processors.ReplaceProcessorCredentials(
        processors_pb2.ReplaceProcessorCredentialsRequest(**asked, adyen=adyen)
    )
    other = pb.AdyenCredentials()
    other.CopyFrom(adyen)
    other.api_key = "AQEanother"
    with pytest.raises(Conflict):
        await store.processors.ReplaceProcessorCredentials(
            processors_pb2.ReplaceProcessorCredentialsRequest(**asked, adyen=other)
        )


async def test_a_page_that_is_asked_for_again_is_the_same_page(store: Store) -> None:
    await store.connect("gocardless")
    asked = store.page_request("gocardless")
    first, again = await store.processors.CreateSetupPage(asked), await store.processors.CreateSetupPage(asked)
    assert first == again
    with pytest.raises(Conflict):
        await store.processors.CreateSetupPage(
            store.page_request("gocardless", request_id=asked.request_id, customer_id="bob")
        )
    with pytest.raises(FailedPrecondition) as refused:
        await store.processors.CreateSetupPage(store.page_request("gocardless", currency_code="CHF"))
    assert refused.value.reason == "SETUP_PAGE_REFUSED"
    with pytest.raises(InvalidArgument):
        await store.processors.CreateSetupPage(store.page_request("gocardless", return_url="javascript:alert(1)"))

"""One account of each processor, called through its adapter, at the sandbox; and what customers and banks do there."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx

from libs.common.clock import system_clock
from libs.common.money import Money
from services.payments.providers import (
    Charge,
    Event,
    Page,
    PaymentPage,
    Processor,
    Refund,
    SavedMethod,
    SetupPage,
    SignatureRefused,
    Subject,
)
from services.payments.providers.adyen import Adyen
from services.payments.providers.gocardless import GoCardless
from services.payments.providers.stripe import Stripe
from tests.sandbox.running import Receiver, RunningSandbox, new_key

DECLINED = "pm_card_chargeDeclinedInsufficientFunds"
BACK = "https://shop.example/back"


@dataclass(frozen=True)
class Ways:
    """What differs: the currency that is charged, what a customer picks on a page for charges that succeed and that are
    declined, where charges and refunds are asked for, and how often the SDK makes a call.
    """

    currency: str
    good: str
    poor: str
    charges: str
    refunds: str
    tries: int


WAYS = {
    "stripe": Ways(
        "EUR", "pm_card_visa", "pm_card_chargeDeclinedInsufficientFunds", "/v1/payment_intents", "/v1/refunds", 3
    ),
    "adyen": Ways("EUR", "APPROVED", "NOT_ENOUGH_BALANCE", "/v72/payments", "/v72/payments/*/refunds", 1),
    "gocardless": Ways("GBP", "pays", "insufficient_funds", "/payments", "/refunds", 3),
}
CONNECTIONS = {"stripe": Stripe, "adyen": Adyen, "gocardless": GoCardless}


def credentials_at(sandbox: RunningSandbox, processor: str, webhook_url: str) -> dict[str, str]:
    """The keys to a new account, which sends its webhooks to `webhook_url`."""
    name = secrets.token_hex(8)
    if processor == "stripe":
        key = new_key()
        endpoint = httpx.post(
            sandbox.url + "/v1/webhook_endpoints",
            headers={"Authorization": f"Bearer {key}"},
            data={"url": webhook_url, "enabled_events[0]": "*"},
        )
        return {"secret_key": key, "webhook_secret": endpoint.raise_for_status().json()["secret"]}
    if processor == "adyen":
        made = sandbox.post("/_sandbox/adyen/webhooks", merchant_account="Shop" + name, url=webhook_url)
        return {"api_key": "AQE" + name, "merchant_account": "Shop" + name, "hmac_key": made["hmac_key"]}
    made = sandbox.post("/_sandbox/gocardless/webhooks", access_token="sandbox_" + name, url=webhook_url)
    return {"access_token": "sandbox_" + name, "environment": "sandbox", "webhook_secret": made["secret"]}


@dataclass
class Till:
    processor: str
    account: Processor
    sandbox: RunningSandbox
    receiver: Receiver
    credentials: dict[str, str]
    customer: str = ""

    @property
    def ways(self) -> Ways:
        return WAYS[self.processor]

    def setup_page(self, key: str = "setup:1") -> SetupPage:
        return SetupPage("acme", "ada", self.customer, self.ways.currency, BACK, key)

    def payment_page(self, payment_id: str = "pay_9") -> PaymentPage:
        return PaymentPage(
            tenant_id="acme",
            payment_id=payment_id,
            number=1,
            idempotency_key=f"page:{payment_id}:1",
            invoice_number="WEIR-9",
            customer_reference=self.customer,
            amount=Money(5000, self.ways.currency),
            return_url=BACK,
            expire_time=system_clock() + timedelta(hours=2),
        )

    def pick(self, page: Page, choice: str) -> httpx.Response:
        """What a customer does on a page."""
        return httpx.post(page.url, json={"method": choice})

    async def saved(self, choice: str = "") -> SavedMethod:
        """A method that a customer saves on a page. Adyen saves no card there that it cannot charge."""
        choice = choice or self.ways.good
        if self.processor == "adyen" and choice != self.ways.good:
            token = self._stored_at_adyen(choice)
        else:
            page = await self.account.setup_page(self.setup_page("setup:" + choice))
            assert isinstance(page, Page)
            before = len(self.told(Subject.METHOD))
            self.pick(page, choice).raise_for_status()
            self.receiver.wait_until(lambda: len(self.told(Subject.METHOD)) > before)
            event = self.told(Subject.METHOD)[-1]
            assert event.customer_reference == self.customer
            token = event.reference
        method = await self.account.attach(self.customer, token, "method:" + choice)
        assert isinstance(method, SavedMethod)
        return method

    def _stored_at_adyen(self, holder_name: str) -> str:
        stored = httpx.post(
            self.sandbox.url + "/v72/storedPaymentMethods",
            headers={"x-api-key": self.credentials["api_key"]},
            json={
                "merchantAccount": self.credentials["merchant_account"],
                "paymentMethod": {"type": "scheme", "holderName": holder_name},
                "recurringProcessingModel": "UnscheduledCardOnFile",
                "shopperReference": self.customer,
            },
        )
        token: str = stored.raise_for_status().json()["id"]
        return token

    def charge(self, method: SavedMethod, number: int = 1) -> Charge:
        return Charge(
            tenant_id="acme",
            payment_id="pay_1",
            number=number,
            idempotency_key=f"pay:acme:pay_1:{number}",
            invoice_id="inv_1",
            invoice_number="WEIR-1",
            customer_reference=self.customer,
            method_reference=method.reference,
            amount=Money(3898, self.ways.currency),
            create_time=system_clock(),
        )

    def refund(self, charge_reference: str, minor_units: int, refund_id: str = "re_1-1") -> Refund:
        amount = Money(minor_units, self.ways.currency)
        return Refund("acme", refund_id, f"refund:acme:{refund_id}", charge_reference, amount, system_clock())

    def let_banks_answer(self) -> None:
        """Two banking days: debits are submitted, and answered."""
        for _ in range(2):
            self.sandbox.post("/_sandbox/gocardless/next_day")

    def fault(self, kind: str, path: str, times: int) -> None:
        self.sandbox.post("/_sandbox/faults", method="POST", path=path, kind=kind, times=times)

    def told(self, subject: Subject | None = None) -> Sequence[Event]:
        """What the webhooks that have come say, each once."""
        found: dict[str, Event] = {}
        for headers, body in list(self.receiver.received):
            try:
                events = self.account.events(body, {name.lower(): value for name, value in headers.items()})
            except SignatureRefused:
                continue  # of another account
            found |= {event.id: event for event in events if subject in (None, event.subject)}
        return list(found.values())


@asynccontextmanager
async def opened_till(sandbox: RunningSandbox, receiver: Receiver, processor: str) -> AsyncIterator[Till]:
    connection = CONNECTIONS[processor](sandbox.url, 5)
    credentials = credentials_at(sandbox, processor, receiver.url)
    till = Till(processor, connection.account(credentials), sandbox, receiver, credentials)
    customer = await till.account.create_customer("acme", "ada", "customer:1")
    assert isinstance(customer, str)
    try:
        yield replace(till, customer=customer)
    finally:
        await connection.aclose()

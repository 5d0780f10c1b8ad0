"""How the demo's customers pay: by a card at Stripe, by a card at Adyen, by a debit that GoCardless collects."""

import asyncio
from collections.abc import Mapping

import httpx

from cli.connection import Connection
from cli.sandbox_account import CARD, connect_sandbox
from weir.payments.v1.payments_pb2 import (
    GetPaymentRequest,
    ListPaymentMethodsRequest,
    ListPaymentsRequest,
    Payment,
    SavePaymentMethodRequest,
)
from weir.payments.v1.processors_pb2 import CreateSetupPageRequest

CURRENCY = "USD"
RETURN_URL = "https://shop.example/account"
PROCESSORS = ("stripe", "adyen", "gocardless")
"""Of the demo's customers, in their order."""
CHOICES = {"adyen": "APPROVED", "gocardless": "pays"}
"""What a customer picks on the processor's page."""


async def connect(services: Connection, request_ids: Mapping[str, str]) -> None:
    await asyncio.gather(*(connect_sandbox(services, name, request_ids[name], name) for name in request_ids))


async def save_method(services: Connection, customer: str, processor: str, request_id: str, card: str = CARD) -> None:
    """A Stripe card by its token; elsewhere the customer saves a method on the processor's page, and it is there after
    the webhook about it.
    """
    if processor == "stripe":
        request = SavePaymentMethodRequest(
            request_id=request_id, customer_id=customer, processor_account_id=processor, processor_token=card
        )
        await services.payments.SavePaymentMethod(request)
        return
    page = await services.processors.CreateSetupPage(
        CreateSetupPageRequest(
            request_id=request_id,
            customer_id=customer,
            processor_account_id=processor,
            currency_code=CURRENCY,
            return_url=RETURN_URL,
        )
    )
    async with httpx.AsyncClient(trust_env=False) as browser:
        (await browser.post(page.url, json={"method": CHOICES[processor]})).raise_for_status()


async def let_bank_answer(services: Connection, customer: str) -> None:
    """A banking day, where a debit of the customer's is under way."""
    found = (await services.payments.ListPayments(ListPaymentsRequest(customer_id=customer))).payments
    if any(payment.state == Payment.STATE_PROCESSING for payment in found):
        async with httpx.AsyncClient(base_url=services.endpoint.sandbox_url, trust_env=False) as banks:
            (await banks.post("/_sandbox/gocardless/next_day")).raise_for_status()


async def paid_by(services: Connection, customer: str) -> tuple[str, str]:
    """The processor account that collected the customer's last invoice, and the method's label."""
    found = (await services.payments.ListPayments(ListPaymentsRequest(customer_id=customer, page_size=1))).payments
    payment = (await services.payments.GetPayment(GetPaymentRequest(id=found[0].id))).payment
    methods = await services.payments.ListPaymentMethods(ListPaymentMethodsRequest(customer_id=customer))
    collected = payment.attempts[-1].payment_method_id
    [method] = [each for each in methods.payment_methods if each.id == collected]
    return method.processor_account_id, method.label

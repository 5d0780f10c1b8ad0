"""`weir payments`."""

from pathlib import Path

from cli.connection import connected_to, new_request_id, pages
from cli.errors import CliError
from cli.output import amount, as_dict, console, print_json, print_list, print_table, state
from cli.sandbox_account import connect_sandbox
from weir.payments.v1.payments_pb2 import (
    PROCESSOR_STRIPE,
    CreateProcessorAccountRequest,
    ListPaymentsRequest,
    Payment,
    ProcessorAccount,
    RetryPaymentRequest,
    SavePaymentMethodRequest,
    StripeCredentials,
)


async def list_payments(data: Path, customer: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.payments.ListPayments(ListPaymentsRequest(page_token=token, customer_id=customer)),
            "payments",
        )
    if as_json:
        print_list("payments", found)
        return
    columns = ("id", "invoice", "customer", ">amount", "state", ">attempts", "processor's id", "declined")
    print_table(columns, [_row(each) for each in found], nothing="No payments yet.")


async def connect_stripe(data: Path, account_id: str, secret_key: str, webhook_secret: str, *, as_json: bool) -> None:
    """An account at Stripe, or without keys the one at the sandbox."""
    if bool(secret_key) != bool(webhook_secret):
        raise CliError("--secret-key and --webhook-secret belong together; without both, the sandbox is connected")
    async with connected_to(data) as services:
        if secret_key:
            request = CreateProcessorAccountRequest(
                request_id=new_request_id(),
                processor_account=ProcessorAccount(id=account_id, processor=PROCESSOR_STRIPE),
                stripe=StripeCredentials(secret_key=secret_key, webhook_secret=webhook_secret),
            )
            account = (await services.payments.CreateProcessorAccount(request)).processor_account
        elif services.endpoint.sandbox_url:
            account = await connect_sandbox(services, account_id, new_request_id())
        else:
            raise CliError("there is no sandbox here: give --secret-key and --webhook-secret")
    if as_json:
        print_json({"processor_account": as_dict(account)})
    else:
        console.print(f"Connected {account.id}; its webhooks go to {account.webhook_path}.", markup=False)


async def save_method(data: Path, customer_id: str, token: str, account_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = SavePaymentMethodRequest(
            request_id=new_request_id(),
            customer_id=customer_id,
            processor_account_id=account_id,
            processor_token=token,
        )
        method = (await services.payments.SavePaymentMethod(request)).payment_method
    if as_json:
        print_json({"payment_method": as_dict(method)})
    else:
        console.print(f"Saved {method.label} for {method.customer_id}.", markup=False)


async def retry_payment(data: Path, payment_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = RetryPaymentRequest(request_id=new_request_id(), id=payment_id)
        payment = (await services.payments.RetryPayment(request)).payment
    if as_json:
        print_json({"payment": as_dict(payment)})
    else:
        console.print(f"{payment.id} is {state(Payment.State, payment.state)}.", markup=False)


def _row(payment: Payment) -> tuple[str, ...]:
    last = payment.attempts[-1] if payment.attempts else None
    return (
        payment.id,
        payment.invoice_id,
        payment.customer_id,
        amount(payment.amount),
        state(Payment.State, payment.state),
        str(len(payment.attempts)),
        last.processor_reference if last else "",
        last.decline_code if last else "",
    )

"""`weir payments`."""

from pathlib import Path

from cli.connection import connected_to, new_request_id, pages
from cli.output import amount, as_dict, console, print_json, print_list, print_table, state
from weir.payments.v1.payments_pb2 import (
    ListPaymentsRequest,
    Payment,
    RetryPaymentRequest,
    SavePaymentMethodRequest,
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

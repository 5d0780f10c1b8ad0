"""`weir payments`."""

from pathlib import Path

from cli.connection import connected_to, pages
from cli.output import amount, print_list, print_table, state
from weir.payments.v1.payments_pb2 import ListPaymentsRequest, Payment


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

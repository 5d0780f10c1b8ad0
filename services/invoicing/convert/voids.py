"""What a void gives back."""

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_in
from weir.common.v1 import money_pb2
from weir.invoicing.v1 import invoicing_pb2


def given_back_in(request: invoicing_pb2.VoidInvoiceRequest) -> tuple[Money | None, Money | None]:
    """(credit, refund). Raises InvalidArgument AMOUNT_NEGATIVE."""
    credit = _amount_in(request.credit_amount, "credit_amount") if request.HasField("credit_amount") else None
    refund = _amount_in(request.refund_amount, "refund_amount") if request.HasField("refund_amount") else None
    return credit, refund


def _amount_in(message: money_pb2.Money, field: str) -> Money:
    amount = money_in(message, True, field)
    if amount.minor_units < 0:
        raise InvalidArgument(
            "AMOUNT_NEGATIVE", f"{field} is {amount}; it must not be negative", field=f"{field}.minor_units"
        )
    return amount

"""What objects of the catalog have in common on the wire."""

from collections.abc import Sequence
from functools import partial

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import code_in, money_in, text_in
from services.pricing.convert.collected import read_all, require_unique
from weir.common.v1 import money_pb2

MAX_CODES = 1000
"""Of a request for many objects at once."""

_DESCRIPTION_CHARACTERS = 1000


def description_in(value: str, field: str) -> str:
    return text_in(value, field, most=_DESCRIPTION_CHARACTERS, required=False)


def codes_in(codes: Sequence[str], field: str, duplicate: str) -> tuple[str, ...]:
    """Each once, or InvalidArgument with the reason `duplicate`."""
    read = read_all(partial(code_in, code, f"{field}[{index}]") for index, code in enumerate(codes))
    require_unique(duplicate, read, field + "[{}]")
    return read


def batch_codes_in(codes: Sequence[str], *, required: bool) -> tuple[str, ...]:
    """Of a request for many objects at once: at most MAX_CODES, which may repeat."""
    if required and not codes:
        raise InvalidArgument("FIELD_MISSING", "codes is required", field="codes")
    if len(codes) > MAX_CODES:
        raise InvalidArgument(
            "REQUESTS_TOO_MANY", f"{len(codes)} codes; at most {MAX_CODES} in one call", field="codes"
        )
    return read_all(partial(code_in, code, f"codes[{index}]") for index, code in enumerate(codes))


def tax_codes_in(codes: Sequence[str], field: str) -> tuple[str, ...]:
    return codes_in(codes, field, "TAX_CODE_DUPLICATE")


def charged_in(message: money_pb2.Money, present: bool, field: str, currency: str | None = None) -> Money:
    """Money that is not negative, in `currency` if that is given."""
    amount = money_in(message, present, field)
    if currency is not None and amount.currency != currency:
        path = f"{field}.currency_code"
        raise InvalidArgument("CURRENCY_MISMATCH", f"{path} is {amount.currency}, not {currency}", field=path)
    if amount.minor_units < 0:
        path = f"{field}.minor_units"
        raise InvalidArgument("AMOUNT_NEGATIVE", f"{path} is {amount.minor_units}; it must not be negative", field=path)
    return amount

"""What is billed by the piece."""

from collections.abc import Iterable
from decimal import Decimal

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import amount_in, code_in, text_in
from services.invoicing.domain.one_off import AddOn, Item
from weir.invoicing.v1 import one_offs_pb2
from weir.pricing.v1 import addons_pb2

MAX_ITEMS = 500
MAX_TAX_CODES = 100


def items_in(messages: Iterable[one_offs_pb2.OneOffItem]) -> tuple[Item, ...]:
    items = tuple(_item_in(message, f"items[{i}]") for i, message in enumerate(messages))
    if not items:
        raise InvalidArgument("FIELD_MISSING", "items are required", field="items")
    if len(items) > MAX_ITEMS:
        raise InvalidArgument("TOO_MANY_ITEMS", f"there are {len(items)} items, {MAX_ITEMS} at most", field="items")
    return items


def add_on_in(message: addons_pb2.AddOn) -> AddOn:
    amount = Money(message.amount.minor_units, message.amount.currency_code)
    return AddOn(message.code, message.name, amount, tuple(message.tax_codes))


def _item_in(message: one_offs_pb2.OneOffItem, field: str) -> Item:
    if len(message.tax_codes) > MAX_TAX_CODES:
        raise InvalidArgument(
            "CODES_TOO_MANY",
            f"{len(message.tax_codes)} in {field}.tax_codes; at most {MAX_TAX_CODES}",
            field=f"{field}.tax_codes",
        )
    is_known = bool(message.add_on_code)
    if not is_known and not message.unit_amount:
        raise InvalidArgument("FIELD_MISSING", f"{field}.unit_amount is required", field=f"{field}.unit_amount")
    codes = (code_in(code, f"{field}.tax_codes[{i}]") for i, code in enumerate(message.tax_codes))
    return Item(
        add_on_code=code_in(message.add_on_code, f"{field}.add_on_code") if is_known else "",
        description=text_in(message.description, f"{field}.description", required=not is_known),
        units=amount_in(message.units, f"{field}.units", default=Decimal(1)),
        unit_amount=amount_in(message.unit_amount, f"{field}.unit_amount") if message.unit_amount else None,
        tax_codes=tuple(dict.fromkeys(codes)),
    )

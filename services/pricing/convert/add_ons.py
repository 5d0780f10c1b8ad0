"""Add-ons on the wire."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import code_in, currency_in, money_out, text_in, timestamp_out
from services.pricing.convert.collected import mask_in, read_fields
from services.pricing.convert.described import charged_in, description_in, tax_codes_in
from services.pricing.domain.add_ons import AddOn
from weir.pricing.v1 import addons_pb2


def add_on_in(message: addons_pb2.AddOn, create_time: datetime) -> AddOn:
    return AddOn(create_time=create_time, **read_fields(message, _FIELDS, _FIELDS))


def add_on_change_in(message: addons_pb2.AddOn, mask: FieldMask) -> tuple[str, Callable[[AddOn], AddOn]]:
    """The add-on's code, and what the update makes of it."""
    values = read_fields(message, _FIELDS, {"code", *mask_in(mask, *_UPDATABLE)})

    def change(add_on: AddOn) -> AddOn:
        if "amount" in values and values["amount"].currency != add_on.amount.currency:
            raise InvalidArgument(
                "CURRENCY_MISMATCH",
                f"add_on.currency_code is {values['amount'].currency}, not {add_on.amount.currency}",
                field="add_on.currency_code",
            )
        return replace(add_on, **values)

    return values["code"], change


def add_on_out(add_on: AddOn) -> addons_pb2.AddOn:
    return addons_pb2.AddOn(
        code=add_on.code,
        name=add_on.name,
        description=add_on.description,
        currency_code=add_on.amount.currency,
        amount=money_out(add_on.amount),
        tax_codes=add_on.tax_codes,
        create_time=timestamp_out(add_on.create_time),
        tax_inclusive=add_on.tax_inclusive,
    )


def _amount_in(message: addons_pb2.AddOn) -> Money:
    currency = currency_in(message.currency_code, "add_on.currency_code")
    return charged_in(message.amount, message.HasField("amount"), "add_on.amount", currency)


_FIELDS: dict[str, Callable[[addons_pb2.AddOn], Any]] = {
    "code": lambda message: code_in(message.code, "add_on.code"),
    "name": lambda message: text_in(message.name, "add_on.name"),
    "description": lambda message: description_in(message.description, "add_on.description"),
    "amount": _amount_in,
    "tax_codes": lambda message: tax_codes_in(message.tax_codes, "add_on.tax_codes"),
    "tax_inclusive": lambda message: message.tax_inclusive,
}
_UPDATABLE = [name for name in _FIELDS if name != "code"]

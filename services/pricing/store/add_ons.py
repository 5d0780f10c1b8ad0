"""Add-ons."""

from datetime import datetime

from libs.common.money import Money
from services.pricing.domain.add_ons import AddOn
from services.pricing.store.objects import Json, Objects


def _contents(add_on: AddOn) -> Json:
    return {
        "name": add_on.name,
        "description": add_on.description,
        "amount": [add_on.amount.minor_units, add_on.amount.currency],
        "tax_codes": list(add_on.tax_codes),
        "tax_inclusive": add_on.tax_inclusive,
    }


def _read(code: str, create_time: datetime, value: Json) -> AddOn:
    return AddOn(
        code=code,
        name=value["name"],
        description=value["description"],
        amount=Money(*value["amount"]),
        tax_codes=tuple(value["tax_codes"]),
        create_time=create_time,
        tax_inclusive=value.get("tax_inclusive", False),
    )


ADD_ONS = Objects("add_on", "add-on", "ADD_ON_EXISTS", "ADD_ON_NOT_FOUND", _contents, _read)

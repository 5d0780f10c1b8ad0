"""Taxes on the wire."""

from datetime import datetime
from decimal import Decimal

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import InvalidArgument
from libs.common.money import plain
from libs.common.wire import code_in, decimal_in, text_in, timestamp_out
from services.pricing.convert.collected import mask_in
from services.pricing.domain.tax import MAX_PERCENT, PERCENT_DIGITS, Tax
from weir.pricing.v1 import pricing_pb2


def tax_in(message: pricing_pb2.Tax, create_time: datetime) -> Tax:
    return Tax(
        code=code_in(message.code, "tax.code"),
        name=text_in(message.name, "tax.name"),
        rate_percent=percent_in(message.rate_percent, "tax.rate_percent"),
        create_time=create_time,
        tenant_default=message.tenant_default,
    )


def tax_change_in(message: pricing_pb2.Tax, mask: FieldMask) -> tuple[str, str | None, Decimal | None, bool | None]:
    """The tax's code, and its new name, rate and whether it is a default; None for what does not change."""
    code = code_in(message.code, "tax.code")
    paths = mask_in(mask, "name", "rate_percent", "tenant_default")
    name = text_in(message.name, "tax.name") if "name" in paths else None
    rate = percent_in(message.rate_percent, "tax.rate_percent") if "rate_percent" in paths else None
    return code, name, rate, message.tenant_default if "tenant_default" in paths else None


def tax_out(tax: Tax) -> pricing_pb2.Tax:
    return pricing_pb2.Tax(
        code=tax.code,
        name=tax.name,
        rate_percent=plain(tax.rate_percent),
        create_time=timestamp_out(tax.create_time),
        tenant_default=tax.tenant_default,
    )


def percent_in(value: str, field: str) -> Decimal:
    percent = decimal_in(value, field)
    if not 0 <= percent <= MAX_PERCENT:
        raise InvalidArgument("PERCENT_OUT_OF_RANGE", f"{field} is {value}; expected 0 to {MAX_PERCENT}", field=field)
    if round(percent, PERCENT_DIGITS) != percent:
        raise InvalidArgument(
            "PERCENT_TOO_PRECISE", f"{field} is {value}; at most {PERCENT_DIGITS} digits after the point", field=field
        )
    return percent

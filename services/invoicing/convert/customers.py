"""Customers."""

from collections.abc import Sequence
from datetime import datetime

from libs.common.errors import InvalidArgument
from libs.common.wire import code_in, text_in, timestamp_out
from services.invoicing.domain.customer import Customer
from services.invoicing.domain.period import is_time_zone
from weir.invoicing.v1 import invoicing_pb2

MAX_TAX_CODES = 100


def customer_in(message: invoicing_pb2.Customer, create_time: datetime) -> Customer:
    time_zone = message.time_zone or "UTC"
    if not is_time_zone(time_zone):
        raise InvalidArgument(
            "TIME_ZONE_UNKNOWN", f"{time_zone[:64]!r} is not an IANA time zone", field="customer.time_zone"
        )
    return Customer(
        id=text_in(message.id, "customer.id"),
        name=text_in(message.name, "customer.name"),
        email=text_in(message.email, "customer.email", required=False),
        time_zone=time_zone,
        create_time=create_time,
        tax_codes=_tax_codes_in(message.tax_codes),
    )


def customer_out(customer: Customer) -> invoicing_pb2.Customer:
    return invoicing_pb2.Customer(
        id=customer.id,
        name=customer.name,
        email=customer.email,
        time_zone=customer.time_zone,
        create_time=timestamp_out(customer.create_time),
        tax_codes=customer.tax_codes,
    )


def _tax_codes_in(codes: Sequence[str]) -> tuple[str, ...]:
    field = "customer.tax_codes"
    if len(codes) > MAX_TAX_CODES:
        raise InvalidArgument("CODES_TOO_MANY", f"{len(codes)} in {field}; at most {MAX_TAX_CODES}", field=field)
    found = tuple(code_in(code, f"{field}[{index}]") for index, code in enumerate(codes))
    for code in found:
        if found.count(code) > 1:
            raise InvalidArgument("TAX_CODE_DUPLICATE", f"{code} stands twice in {field}", field=field)
    return found

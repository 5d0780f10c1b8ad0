"""Customers."""

from datetime import datetime

from libs.common.errors import InvalidArgument
from libs.common.wire import (
    text_in,
    timestamp_out,
)
from services.invoicing.domain.customer import Customer
from services.invoicing.domain.period import is_time_zone
from weir.invoicing.v1 import invoicing_pb2


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
    )


def customer_out(customer: Customer) -> invoicing_pb2.Customer:
    return invoicing_pb2.Customer(
        id=customer.id,
        name=customer.name,
        email=customer.email,
        time_zone=customer.time_zone,
        create_time=timestamp_out(customer.create_time),
    )

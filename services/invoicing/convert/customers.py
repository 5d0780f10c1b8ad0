"""Customers."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import InvalidArgument
from libs.common.wire import code_in, currency_in, text_in, timestamp_out
from services.invoicing.convert.parties import address_in, address_out, locale_in, tax_ids_in, tax_ids_out
from services.invoicing.convert.terms import days_in, number_prefix_in, tax_codes_in
from services.invoicing.domain.customer import Customer
from services.invoicing.domain.period import is_time_zone
from weir.invoicing.v1 import invoicing_pb2

MAX_GRACE_PERIOD_DAYS = 365
MAX_METADATA_KEYS = 50

_SKIPS = {
    invoicing_pb2.Customer.ZERO_AMOUNT_INVOICES_UNSPECIFIED: False,
    invoicing_pb2.Customer.ZERO_AMOUNT_INVOICES_FINALIZE: False,
    invoicing_pb2.Customer.ZERO_AMOUNT_INVOICES_SKIP: True,
}
_MASKED = {
    "name": "name",
    "email": "email",
    "time_zone": "time_zone",
    "currency_code": "currency",
    "locale": "locale",
    "address": "address",
    "tax_ids": "tax_ids",
    "net_payment_term_days": "net_payment_term_days",
    "grace_period_days": "grace_period_days",
    "zero_amount_invoices": "skips_zero_amounts",
    "metadata": "metadata",
    "tax_codes": "tax_codes",
    "number_prefix": "number_prefix",
    "legal_entity_code": "legal_entity_code",
}
"""What a caller sets: the contract's field, and the domain's."""


def customer_in(message: invoicing_pb2.Customer, create_time: datetime) -> Customer:
    return Customer(
        id=text_in(message.id, "customer.id"),
        name=text_in(message.name, "customer.name"),
        email=text_in(message.email, "customer.email", required=False),
        time_zone=_time_zone_in(message.time_zone or "UTC"),
        create_time=create_time,
        currency=currency_in(message.currency_code, "customer.currency_code") if message.currency_code else "",
        locale=locale_in(message.locale, "customer.locale"),
        address=address_in(message.address, "customer.address"),
        tax_ids=tax_ids_in(message.tax_ids, "customer.tax_ids"),
        net_payment_term_days=days_in(message.net_payment_term_days, "customer.net_payment_term_days"),
        grace_period_days=days_in(message.grace_period_days, "customer.grace_period_days", MAX_GRACE_PERIOD_DAYS),
        skips_zero_amounts=_skips_in(message.zero_amount_invoices),
        metadata=_metadata_in(message.metadata),
        tax_codes=tax_codes_in(message.tax_codes, "customer.tax_codes"),
        number_prefix=number_prefix_in(message.number_prefix, "customer.number_prefix"),
        legal_entity_code=code_in(message.legal_entity_code, "customer.legal_entity_code")
        if message.legal_entity_code
        else "",
    )


def customer_change_in(message: invoicing_pb2.Customer, mask: FieldMask, old: Customer) -> Customer:
    """`old` with what `mask` names, or all that a caller sets. What is left as it is may be missing in `message`."""
    unknown = [path for path in mask.paths if path not in _MASKED]
    if unknown:
        known = ", ".join(_MASKED)
        raise InvalidArgument(
            "MASK_PATH_UNKNOWN", f"update_mask names {unknown[0]!r}; only {known} can change", field="update_mask"
        )
    paths = list(mask.paths) or list(_MASKED)
    complete = invoicing_pb2.Customer()
    complete.CopyFrom(message)
    for path in _MASKED.keys() - set(paths):
        complete.ClearField(path)  # type: ignore[arg-type]
    if "name" not in paths:
        complete.name = old.name
    new = customer_in(complete, old.create_time)
    return replace(old, **{_MASKED[path]: getattr(new, _MASKED[path]) for path in paths})


def customer_out(customer: Customer) -> invoicing_pb2.Customer:
    skips = invoicing_pb2.Customer.ZERO_AMOUNT_INVOICES_SKIP
    finalizes = invoicing_pb2.Customer.ZERO_AMOUNT_INVOICES_FINALIZE
    return invoicing_pb2.Customer(
        id=customer.id,
        name=customer.name,
        email=customer.email,
        time_zone=customer.time_zone,
        create_time=timestamp_out(customer.create_time),
        currency_code=customer.currency,
        locale=customer.locale,
        address=address_out(customer.address),
        tax_ids=tax_ids_out(customer.tax_ids),
        net_payment_term_days=customer.net_payment_term_days,
        grace_period_days=customer.grace_period_days,
        zero_amount_invoices=skips if customer.skips_zero_amounts else finalizes,
        metadata=customer.metadata,
        tax_codes=customer.tax_codes,
        number_prefix=customer.number_prefix,
        legal_entity_code=customer.legal_entity_code,
        erase_time=timestamp_out(customer.erase_time),
    )


def _time_zone_in(value: str) -> str:
    if not is_time_zone(value):
        raise InvalidArgument(
            "TIME_ZONE_UNKNOWN", f"{value[:64]!r} is not an IANA time zone", field="customer.time_zone"
        )
    return value


def _skips_in(value: "invoicing_pb2.Customer.ZeroAmountInvoices.ValueType") -> bool:
    if (skips := _SKIPS.get(value)) is None:
        field = "customer.zero_amount_invoices"
        raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"{field} is {value}, which names no choice", field=field)
    return skips


def _metadata_in(metadata: Mapping[str, str]) -> dict[str, str]:
    field = "customer.metadata"
    if len(metadata) > MAX_METADATA_KEYS:
        raise InvalidArgument(
            "TOO_MANY_METADATA_KEYS", f"{field} has {len(metadata)} keys, {MAX_METADATA_KEYS} at most", field=field
        )
    return {text_in(key, field): text_in(metadata[key], field, required=False) for key in sorted(metadata)}

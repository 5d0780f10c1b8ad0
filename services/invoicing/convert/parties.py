"""What customers and legal entities have in common."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields

from libs.common.errors import InvalidArgument
from libs.common.wire import code_in, text_in
from services.invoicing.domain.customer import Address
from weir.invoicing.v1 import invoicing_pb2

MAX_TAX_IDS = 10

_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)


def locale_in(value: str, field: str) -> str:
    if value and not _LOCALE.fullmatch(value):
        raise InvalidArgument("LOCALE_MALFORMED", f"{value[:64]!r} is not a language tag such as de-CH", field=field)
    return value


def address_in(message: invoicing_pb2.Address, field: str) -> Address:
    country = message.country_code
    if country and not _COUNTRY.fullmatch(country):
        raise InvalidArgument(
            "COUNTRY_MALFORMED", f"{country[:64]!r} is not two capital letters", field=f"{field}.country_code"
        )
    names = [each.name for each in fields(Address)]
    return Address(**{it: text_in(getattr(message, it), f"{field}.{it}", required=False) for it in names})


def address_out(address: Address) -> invoicing_pb2.Address | None:
    if address == Address():
        return None
    return invoicing_pb2.Address(**{each.name: getattr(address, each.name) for each in fields(Address)})


def tax_ids_in(messages: Sequence[invoicing_pb2.TaxId], field: str) -> dict[str, str]:
    if len(messages) > MAX_TAX_IDS:
        raise InvalidArgument(
            "TOO_MANY_TAX_IDS", f"there are {len(messages)} tax ids, {MAX_TAX_IDS} at most", field=field
        )
    found: dict[str, str] = {}
    for i, each in enumerate(messages):
        kind = code_in(each.type, f"{field}[{i}].type")
        if kind in found:
            raise InvalidArgument("TAX_ID_REPEATED", f"there are two tax ids {kind}", field=f"{field}[{i}].type")
        found[kind] = text_in(each.value, f"{field}[{i}].value")
    return found


def tax_ids_out(tax_ids: Mapping[str, str]) -> list[invoicing_pb2.TaxId]:
    return [invoicing_pb2.TaxId(type=kind, value=value) for kind, value in tax_ids.items()]

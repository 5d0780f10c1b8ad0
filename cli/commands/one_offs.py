"""`weir invoices create`."""

import re
from collections.abc import Sequence
from pathlib import Path

from cli.commands.drafts import show
from cli.connection import connected_to, new_request_id
from cli.errors import WrongUsage
from weir.invoicing.v1.one_offs_pb2 import CreateOneOffInvoiceRequest, OneOffItem

_ITEM = re.compile(r"(?P<description>.+)=((?P<units>[0-9.]+)x)?(?P<amount>[0-9.]+)")


async def create_invoice(
    data: Path, customer: str, items: Sequence[OneOffItem], currency: str, *, as_json: bool
) -> None:
    request = CreateOneOffInvoiceRequest(
        request_id=new_request_id(), customer_id=customer, currency_code=currency, items=items
    )
    async with connected_to(data) as services:
        made = (await services.one_offs.CreateOneOffInvoice(request)).invoice
    show(made, as_json=as_json)


def typed_items(add_ons: Sequence[str], items: Sequence[str], taxes: Sequence[str]) -> list[OneOffItem]:
    """As they were typed. Raises WrongUsage."""
    if not add_ons and not items:
        raise WrongUsage("nothing to bill: give at least one --add-on or --item")
    return [_add_on(text, taxes) for text in add_ons] + [_item(text, taxes) for text in items]


def _add_on(text: str, taxes: Sequence[str]) -> OneOffItem:
    code, _, units = text.partition("=")
    return OneOffItem(add_on_code=code, units=units, tax_codes=taxes)


def _item(text: str, taxes: Sequence[str]) -> OneOffItem:
    if (found := _ITEM.fullmatch(text)) is None:
        raise WrongUsage(f"--item {text}: expected TEXT=AMOUNT or TEXT=UNITSxAMOUNT")
    return OneOffItem(
        description=found["description"], units=found["units"] or "", unit_amount=found["amount"], tax_codes=taxes
    )

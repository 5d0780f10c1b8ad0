"""`weir invoices`, as far as it makes and changes them: one-off invoices and drafts."""

from typing import Annotated

import typer

from cli.arguments.billing import Invoice, invoices
from cli.arguments.options import Data, Json, execute

Line = Annotated[str, typer.Argument(metavar="LINE", help="Code or number.")]


def add_to(root: typer.Typer) -> None:
    """The commands are those of `weir invoices`."""


@invoices.command("create")
def invoices_create(
    data: Data,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="Who owes it.")],
    add_on: Annotated[
        list[str] | None, typer.Option(metavar="CODE[=UNITS]", help="An add-on of the catalog; may be repeated.")
    ] = None,
    item: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT=[UNITSx]AMOUNT", help='Anything else, such as "Work=3x120.00"; may be repeated.'),
    ] = None,
    tax: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="A tax on all of it, not the usual ones; may be repeated.")
    ] = None,
    currency: Annotated[str, typer.Option(metavar="CODE", help="The add-ons' or the customer's if not given.")] = "",
    as_json: Json = False,
) -> None:
    """Bill a customer for items, at once and by no subscription."""
    from cli.commands.one_offs import create_invoice, typed_items

    items = typed_items(add_on or [], item or [], tax or [])
    execute(create_invoice(data, customer, items, currency, as_json=as_json))


@invoices.command("adjust")
def invoices_adjust(
    data: Data,
    invoice: Invoice,
    line: Line,
    units: Annotated[str, typer.Option(metavar="N", help="Units billed instead.")] = "",
    amount: Annotated[str, typer.Option(metavar="AMOUNT", help="What one costs; as its plan says if not given.")] = "",
    description: Annotated[str, typer.Option(metavar="TEXT", help="What the invoice calls the line.")] = "",
    as_json: Json = False,
) -> None:
    """Make another line of one of a draft's. It stays so when the draft is refreshed."""
    from cli.commands.drafts import adjust_line

    execute(adjust_line(data, invoice, line, units, amount, description, as_json=as_json))


@invoices.command("reset")
def invoices_reset(data: Data, invoice: Invoice, line: Line, as_json: Json = False) -> None:
    """Undo the adjustment of a line, and refresh the draft."""
    from cli.commands.drafts import reset_line

    execute(reset_line(data, invoice, line, as_json=as_json))

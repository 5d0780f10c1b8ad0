"""`weir credit-notes`."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

credit_notes = typer.Typer(help="What is given back of invoices.")


class Kind(StrEnum):
    CREDIT = "credit"
    OFFSET = "offset"
    REFUND = "refund"


class Reason(StrEnum):
    DUPLICATED_CHARGE = "duplicated-charge"
    PRODUCT_UNSATISFACTORY = "product-unsatisfactory"
    ORDER_CHANGE = "order-change"
    ORDER_CANCELLATION = "order-cancellation"
    FRAUDULENT_CHARGE = "fraudulent-charge"
    OTHER = "other"


Invoice = Annotated[str, typer.Argument(metavar="INVOICE", help="The invoice's number or id.")]
Items = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[LINE[=AMOUNT]]…",
        help="What is credited of which line, for example 2=12.50; what is left of it without an amount, and of every"
        " line without lines.",
    ),
]
KindOption = Annotated[
    Kind, typer.Option("--kind", help="A balance for the next invoices, less to pay of this one, or money back.")
]
ReasonOption = Annotated[Reason, typer.Option("--reason", help="Why.")]
Description = Annotated[str, typer.Option("--description", metavar="TEXT", help="Why, in words.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(credit_notes, name="credit-notes")


@credit_notes.command("create")
def credit_notes_create(
    data: Data,
    invoice: Invoice,
    items: Items = None,
    kind: KindOption = Kind.CREDIT,
    reason: ReasonOption = Reason.OTHER,
    description: Description = "",
    as_json: Json = False,
) -> None:
    """Credit lines of an invoice, with their taxes."""
    from cli.commands.credit_notes import create_credit_note

    wanted = create_credit_note(data, invoice, items or [], kind.name, reason.name, description, as_json=as_json)
    execute(wanted)


@credit_notes.command("estimate")
def credit_notes_estimate(
    data: Data, invoice: Invoice, items: Items = None, kind: KindOption = Kind.CREDIT, as_json: Json = False
) -> None:
    """Show what a credit note would come to. Nothing is written."""
    from cli.commands.credit_notes import estimate_credit_note

    execute(estimate_credit_note(data, invoice, items or [], kind.name, as_json=as_json))


@credit_notes.command("list")
def credit_notes_list(
    data: Data,
    customer: Annotated[str, typer.Option("--customer", metavar="ID", help="Only those of this customer.")] = "",
    as_json: Json = False,
) -> None:
    """List credit notes, newest first."""
    from cli.commands.credit_notes import list_credit_notes

    execute(list_credit_notes(data, customer, as_json=as_json))


@credit_notes.command("void")
def credit_notes_void(
    data: Data,
    note: Annotated[str, typer.Argument(metavar="NUMBER_OR_ID")],
    as_json: Json = False,
) -> None:
    """Take what is left of a credit note's balance away."""
    from cli.commands.credit_notes import void_credit_note

    execute(void_credit_note(data, note, as_json=as_json))

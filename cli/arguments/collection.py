"""`weir refunds` and `weir dunning`."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.arguments.billing import payments
from cli.arguments.options import Data, Json, execute

refunds = typer.Typer(help="Money given back.")
dunning = typer.Typer(help="What is done about payments that fail.")


class Final(StrEnum):
    NONE = "none"
    CANCEL = "cancel"
    DOWNGRADE = "downgrade"
    SUSPEND = "suspend"
    WRITE_OFF = "write-off"


Invoice = Annotated[str, typer.Argument(metavar="INVOICE", help="The invoice's id.")]
OfInvoice = Annotated[str, typer.Option("--invoice", metavar="ID", help="Only those of this invoice.")]
Segment = Annotated[
    str, typer.Option("--segment", metavar="NAME", help="Of customers, as their metadata has it; others by default.")
]


def add_to(root: typer.Typer) -> None:
    root.add_typer(refunds, name="refunds")
    root.add_typer(dunning, name="dunning")
    payments.command("refund")(refunds_create)
    payments.command("refund")(refunds_create)


@refunds.command("create")
def refunds_create(
    data: Data,
    invoice: Invoice,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="For example 12.50, in the payment's currency.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in words.")],
    manual: Annotated[
        str, typer.Option("--manual", metavar="REFERENCE", help="It went back by hand already, under this reference.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Give back what was paid of an invoice."""
    from cli.commands.collection import create_refund

    execute(create_refund(data, invoice, amount, reason, manual, as_json=as_json))


@refunds.command("list")
def refunds_list(data: Data, invoice: OfInvoice = "", as_json: Json = False) -> None:
    """List refunds, newest first."""
    from cli.commands.collection import list_refunds

    execute(list_refunds(data, invoice, as_json=as_json))


@refunds.command("retry")
def refunds_retry(
    data: Data, refund: Annotated[str, typer.Argument(metavar="REFUND", help="The refund's id.")], as_json: Json = False
) -> None:
    """Ask the processor again for a refund that has failed."""
    from cli.commands.collection import retry_refund

    execute(retry_refund(data, refund, as_json=as_json))


@dunning.command("set")
def dunning_set(
    data: Data,
    final_day: Annotated[int, typer.Option("--final-day", metavar="DAY", help="The day of the end.")],
    retry: Annotated[list[int] | None, typer.Option("--retry", metavar="DAY", help="A day to try again.")] = None,
    remind: Annotated[
        list[int] | None, typer.Option("--remind", metavar="DAY", help="A day to write; 0 is at once.")
    ] = None,
    payday: Annotated[
        list[int] | None,
        typer.Option("--payday", metavar="DAY", help="A day of the month; tries next to it move to it."),
    ] = None,
    final: Annotated[Final, typer.Option("--final", help="What invoicing is told at the end.")] = Final.NONE,
    time_zone: Annotated[str, typer.Option("--time-zone", metavar="NAME", help="Of days and hours.")] = "UTC",
    hour: Annotated[int, typer.Option("--hour", metavar="HOUR", help="When on their day things happen.")] = 9,
    plan: Annotated[str, typer.Option("--final-plan", metavar="PLAN", help="What a downgrade leads to.")] = "",
    segment: Segment = "",
    as_json: Json = False,
) -> None:
    """Set what is done about payments that fail. Days count from the failure."""
    from cli.commands.collection import set_dunning

    wanted = set_dunning(
        data,
        final_day,
        retry or [],
        remind or [],
        payday or [],
        final.name,
        time_zone,
        hour,
        plan,
        segment,
        as_json=as_json,
    )
    execute(wanted)


@dunning.command("policies")
def dunning_policies(data: Data, as_json: Json = False) -> None:
    """List the policies, by segment."""
    from cli.commands.collection import list_policies

    execute(list_policies(data, as_json=as_json))


@dunning.command("preview")
def dunning_preview(
    data: Data,
    start: Annotated[str, typer.Option("--at", metavar="TIME", help="When a payment fails; now by default.")] = "",
    segment: Segment = "",
    as_json: Json = False,
) -> None:
    """Show what would be done about a payment that fails. Nothing is written."""
    from cli.commands.collection import preview_dunning

    execute(preview_dunning(data, start, segment, as_json=as_json))


@dunning.command("list")
def dunning_list(data: Data, invoice: OfInvoice = "", as_json: Json = False) -> None:
    """List campaigns, newest first."""
    from cli.commands.collection import list_dunning

    execute(list_dunning(data, invoice, as_json=as_json))

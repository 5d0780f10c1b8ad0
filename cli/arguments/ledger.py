"""`weir ledger`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

ledger = typer.Typer(help="The books: what documents and money come to, as double entry.")


class Account(StrEnum):
    RECEIVABLE = "receivable"
    CASH = "cash"
    UNBILLED_REVENUE = "unbilled-revenue"
    CUSTOMER_CREDIT = "customer-credit"
    PREPAID_CREDIT = "prepaid-credit"
    REFUNDS_PAYABLE = "refunds-payable"
    TAX_PAYABLE = "tax-payable"
    DEFERRED_REVENUE = "deferred-revenue"
    REVENUE = "revenue"
    ROUNDING = "rounding"
    FORFEITED_CREDIT = "forfeited-credit"
    BAD_DEBT = "bad-debt"
    DISPUTES = "disputes"


Entity = Annotated[str, typer.Option("--entity", metavar="CODE", help="Only the books of this legal entity.")]
Known = Annotated[
    str, typer.Option("--known", metavar="TIME", help="As it was known then, in real time; as it is now without it.")
]
First = Annotated[str, typer.Argument(metavar="FIRST_DAY", help="For example 2023-11-01.")]
Last = Annotated[str, typer.Argument(metavar="LAST_DAY", help="For example 2023-11-30.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(ledger, name="ledger")


@ledger.callback()
def of_ledger() -> None:
    """The books: what documents and money come to, as double entry."""


@ledger.command("balances")
def balances(
    data: Data,
    day: Annotated[str, typer.Argument(metavar="[DAY]", help="At the end of which day; today without it.")] = "",
    entity: Entity = "",
    known: Known = "",
    as_json: Json = False,
) -> None:
    """Show the trial balance: what every account comes to."""
    from cli.commands.ledger import show_balances

    execute(show_balances(data, day, entity, known, as_json=as_json))


@ledger.command("statement")
def statement(
    data: Data,
    account: Annotated[Account, typer.Argument(metavar="ACCOUNT", help="For example receivable.")],
    first: First,
    last: Last,
    currency: Annotated[str, typer.Option("--currency", metavar="CODE", help="For example EUR.")],
    entity: Entity = "",
    known: Known = "",
    as_json: Json = False,
) -> None:
    """Show what changed an account, and what it came to before and after."""
    from cli.commands.ledger import show_statement

    execute(show_statement(data, account.name, first, last, currency, entity, known, as_json=as_json))


@ledger.command("journal")
def journal(
    data: Data,
    month: Annotated[str, typer.Argument(metavar="MONTH", help="For example 2023-11.")],
    mapping: Annotated[
        Path | None,
        typer.Option(
            "--mapping", metavar="FILE", help="YAML: accounts of a chart of accounts, columns and how they are written."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; standard output without it.")
    ] = None,
    entity: Entity = "",
    known: Known = "",
) -> None:
    """Write a month's journal as CSV: every leg of every booking, and what was earned."""
    from cli.commands.journal import write_journal

    execute(write_journal(data, month, mapping, output, entity, known))


@ledger.command("close")
def close(
    data: Data,
    day: Annotated[str, typer.Argument(metavar="DAY", help="The last day to be closed.")],
    entity: Annotated[str, typer.Option("--entity", metavar="CODE", help="Whose books.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Close the books up to a day, for ever: what comes later is booked after it."""
    from cli.commands.ledger import close_period

    if not yes:
        typer.confirm(f"Close the books up to {day}? This can't be undone.", abort=True, err=True)
    execute(close_period(data, day, entity, as_json=as_json))


@ledger.command("closings")
def closings(data: Data, as_json: Json = False) -> None:
    """List how far the books were closed."""
    from cli.commands.ledger import list_closings

    execute(list_closings(data, as_json=as_json))


@ledger.command("proofs")
def proofs(data: Data, as_json: Json = False) -> None:
    """List the daily proofs that documents and the ledger agree. The exit code is 1 if anything differs."""
    from cli.commands.ledger import list_proofs

    execute(list_proofs(data, as_json=as_json))

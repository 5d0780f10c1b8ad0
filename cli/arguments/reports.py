"""`weir report`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

report = typer.Typer(help="The business in figures: revenue, what recurs of it, and what is overdue.")

Csv = Annotated[bool, typer.Option("--csv", help="As CSV; amounts are in major units.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(report, name="report")


@report.callback()
def of_reports() -> None:
    """The business in figures: revenue, what recurs of it, and what is overdue."""


@report.command("revenue")
def revenue(
    data: Data,
    first: Annotated[str, typer.Argument(metavar="FIRST_DAY", help="For example 2023-01-01.")],
    last: Annotated[str, typer.Argument(metavar="LAST_DAY", help="For example 2023-12-31.")],
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """Show what was invoiced each month without taxes, what was taken off and given back, and what is left."""
    from cli.commands.reports import show_revenue

    execute(show_revenue(data, first, last, as_csv=as_csv, as_json=as_json))


@report.command("mrr")
def mrr(
    data: Data,
    first: Annotated[str, typer.Argument(metavar="FIRST_DAY", help="A day of the first month, such as 2023-01-01.")],
    last: Annotated[str, typer.Argument(metavar="LAST_DAY", help="A day of the last month.")],
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """Show the monthly recurring revenue at the end of each month, and what moved it."""
    from cli.commands.reports import show_mrr

    execute(show_mrr(data, first, last, as_csv=as_csv, as_json=as_json))


@report.command("ageing")
def ageing(
    data: Data,
    day: Annotated[str, typer.Argument(metavar="[DAY]", help="At the end of which day; today without it.")] = "",
    customers: Annotated[
        int, typer.Option("--customers", min=1, max=500, metavar="N", help="How many customers are named.")
    ] = 10,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """Show what customers owe by how long it is overdue, and who owes most of it."""
    from cli.commands.reports import show_ageing

    execute(show_ageing(data, day, customers, as_csv=as_csv, as_json=as_json))

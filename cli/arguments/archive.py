"""`weir archive`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

archive = typer.Typer(help="Months of old events that are in files.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    root.add_typer(archive, name="archive")


@archive.command("list")
def list_months(data: Data, as_json: Json = False) -> None:
    """The months that are due for archiving, and why they wait; and those that are archived."""
    from cli.commands.archive import list_months as run

    execute(run(data, as_json=as_json))


@archive.command("restore")
def restore(
    data: Data,
    month: Annotated[str, typer.Argument(metavar="MONTH", help="Such as 2023-11.")],
    hold_days: Annotated[int, typer.Option("--hold-days", metavar="N", help="Archived again after as many days.")] = 7,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the month's events are back.")] = False,
    as_json: Json = False,
) -> None:
    """Load a month's events back, for an audit."""
    from cli.commands.archive import restore as run

    execute(run(data, month, hold_days, wait=wait, as_json=as_json))

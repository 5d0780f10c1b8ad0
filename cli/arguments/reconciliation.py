"""`weir reconcile`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute


def add_to(root: typer.Typer) -> None:
    root.command("reconcile")(reconcile)


def reconcile(
    data: Data,
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="First day of reception, in UTC.")],
    end: Annotated[str, typer.Option("--to", metavar="DATE", help="First day after, in UTC.")],
    keys: Annotated[bool, typer.Option("--keys", help="Also compare events and identities; takes longer.")] = False,
    as_json: Json = False,
) -> None:
    """Whether every event received in a period is accounted for. Exit code 1 where something differs."""
    from cli.commands.reconciliation import reconcile as run

    execute(run(data, start, end, check_keys=keys, as_json=as_json))

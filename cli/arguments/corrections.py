"""`weir backfill` and `weir amend`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

backfill = typer.Typer(help="Events of the past that count together or not at all.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The backfill.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for those who look into it later.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(backfill, name="backfill")
    root.command("amend")(amend)


@backfill.callback()
def group() -> None:
    """Events of the past that count together or not at all."""


@backfill.command("open")
def backfill_open(data: Data, reason: Reason, as_json: Json = False) -> None:
    """Begin a backfill; then: weir events send --backfill ID -f FILE."""
    from cli.commands.corrections import open_backfill

    execute(open_backfill(data, reason, as_json=as_json))


@backfill.command("close")
def backfill_close(data: Data, backfill_id: Id, as_json: Json = False) -> None:
    """Have the events of a backfill count, all at once."""
    from cli.commands.corrections import close_backfill

    execute(close_backfill(data, backfill_id, as_json=as_json))


@backfill.command("revert")
def backfill_revert(data: Data, backfill_id: Id, as_json: Json = False) -> None:
    """Take the events of a backfill back, whether it is open or closed."""
    from cli.commands.corrections import revert_backfill

    execute(revert_backfill(data, backfill_id, as_json=as_json))


@backfill.command("list")
def backfill_list(data: Data, as_json: Json = False) -> None:
    """List backfills."""
    from cli.commands.corrections import list_backfills

    execute(list_backfills(data, as_json=as_json))


def amend(
    data: Data,
    subscription: Annotated[str, typer.Argument(metavar="SUBSCRIPTION")],
    transaction_id: Annotated[str, typer.Argument(metavar="TRANSACTION_ID")],
    reason: Reason,
    deprecate: Annotated[bool, typer.Option("--deprecate", help="Have the event count no more.")] = False,
    properties: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A property as it should be; an empty one goes. Repeatable."),
    ] = None,
    timestamp: Annotated[
        str | None, typer.Option("--timestamp", metavar="TIME", help="When it happened, as it should be.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Its timestamp as it is. Without it, all events are looked through."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Replace an event by one that differs in what is typed, or deprecate it. What it was stays on record."""
    from cli.commands.corrections import amend_event

    execute(
        amend_event(
            data, subscription, transaction_id, reason, tuple(properties or ()), timestamp, at,
            deprecate=deprecate, as_json=as_json,
        )
    )  # fmt: skip

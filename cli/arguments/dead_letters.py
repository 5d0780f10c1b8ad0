"""`weir dead-letters`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

dead_letters = typer.Typer(help="Records of connectors that are no events.")

OfConnector = Annotated[str, typer.Option("--connector", metavar="NAME", help="Only those of this connector.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(dead_letters, name="dead-letters")


@dead_letters.command("list")
def list_all(
    data: Data,
    connector: OfConnector = "",
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="Only those waiting, requested or replayed.")
    ] = "",
    as_json: Json = False,
) -> None:
    """What could not become an event, and why."""
    from cli.commands.dead_letters import list_dead_letters

    execute(list_dead_letters(data, connector, state, as_json=as_json))


@dead_letters.command("show")
def show(data: Data, letter_id: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """One of them, with the record as it came."""
    from cli.commands.dead_letters import show_dead_letter

    execute(show_dead_letter(data, letter_id, as_json=as_json))


@dead_letters.command("replay")
def replay(
    data: Data,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...")] = None,
    connector: Annotated[str, typer.Option("--connector", metavar="NAME", help="All of this connector.")] = "",
    reason: Annotated[str, typer.Option("--reason", metavar="REASON", help="Only with this reason.")] = "",
    as_json: Json = False,
) -> None:
    """Have connectors map records again, as they are configured now. Name IDs or a connector."""
    from cli.commands.dead_letters import replay_dead_letters

    execute(replay_dead_letters(data, tuple(ids or ()), connector, reason, as_json=as_json))

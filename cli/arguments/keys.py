"""`weir keys`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json

keys = typer.Typer(help="API keys.")


def add_to(root: typer.Typer) -> None:
    root.add_typer(keys, name="keys")


@keys.callback()
def group() -> None:
    """API keys."""


@keys.command("create")
def create(
    data: Data,
    tenant: Annotated[str, typer.Option(metavar="ID", help="Whose key it is.")],
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="What it may do. Repeatable. Without it: everything."),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="A key for real money; without it, a test key.")] = False,
    as_json: Json = False,
) -> None:
    """Issue an API key, signed with WEIR_SIGNING_KEY or with the key in the data directory."""
    from cli.commands.keys import create_key

    create_key(data, tenant, tuple(scopes or ()), live=live, as_json=as_json)

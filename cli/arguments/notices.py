"""Arguments of `weir notices`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

notices = typer.Typer(help="Signed posts that tell your own servers what has happened.")

Endpoint = Annotated[str, typer.Argument(metavar="ENDPOINT", help="The endpoint's id.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(notices, name="notices")


@notices.command("add")
def notices_add(
    data: Data,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to post.")],
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="For example dunning.exhausted; all by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add an endpoint, and show the secret that its posts are signed with."""
    from cli.commands.notices import add

    execute(add(data, url, types or [], as_json=as_json))


@notices.command("list")
def notices_list(data: Data, as_json: Json = False) -> None:
    """List the endpoints."""
    from cli.commands.notices import list_endpoints

    execute(list_endpoints(data, as_json=as_json))


@notices.command("delete")
def notices_delete(data: Data, endpoint: Endpoint) -> None:
    """Post nothing more to an endpoint."""
    from cli.commands.notices import delete

    execute(delete(data, endpoint))


@notices.command("rotate")
def notices_rotate(data: Data, endpoint: Endpoint, as_json: Json = False) -> None:
    """Give an endpoint a new secret."""
    from cli.commands.notices import rotate

    execute(rotate(data, endpoint, as_json=as_json))


@notices.command("deliveries")
def notices_deliveries(data: Data, endpoint: Endpoint, as_json: Json = False) -> None:
    """List what was posted to an endpoint, and what came of it, newest first."""
    from cli.commands.notices import list_deliveries

    execute(list_deliveries(data, endpoint, as_json=as_json))


@notices.command("retry")
def notices_retry(
    data: Data,
    endpoint: Endpoint,
    notice: Annotated[str, typer.Argument(metavar="NOTICE", help="The notice's id.")],
) -> None:
    """Post a notice again."""
    from cli.commands.notices import retry

    execute(retry(data, endpoint, notice))

"""Arguments of `weir psp`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

psp = typer.Typer(help="Accounts at payment processors.")


def add_to(root: typer.Typer) -> None:
    root.add_typer(psp, name="psp")


@psp.command("check")
def psp_check(
    data: Data,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The processor account's name.")],
    as_json: Json = False,
) -> None:
    """Whether the processor accepts an account's keys and its webhooks come. Exit code 1 where something is wrong."""
    from cli.commands.psp import check

    execute(check(data, account, as_json=as_json))

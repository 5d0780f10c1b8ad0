"""`weir scenario`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

scenario = typer.Typer(help="Try prices and billing over months, as code.")


def add_to(root: typer.Typer) -> None:
    root.add_typer(scenario, name="scenario")


@scenario.command("run")
def run(
    data: Data,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Scenarios, or directories of them.")],
    parallel: Annotated[int, typer.Option(min=1, help="How many go at once.")] = 4,
    as_json: Json = False,
) -> None:
    """Play scenarios, each in a tenant of its own with its own clock, and show what went otherwise.

    On the stack that runs on --data or that the environment names; without one, on a stack that is started for it.
    """
    from cli.commands.scenarios import run_files

    execute(run_files(data, files, parallel, as_json=as_json))


@scenario.command("record")
def record(
    data: Data,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's id.")],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Where to write; standard output if not given.")
    ] = None,
) -> None:
    """Write what happened to a customer as a scenario that expects their invoices, without personal data."""
    from cli.commands.scenarios import record_customer

    execute(record_customer(data, customer, file))


@scenario.command("schema")
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors and checks."""
    from cli.commands.scenarios import print_schema

    print_schema()

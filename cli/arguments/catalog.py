"""`weir apply`, and what there is in the catalog."""

from pathlib import Path
from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

meters = typer.Typer(help="What is measured.")
plans = typer.Typer(help="What is sold, and what it costs.")


def add_to(root: typer.Typer) -> None:
    root.command("apply")(apply)
    root.command("schema")(schema)
    root.add_typer(meters, name="meters")
    root.add_typer(plans, name="plans")


def apply(
    data: Data,
    file: Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="Catalog in YAML: meters, taxes, plans.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Make the catalog what a file says: show what changes, then change it. Again changes nothing.

    A plan that costs something else gets a new version. What the file does not mention stays.
    """
    from cli.commands.apply import apply_file

    execute(apply_file(data, file, dry_run=dry_run, yes=yes, as_json=as_json))


def schema() -> None:
    """Print the JSON Schema of catalog files, for editors and checks."""
    from cli.commands.catalog import print_schema

    print_schema()


@meters.command("list")
def meters_list(data: Data, as_json: Json = False) -> None:
    """List meters."""
    from cli.commands.catalog import list_meters

    execute(list_meters(data, as_json=as_json))


@plans.command("list")
def plans_list(data: Data, as_json: Json = False) -> None:
    """List plans, each as it is sold now."""
    from cli.commands.catalog import list_plans

    execute(list_plans(data, as_json=as_json))

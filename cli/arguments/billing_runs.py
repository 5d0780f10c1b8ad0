"""`weir billing`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, OfCustomer, execute

billing = typer.Typer(help="What falls due, and how far it is billed.")


def add_to(root: typer.Typer) -> None:
    root.add_typer(billing, name="billing")


@billing.callback()
def of_billing() -> None:
    """What falls due, and how far it is billed."""


@billing.command("run")
def run(
    data: Data,
    run_id: Annotated[str, typer.Argument(metavar="[RUN]", help="Its id; the newest one without it.")] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Show how it goes on until nothing but failures is left.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="What a run would bill now. Writes nothing.")] = False,
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help="With --dry-run: what falls due by then; now without it.")
    ] = "",
    customer: OfCustomer = "",
    as_json: Json = False,
) -> None:
    """Show a billing run. Runs start by themselves when something falls due.

    With --watch the exit code is 1 if something could not be billed, with --dry-run if something could not be.
    """
    from cli.commands.billing_runs import preview_run, show_run

    if dry_run:
        execute(preview_run(data, until, customer, is_plain=not (run_id or watch), as_json=as_json))
    else:
        execute(show_run(data, run_id, is_plain=not (until or customer), watch=watch, as_json=as_json))

"""`weir up` and `weir demo`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute


def add_to(root: typer.Typer) -> None:
    root.command("up")(up)
    root.command("demo")(demo)


def up(data: Data, as_json: Json = False) -> None:
    """Start everything on this machine: databases, services, workers, payment sandbox. Ctrl-C stops it.

    Databases are embedded, unless WEIR_METERING_DSN, WEIR_PRICING_DSN, WEIR_INVOICING_DSN, WEIR_PAYMENTS_DSN or
    WEIR_REDIS_URL say where others are. Data and keys stay in the data directory; the next start finds them.
    """
    from cli.commands.up import run_stack

    execute(run_stack(data, as_json=as_json), interrupted=0)


def demo(
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV with columns TIMESTAMP, ContextTokens, GeneratedTokens; without it, 20,000 made-up requests.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Data directory; without it, a temporary one that is removed at the end."),
    ] = None,
    declines: Annotated[
        bool,
        typer.Option("--declines", help="Also the story of a payment that fails, from the first decline to the end."),
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary data directory.")] = False,
    as_json: Json = False,
) -> None:
    """Bill a month of LLM usage, from events to paid invoices, on a stack of its own.

    Row i of the trace belongs to customer-{i mod 3}. The trace is sent twice, by two clients at once; every
    event counts once. Then the test clock moves from 2023-11-01 to 2023-12-01, invoices are made, and the sandbox
    collects them: by a card at Stripe, a card at Adyen, and a bank debit at GoCardless.
    """
    from cli.commands.demo import run_demo

    execute(run_demo(trace, data, keep=keep, with_declines=declines, as_json=as_json))

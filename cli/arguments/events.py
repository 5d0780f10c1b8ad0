"""`weir events send`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.arguments.options import Data, Json, execute

events = typer.Typer(help="Usage events.")


def add_to(root: typer.Typer) -> None:
    root.add_typer(events, name="events")


@events.callback()
def group() -> None:
    """Usage events."""


@events.command("send")
def send(
    data: Data,
    file: Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="NDJSON or CSV; - is standard input.")],
    file_format: Annotated[
        Literal["ndjson", "csv"] | None,
        typer.Option("--format", help="Without it: csv where the file's name ends in .csv, otherwise ndjson."),
    ] = None,
    subscription: Annotated[
        str, typer.Option(metavar="TEMPLATE", help="CSV: the subscription_id, for example 'customer-{row%3}'.")
    ] = "{subscription_id}",
    code: Annotated[
        str, typer.Option(metavar="TEMPLATE", help="CSV: what happened, for example llm_request.")
    ] = "{code}",
    transaction_id: Annotated[
        str, typer.Option(metavar="TEMPLATE", help="CSV: the event's own id, for example 'row-{row}'.")
    ] = "{transaction_id}",
    timestamp: Annotated[str, typer.Option(metavar="COLUMN", help="CSV: the column with the time.")] = "timestamp",
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            metavar="NAME=COLUMN",
            help="CSV: a property and its column, or a template. Repeatable. Without it: every column not used above.",
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Batches of 1,000 events under way at once.")] = 4,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the last try with this file ended.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to note how far it got; without it, in the data directory."),
    ] = None,
    backfill: Annotated[
        str, typer.Option(metavar="ID", help="The open backfill that the events belong to; see `weir backfill`.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Send usage events. Sending a file again is safe: every transaction_id counts once.

    NDJSON has one event a line: {"transaction_id", "subscription_id", "code", "timestamp", "properties"}.
    In a TEMPLATE, {COLUMN} is that column of the row, {row} the number of the row from 0, {row%3} that modulo 3.

    A row that is broken or refused is reported with its line and column; all others are sent. The exit code is 1 then.
    """
    from cli.commands.events import Reading, send_file

    reading = Reading(file_format, subscription, code, transaction_id, timestamp, tuple(properties or ()))
    execute(send_file(data, file, reading, concurrency, checkpoint, backfill, resume=resume, as_json=as_json))

"""`weir meters`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

meters = typer.Typer(help="How usage is measured, and from when on.")

Code = Annotated[str, typer.Argument(metavar="CODE", help="The meter.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(meters, name="meters")


@meters.command("list")
def list_all(data: Data, as_json: Json = False) -> None:
    """What is measured. Meters are made by `weir apply`."""
    from cli.commands.meters import list_meters

    execute(list_meters(data, as_json=as_json))


@meters.command("versions")
def versions(data: Data, code: Code, as_json: Json = False) -> None:
    """What a meter measures, and what it is going to, by the time from which on."""
    from cli.commands.meters import list_versions

    execute(list_versions(data, code, as_json=as_json))


@meters.command("change")
def change(
    data: Data,
    code: Code,
    event_code: Annotated[str | None, typer.Option("--event", metavar="CODE", help="The events that count.")] = None,
    value_property: Annotated[str | None, typer.Option("--property", metavar="NAME", help="What is added up.")] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="PROPERTY=VALUE[,VALUE]",
            help="Only such events. Repeatable: all that there are then; '' for none.",
        ),
    ] = None,
    expression: Annotated[
        str | None, typer.Option("--expression", metavar="TEXT", help="What computes the property; '' for nothing.")
    ] = None,
    rounding: Annotated[
        str | None,
        typer.Option("--rounding", metavar="HOW[:DIGITS]", help="round, ceil or floor; '' for none."),
    ] = None,
    dimensions: Annotated[
        list[str] | None,
        typer.Option(
            "--dimension",
            metavar="PROPERTY",
            help="What usage can be split by. Repeatable: all that there are then; '' for none.",
        ),
    ] = None,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="From when on; at least, and without it, in ten minutes.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Measure otherwise from a time on. What is not told stays as in the last version."""
    from cli.commands.meters import MeterWords, change_meter

    words = MeterWords(event_code, value_property, filters, expression, rounding, dimensions, start)
    execute(change_meter(data, code, words, as_json=as_json))


@meters.command("evaluate")
def evaluate(
    data: Data,
    expression: Annotated[str, typer.Argument(metavar="EXPRESSION")],
    properties: Annotated[
        list[str] | None, typer.Argument(metavar="PROPERTY=VALUE...", help="Of a sample event.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What an expression comes to for an event, of which nothing is recorded."""
    from cli.commands.meters import evaluate_expression

    execute(evaluate_expression(data, expression, properties or [], as_json=as_json))

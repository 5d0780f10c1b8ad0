"""`weir usage` and `weir clock`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

clock = typer.Typer(help="The tenant's billing clock: real time, or a test clock that you move.")


def add_to(root: typer.Typer) -> None:
    root.command("usage")(usage)
    root.add_typer(clock, name="clock")


def usage(
    data: Data,
    subscription: Annotated[str, typer.Argument(metavar="SUBSCRIPTION")],
    meters: Annotated[
        list[str] | None, typer.Option("--meter", metavar="CODE", help="Repeatable. Without it: every meter.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="First instant; without it, the start of this month (UTC)."),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="First instant after; without it, the end of the month of --from."),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Go on until Ctrl-C, as events arrive; with --json, a line for each change."),
    ] = False,
    as_json: Json = False,
) -> None:
    """What a subscription has used. Every event acknowledged so far is in it.

    A TIME is a date, or a time such as 2023-11-16T18:00:00Z. "This month" is that of the billing clock.
    """
    from cli.commands.usage import follow_usage, show_usage

    show = follow_usage if follow else show_usage
    execute(show(data, subscription, tuple(meters or ()), start, end, as_json=as_json))


@clock.callback(invoke_without_command=True)
def clock_default(context: typer.Context) -> None:
    """The tenant's billing clock: real time, or a test clock that you move."""
    if context.invoked_subcommand is None:
        from cli.commands.clock import show_clock
        from cli.stack.endpoint import home

        execute(show_clock(home(), as_json=False))


@clock.command("show")
def show(data: Data, as_json: Json = False) -> None:
    """What time it is for billing."""
    from cli.commands.clock import show_clock

    execute(show_clock(data, as_json=as_json))


@clock.command("create")
def create(
    data: Data,
    time: Annotated[str, typer.Argument(metavar="TIME", help="Where the clock starts.")],
    as_json: Json = False,
) -> None:
    """Give a test tenant a clock that stands still until it is advanced."""
    from cli.commands.clock import create_clock

    execute(create_clock(data, time, as_json=as_json))


@clock.command("advance")
def advance(
    data: Data,
    time: Annotated[str, typer.Argument(metavar="TIME", help="Where the clock goes.")],
    wait: Annotated[bool, typer.Option(help="Show each step, and return when all that fell due is done.")] = True,
    as_json: Json = False,
) -> None:
    """Move the test clock forward, as if the time had passed. The exit code is 1 if something could not be billed."""
    from cli.commands.clock import advance_clock

    execute(advance_clock(data, time, wait=wait, as_json=as_json))

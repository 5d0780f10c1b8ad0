"""Options that many commands have, and how a command's work is run."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.stack.endpoint import home

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="DIR",
        default_factory=home,
        show_default="$WEIR_HOME or .weir",
        help="Data directory of the weir to talk to.",
    ),
]
INTERRUPTED_EXIT_CODE = 130

OfCustomer = Annotated[str, typer.Option("--customer", metavar="ID", help="Only those of this customer.")]
Address = Annotated[
    list[str] | None,
    typer.Option(
        "--address",
        metavar="PART=TEXT",
        help="line1, line2, city, postal_code, region or country_code; may be repeated, all that there is then.",
    ),
]
TaxIds = Annotated[
    list[str] | None,
    typer.Option("--tax-id", metavar="TYPE=NUMBER", help="Such as eu_vat=DE123456789; may be repeated, all then."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def taking(read: Callable[..., dict[str, object]]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that has the options of `read`, too; what that makes of them is its keyword argument `fields`."""
    options = signature(read).parameters

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: object) -> None:
            command(fields=read(**{name: given.pop(name) for name in options}), **given)

        own = [each for name, each in signature(command).parameters.items() if name != "fields"]
        together = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in (*own, *options.values())]
        run.__signature__ = signature(run).replace(parameters=together)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in together}
        return run

    return with_options


def execute(work: Coroutine[Any, Any, int | None], *, interrupted: int = INTERRUPTED_EXIT_CODE) -> None:
    """Run `work` to its end. Ctrl-C and SIGTERM cancel it, once, so that it can clean up; the exit code is then
    `interrupted`."""
    code = asyncio.run(_cancelled_by_signals(work, interrupted))
    if code:
        raise typer.Exit(code)


async def _cancelled_by_signals(work: Coroutine[Any, Any, int | None], interrupted: int) -> int | None:
    task = asyncio.create_task(work)
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not received:
            task.cancel()
        received.append(number)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        return interrupted

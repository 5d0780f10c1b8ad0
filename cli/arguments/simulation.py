"""`weir simulate` and `weir explain`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute


def add_to(root: typer.Typer) -> None:
    root.command("simulate")(simulate)
    root.command("explain")(explain)


def simulate(
    data: Data,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="Whose subscriptions; with @VERSION, those on it.")],
    candidates: Annotated[
        list[str], typer.Argument(metavar="CANDIDATE...", help="What to bill them under: PLAN, or PLAN@VERSION.")
    ],
    period: Annotated[
        str,
        typer.Option(
            metavar="PERIOD",
            help="Such as 2023-11, 2023-W47, 2023-Q4, 2023-H2 or 2023; or the first day of what the first candidate is"
            " billed by. Plans may be billed by other intervals: their bills' share in it is compared.",
        ),
    ],
    watermark: Annotated[int, typer.Option(help="Of an earlier simulation, whose usage is meant; 0: now.")] = 0,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line for each subscription and candidate.")] = False,
    as_json: Json = False,
) -> None:
    """What a period's real usage would have cost under other plans. Changes nothing."""
    from cli.commands.simulate import run_simulation

    execute(run_simulation(data, plan, candidates, period, watermark, as_csv=as_csv, as_json=as_json))


def explain(
    data: Data,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="The plan's code; with @VERSION, not the newest.")],
    quantities: Annotated[
        list[str] | None,
        typer.Argument(metavar="CHARGE=QUANTITY...", help="What is used; a charge that is left out is rated at 0."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What quantities cost under a plan, and the arithmetic that says so."""
    from cli.commands.explain import explain_quantities

    execute(explain_quantities(data, plan, quantities or [], as_json=as_json))

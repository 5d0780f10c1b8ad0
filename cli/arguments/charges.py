"""`weir subscriptions`, as far as it is about units that are charged in advance or with a period."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute
from cli.arguments.subscriptions import Id, subscriptions


def add_to(root: typer.Typer) -> None:
    """The commands are those of `weir subscriptions`."""


@subscriptions.command("units")
def subscriptions_units(data: Data, subscription_id: Id, as_json: Json = False) -> None:
    """Show what was changed of the units of a subscription's fixed charges."""
    from cli.commands.charges import list_units

    execute(list_units(data, subscription_id, as_json=as_json))


@subscriptions.command("set-units")
def subscriptions_set_units(
    data: Data,
    subscription_id: Id,
    code: Annotated[str, typer.Argument(metavar="CODE", help="The fixed charge of its plan.")],
    units: Annotated[str, typer.Argument(metavar="UNITS", help="How many there are from then on.")],
    next_period: Annotated[bool, typer.Option("--next-period", help="When the next period begins, not now.")] = False,
    as_json: Json = False,
) -> None:
    """Change the units of a fixed charge. More of one in advance are invoiced at once."""
    from cli.commands.charges import set_units

    execute(set_units(data, subscription_id, code, units, next_period=next_period, as_json=as_json))


@subscriptions.command("pay-fees")
def subscriptions_pay_fees(
    data: Data,
    subscription_id: Id,
    numbers: Annotated[list[int], typer.Argument(metavar="NUMBER...", help="Numbers of fees that wait to be paid.")],
    as_json: Json = False,
) -> None:
    """Say that fees in advance were paid. They are on an invoice of paid fees when their period is over."""
    from cli.commands.charges import pay_fees

    execute(pay_fees(data, subscription_id, numbers, as_json=as_json))


@subscriptions.command("advance-fees")
def subscriptions_advance_fees(data: Data, subscription_id: Id, as_json: Json = False) -> None:
    """List what events of a subscription were charged when they were recorded."""
    from cli.commands.charges import list_advance_fees

    execute(list_advance_fees(data, subscription_id, as_json=as_json))

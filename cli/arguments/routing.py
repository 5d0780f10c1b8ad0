"""Arguments of `weir payments route` and `weir payments show`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.arguments.billing import payments
from cli.arguments.options import Data, Json, execute

route = typer.Typer(help="Through which account payments are charged.")


def add_to(_: typer.Typer) -> None:
    """They belong to `weir payments`, which is there already."""
    payments.add_typer(route, name="route")
    payments.command("show")(payments_show)


def payments_show(
    data: Data,
    payment: Annotated[str, typer.Argument(metavar="PAYMENT", help="The payment's id.")],
    as_json: Json = False,
) -> None:
    """Show a payment with its attempts, and why each was made with its account."""
    from cli.commands.routing import show_payment

    execute(show_payment(data, payment, as_json=as_json))


@route.command("set")
def route_set(
    data: Data,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML or JSON with a list called rules.")],
    as_json: Json = False,
) -> None:
    """Replace the rules. Rules that are in force already are left alone."""
    from cli.commands.routing import set_rules

    execute(set_rules(data, file, as_json=as_json))


@route.command("show")
def route_show(data: Data, as_json: Json = False) -> None:
    """Show the rules in force."""
    from cli.commands.routing import show_rules

    execute(show_rules(data, as_json=as_json))


@route.command("preview")
def route_preview(
    data: Data,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="Who would pay.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="What would be due, for example 12.50.")],
    currency: Annotated[str, typer.Option(help="Of the amount.")] = "EUR",
    country: Annotated[str, typer.Option(help="The customer's country.")] = "",
    segment: Annotated[str, typer.Option(help="The customer's segment.")] = "",
    as_json: Json = False,
) -> None:
    """Show what would be charged, and why. Nothing is written."""
    from cli.commands.routing import preview

    execute(preview(data, customer, amount, currency, country, segment, as_json=as_json))

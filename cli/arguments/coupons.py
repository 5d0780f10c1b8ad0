"""`weir coupons`."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.arguments.options import Data, Json, OfCustomer, execute

coupons = typer.Typer(help="The coupons that customers have.")


class Frequency(StrEnum):
    AS_IT_SAYS = "as-it-says"
    ONCE = "once"
    RECURRING = "recurring"
    FOREVER = "forever"


def add_to(root: typer.Typer) -> None:
    root.add_typer(coupons, name="coupons")


@coupons.command("apply")
def coupons_apply(
    data: Data,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER")],
    coupon: Annotated[str, typer.Argument(metavar="CODE", help="The coupon in the catalog.")],
    amount: Annotated[
        str, typer.Option("--amount", metavar="AMOUNT", help="What it takes off instead, for example 12.50USD.")
    ] = "",
    percent: Annotated[str, typer.Option("--percent", metavar="N", help="What it takes off instead, in percent.")] = "",
    frequency: Annotated[Frequency, typer.Option("--frequency", help="How often instead.")] = Frequency.AS_IT_SAYS,
    invoices: Annotated[int, typer.Option("--invoices", metavar="N", help="On how many invoices, if recurring.")] = 0,
    as_json: Json = False,
) -> None:
    """Give a customer a coupon, on its terms or on others."""
    from cli.commands.coupons import apply_coupon

    name = "UNSPECIFIED" if frequency is Frequency.AS_IT_SAYS else frequency.name
    execute(apply_coupon(data, customer, coupon, amount, percent, name, invoices, as_json=as_json))


@coupons.command("list")
def coupons_list(data: Data, customer: OfCustomer = "", as_json: Json = False) -> None:
    """List the coupons that customers have, newest first."""
    from cli.commands.coupons import list_applied_coupons

    execute(list_applied_coupons(data, customer, as_json=as_json))


@coupons.command("remove")
def coupons_remove(
    data: Data, applied: Annotated[str, typer.Argument(metavar="ID", help="cpn_…")], as_json: Json = False
) -> None:
    """Take a coupon away from a customer."""
    from cli.commands.coupons import remove_applied_coupon

    execute(remove_applied_coupon(data, applied, as_json=as_json))

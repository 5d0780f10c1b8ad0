"""Arguments of `weir payments reconcile` and `weir payments reconciliations`."""

from typing import Annotated

import typer

from cli.arguments.billing import payments
from cli.arguments.options import Data, Json, execute

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The processor account's name.")]


def add_to(_: typer.Typer) -> None:
    """They belong to `weir payments`, which is there already."""
    payments.command("reconcile")(payments_reconcile)
    payments.command("reconciliations")(payments_reconciliations)


def payments_reconcile(
    data: Data,
    account: Account,
    day: Annotated[str, typer.Option("--day", metavar="DATE", help="A UTC day; yesterday by default.")] = "",
    as_json: Json = False,
) -> None:
    """Compare a day with the processor's records: charges, refunds, payouts. Exit code 1 where something differs."""
    from cli.commands.payment_reconciliation import reconcile

    execute(reconcile(data, account, day, as_json=as_json))


def payments_reconciliations(data: Data, account: Account, as_json: Json = False) -> None:
    """List the days that were compared, newest first. The worker compares every day."""
    from cli.commands.payment_reconciliation import list_reconciliations

    execute(list_reconciliations(data, account, as_json=as_json))

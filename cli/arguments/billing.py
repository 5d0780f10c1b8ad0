"""`weir invoices` and `payments`."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.arguments.options import Data, Json, OfCustomer, execute

invoices = typer.Typer(help="What is owed.")
payments = typer.Typer(help="What has been collected.")


class State(StrEnum):
    DRAFT = "draft"
    FINALIZED = "finalized"
    VOIDED = "voided"
    CLOSED = "closed"


class PaymentStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REQUIRES_ACTION = "requires-action"


Invoice = Annotated[str, typer.Argument(metavar="NUMBER_OR_ID")]
Account = Annotated[str, typer.Option("--account", metavar="ID", help="The processor account's name in Weir.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(invoices, name="invoices")
    root.add_typer(payments, name="payments")


@invoices.command("list")
def invoices_list(
    data: Data,
    customer: OfCustomer = "",
    subscription: Annotated[str, typer.Option(metavar="ID", help="Only those of this subscription.")] = "",
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    payment: Annotated[PaymentStatus | None, typer.Option(help="Only those whose payment stands there.")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those that were to be paid by now.")] = False,
    as_json: Json = False,
) -> None:
    """List invoices, newest first."""
    from cli.commands.invoices import list_invoices, wanted

    asked = wanted(customer, subscription, state or "", payment or "", overdue=overdue)
    execute(list_invoices(data, asked, as_json=as_json))


@invoices.command("show")
def invoices_show(data: Data, invoice: Invoice, as_json: Json = False) -> None:
    """Show an invoice with its lines and taxes."""
    from cli.commands.invoices import show_invoice

    execute(show_invoice(data, invoice, as_json=as_json))


@invoices.command("explain")
def invoices_explain(
    data: Data,
    invoice: Invoice,
    line: Annotated[str, typer.Argument(metavar="[LINE]", help="Code or number; all without it.")] = "",
    as_json: Json = False,
) -> None:
    """Say where an invoice's amounts come from, and compute them again. The exit code is 1 if one differs."""
    from cli.commands.invoices import explain_invoice

    execute(explain_invoice(data, invoice, line, as_json=as_json))


@invoices.command("replay")
def invoices_replay(data: Data, invoice: Invoice, as_json: Json = False) -> None:
    """Compute a whole invoice again from what it recorded. The exit code is 1 if anything differs."""
    from cli.commands.invoices import replay_invoice

    execute(replay_invoice(data, invoice, as_json=as_json))


@invoices.command("replays")
def invoices_replays(data: Data, as_json: Json = False) -> None:
    """List the daily replays of samples, and what was not reproduced. The exit code is 1 if anything was not."""
    from cli.commands.replays import list_replays

    execute(list_replays(data, as_json=as_json))


@invoices.command("preview")
def invoices_preview(
    data: Data,
    subscription_id: Annotated[str, typer.Argument(metavar="SUBSCRIPTION")],
    as_json: Json = False,
) -> None:
    """Show a subscription's next invoice, with what was used so far. Nothing is written."""
    from cli.commands.invoices import preview_invoice

    execute(preview_invoice(data, subscription_id, as_json=as_json))


@invoices.command("void")
def invoices_void(
    data: Data,
    invoice: Invoice,
    credit: Annotated[
        str, typer.Option("--credit", metavar="AMOUNT", help="Credit so much of it, with taxes, to the customer.")
    ] = "",
    refund: Annotated[
        str, typer.Option("--refund", metavar="AMOUNT", help="Give so much of what was paid back, with taxes.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Void an invoice. What was paid of it is to be credited or refunded. Credits that it has used go back; its period
    stays billed.
    """
    from cli.commands.invoices import void_invoice

    execute(void_invoice(data, invoice, credit, refund, as_json=as_json))


@invoices.command("refresh")
def invoices_refresh(data: Data, invoice: Invoice, as_json: Json = False) -> None:
    """Bill a draft again, with what was used since."""
    from cli.commands.drafts import refresh_invoice

    execute(refresh_invoice(data, invoice, as_json=as_json))


@invoices.command("regenerate")
def invoices_regenerate(
    data: Data,
    invoice: Invoice,
    as_draft: Annotated[bool, typer.Option("--draft", help="Leave it a draft until it is finalized.")] = False,
    as_json: Json = False,
) -> None:
    """Bill again what a voided invoice did, once, with a number of its own."""
    from cli.commands.drafts import regenerate_invoice

    execute(regenerate_invoice(data, invoice, as_draft=as_draft, as_json=as_json))


@invoices.command("finalize")
def invoices_finalize(data: Data, invoice: Invoice, as_json: Json = False) -> None:
    """Finalize a draft now, without waiting for the end of its grace period."""
    from cli.commands.drafts import finalize_invoice

    execute(finalize_invoice(data, invoice, as_json=as_json))


@payments.command("list")
def payments_list(data: Data, customer: OfCustomer = "", as_json: Json = False) -> None:
    """List payments, newest first."""
    from cli.commands.payments import list_payments

    execute(list_payments(data, customer, as_json=as_json))


@payments.command("save-method")
def payments_save_method(
    data: Data,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="Whom it charges.")],
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="The processor's token; at the sandbox pm_card_visa.")],
    account: Account = "stripe",
    as_json: Json = False,
) -> None:
    """Save a way to charge a customer. Payments that were waiting for one go on."""
    from cli.commands.payments import save_method

    execute(save_method(data, customer, token, account, as_json=as_json))


@payments.command("retry")
def payments_retry(
    data: Data,
    payment: Annotated[str, typer.Argument(metavar="PAYMENT", help="The payment's id.")],
    as_json: Json = False,
) -> None:
    """Try a payment again that failed or needed the customer."""
    from cli.commands.payments import retry_payment

    execute(retry_payment(data, payment, as_json=as_json))

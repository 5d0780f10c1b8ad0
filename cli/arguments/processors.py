"""Arguments of `weir payments connect`, and of the processors' pages."""

from typing import Annotated

import typer

from cli.arguments.billing import payments
from cli.arguments.options import Data, Json, execute

Processor = Annotated[str, typer.Argument(metavar="PROCESSOR", help="stripe, adyen or gocardless.")]


def add_to(_: typer.Typer) -> None:
    """They belong to `weir payments`, which is there already."""
    payments.command("connect")(payments_connect)
    payments.command("setup-page")(payments_setup_page)
    payments.command("page")(payments_page)
    payments.command("close-page")(payments_close_page)


def payments_connect(
    data: Data,
    processor: Processor = "stripe",
    account: Annotated[str, typer.Option("--account", help="The account's name; the processor's by default.")] = "",
    secret_key: Annotated[str, typer.Option(envvar="STRIPE_SECRET_KEY", help="Stripe: secret key, sk_….")] = "",
    api_key: Annotated[str, typer.Option(envvar="ADYEN_API_KEY", help="Adyen: API key.")] = "",
    merchant_account: Annotated[
        str, typer.Option(envvar="ADYEN_MERCHANT_ACCOUNT", help="Adyen: the merchant account.")
    ] = "",
    hmac_key: Annotated[str, typer.Option(envvar="ADYEN_HMAC_KEY", help="Adyen: HMAC key of the webhooks.")] = "",
    token_hmac_key: Annotated[
        str, typer.Option(envvar="ADYEN_TOKEN_HMAC_KEY", help="Adyen: HMAC key of the token webhook, if another.")
    ] = "",
    live_endpoint_prefix: Annotated[
        str, typer.Option(envvar="ADYEN_LIVE_ENDPOINT_PREFIX", help="Adyen: prefix of live URLs; none for test.")
    ] = "",
    access_token: Annotated[str, typer.Option(envvar="GOCARDLESS_ACCESS_TOKEN", help="GoCardless: access token.")] = "",
    environment: Annotated[str, typer.Option(help="GoCardless: live or sandbox.")] = "",
    webhook_secret: Annotated[
        str,
        typer.Option(
            envvar=["STRIPE_WEBHOOK_SECRET", "GOCARDLESS_WEBHOOK_SECRET"],
            help="Stripe, GoCardless: secret of the webhook endpoint.",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Connect an account at a processor; without keys, the one at the sandbox that `weir up` has started."""
    from cli.commands.processors import connect

    keys = {
        "secret_key": secret_key,
        "api_key": api_key,
        "merchant_account": merchant_account,
        "hmac_key": hmac_key,
        "token_hmac_key": token_hmac_key,
        "live_endpoint_prefix": live_endpoint_prefix,
        "access_token": access_token,
        "environment": environment,
        "webhook_secret": webhook_secret,
    }
    execute(connect(data, processor, account or processor, keys, as_json=as_json))


ReturnUrl = Annotated[str, typer.Option(help="Where the customer goes afterwards.")]


def payments_page(
    data: Data,
    invoice: Annotated[str, typer.Argument(metavar="INVOICE", help="The invoice's id.")],
    account: Annotated[str, typer.Option("--account", help="The processor account that is paid to.")] = "stripe",
    return_url: ReturnUrl = "https://example.com/",
    as_json: Json = False,
) -> None:
    """Make a page of the processor's on which a customer pays an invoice, or authenticates its charge."""
    from cli.commands.processors import make_payment_page

    execute(make_payment_page(data, invoice, account, return_url, as_json=as_json))


def payments_close_page(
    data: Data,
    page: Annotated[str, typer.Argument(metavar="PAGE", help="The page's id.")],
    as_json: Json = False,
) -> None:
    """End a page, so that nobody can pay on it any more."""
    from cli.commands.processors import close_payment_page

    execute(close_payment_page(data, page, as_json=as_json))


def payments_setup_page(
    data: Data,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="Whose method it will be.")],
    account: Annotated[str, typer.Option("--account", help="The processor account that keeps it.")] = "stripe",
    currency: Annotated[str, typer.Option(help="What is going to be charged.")] = "EUR",
    return_url: ReturnUrl = "https://example.com/",
    as_json: Json = False,
) -> None:
    """Make a page of the processor's on which a customer saves a method."""
    from cli.commands.processors import make_setup_page

    execute(make_setup_page(data, customer, account, currency, return_url, as_json=as_json))

"""`weir payments connect`, and the processors' pages."""

from collections.abc import Mapping
from pathlib import Path

from cli.connection import connected_to, new_request_id
from cli.errors import CliError
from cli.output import as_dict, console, instant, print_json, state
from cli.sandbox_account import connect_sandbox, create_request
from weir.payments.v1.payment_pages_pb2 import ClosePaymentPageRequest, CreatePaymentPageRequest, PaymentPage
from weir.payments.v1.processors_pb2 import CreateSetupPageRequest

KEYS: Mapping[str, tuple[str, ...]] = {
    "stripe": ("secret_key", "webhook_secret"),
    "adyen": ("api_key", "merchant_account", "hmac_key"),
    "gocardless": ("access_token", "environment", "webhook_secret"),
}
OPTIONAL: Mapping[str, tuple[str, ...]] = {"adyen": ("token_hmac_key", "live_endpoint_prefix")}


async def connect(data: Path, processor: str, account_id: str, keys: Mapping[str, str], *, as_json: bool) -> None:
    """An account at a processor, or without keys the one at the sandbox."""
    if processor not in KEYS:
        raise CliError(f"there is no processor {processor!r}; Weir knows {', '.join(KEYS)}")
    given = {name: keys[name] for name in (*KEYS[processor], *OPTIONAL.get(processor, ())) if keys[name]}
    if given and (absent := [name for name in KEYS[processor] if name not in given]):
        options = ", ".join("--" + name.replace("_", "-") for name in absent)
        raise CliError(f"{options} is missing; without any key, the sandbox is connected")
    async with connected_to(data) as services:
        if given:
            request = create_request(processor, account_id, given, new_request_id())
            account = (await services.payments.CreateProcessorAccount(request)).processor_account
        elif services.endpoint.sandbox_url:
            account = await connect_sandbox(services, account_id, new_request_id(), processor)
        else:
            options = " and ".join("--" + name.replace("_", "-") for name in KEYS[processor])
            raise CliError(f"there is no sandbox here: give {options}")
    if as_json:
        print_json({"processor_account": as_dict(account)})
    else:
        console.print(f"Connected {account.id}; its webhooks go to {account.webhook_path}.", markup=False)


async def make_setup_page(
    data: Path, customer_id: str, account_id: str, currency: str, return_url: str, *, as_json: bool
) -> None:
    async with connected_to(data) as services:
        request = CreateSetupPageRequest(
            request_id=new_request_id(),
            customer_id=customer_id,
            processor_account_id=account_id,
            currency_code=currency,
            return_url=return_url,
        )
        page = await services.processors.CreateSetupPage(request)
    if as_json:
        print_json({"url": page.url})
    else:
        console.print(f"{customer_id} saves a method at {page.url}", markup=False)


async def make_payment_page(data: Path, invoice_id: str, account_id: str, return_url: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = CreatePaymentPageRequest(
            request_id=new_request_id(),
            invoice_id=invoice_id,
            processor_account_id=account_id,
            return_url=return_url,
        )
        page = (await services.payment_pages.CreatePaymentPage(request)).payment_page
    if as_json:
        print_json({"payment_page": as_dict(page)})
    else:
        told = f"{invoice_id} is paid at {page.url} until {instant(page.expire_time)} ({page.id})"
        console.print(told, markup=False, soft_wrap=True)


async def close_payment_page(data: Path, page_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        page = (await services.payment_pages.ClosePaymentPage(ClosePaymentPageRequest(id=page_id))).payment_page
    if as_json:
        print_json({"payment_page": as_dict(page)})
    else:
        console.print(f"{page.id} is {state(PaymentPage.State, page.state)}.", markup=False)

"""`weir customers`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf.field_mask_pb2 import FieldMask

from cli.commands.parties import address_of, tax_ids_of
from cli.connection import connected_to, new_request_id, pages
from cli.errors import WrongUsage
from cli.output import as_dict, console, print_json, print_list, print_table
from weir.invoicing.v1.customers_pb2 import EraseCustomerRequest, UpdateCustomerRequest
from weir.invoicing.v1.invoicing_pb2 import CreateCustomerRequest, Customer, GetCustomerRequest, ListCustomersRequest


async def list_customers(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.invoicing.ListCustomers(ListCustomersRequest(page_token=token)), "customers"
        )
    if as_json:
        print_list("customers", found)
        return
    rows = [(each.id, each.name, each.email or "-", each.time_zone) for each in found]
    print_table(("id", "name", "email", "time zone"), rows, nothing="No customers yet.")


async def show_customer(data: Path, customer_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = (await services.invoicing.GetCustomer(GetCustomerRequest(id=customer_id))).customer
    if as_json:
        print_json({"customer": as_dict(found)})
        return
    skips = found.zero_amount_invoices == Customer.ZERO_AMOUNT_INVOICES_SKIP
    rows = [
        ("name", found.name),
        ("email", found.email or "-"),
        ("time zone", found.time_zone),
        ("currency", found.currency_code or "-"),
        ("locale", found.locale or "-"),
        ("days to pay", str(found.net_payment_term_days)),
        ("days in draft", str(found.grace_period_days)),
        ("invoices of nothing", "skipped" if skips else "finalized"),
        ("numbers", f"{found.number_prefix}-CCC-III" if found.number_prefix else "the tenant's"),
        ("billed by", found.legal_entity_code or "the default legal entity"),
        ("taxes", ", ".join(found.tax_codes) or "-"),
        *((each.type, each.value) for each in found.tax_ids),
        *(sorted(found.metadata.items())),
    ]
    print_table(("customer", found.id), rows, nothing="")


async def create_customer(data: Path, customer_id: str, fields: Mapping[str, object], *, as_json: bool) -> None:
    customer = Customer(id=customer_id, **fields)  # type: ignore[arg-type]
    async with connected_to(data) as services:
        request = CreateCustomerRequest(request_id=new_request_id(), customer=customer)
        made = (await services.invoicing.CreateCustomer(request)).customer
    _say("Made", made, as_json=as_json)


async def update_customer(data: Path, customer_id: str, fields: Mapping[str, object], *, as_json: bool) -> None:
    if not fields:
        raise WrongUsage("nothing to change: give at least one option")
    request = UpdateCustomerRequest(
        request_id=new_request_id(),
        customer=Customer(id=customer_id, **fields),  # type: ignore[arg-type]
        update_mask=FieldMask(paths=list(fields)),
    )
    async with connected_to(data) as services:
        changed = (await services.customers.UpdateCustomer(request)).customer
    _say("Changed", changed, as_json=as_json)


async def erase_customer(data: Path, customer_id: str, *, documents: bool, as_json: bool) -> None:
    request = EraseCustomerRequest(request_id=new_request_id(), id=customer_id, erase_documents=documents)
    async with connected_to(data) as services:
        changed = (await services.customers.EraseCustomer(request)).customer
    _say("Erased the personal data of", changed, as_json=as_json)


def given(
    email: str | None,
    time_zone: str | None,
    currency: str | None,
    locale: str | None,
    net_term: int | None,
    grace: int | None,
    skip_zero: bool | None,
    metadata: Sequence[str] | None,
    taxes: Sequence[str] | None,
    number_prefix: str | None,
) -> dict[str, object]:
    """The fields of a customer that were typed, but its name."""
    choices = Customer.ZERO_AMOUNT_INVOICES_FINALIZE, Customer.ZERO_AMOUNT_INVOICES_SKIP
    fields = {
        "email": email,
        "time_zone": time_zone,
        "currency_code": currency,
        "locale": locale,
        "net_payment_term_days": net_term,
        "grace_period_days": grace,
        "zero_amount_invoices": None if skip_zero is None else choices[skip_zero],
        "tax_codes": taxes,
        "number_prefix": number_prefix,
        "metadata": None if metadata is None else dict(map(_pair, metadata)),
    }
    return {field: value for field, value in fields.items() if value is not None}


def party(address: Sequence[str] | None, tax_ids: Sequence[str] | None) -> dict[str, object]:
    """The address and the tax ids that were typed."""
    fields = {"address": address_of(address), "tax_ids": None if tax_ids is None else tax_ids_of(tax_ids)}
    return {field: value for field, value in fields.items() if value is not None}


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise WrongUsage(f"--metadata {text}: expected KEY=VALUE")
    return key, value


def _say(done: str, customer: Customer, *, as_json: bool) -> None:
    if as_json:
        print_json({"customer": as_dict(customer)})
    else:
        console.print(f"{done} customer {customer.id}.", markup=False)

"""`weir customers`."""

from collections.abc import Sequence
from pathlib import Path

from cli.connection import connected_to, new_request_id, pages
from cli.output import as_dict, console, print_json, print_list, print_table
from weir.invoicing.v1.invoicing_pb2 import CreateCustomerRequest, Customer, ListCustomersRequest


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


async def create_customer(
    data: Path, customer_id: str, name: str, email: str, time_zone: str, taxes: Sequence[str], *, as_json: bool
) -> None:
    customer = Customer(id=customer_id, name=name, email=email, time_zone=time_zone, tax_codes=taxes)
    async with connected_to(data) as services:
        request = CreateCustomerRequest(request_id=new_request_id(), customer=customer)
        made = (await services.invoicing.CreateCustomer(request)).customer
    if as_json:
        print_json({"customer": as_dict(made)})
    else:
        console.print(f"Made customer {made.id}.", markup=False)

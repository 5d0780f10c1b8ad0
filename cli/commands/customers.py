"""`weir customers` and `weir subscriptions`."""

from pathlib import Path

from cli.commands.times import typed_time
from cli.connection import connected_to, new_request_id, pages
from cli.events.instant import timestamp
from cli.output import as_dict, console, instant, period, print_json, print_list, print_table
from weir.invoicing.v1.invoicing_pb2 import (
    CreateCustomerRequest,
    CreateSubscriptionRequest,
    Customer,
    ListCustomersRequest,
    ListSubscriptionsRequest,
    Subscription,
)


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
    data: Path, customer_id: str, name: str, email: str, time_zone: str, *, as_json: bool
) -> None:
    customer = Customer(id=customer_id, name=name, email=email, time_zone=time_zone)
    async with connected_to(data) as services:
        request = CreateCustomerRequest(request_id=new_request_id(), customer=customer)
        made = (await services.invoicing.CreateCustomer(request)).customer
    if as_json:
        print_json({"customer": as_dict(made)})
    else:
        console.print(f"Made customer {made.id}.", markup=False)


async def list_subscriptions(data: Path, customer: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.invoicing.ListSubscriptions(
                ListSubscriptionsRequest(page_token=token, customer_id=customer)
            ),
            "subscriptions",
        )
    if as_json:
        print_list("subscriptions", found)
        return
    rows = [
        (
            each.id,
            each.customer_id,
            f"{each.plan_code} v{each.plan_version}",
            period(each.current_period),
            instant(each.start_time),
        )
        for each in found
    ]
    print_table(("id", "customer", "plan", "billed next", "since"), rows, nothing="No subscriptions yet.")


async def create_subscription(
    data: Path, subscription_id: str, customer: str, plan: str, start: str, *, as_json: bool
) -> None:
    start_time = timestamp(typed_time(start, "--start"))
    subscription = Subscription(id=subscription_id, customer_id=customer, plan_code=plan, start_time=start_time)
    async with connected_to(data) as services:
        request = CreateSubscriptionRequest(request_id=new_request_id(), subscription=subscription)
        made = (await services.invoicing.CreateSubscription(request)).subscription
    if as_json:
        print_json({"subscription": as_dict(made)})
    else:
        console.print(f"Made subscription {made.id} to {made.plan_code} v{made.plan_version}.", markup=False)


def _subscription_row(found: Subscription) -> tuple[str, ...]:
    plan = f"{found.plan_code} v{found.plan_version}"
    return found.id, found.customer_id, plan, period(found.current_period), instant(found.start_time)

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
    TerminateSubscriptionRequest,
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
    columns = ("id", "customer", "plan", "billed next", "since", "until")
    print_table(columns, [_subscription_row(each) for each in found], nothing="No subscriptions yet.")


async def create_subscription(
    data: Path, subscription_id: str, customer: str, plan: str, start: str, anniversary: bool, *, as_json: bool
) -> None:
    subscription = Subscription(
        id=subscription_id,
        customer_id=customer,
        plan_code=plan,
        start_time=timestamp(typed_time(start, "--start")),
        billing_time=Subscription.BILLING_TIME_ANNIVERSARY if anniversary else Subscription.BILLING_TIME_CALENDAR,
    )
    async with connected_to(data) as services:
        request = CreateSubscriptionRequest(request_id=new_request_id(), subscription=subscription)
        made = (await services.invoicing.CreateSubscription(request)).subscription
    if as_json:
        print_json({"subscription": as_dict(made)})
    else:
        console.print(f"Made subscription {made.id} to {made.plan_code} v{made.plan_version}.", markup=False)


async def terminate_subscription(data: Path, subscription_id: str, at: str, *, keep_fee: bool, as_json: bool) -> None:
    request = TerminateSubscriptionRequest(request_id=new_request_id(), id=subscription_id)
    if at:
        request.end_time.CopyFrom(timestamp(typed_time(at, "--at")))
    if keep_fee:
        request.on_unused_fee = TerminateSubscriptionRequest.ON_UNUSED_FEE_KEEP
    async with connected_to(data) as services:
        changed = (await services.invoicing.TerminateSubscription(request)).subscription
    if as_json:
        print_json({"subscription": as_dict(changed)})
    else:
        console.print(f"Subscription {changed.id} ends at {instant(changed.end_time)}.", markup=False)


def _subscription_row(found: Subscription) -> tuple[str, ...]:
    plan = f"{found.plan_code} v{found.plan_version}"
    is_over = found.state == Subscription.STATE_TERMINATED
    until = instant(found.end_time) if found.HasField("end_time") else "-"
    billed_next = "-" if is_over else period(found.current_period)
    return found.id, found.customer_id, plan, billed_next, instant(found.start_time), until

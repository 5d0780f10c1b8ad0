"""Customers and subscriptions, through gRPC."""

import asyncio

import pytest

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from libs.common.wire import timestamp_out
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import invoicing_pb2
from weir.pricing.v1 import pricing_pb2


def customer_request(**fields: str) -> invoicing_pb2.CreateCustomerRequest:
    customer = invoicing_pb2.Customer(**{"id": "globex", "name": "Globex", **fields})  # type: ignore[arg-type]
    return invoicing_pb2.CreateCustomerRequest(request_id=new_request_id(), customer=customer)


def subscription_request(start: str = "2023-11-16T09:30", **fields: str) -> invoicing_pb2.CreateSubscriptionRequest:
    names = {"id": "globex-1", "customer_id": "globex", "plan_code": "basic", **fields}
    subscription = invoicing_pb2.Subscription(**names, start_time=timestamp_out(utc(start)))  # type: ignore[arg-type]
    return invoicing_pb2.CreateSubscriptionRequest(request_id=new_request_id(), subscription=subscription)


async def new_version(acme: Tenant, plan_code: str, base_version: int) -> None:
    version = pricing_pb2.PlanVersion(
        currency_code="USD", billing_interval=pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY
    )
    await acme.pricing.CreatePlanVersion(
        pricing_pb2.CreatePlanVersionRequest(
            request_id=new_request_id(), plan_code=plan_code, base_version=base_version, version=version
        )
    )


async def test_a_customer_is_kept_as_given(acme: Tenant) -> None:
    made = (await acme.invoicing.CreateCustomer(customer_request(email="a@b.example", time_zone="Asia/Tokyo"))).customer
    read = (await acme.invoicing.GetCustomer(invoicing_pb2.GetCustomerRequest(id="globex"))).customer
    assert made == read
    assert (read.name, read.email, read.time_zone) == ("Globex", "a@b.example", "Asia/Tokyo")


async def test_a_customer_without_a_time_zone_lives_in_utc(acme: Tenant) -> None:
    assert (await acme.invoicing.CreateCustomer(customer_request())).customer.time_zone == "UTC"


async def test_a_wrong_customer_names_the_field(acme: Tenant) -> None:
    for fields, field, reason in (
        ({"id": ""}, "customer.id", "FIELD_MISSING"),
        ({"id": "x" * 256}, "customer.id", "FIELD_TOO_LONG"),
        ({"name": ""}, "customer.name", "FIELD_MISSING"),
        ({"time_zone": "Europe/Atlantis"}, "customer.time_zone", "TIME_ZONE_UNKNOWN"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await acme.invoicing.CreateCustomer(customer_request(**fields))
        assert (refused.value.field, refused.value.reason) == (field, reason)


async def test_a_repeated_request_makes_one_customer_and_other_contents_are_refused(acme: Tenant) -> None:
    request = customer_request()
    answers = await asyncio.gather(*(acme.invoicing.CreateCustomer(request) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    request.customer.name = "Initech"
    with pytest.raises(Conflict) as refused:
        await acme.invoicing.CreateCustomer(request)
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_a_customer_id_is_taken_once(acme: Tenant) -> None:
    await acme.invoicing.CreateCustomer(customer_request())
    with pytest.raises(Conflict) as refused:
        await acme.invoicing.CreateCustomer(customer_request())
    assert refused.value.reason == "CUSTOMER_EXISTS"


async def test_customers_are_listed_by_id_in_pages(acme: Tenant) -> None:
    for name in ("c", "a", "b"):
        await acme.customer(name)
    first = await acme.invoicing.ListCustomers(invoicing_pb2.ListCustomersRequest(page_size=2))
    rest = await acme.invoicing.ListCustomers(invoicing_pb2.ListCustomersRequest(page_token=first.next_page_token))
    assert [each.id for each in (*first.customers, *rest.customers)] == ["a", "b", "c"]
    assert rest.next_page_token == ""


async def test_a_subscription_gets_the_newest_plan_version_and_the_rest_of_its_first_month(acme: Tenant) -> None:
    await acme.customer("globex", "Europe/Berlin")
    await acme.plan("basic")
    await new_version(acme, "basic", 1)
    made = (await acme.invoicing.CreateSubscription(subscription_request())).subscription
    read = (await acme.invoicing.GetSubscription(invoicing_pb2.GetSubscriptionRequest(id="globex-1"))).subscription
    assert made == read
    assert made.plan_version == 2
    assert made.current_period.start_time == timestamp_out(utc("2023-11-16T09:30"))
    assert made.current_period.end_time == timestamp_out(utc("2023-12-01T00:00+01:00"))


async def test_a_repeated_subscription_keeps_its_version_though_the_plan_has_a_newer_one(acme: Tenant) -> None:
    await acme.customer("globex")
    await acme.plan("basic")
    request = subscription_request()
    first = await acme.invoicing.CreateSubscription(request)
    await new_version(acme, "basic", 1)
    assert await acme.invoicing.CreateSubscription(request) == first
    request.subscription.start_time.FromDatetime(utc("2023-11-17"))
    with pytest.raises(Conflict) as refused:
        await acme.invoicing.CreateSubscription(request)
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_many_clients_with_one_request_make_one_subscription(acme: Tenant) -> None:
    await acme.customer("globex")
    await acme.plan("basic")
    request = subscription_request()
    answers = await asyncio.gather(*(acme.invoicing.CreateSubscription(request) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)


async def test_a_subscription_needs_its_customer_and_its_plan(acme: Tenant) -> None:
    await acme.customer("globex")
    await acme.plan("basic")
    for fields, reason in (
        ({"customer_id": "nobody"}, "CUSTOMER_NOT_FOUND"),
        ({"plan_code": "nothing"}, "PLAN_NOT_FOUND"),
    ):
        with pytest.raises(NotFound) as refused:
            await acme.invoicing.CreateSubscription(subscription_request(**fields))
        assert refused.value.reason == reason


async def test_a_plan_that_is_not_sold_takes_no_subscription(acme: Tenant) -> None:
    await acme.customer("globex")
    await acme.plan("basic")
    request = pricing_pb2.ArchivePlanVersionRequest(request_id=new_request_id(), plan_code="basic", version=1)
    await acme.pricing.ArchivePlanVersion(request)
    with pytest.raises(FailedPrecondition) as refused:
        await acme.invoicing.CreateSubscription(subscription_request())
    assert refused.value.reason == "PLAN_NOT_ACTIVE"


def test_every_field_of_a_plan_version_is_billed_or_says_nothing_of_money() -> None:
    """A field that pricing adds must be decided on here before it reaches an invoice."""
    billed = {
        "currency_code",
        "billing_interval",
        "base_fee",
        "charges",
        "tax_codes",
        "base_fee_in_advance",
        "trial_days",
        "tax_inclusive",
        "minimum_commitment",
        "phases",
        "fixed_charges",
        "usage_thresholds",
        "charges_monthly",
    }
    silent = {"plan_code", "version", "create_time", "state", "entitlements", "subscription_id", "base_version"}
    assert {field.name for field in pricing_pb2.PlanVersion.DESCRIPTOR.fields} <= billed | silent


async def test_a_subscription_id_is_taken_once(acme: Tenant) -> None:
    await acme.customer("globex")
    await acme.plan("basic")
    await acme.invoicing.CreateSubscription(subscription_request())
    with pytest.raises(Conflict) as refused:
        await acme.invoicing.CreateSubscription(subscription_request())
    assert refused.value.reason == "SUBSCRIPTION_EXISTS"


async def test_a_subscription_starts_within_two_centuries(acme: Tenant) -> None:
    for start in ("1999-12-31T23:59:59", "2200-01-01"):
        with pytest.raises(InvalidArgument) as refused:
            await acme.invoicing.CreateSubscription(subscription_request(start))
        assert (refused.value.field, refused.value.reason) == ("subscription.start_time", "TIME_OUT_OF_RANGE")


async def test_subscriptions_are_listed_by_id_and_customer(acme: Tenant) -> None:
    await acme.plan("basic")
    for customer in ("globex", "initech"):
        await acme.customer(customer)
        for i in range(3):
            await acme.subscribe(f"{customer}-{i}", customer, "basic", "2023-11-01")
    request = invoicing_pb2.ListSubscriptionsRequest(page_size=2, customer_id="initech")
    first = await acme.invoicing.ListSubscriptions(request)
    request.page_token = first.next_page_token
    rest = await acme.invoicing.ListSubscriptions(request)
    assert [each.id for each in (*first.subscriptions, *rest.subscriptions)] == ["initech-0", "initech-1", "initech-2"]


async def test_another_tenant_finds_nothing(world: World, acme: Tenant) -> None:
    await acme.customer("globex")
    await acme.plan("basic")
    await acme.subscribe("globex-1", "globex", "basic", "2023-11-01")
    other = world.tenant("initech")
    for call in (
        other.invoicing.GetCustomer(invoicing_pb2.GetCustomerRequest(id="globex")),
        other.invoicing.GetSubscription(invoicing_pb2.GetSubscriptionRequest(id="globex-1")),
        other.invoicing.CreateSubscription(subscription_request(id="mine")),
    ):
        with pytest.raises(NotFound):
            await call
    assert not (await other.invoicing.ListCustomers(invoicing_pb2.ListCustomersRequest())).customers
    assert not (await other.invoicing.ListSubscriptions(invoicing_pb2.ListSubscriptionsRequest())).subscriptions
    await other.customer("globex")
    await other.plan("basic")
    await other.subscribe("globex-1", "globex", "basic", "2023-11-01")


async def test_a_key_without_the_scope_is_refused(world: World) -> None:
    reader = world.tenant("acme", "billing:read")
    with pytest.raises(PermissionDenied):
        await reader.invoicing.CreateCustomer(customer_request())
    with pytest.raises(PermissionDenied):
        await world.tenant("acme").invoicing.RecordPayment(invoicing_pb2.RecordPaymentRequest())

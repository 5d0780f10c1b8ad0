"""What a change of a subscription would bill and give back is what it then does, and nothing is written before."""

from collections.abc import Awaitable, Callable

import pytest

from libs.common.errors import BillingError, FailedPrecondition, InvalidArgument, NotFound
from libs.common.money import Money
from libs.common.wire import money_out, timestamp_out
from tests.invoicing.test_changes import bill_until
from tests.invoicing.test_fixed_charges import fixed
from tests.invoicing.test_unused_fees import notes
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import fixed_charges_pb2, invoicing_pb2, pauses_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice
from weir.invoicing.v1.subscription_previews_pb2 import PreviewSubscriptionRequest, PreviewSubscriptionResponse
from weir.pricing.v1 import addons_pb2

CHANGES = (
    PreviewSubscriptionRequest(
        begin=invoicing_pb2.CreateSubscriptionRequest(
            subscription=invoicing_pb2.Subscription(
                id="t",
                customer_id="globex",
                plan_code="p",
                start_time=timestamp_out(utc("2024-01-12")),
                invoiced_alone=True,
            )
        )
    ),
    PreviewSubscriptionRequest(end=invoicing_pb2.TerminateSubscriptionRequest(id="s")),
    PreviewSubscriptionRequest(
        end=invoicing_pb2.TerminateSubscriptionRequest(id="s", end_time=timestamp_out(utc("2024-01-20")))
    ),
    PreviewSubscriptionRequest(pause=pauses_pb2.PauseSubscriptionRequest(id="s")),
    PreviewSubscriptionRequest(
        set_units=fixed_charges_pb2.SetFixedChargeUnitsRequest(
            subscription_id="s",
            code="seats",
            units="5",
            effective=fixed_charges_pb2.SetFixedChargeUnitsRequest.EFFECTIVE_NOW,
        )
    ),
)


async def made(acme: Tenant, request: PreviewSubscriptionRequest) -> None:
    """The change itself."""
    calls: dict[str, Callable[..., Awaitable[object]]] = {
        "begin": acme.invoicing.CreateSubscription,
        "end": acme.invoicing.TerminateSubscription,
        "pause": acme.pauses.PauseSubscription,
        "resume": acme.pauses.ResumeSubscription,
        "set_units": acme.fixed_charges.SetFixedChargeUnits,
    }
    name = request.WhichOneof("change")
    assert name is not None
    change = getattr(request, name)
    change.request_id = new_request_id()
    await calls[name](change)


async def previewed(acme: Tenant, request: PreviewSubscriptionRequest) -> PreviewSubscriptionResponse:
    return await acme.previews.PreviewSubscription(request)


def figures(invoice: Invoice) -> list[tuple[str, int]]:
    return sorted((line.code, line.amount.minor_units) for line in invoice.lines)


@pytest.fixture
async def subscribed(world: World, acme: Tenant) -> Tenant:
    """31.00 a month in advance, and two seats; on 12 January. All invoices are alone."""
    add_on = addons_pb2.AddOn(code="seat", name="Seat", currency_code="USD", amount=money_out(Money(0, "USD")))
    await acme.add_ons.CreateAddOn(addons_pb2.CreateAddOnRequest(request_id=new_request_id(), add_on=add_on))
    await acme.start_clock("2024-01-01")
    await acme.plan("p", base_fee=3100, in_advance=True, fixed_charges=[fixed("seats", "2", in_advance=True)])
    await acme.customer("globex")
    await acme.subscribe("s", "globex", "p", "2024-01-01")
    await bill_until(world, acme, "2024-01-12")
    return acme


@pytest.mark.parametrize("request_made", CHANGES, ids=lambda each: each.WhichOneof("change"))
async def test_what_is_foreseen_is_what_is_done_then(
    world: World, subscribed: Tenant, request_made: PreviewSubscriptionRequest
) -> None:
    acme, before = subscribed, await subscribed.invoices()
    foreseen = await previewed(acme, request_made)
    assert await acme.invoices() == before
    assert await notes(acme) == []
    await made(acme, request_made)
    await bill_until(world, acme, "2024-01-20")
    after = [each for each in await acme.invoices() if each.id not in {one.id for one in before}]
    assert sorted(map(figures, foreseen.invoices)) == sorted(figures(each) for each in after)
    assert [each.total for each in foreseen.credit_notes] == [each.total for each in await notes(acme)]


async def test_a_return_charges_the_days_that_are_left_as_foreseen(world: World, subscribed: Tenant) -> None:
    acme = subscribed
    await made(acme, CHANGES[3])
    await bill_until(world, acme, "2024-01-20")
    before = {each.id for each in await acme.invoices()}
    asked = PreviewSubscriptionRequest(resume=pauses_pb2.ResumeSubscriptionRequest(id="s"))
    foreseen = await previewed(acme, asked)
    await made(acme, asked)
    await bill_until(world, acme, "2024-01-21")
    after = [each for each in await acme.invoices() if each.id not in before]
    assert sorted(each for one in foreseen.invoices for each in figures(one)) == sorted(
        each for one in after for each in figures(one)
    )


async def test_what_can_not_be_done_is_not_foreseen(subscribed: Tenant) -> None:
    refused: list[tuple[PreviewSubscriptionRequest, type[BillingError], str]] = [
        (PreviewSubscriptionRequest(), InvalidArgument, "FIELD_MISSING"),
        (PreviewSubscriptionRequest(resume=pauses_pb2.ResumeSubscriptionRequest(id="s")), FailedPrecondition,
         "SUBSCRIPTION_NOT_PAUSED"),
        (PreviewSubscriptionRequest(end=invoicing_pb2.TerminateSubscriptionRequest(id="x")), NotFound,
         "SUBSCRIPTION_NOT_FOUND"),
    ]  # fmt: skip
    for asked, kind, reason in refused:
        with pytest.raises(kind) as error:
            await previewed(subscribed, asked)
        assert error.value.reason == reason

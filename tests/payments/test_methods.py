"""Saving a way to charge a customer."""

import grpc
import pytest

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from libs.common.rpc.client import credential
from libs.common.rpc.status import from_rpc_error
from tests.payments.shop import Shop, new_request_id, states
from weir.payments.v1 import payments_pb2 as pb
from weir.payments.v1.payments_pb2_grpc import PaymentsServiceStub

TRIES = 3


def request_of(shop: Shop, card: str = "pm_card_visa", request_id: str = "") -> pb.SavePaymentMethodRequest:
    return pb.SavePaymentMethodRequest(
        request_id=request_id or new_request_id(),
        customer_id="ada",
        processor_account_id=shop.account_id,
        processor_token=card,
    )


async def listed(shop: Shop, customer_id: str = "ada") -> list[pb.PaymentMethod]:
    found = await shop.payments.ListPaymentMethods(pb.ListPaymentMethodsRequest(customer_id=customer_id))
    return list(found.payment_methods)


async def customers(shop: Shop) -> list[str]:
    page = await shop.at_stripe(lambda client: client.v1.customers.list_async())
    return [customer.metadata["customer_id"] for customer in page.data]


async def test_a_saved_method_has_a_label_and_a_customer_at_the_processor(shop: Shop) -> None:
    method = await shop.save("pm_card_visa")
    assert method.state == pb.PaymentMethod.STATE_ACTIVE
    assert method.label == "visa ending in 4242"
    assert method.id.startswith("pm_")
    assert await customers(shop) == ["ada"]


async def test_a_customer_is_made_once_for_all_its_methods(shop: Shop) -> None:
    first, second = await shop.save("pm_card_visa"), await shop.save("pm_card_mastercard")
    assert [method.id for method in await listed(shop)] == [second.id, first.id]
    assert await customers(shop) == ["ada"]


async def test_a_token_the_processor_does_not_know_is_refused(shop: Shop) -> None:
    request = request_of(shop, "pm_of_somebody_else")
    for _ in range(2):
        with pytest.raises(FailedPrecondition, match="PAYMENT_METHOD_REFUSED") as refused:
            await shop.payments.SavePaymentMethod(request)
        assert refused.value.metadata == {"code": "resource_missing"}
    [method] = await listed(shop)
    assert method.state == pb.PaymentMethod.STATE_REFUSED
    assert states(await shop.bill()) == ("AWAITING_METHOD", [])


async def test_a_repeated_request_answers_with_the_same_method(shop: Shop) -> None:
    request = request_of(shop)
    first = await shop.payments.SavePaymentMethod(request)
    assert await shop.payments.SavePaymentMethod(request) == first
    assert len(await listed(shop)) == 1
    with pytest.raises(Conflict, match="REQUEST_ID_REUSED"):
        await shop.payments.SavePaymentMethod(request_of(shop, "pm_card_mastercard", request.request_id))


async def test_a_request_repeated_after_the_answer_was_lost_goes_on_where_it_stopped(shop: Shop) -> None:
    request = request_of(shop)
    shop.deployment.fault("drop_after_commit", "/v1/payment_methods/*", times=TRIES)
    await refused_once(shop, request)
    [method] = await listed(shop)
    assert method.state == pb.PaymentMethod.STATE_SAVING
    saved = (await shop.payments.SavePaymentMethod(request)).payment_method
    assert (saved.id, saved.state) == (method.id, pb.PaymentMethod.STATE_ACTIVE)
    assert len(await attached(shop)) == 1


async def test_the_worker_finishes_what_nobody_asks_for_again(shop: Shop) -> None:
    payment = await shop.bill()
    shop.deployment.fault("drop_before_commit", "/v1/customers", times=TRIES)
    await refused_once(shop, request_of(shop))
    await shop.later().methods()
    assert [method.state for method in await listed(shop)] == [pb.PaymentMethod.STATE_ACTIVE]
    assert states(await shop.payment(payment.id)) == ("PENDING", [])


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/payment_methods/*"])
async def test_an_error_that_the_processor_would_repeat_does_not_bar_the_way(shop: Shop, path: str) -> None:
    shop.deployment.fault("error_500", path)
    method = (await shop.payments.SavePaymentMethod(request_of(shop))).payment_method
    assert method.state == pb.PaymentMethod.STATE_ACTIVE
    assert len(await attached(shop)) == 1


async def test_a_method_needs_an_account_of_the_tenant(shop: Shop) -> None:
    other = Shop(shop.deployment, "other")
    with pytest.raises(NotFound, match="PROCESSOR_ACCOUNT_NOT_FOUND"):
        await other.save()


async def test_tenants_do_not_see_each_others_methods_and_payments(shop: Shop) -> None:
    other = await Shop(shop.deployment, "other").open()
    await shop.save()
    payment = await shop.bill()
    assert await listed(other) == []
    assert states(await other.bill()) == ("AWAITING_METHOD", [])
    with pytest.raises(NotFound, match="PAYMENT_NOT_FOUND"):
        await other.payment(payment.id)
    with pytest.raises(NotFound, match="PAYMENT_NOT_FOUND"):
        await other.retry(payment.id)
    mine = await other.payments.ListPayments(pb.ListPaymentsRequest())
    assert [each.customer_id for each in mine.payments] == ["ada"]
    await shop.sweeps.charge()
    assert (len(shop.charges()), len(other.charges())) == (1, 0)


async def test_a_malformed_token_names_its_field(shop: Shop) -> None:
    for token in ("", "pm card", "../v1/refunds"):
        with pytest.raises(InvalidArgument) as refused:
            await shop.payments.SavePaymentMethod(request_of(shop, token))
        assert refused.value.field == "processor_token"


async def refused_once(shop: Shop, request: pb.SavePaymentMethodRequest) -> None:
    """Called by a client that does not repeat by itself what is UNAVAILABLE."""
    target = f"127.0.0.1:{shop.deployment.ports.rpc}"
    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_retries", 0)]) as channel:
        key = shop.deployment.keys.api_key(shop.tenant_id)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await PaymentsServiceStub(channel).SavePaymentMethod(request, metadata=credential(key))
    known = from_rpc_error(refused.value)
    assert isinstance(known, Unavailable)
    assert known.reason == "PROCESSOR_UNAVAILABLE"


async def attached(shop: Shop) -> list[str]:
    """The customer's methods at the processor."""
    [customer] = (await shop.at_stripe(lambda client: client.v1.customers.list_async())).data
    page = await shop.at_stripe(lambda client: client.v1.customers.payment_methods.list_async(customer.id))
    return [method.id for method in page.data]

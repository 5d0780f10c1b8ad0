"""Invoices that invoicing hands over many at a time: each is collected once, and none holds up another."""

import asyncio
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import pytest

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.rpc.client import channel, credential
from libs.common.wire import money_out
from tests.payments.shop import Shop
from weir.payments.v1 import collections_pb2, payments_pb2
from weir.payments.v1.collections_pb2_grpc import CollectionServiceStub
from weir.payments.v1.payments_pb2_grpc import PaymentsServiceStub


@dataclass(frozen=True, slots=True)
class Invoice:
    id: str
    minor_units: int = 3898
    customer_id: str = "ada"
    version: int = 0

    def asked(self) -> payments_pb2.CreatePaymentRequest:
        return payments_pb2.CreatePaymentRequest(
            request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.id}/{self.version}")),
            invoice_id=self.id,
            invoice_number=f"WEIR-{self.id}",
            customer_id=self.customer_id,
            amount=money_out(Money(self.minor_units, "USD")),
            version=self.version,
        )

    def canceled(self) -> payments_pb2.CancelPaymentRequest:
        asked = self.asked()
        return payments_pb2.CancelPaymentRequest(
            invoice_id=asked.invoice_id,
            invoice_number=asked.invoice_number,
            customer_id=asked.customer_id,
            amount=asked.amount,
            version=asked.version,
        )


async def ask(shop: Shop, *invoices: Invoice) -> list[str]:
    """For each, the payment's id, or the reason for which it was refused."""
    return await ask_for(shop, [each.asked() for each in invoices])


async def ask_for(shop: Shop, payments: Sequence[payments_pb2.CreatePaymentRequest]) -> list[str]:
    metadata = credential(shop.deployment.keys.issuer.internal_key(shop.tenant_id))
    async with channel(f"127.0.0.1:{shop.deployment.ports.rpc}") as opened:
        request = collections_pb2.BatchCreatePaymentsRequest(payments=payments)
        response = await CollectionServiceStub(opened).BatchCreatePayments(request, metadata=metadata)
    return [each.payment_id or each.refusal.reason for each in response.results]


async def cancel(shop: Shop, invoice: Invoice) -> None:
    metadata = credential(shop.deployment.keys.issuer.internal_key(shop.tenant_id))
    async with channel(f"127.0.0.1:{shop.deployment.ports.rpc}") as opened:
        await PaymentsServiceStub(opened).CancelPayment(invoice.canceled(), metadata=metadata)


async def state(shop: Shop, payment_id: str) -> tuple[int, str]:
    payment = await shop.payment(payment_id)
    return payment.amount.minor_units, payments_pb2.Payment.State.Name(payment.state).removeprefix("STATE_")


async def waiting(conn: asyncpg.Connection, lock_type: str) -> None:
    """Until somebody waits for such a lock."""
    is_waited_for = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = $1"
    for _ in range(1000):
        if await conn.fetchval(is_waited_for, lock_type):
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits")


async def test_many_are_asked_for_at_once_and_any_number_of_times(shop: Shop) -> None:
    await shop.save()
    invoices = [Invoice(f"inv_{n}", 100 + n, "ada" if n % 2 else "bob") for n in range(6)]
    made = await ask(shop, *invoices)
    assert await ask(shop, *reversed(invoices)) == made[::-1]
    assert [await state(shop, each) for each in made] == [
        (each.minor_units, "PENDING" if each.customer_id == "ada" else "AWAITING_METHOD") for each in invoices
    ]
    await shop.sweeps.charge()
    assert sorted(each["amount"] for each in shop.charges()) == [101, 103, 105]
    assert await ask(shop, *invoices) == made
    assert await ask(shop) == []


async def test_what_is_wrong_with_one_holds_up_no_other(shop: Shop) -> None:
    [known] = await ask(shop, Invoice("inv_1"))
    malformed, reused = Invoice("inv_3").asked(), Invoice("inv_4", 7).asked()
    malformed.amount.minor_units, reused.request_id = 0, Invoice("inv_1").asked().request_id
    others = [Invoice("inv_1", 3899, version=1).asked(), Invoice("inv_2").asked(), malformed, reused]
    differs, made, *refused = await ask_for(shop, others)
    assert [differs, *refused] == ["PAYMENT_DIFFERS", "AMOUNT_NOT_POSITIVE", "REQUEST_ID_REUSED"]
    assert await state(shop, known) == (3898, "AWAITING_METHOD")
    assert await state(shop, made) == (3898, "AWAITING_METHOD")
    [[rows]] = await shop.deployment.rows("SELECT count(*) FROM payment")
    assert rows == 2


async def test_a_batch_names_an_invoice_once_and_has_its_limit(shop: Shop) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await ask(shop, Invoice("inv_1"), Invoice("inv_2"), Invoice("inv_1", version=1))
    assert (refused.value.reason, refused.value.field) == ("INVOICE_REPEATED", "payments[2].invoice_id")
    with pytest.raises(InvalidArgument) as refused:
        await ask(shop, *(Invoice(f"inv_{n}") for n in range(1001)))
    assert refused.value.reason == "PAYMENTS_TOO_MANY"
    assert not await shop.deployment.rows("SELECT FROM payment")


async def test_what_was_taken_back_goes_on_only_when_it_is_asked_for_since(shop: Shop) -> None:
    await shop.save()
    first, second = await ask(shop, Invoice("inv_1"), Invoice("inv_2"))
    await cancel(shop, Invoice("inv_1", version=1))
    await cancel(shop, Invoice("inv_2", version=1))
    await cancel(shop, Invoice("inv_3", version=1))
    asked = [Invoice("inv_1"), Invoice("inv_2", 1000, version=1), Invoice("inv_3")]
    assert (await ask(shop, *asked))[:2] == [first, second]
    await shop.sweeps.charge()
    assert [await state(shop, each) for each in (first, second)] == [(3898, "CANCELED"), (1000, "SUCCEEDED")]
    assert [charge["amount"] for charge in shop.charges()] == [1000]


async def test_batches_that_overlap_in_any_order_make_one_payment_for_each(shop: Shop) -> None:
    invoices = [Invoice(f"inv_{n}", 100, f"customer_{n % 7}") for n in range(60)]
    batches = [random.Random(n).sample(invoices, 40) for n in range(6)]
    answers = await asyncio.gather(*(ask(shop, *batch) for batch in batches))
    made = {}
    for batch, answer in zip(batches, answers, strict=True):
        for invoice, payment_id in zip(batch, answer, strict=True):
            assert made.setdefault(invoice.id, payment_id) == payment_id
    assert sorted(made.values()) == sorted(row["id"] for row in await shop.deployment.rows("SELECT id FROM payment"))


async def test_a_method_saved_while_invoices_are_handed_over_charges_all_of_them(shop: Shop) -> None:
    """Whoever saves the method waits for the batch, or the batch finds it: nothing is left awaiting a method."""
    conn = await asyncpg.connect(shop.deployment.database.dsns["payments"])
    async with conn.transaction():
        await conn.execute("LOCK TABLE payment IN SHARE MODE")
        asking = asyncio.create_task(ask(shop, *(Invoice(f"inv_{n}") for n in range(5))))
        saving = asyncio.create_task(shop.save())
        await waiting(conn, "relation")
    await conn.close()
    made = await asking
    await saving
    await shop.sweeps.charge()
    assert {await state(shop, each) for each in made} == {(3898, "SUCCEEDED")}

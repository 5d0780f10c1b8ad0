"""A day is compared with each processor's records; what is planted on either side is found, and nothing else."""

from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from google.type import date_pb2

from libs.common.errors import Conflict, InvalidArgument, NotFound
from services.payments.worker import Sweeps
from tests.payments.shop import Deployment, Shop, eventually, new_request_id
from tests.payments.test_refunding import refund
from tests.payments.test_three_processors import EACH, Store
from tests.payments.till import WAYS
from weir.payments.v1 import reconciliations_pb2 as pb
from weir.payments.v1.reconciliations_pb2_grpc import ReconciliationServiceStub


def today(shop: Shop) -> date:
    return shop.deployment.clock().date()


def on(day: date) -> date_pb2.Date:
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


class Books:
    """What reconciling says of an account."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.stub = ReconciliationServiceStub(shop.deployment.channel(shop.tenant_id))

    async def ask(self, day: date, request_id: str = "") -> pb.Reconciliation:
        request = pb.CreateReconciliationRequest(
            request_id=request_id or new_request_id(), processor_account_id=self.shop.account_id, day=on(day)
        )
        return (await self.stub.CreateReconciliation(request)).reconciliation

    async def get(self, day: date) -> pb.Reconciliation:
        request = pb.GetReconciliationRequest(processor_account_id=self.shop.account_id, day=on(day))
        return (await self.stub.GetReconciliation(request)).reconciliation

    async def found(self, day: date) -> list[tuple[str, str]]:
        """Kinds and references of what differs, page by page."""
        rows, token = list[pb.ReconciliationDifference](), ""
        while True:
            request = pb.ListReconciliationDifferencesRequest(
                processor_account_id=self.shop.account_id, day=on(day), page_size=2, page_token=token
            )
            answer = await self.stub.ListReconciliationDifferences(request)
            rows += answer.differences
            if not (token := answer.next_page_token):
                break
        assert all(row.likely_cause and row.here and row.there for row in rows)
        kind = pb.ReconciliationDifference.Kind.Name
        return sorted((kind(row.kind).removeprefix("KIND_"), row.reference) for row in rows)

    async def of_today(self) -> list[tuple[str, str]]:
        day = today(self.shop)
        await self.ask(day)
        await self.shop.sweeps.reconcile()
        assert (await self.get(day)).state == pb.Reconciliation.STATE_DONE
        return await self.found(day)


async def references(deployment: Deployment) -> list[str]:
    rows = await deployment.rows("SELECT reference FROM payment_attempt WHERE state = 'SUCCEEDED' ORDER BY payment_id")
    return [row["reference"] for row in rows]


async def collected(store: Store, processor_name: str, invoices: int = 2) -> list[str]:
    """The processor's ids of charges that were collected and paid out, one of them refunded in part."""
    await store.connect(processor_name)
    await store.save_on_page(processor_name, WAYS[processor_name].good)
    for number in range(invoices):
        await store.bill(f"inv_{number}", currency=WAYS[processor_name].currency)
    await store.sweeps.charge()
    control = store.deployment.sandbox.post

    async def all_collected() -> bool:
        if processor_name == "gocardless" and len(await references(store.deployment)) < invoices:
            control("/_sandbox/gocardless/next_day")
        await store.sweeps.events()
        return len(await references(store.deployment)) == invoices

    await eventually(all_collected)
    await refund(store, 500, invoice_id="inv_0", currency=WAYS[processor_name].currency)
    await store.sweeps.refunds()
    if processor_name == "gocardless":
        control("/_sandbox/gocardless/next_day")
        [row] = await store.deployment.rows("SELECT reference FROM refund")
        await bank_gives_back(store, row["reference"])
    else:
        control(f"/_sandbox/{processor_name}/payouts")

    async def settled() -> bool:
        await store.sweeps.events()
        rows = await store.deployment.rows("SELECT FROM refund WHERE state <> 'SUCCEEDED'")
        reported = processor_name != "adyen" or await store.deployment.rows(
            "SELECT FROM webhook_event WHERE type = 'REPORT_AVAILABLE'"
        )
        return not rows and bool(reported)

    await eventually(settled)
    return await references(store.deployment)


async def bank_gives_back(store: Store, reference: str) -> None:
    token = store.credentials["access_token"]
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"{store.deployment.sandbox.url}/scenario_simulators/refund_paid/actions/run",
            headers={"Authorization": f"Bearer {token}", "GoCardless-Version": "2015-07-06"},
            json={"data": {"links": {"resource": reference}}},
        )
    answer.raise_for_status()


@pytest.fixture
def store(deployment: Deployment) -> Store:
    return Store(deployment)


@EACH
async def test_a_day_without_differences_and_then_with_planted_ones(store: Store, processor_name: str) -> None:
    first, second = await collected(store, processor_name)
    books = Books(store)
    assert await books.of_today() == []
    done = await books.get(today(store))
    lists = processor_name != "adyen"
    assert (done.charge_count, done.refund_count) == (2 * lists, 1 * lists)
    assert done.payout_count >= 1

    await store.deployment.execute(f"UPDATE payment_attempt SET reference = 'gone' WHERE reference = '{first}'")
    await store.deployment.execute("UPDATE payment_attempt SET minor_units = 3900 WHERE reference <> 'gone'")
    await store.deployment.execute("UPDATE refund SET state = 'UNKNOWN', due_time = now()")
    [row] = await store.deployment.rows("SELECT reference FROM refund")
    here = [
        ("AMOUNT_DIFFERS", second),
        ("MISSING_AT_PROCESSOR", "gone"),
        ("MISSING_HERE", first),
        ("STATE_DIFFERS", row["reference"]),
    ]
    paid_out = [
        ("PAID_OUT_AMOUNT_DIFFERS", second),
        ("PAID_OUT_UNCOLLECTED", row["reference"]),
        ("PAID_OUT_UNKNOWN", first),
    ]
    assert await books.of_today() == sorted([*(here if lists else ()), *paid_out])


async def test_what_was_done_past_us_is_found(store: Store) -> None:
    await collected(store, "stripe", 1)
    store.secret_key = store.credentials["secret_key"]
    await store.at_stripe(
        lambda client: client.v1.payment_intents.create_async(
            {"amount": 700, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
        )
    )
    [first] = await references(store.deployment)
    await store.at_stripe(lambda client: client.v1.refunds.create_async({"payment_intent": first, "amount": 100}))
    kinds = [kind for kind, _ in await Books(store).of_today()]
    assert kinds == ["UNKNOWN_CHARGE", "UNKNOWN_REFUND"]


async def test_the_same_charge_in_two_payouts_is_found(store: Store) -> None:
    [first] = await collected(store, "stripe", 1)
    books = Books(store)
    assert await books.of_today() == []
    await store.deployment.execute(
        "INSERT INTO payout_item SELECT tenant_id, processor_account_id, 'po_earlier', 1, day - 1, kind, reference,"
        " currency, gross, fee, net FROM payout_item WHERE kind = 'CHARGE'"
    )
    assert await books.of_today() == [("PAID_OUT_TWICE", first)]


async def test_a_dispute_whose_webhook_was_lost_is_found_in_the_payout(store: Store) -> None:
    await collected(store, "adyen", 1)
    [reference] = await references(store.deployment)
    control = store.deployment.sandbox.post
    control("/_sandbox/webhooks/pause")
    control(f"/_sandbox/adyen/payments/{reference}/chargeback")
    control("/_sandbox/adyen/payouts")
    control("/_sandbox/webhooks/resume")

    async def told() -> bool:
        rows = await store.deployment.rows("SELECT FROM webhook_event WHERE type = 'REPORT_AVAILABLE'")
        return len(rows) == 2

    await eventually(told)
    books = Books(store)
    assert await books.of_today() == [("DISPUTE_MISSING_HERE", reference)]
    await store.sweeps.events()
    assert await books.of_today() == []


async def test_a_charge_that_is_never_paid_out_is_found_in_time(store: Store) -> None:
    _, held = await collected(store, "stripe")
    books = Books(store)
    assert await books.of_today() == []
    await store.deployment.execute(f"DELETE FROM payout_item WHERE reference = '{held}'")
    store.later(timedelta(days=21))
    assert await books.of_today() == [("NOT_PAID_OUT", held)]


async def test_every_day_is_compared_once_it_is_over(store: Store) -> None:
    await collected(store, "stripe", 1)
    day = today(store)

    async def tomorrow() -> Sweeps:
        clock = store.deployment.clock
        midnight = clock().replace(hour=0, minute=0, second=0, microsecond=0)
        return store.later(midnight + timedelta(days=1, hours=3, seconds=1) - clock())

    await store.sweeps.reconcile()
    with pytest.raises(NotFound) as refused:
        await Books(store).get(day)
    assert refused.value.reason == "RECONCILIATION_NOT_FOUND"
    await (await tomorrow()).reconcile()
    assert (await Books(store).get(day)).state == pb.Reconciliation.STATE_DONE
    await (await tomorrow()).reconcile()
    listed = await Books(store).stub.ListReconciliations(pb.ListReconciliationsRequest(processor_account_id="stripe"))
    assert [(each.day.day, each.charge_count) for each in listed.reconciliations] == [
        ((day + timedelta(days=1)).day, 0),
        (day.day, 1),
    ]


async def test_a_processor_that_is_away_is_asked_again(store: Store) -> None:
    await collected(store, "stripe", 1)
    books, day = Books(store), today(store)
    store.deployment.sandbox.post(
        "/_sandbox/faults", method="GET", path="/v1/payment_intents", kind="error_503", times=3
    )
    await books.ask(day)
    await store.sweeps.reconcile()
    waiting = await books.get(day)
    assert (waiting.state, bool(waiting.error)) == (pb.Reconciliation.STATE_PENDING, True)
    await store.later(timedelta(minutes=2)).reconcile()
    assert (await books.get(day)).state == pb.Reconciliation.STATE_DONE


async def test_what_is_asked_for_is_checked(store: Store) -> None:
    await store.connect("stripe")
    books, day, request_id = Books(store), today(store), new_request_id()
    with pytest.raises(InvalidArgument) as refused:
        await books.ask(day + timedelta(days=1))
    assert (refused.value.reason, refused.value.field) == ("DAY_NOT_BEGUN", "day")
    await books.ask(day, request_id)
    assert (await books.ask(day, request_id)).day == on(day)
    with pytest.raises(Conflict):
        await books.ask(day - timedelta(days=1), request_id)
    store.account_id = "nothing"
    with pytest.raises(NotFound):
        await books.ask(day)
    request: Any = pb.ListReconciliationsRequest(processor_account_id="stripe", page_token="WyJ4Il0")
    with pytest.raises(InvalidArgument):
        await books.stub.ListReconciliations(request)

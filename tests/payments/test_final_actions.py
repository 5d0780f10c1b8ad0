"""What dunning ends with, from the failed charge in payments to the subscription in invoicing."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from libs.common.clock import system_clock
from libs.common.rpc.client import channel
from services.invoicing.main import billing
from services.invoicing.worker import Biller
from services.payments.worker import Sweeps
from tests.conftest import Database, Keys
from tests.invoicing.world import Tenant, World
from tests.invoicing.world import deployed as invoicing_deployed
from tests.payments.shop import NOBODY, Deployment, Shop
from tests.payments.test_disputes import stripe_event
from tests.payments.test_dunning import FUNDS, set_policy
from weir.invoicing.v1 import invoicing_pb2, reports_pb2
from weir.invoicing.v1.reports_pb2_grpc import CollectionReportServiceStub
from weir.payments.v1 import dunning_pb2, payments_pb2

Invoice = invoicing_pb2.Invoice


@dataclass
class Case:
    """An invoice of 20.00 USD whose charge was declined."""

    shop: Shop
    world: World
    acme: Tenant
    biller: Biller
    payments: Sweeps

    async def give_up(self, final: str, **policy: Any) -> None:
        """Dunning to its end, which invoicing hears of; nothing is done about it yet."""
        action = dunning_pb2.DunningPolicy.FinalAction.Value(f"FINAL_ACTION_{final}")
        await set_policy(self.shop, final_action=action, retry_days=[], reminders=[], final_day=1, **policy)
        await self.payments.dun()
        self.shop.deployment.clock.moved += timedelta(days=3)
        await self.payments.dun()
        await self.payments.dunning_report()

    async def subscription(self) -> invoicing_pb2.Subscription:
        request = invoicing_pb2.GetSubscriptionRequest(id="sub")
        return (await self.acme.invoicing.GetSubscription(request)).subscription

    async def invoice(self) -> invoicing_pb2.Invoice:
        return (await self.acme.invoices())[0]

    async def actions(self) -> list[tuple[str, bool, str]]:
        async with self.world.database() as conn:
            rows = await conn.fetch(
                "SELECT action, due_time IS NULL, note FROM final_action WHERE tenant_id = $1", self.shop.tenant_id
            )
        return [tuple(row) for row in rows]


@pytest.fixture
async def case(deployment: Deployment, database: Database, keys: Keys) -> AsyncIterator[Case]:
    shop = await Shop(deployment, tenant_id="t" + secrets.token_hex(4)).open()
    target = f"127.0.0.1:{deployment.ports.rpc}"
    async with invoicing_deployed(database, keys, deployment.redis_url, payments_target=target) as world:
        acme = world.tenant(shop.tenant_id)
        await acme.plan("plan", base_fee=2000)
        await acme.plan("small", base_fee=500)
        await acme.start_clock("2023-11-01")
        await acme.customer("ada", address=invoicing_pb2.Address(country_code="AT"), metadata={"segment": "gold"})
        await acme.subscribe("sub", "ada", "plan", "2023-11-01")
        await acme.advance("2023-12-01")
        await world.bill()
        await shop.save(FUNDS)
        payments = await deployment.another_worker(invoicing_target=f"127.0.0.1:{world.invoicing_port}")
        async with billing(world.settings, system_clock) as biller:
            await biller.hand_over()
            await payments.charge()
            await payments.report()
            yield Case(shop, world, acme, biller, payments)


async def test_subscriptions_end_once_and_what_they_owe_stays_owed(case: Case) -> None:
    await case.give_up("CANCEL")
    assert await case.actions() == [("cancel", False, "")]
    for _ in range(2):
        await case.biller.conclude()
    ended = await case.subscription()
    assert ended.HasField("end_time")
    assert await case.actions() == [("cancel", True, "")]
    async with case.world.database() as conn:
        await conn.execute(
            "UPDATE final_action SET due_time = time, done_time = NULL WHERE tenant_id = $1", case.shop.tenant_id
        )
    await case.biller.conclude()
    assert await case.subscription() == ended, "a worker that died before it said so does it once"
    invoice = await case.invoice()
    assert (invoice.amount_due.minor_units, invoice.payment_status) == (2000, Invoice.PAYMENT_STATUS_FAILED)


async def test_subscriptions_change_to_the_plan_that_the_policy_names(case: Case) -> None:
    await case.give_up("DOWNGRADE", final_plan_code="small")
    await case.biller.conclude()
    subscription = await case.subscription()
    assert [phase.plan_code for phase in subscription.phases][-1] == "small"
    assert await case.actions() == [("downgrade", True, "")]


async def test_a_plan_that_is_not_there_is_noted_and_nothing_else_happens(case: Case) -> None:
    before = await case.subscription()
    await case.give_up("DOWNGRADE", final_plan_code="gone")
    await case.biller.conclude()
    [(_, is_done, note)] = await case.actions()
    assert is_done
    assert note.startswith("sub: ")
    assert await case.subscription() == before


async def test_subscriptions_are_paused_until_somebody_resumes_them(case: Case) -> None:
    await case.give_up("SUSPEND")
    await case.biller.conclude()
    phases = (await case.subscription()).phases
    assert [phase.is_paused for phase in phases] == [False, True]


async def test_an_invoice_that_is_written_off_is_not_charged_and_may_be_paid_after_all(
    case: Case,
) -> None:
    await case.give_up("WRITE_OFF")
    invoice = await case.invoice()
    assert invoice.HasField("write_off_time")
    assert invoice.amount_written_off.minor_units == 2000
    await case.shop.save("pm_card_visa")
    await case.payments.charge()
    assert case.shop.charges() == [], "a new card is not charged for it"
    await case.shop.receive(500, invoice.id)
    for _ in range(2):
        await case.payments.report()
    recovered = await case.invoice()
    assert (recovered.amount_paid.minor_units, recovered.amount_written_off.minor_units) == (500, 1500)


async def test_nothing_is_done_about_an_invoice_that_was_paid_meanwhile(case: Case) -> None:
    before = await case.subscription()
    await case.give_up("CANCEL")
    await case.shop.receive(2000, (await case.invoice()).id)
    await case.payments.report()
    await case.biller.conclude()
    assert await case.actions() == [("cancel", True, "the invoice has been paid")]
    assert await case.subscription() == before


async def test_it_waits_while_pricing_is_away_and_is_told_any_number_of_times(case: Case) -> None:
    internal = case.shop.deployment.keys.issuer.internal_key(case.shop.tenant_id)
    opened = channel(f"127.0.0.1:{case.world.invoicing_port}", internal)
    stub = CollectionReportServiceStub(opened)
    request = reports_pb2.RecordFinalActionRequest(
        invoice_id=(await case.invoice()).id,
        campaign_id="dun_1",
        final_action=reports_pb2.FINAL_ACTION_DOWNGRADE,
        plan_code="small",
    )
    request.end_time.FromDatetime(system_clock())
    for _ in range(2):
        await stub.RecordFinalAction(request)
    async with billing(replace(case.world.settings, pricing_target=NOBODY), system_clock) as alone:
        await alone.conclude()
    await opened.close()
    assert await case.actions() == [("downgrade", False, "")]


async def test_payments_knows_the_country_and_segment_that_the_customer_had(case: Case) -> None:
    [payment] = await case.shop.deployment.rows(
        "SELECT country_code, segment FROM payment WHERE tenant_id = $1", case.shop.tenant_id
    )
    assert tuple(payment) == ("AT", "gold")
    await set_policy(case.shop, retry_days=[], reminders=[], final_day=9)
    await set_policy(case.shop, retry_days=[], reminders=[], final_day=2, segment="gold")
    await set_policy(case.shop, retry_days=[], reminders=[], final_day=3, segment="iron")
    await case.payments.dun()
    [campaign] = (
        await case.shop.dunning.ListDunningCampaigns(dunning_pb2.ListDunningCampaignsRequest())
    ).dunning_campaigns
    [end] = await case.shop.deployment.rows("SELECT due_time FROM dunning_step WHERE kind = 'FINAL'")
    assert end["due_time"].date() == (campaign.start_time.ToDatetime() + timedelta(days=2)).date()
    listed, token = [], ""
    while True:
        answer = await case.shop.dunning.ListDunningPolicies(
            dunning_pb2.ListDunningPoliciesRequest(page_size=2, page_token=token)
        )
        listed += [each.segment for each in answer.dunning_policies]
        if not (token := answer.next_page_token):
            break
    assert listed == ["", "gold", "iron"]


async def test_an_invoice_shows_what_banks_have_taken_back_of_it(case: Case) -> None:
    await case.shop.save("pm_card_visa")
    await set_policy(case.shop)
    [payment] = (await case.shop.payments.ListPayments(payments_pb2.ListPaymentsRequest())).payments
    await case.shop.retry(payment.id)
    await case.payments.charge()
    await case.payments.report()
    charge = (await case.shop.payment(payment.id)).attempts[-1].processor_reference
    seen = []
    for status in ("lost", "won"):
        await case.shop.deliver(stripe_event("closed", status, charge))
        await case.payments.events()
        await case.payments.dispute_report()
        invoice = await case.invoice()
        paid = (await case.shop.payment(payment.id)).amount_disputed.minor_units
        seen.append((invoice.payment_status, invoice.amount_disputed.minor_units > 0, paid > 0))
    assert seen == [(Invoice.PAYMENT_STATUS_DISPUTED, True, True), (Invoice.PAYMENT_STATUS_SUCCEEDED, False, False)]

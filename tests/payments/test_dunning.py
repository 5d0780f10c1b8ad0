"""Dunning through the running service: tries, reminders and an end, and nothing more once it is paid."""

from datetime import timedelta
from typing import Any

import pytest

from libs.common.errors import BillingError, Conflict, NotFound
from tests.payments.shop import Shop, new_request_id, states
from tests.payments.test_canceling import ask, cancel
from weir.payments.v1 import dunning_pb2 as pb
from weir.payments.v1 import payments_pb2

DAY = timedelta(days=1)
FUNDS = "pm_card_chargeCustomerFail"


async def set_policy(shop: Shop, request_id: str = "", **changes: Any) -> pb.DunningPolicy:
    chosen: dict[str, Any] = {
        "retry_days": [1, 3],
        "reminders": [pb.DunningReminder(day=0), pb.DunningReminder(day=2)],
        "final_day": 5,
        "final_action": pb.DunningPolicy.FINAL_ACTION_CANCEL,
    }
    request = pb.SetDunningPolicyRequest(
        request_id=request_id or new_request_id(), dunning_policy=pb.DunningPolicy(**(chosen | changes))
    )
    return (await shop.dunning.SetDunningPolicy(request)).dunning_policy


async def failed(shop: Shop, card: str = FUNDS, invoice_id: str = "inv_1") -> payments_pb2.Payment:
    await shop.save(card)
    payment = await shop.bill(invoice_id)
    await shop.sweeps.charge()
    return await shop.payment(payment.id)


async def campaign(shop: Shop) -> pb.DunningCampaign:
    """The newest."""
    listed = (await shop.dunning.ListDunningCampaigns(pb.ListDunningCampaignsRequest())).dunning_campaigns
    request = pb.GetDunningCampaignRequest(id=listed[0].id)
    return (await shop.dunning.GetDunningCampaign(request)).dunning_campaign


async def story(shop: Shop) -> list[str]:
    """The campaign's state, then its steps as kind and state."""
    found = await campaign(shop)
    state = pb.DunningCampaign.State.Name(found.state).removeprefix("STATE_")
    steps = [f"{pb.DunningStep.Kind.Name(step.kind)} {pb.DunningStep.State.Name(step.state)}" for step in found.steps]
    return [state, *(step.replace("KIND_", "").replace("STATE_", "").lower() for step in steps)]


async def pass_days(shop: Shop, days: int) -> None:
    """The worker's sweeps, each day and the hours after."""
    for _ in range(days):
        for by in (DAY - timedelta(hours=2), timedelta(hours=2)):
            await shop.later(by).dun()
            await shop.sweeps.charge()


async def test_a_payment_that_fails_is_tried_again_reminded_of_and_given_up(shop: Shop) -> None:
    await set_policy(shop)
    payment = await failed(shop)
    await shop.sweeps.dun()
    assert await story(shop) == [
        "ACTIVE", "remind done", "retry waiting", "remind waiting", "retry waiting", "final waiting",
    ]  # fmt: skip
    await pass_days(shop, 6)
    assert await story(shop) == ["EXHAUSTED", "remind done", "retry done", "remind done", "retry done", "final done"]
    assert states(await shop.payment(payment.id)) == ("FAILED", ["DECLINED"] * 3)
    await pass_days(shop, 2)
    assert len((await shop.dunning.ListDunningCampaigns(pb.ListDunningCampaignsRequest())).dunning_campaigns) == 1
    notices = await shop.deployment.rows("SELECT type FROM notice ORDER BY serial")
    assert [row["type"] for row in notices] == [
        "dunning.begun", "dunning.reminder", "dunning.reminder", "dunning.exhausted",
    ]  # fmt: skip


async def test_without_a_policy_nothing_happens(shop: Shop) -> None:
    await failed(shop)
    await shop.sweeps.dun()
    assert not (await shop.dunning.ListDunningCampaigns(pb.ListDunningCampaignsRequest())).dunning_campaigns
    with pytest.raises(NotFound) as missing:
        await shop.dunning.GetDunningPolicy(pb.GetDunningPolicyRequest())
    assert missing.value.reason == "DUNNING_POLICY_NOT_FOUND"


@pytest.mark.parametrize("road", ["transfer", "retry", "method", "customer"])
async def test_it_stops_at_once_when_it_is_paid_by_any_road(shop: Shop, road: str) -> None:
    await set_policy(shop)
    payment = await failed(shop, "pm_card_authenticationRequired" if road == "customer" else FUNDS)
    await shop.sweeps.dun()
    if road == "transfer":
        await shop.receive(3898)
    elif road == "retry":
        await shop.save("pm_card_visa")
    elif road == "method":
        await pass_days(shop, 1)
        await shop.save("pm_card_visa")
    else:
        reference = payment.attempts[0].processor_reference
        await shop.at_stripe(
            lambda client: client.v1.payment_intents.confirm_async(reference, {"payment_method": "pm_card_visa"})
        )
        await shop.later(shop.sweeps.pace.open_poll).resolve()
    await shop.sweeps.charge()
    assert (await shop.payment(payment.id)).state == payments_pb2.Payment.STATE_SUCCEEDED
    told = await story(shop)
    assert (told[0], told[-1]) == ("RECOVERED", "final skipped")
    await pass_days(shop, 7)
    assert await story(shop) == told
    assert len(shop.charges()) == (0 if road == "transfer" else 1)


async def test_a_retry_leaves_alone_a_card_that_must_not_be_charged_again(shop: Shop) -> None:
    await set_policy(shop)
    payment = await failed(shop)
    await shop.deployment.execute("UPDATE payment_attempt SET decline_code = 'stolen_card'")
    await pass_days(shop, 6)
    assert (await story(shop))[1:] == ["remind done", "retry skipped", "remind done", "retry skipped", "final done"]
    assert states(await shop.payment(payment.id)) == ("FAILED", ["DECLINED"])
    notes = [step.note for step in (await campaign(shop)).steps if step.kind == pb.DunningStep.KIND_RETRY]
    assert set(notes) == {"stolen_card: this method is not charged again"}


async def test_it_begins_for_a_customer_without_a_method_and_ends_when_the_invoice_is_taken_back(shop: Shop) -> None:
    await set_policy(shop)
    await ask(shop, 0)
    await shop.sweeps.dun()
    await cancel(shop, 1)
    assert (await story(shop))[0] == "STOPPED"
    await ask(shop, 1)
    await shop.sweeps.dun()
    assert (await story(shop))[0] == "ACTIVE"
    assert len((await shop.dunning.ListDunningCampaigns(pb.ListDunningCampaignsRequest())).dunning_campaigns) == 2


async def test_the_end_waits_for_money_that_may_be_coming(shop: Shop) -> None:
    await set_policy(shop, retry_days=[4])
    payment = await failed(shop)
    await shop.sweeps.dun()
    await shop.save("pm_usBankAccount_processing")
    await shop.sweeps.charge()
    await pass_days(shop, 8)
    assert (await story(shop))[-1] == "final waiting"
    shop.settle(await shop.payment(payment.id), "failed")
    await shop.later(shop.sweeps.pace.open_poll).resolve()
    await pass_days(shop, 2)
    assert (await story(shop))[-1] == "final done"


async def test_a_worker_that_was_away_writes_one_reminder_and_tries_before_the_end(shop: Shop) -> None:
    await set_policy(shop)
    payment = await failed(shop)
    await shop.sweeps.dun()
    await shop.later(9 * DAY).dun()
    await shop.sweeps.charge()
    assert await story(shop) == [
        "ACTIVE",
        "remind done",
        "retry done",
        "remind waiting",
        "retry waiting",
        "final waiting",
    ]
    await pass_days(shop, 1)
    assert (await story(shop))[0] == "EXHAUSTED"
    assert len((await shop.payment(payment.id)).attempts) == 3


async def test_a_card_is_not_tried_more_often_than_its_network_allows_over_all_invoices(shop: Shop) -> None:
    await shop.save(FUNDS)
    payments = [await shop.bill(f"inv_{n}") for n in range(23)]
    await shop.sweeps.charge()
    tried = [payment for payment in payments if (await shop.payment(payment.id)).attempts]
    assert len(tried) == 20
    await shop.later(29 * DAY).charge()
    assert len([payment for payment in payments if (await shop.payment(payment.id)).attempts]) == 20
    await shop.later(DAY).charge()
    assert len([payment for payment in payments if (await shop.payment(payment.id)).attempts]) == 23


async def test_a_try_that_a_limit_puts_off_for_days_is_left_out_and_does_not_hold_up_the_end(shop: Shop) -> None:
    await set_policy(shop, retry_days=[1], reminders=[], final_day=3)
    await shop.save(FUNDS)
    for number in range(20):
        await shop.bill(f"inv_{number}")
    await shop.sweeps.charge()
    await shop.sweeps.dun()
    await pass_days(shop, 4)
    rows = await shop.deployment.rows(
        "SELECT DISTINCT c.state, s.state AS step, s.note FROM dunning_campaign c JOIN dunning_step s"
        " ON s.tenant_id = c.tenant_id AND s.campaign_id = c.id WHERE s.kind = 'RETRY'"
    )
    [(state, step, note)] = [tuple(row) for row in rows]
    assert (state, step) == ("EXHAUSTED", "SKIPPED")
    assert note.startswith("visa lets the card be tried again on ")


async def test_a_policy_is_set_once_for_a_request_and_says_what_is_wrong_with_it(shop: Shop) -> None:
    request_id = new_request_id()
    made = await set_policy(shop, request_id, time_zone="Europe/Berlin", paydays=[1, 15])
    assert await set_policy(shop, request_id, time_zone="Europe/Berlin", paydays=[1, 15]) == made
    with pytest.raises(Conflict):
        await set_policy(shop, request_id)
    for reason, changes in {
        "TIME_ZONE_UNKNOWN": {"time_zone": "Mars/Olympus"},
        "HOUR_INVALID": {"hour": 24},
        "PAYDAY_INVALID": {"paydays": [32]},
        "DAY_INVALID": {"retry_days": [6]},
        "STEPS_TOO_MANY": {"retry_days": list(range(1, 60))},
        "TEMPLATE_MALFORMED": {"reminders": [pb.DunningReminder(day=1, body="$secret")]},
    }.items():
        with pytest.raises(BillingError) as refused:
            await set_policy(shop, **changes)
        assert refused.value.reason == reason
    preview = await shop.dunning.PreviewDunning(pb.PreviewDunningRequest())
    assert len(preview.steps) == 5
    other = Shop(shop.deployment, tenant_id="initech")
    with pytest.raises(NotFound):
        await other.dunning.GetDunningPolicy(pb.GetDunningPolicyRequest())
    with pytest.raises(NotFound):
        await other.dunning.GetDunningCampaign(pb.GetDunningCampaignRequest(id="dun_x"))

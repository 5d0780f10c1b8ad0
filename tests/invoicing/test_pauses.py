"""Pauses charge no base fee, and time goes on."""

import pytest

from libs.common.errors import BillingError, FailedPrecondition, InvalidArgument
from libs.common.wire import timestamp_out
from tests.invoicing.test_changes import begin, bill_until, change, event, terminate
from tests.invoicing.test_unused_fees import notes, paid_in_advance
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import invoicing_pb2, pauses_pb2


async def pause(acme: Tenant, at: str = "", until: str = "") -> invoicing_pb2.Subscription:
    request = pauses_pb2.PauseSubscriptionRequest(request_id=new_request_id(), id="s")
    if at:
        request.pause_time.CopyFrom(timestamp_out(utc(at)))
    if until:
        request.resume_time.CopyFrom(timestamp_out(utc(until)))
    made = (await acme.pauses.PauseSubscription(request)).subscription
    assert (await acme.pauses.PauseSubscription(request)).subscription == made
    return made


async def resume(acme: Tenant, at: str = "") -> invoicing_pb2.Subscription:
    request = pauses_pb2.ResumeSubscriptionRequest(request_id=new_request_id(), id="s")
    if at:
        request.resume_time.CopyFrom(timestamp_out(utc(at)))
    return (await acme.pauses.ResumeSubscription(request)).subscription


def lines(invoices: list[invoicing_pb2.Invoice]) -> list[list[tuple[str, int]]]:
    return [[(line.code, line.amount.minor_units) for line in each.lines] for each in invoices]


async def test_days_in_a_pause_are_free_and_usage_in_it_is_billed(world: World, acme: Tenant) -> None:
    """10 of 31 days before, 15 of 28 days after; the day of the pause is the pause's, that of the return is billed."""
    await begin(acme)
    await bill_until(world, acme, "2024-01-11")
    made = await pause(acme, "2024-01-11")
    assert [each.is_paused for each in made.phases] == [False, True]
    await event(acme, utc("2024-01-20"), "paused", "2")
    await bill_until(world, acme, "2024-02-15T06:00")
    await resume(acme)
    invoices = await bill_until(world, acme, "2024-04-01")
    assert lines(invoices) == [
        [("base", 1000)],
        [("tokens", 200)],
        [],
        [("base", round(3100 * 15 / 29))],
        [("base", 3100)],
    ]
    ends = [each.period.end_time for each in invoices]
    assert [each.period.start_time for each in invoices[1:]] == ends[:-1]
    for each in invoices:
        replayed = await acme.invoicing.ReplayInvoice(invoicing_pb2.ReplayInvoiceRequest(id=each.id))
        assert replayed.reproduced


async def test_a_pause_gives_days_paid_in_advance_back_and_the_return_charges_the_rest(
    world: World, acme: Tenant
) -> None:
    await paid_in_advance(acme, "2024-04-01", 3000, tax="0")
    await bill_until(world, acme, "2024-04-11")
    await pause(acme, until="2024-04-21")
    invoices = await bill_until(world, acme, "2024-05-01")
    assert [each.subtotal.minor_units for each in await notes(acme)] == [2000]
    assert lines(invoices) == [[("base", 3000)], [], [("base", 1000)], [("base", 3000)]]


async def test_a_change_of_plan_in_a_pause_stays_paused(world: World, acme: Tenant) -> None:
    await begin(acme)
    await bill_until(world, acme, "2024-01-11")
    await pause(acme)
    changed = await change(acme, "pro", "2024-01-15")
    assert [(each.plan_code, each.is_paused) for each in changed.phases] == [
        ("basic", False),
        ("basic", True),
        ("pro", True),
    ]
    await bill_until(world, acme, "2024-01-16")
    made = await resume(acme, "2024-01-31")
    assert (made.phases[-1].plan_code, made.phases[-1].is_paused) == ("pro", False)
    invoices = await bill_until(world, acme, "2024-02-01")
    assert lines(invoices) == [[("base", 1000)], [], [], [("base", 1000)]]


@pytest.mark.parametrize(
    ("at", "until", "reason", "kind"),
    [
        ("2024-01-20", "2024-01-20", "TIME_NOT_AFTER", InvalidArgument),
        ("2024-01-01", "", "PERIOD_BILLED", FailedPrecondition),
        ("2024-06-01", "", "CHANGE_AFTER_END", FailedPrecondition),
        ("2024-03-20", "", "SUBSCRIPTION_PAUSED", FailedPrecondition),
    ],
)
async def test_a_pause_that_can_not_be_is_refused(
    world: World, acme: Tenant, at: str, until: str, reason: str, kind: type[BillingError]
) -> None:
    await begin(acme)
    await bill_until(world, acme, "2024-02-05" if reason == "PERIOD_BILLED" else "2024-01-10")
    await terminate(acme, "2024-06-01")
    if reason == "SUBSCRIPTION_PAUSED":
        await pause(acme, "2024-03-10")
    with pytest.raises(kind) as refused:
        await pause(acme, at, until)
    assert refused.value.reason == reason
    with pytest.raises(FailedPrecondition) as not_paused:
        await resume(acme, "2024-03-01")
    assert not_paused.value.reason == "SUBSCRIPTION_NOT_PAUSED"

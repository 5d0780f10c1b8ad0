"""What every processor's adapter does, against the sandbox, through the official SDKs."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from libs.common.clock import system_clock
from libs.common.money import Money
from services.payments.domain.attempt import Declined, NotMade, Outcome, Pending, Succeeded, Unknown
from services.payments.providers import (
    Capability,
    Charge,
    Event,
    Page,
    ProcessorUnavailable,
    RefundSighting,
    Refused,
    Sighting,
    SignatureRefused,
    Subject,
)
from tests.payments.till import Till, opened_till
from tests.sandbox.running import Receiver, RunningSandbox, running_receiver

EACH = pytest.mark.parametrize("processor_name", ["stripe", "adyen", "gocardless"])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
async def till(processor: RunningSandbox, receiver: Receiver, processor_name: str) -> AsyncIterator[Till]:
    async with opened_till(processor, receiver, processor_name) as opened:
        yield opened


async def in_the_end(till: Till, charge: Charge) -> Outcome:
    """What becomes of a charge; a debit waits for the banks."""
    outcome = await till.account.charge(charge)
    if till.processor == "gocardless" and isinstance(outcome, Pending):
        till.let_banks_answer()
        seen = await till.account.fetch(outcome.reference)
        assert seen is not None
        return seen.outcome
    return outcome


@EACH
async def test_a_method_saved_on_a_page_is_charged_and_given_back(till: Till) -> None:
    method = await till.saved()
    assert " ending in " in method.label
    outcome = await in_the_end(till, till.charge(method))
    assert isinstance(outcome, Succeeded)
    first = await till.account.refund(till.refund(outcome.reference, 1000))
    assert isinstance(first, Succeeded | Pending)
    assert await till.account.refund(till.refund(outcome.reference, 1000)) == first
    too_much = await till.account.refund(till.refund(outcome.reference, 2899, "re_2-1"))
    if till.processor == "adyen":  # which says so later
        assert isinstance(too_much, Pending)
        till.receiver.wait_until(lambda: len(till.told(Subject.REFUND)) == 2)
        seen = {event.reference: await till.account.sight(event) for event in till.told(Subject.REFUND)}
        good, bad = seen[first.reference], seen[too_much.reference]
        assert isinstance(good, RefundSighting)
        assert isinstance(bad, RefundSighting)
        assert (good.refund_id, good.amount, good.outcome) == ("re_1-1", Decimal("10.00"), Succeeded(first.reference))
        assert (bad.refund_id, type(bad.outcome)) == ("re_2-1", Declined)
    else:
        assert isinstance(too_much, NotMade)
    assert isinstance(await till.account.refund(till.refund(outcome.reference, 2898, "re_3-1")), Succeeded | Pending)


@EACH
async def test_a_decline_says_why(till: Till) -> None:
    outcome = await in_the_end(till, till.charge(await till.saved(till.ways.poor)))
    assert isinstance(outcome, Declined)
    assert outcome.code == ("12" if till.processor == "adyen" else "insufficient_funds")
    assert isinstance(await till.account.cancel(outcome.reference), Declined)

    def told() -> list[Event]:
        return [event for event in till.told(Subject.CHARGE) if event.reference == outcome.reference]

    till.receiver.wait_until(lambda: bool(told()))
    seen = await till.account.sight(told()[-1])
    assert isinstance(seen, Sighting)
    assert isinstance(seen.outcome, Declined)
    assert seen.outcome.code in (outcome.code, "canceled")


@EACH
async def test_an_answer_that_was_lost_is_found_by_the_same_request(till: Till) -> None:
    method = await till.saved()
    charge = till.charge(method)
    till.fault("drop_after_commit", till.ways.charges, till.ways.tries)
    assert isinstance(await till.account.charge(charge), Unknown)
    outcome = await till.account.charge(charge)
    assert isinstance(outcome, Succeeded | Pending)
    assert await till.account.charge(charge) == outcome
    if Capability.LOOKUP in till.account.capabilities:
        seen = await till.account.look_up(charge)
        assert isinstance(seen, Sighting)
        assert (seen.reference, seen.amount, seen.currency) == (
            outcome.reference,
            Decimal("38.98"),
            till.ways.currency,
        )
        assert await till.account.look_up(till.charge(method, number=2)) is None
    else:
        with pytest.raises(ProcessorUnavailable):
            await till.account.look_up(charge)


@EACH
@pytest.mark.parametrize("kind", ["error_503", "rate_limit_429", "error_500"])
async def test_an_error_of_the_processors_leaves_the_outcome_unknown(till: Till, kind: str) -> None:
    charge = till.charge(await till.saved())
    times = 3 if till.processor == "stripe" and kind == "error_503" else 1
    till.fault(kind, till.ways.charges, times)
    assert isinstance(await till.account.charge(charge), Unknown)


@EACH
async def test_a_lost_refund_is_given_once(till: Till) -> None:
    outcome = await in_the_end(till, till.charge(await till.saved()))
    assert isinstance(outcome, Succeeded)
    refund = till.refund(outcome.reference, 3000)
    till.fault("drop_after_commit", till.ways.refunds, till.ways.tries)
    assert isinstance(await till.account.refund(refund), Unknown)
    given = await till.account.refund(refund)
    assert isinstance(given, Succeeded | Pending)
    again = await till.account.refund(replace(refund, refund_id="re_2-1", idempotency_key="refund:acme:re_2-1"))
    if till.processor != "adyen":
        assert isinstance(again, NotMade)


@EACH
async def test_a_customer_pays_on_a_page_once(till: Till) -> None:
    asked = till.payment_page()
    page = await till.account.payment_page(asked)
    assert isinstance(page, Page)
    again = await till.account.payment_page(asked)
    assert isinstance(again, Page)
    assert again.reference == page.reference
    till.pick(page, till.ways.good).raise_for_status()

    def charged() -> list[str]:
        names = {"payment_intent.succeeded", "AUTHORISATION", "payments.confirmed"}
        return [event.id for event in till.told(Subject.CHARGE) if event.type in names]

    till.receiver.wait_until(lambda: bool(charged()))
    [event] = [event for event in till.told(Subject.CHARGE) if event.id in charged()]
    seen = await till.account.sight(event)
    assert isinstance(seen, Sighting)
    assert (seen.payment_id, seen.number, seen.amount) == ("pay_9", 1, Decimal("50.00"))
    assert isinstance(seen.outcome, Succeeded)
    assert till.pick(page, till.ways.good).status_code == 404


@EACH
async def test_nobody_pays_on_a_page_that_is_closed(till: Till) -> None:
    page = await till.account.payment_page(till.payment_page())
    assert isinstance(page, Page)
    await till.account.close_page(page.reference)
    await till.account.close_page(page.reference)
    assert till.pick(page, till.ways.good).status_code == 404


@EACH
async def test_tokens_that_the_processor_does_not_know_are_refused(till: Till) -> None:
    assert isinstance(await till.account.attach(till.customer, "MD404", "method:404"), Refused)


@EACH
async def test_what_happened_can_be_listed_where_the_processor_lists_it(till: Till) -> None:
    since = system_clock() - timedelta(minutes=1)
    await in_the_end(till, till.charge(await till.saved()))
    listed = {event.id: event async for event in till.account.list_events(since)}
    if Capability.EVENT_LIST not in till.account.capabilities:
        assert listed == {}
        return
    till.receiver.wait_until(lambda: {event.id for event in till.told()} == set(listed))
    for event in till.told():
        assert replace(listed[event.id], body=b"") == replace(event, body=b"")


@EACH
async def test_an_amount_that_the_processor_cannot_represent_is_not_rounded(till: Till) -> None:
    amount = Money(1001, "CLF") if till.processor != "gocardless" else Money(1001, "CHF")
    method = await till.saved()
    outcome = await till.account.charge(replace(till.charge(method), amount=amount))
    assert isinstance(outcome, NotMade)
    assert outcome.code == "amount_not_representable"
    assert isinstance(await till.account.payment_page(replace(till.payment_page(), amount=amount)), Refused)
    assert isinstance(await till.account.refund(replace(till.refund("x", 1), amount=amount)), NotMade)


@EACH
async def test_a_changed_webhook_is_refused(till: Till) -> None:
    await till.account.charge(till.charge(await till.saved()))
    till.receiver.wait_until(lambda: bool(till.told()))
    for headers, body in till.receiver.received:
        names = {name.lower(): value for name, value in headers.items()}
        try:
            till.account.events(body, names)
        except SignatureRefused:
            continue
        for changed, given in ((body.replace(b"a", b"b"), names), (body, {}), (b"{}", names), (b"no JSON", names)):
            if till.processor == "adyen" and changed == body and b"notificationItems" in body:
                continue  # signed within
            with pytest.raises(SignatureRefused):
                till.account.events(changed, given)

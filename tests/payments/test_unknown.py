"""A call that ends without an answer: its outcome is unknown, and found out by asking, never by charging again."""

import asyncio
from datetime import timedelta

import pytest

from libs.common.errors import FailedPrecondition
from services.payments.vault import Vault
from tests.payments.shop import Shop, eventually, states

TRIES = 3
"""What one call makes of a request: the first, and two repeats by the SDK."""


async def test_an_answer_lost_after_the_charge_is_found_again(shop: Shop) -> None:
    await shop.save()
    payment = await shop.bill()
    shop.deployment.fault("drop_after_commit", times=TRIES)
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["UNKNOWN"])
    assert len(shop.charges()) == 1
    await shop.sweeps.charge()
    await shop.later().resolve()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    assert len(shop.charges()) == 1


async def test_a_call_that_never_arrived_is_made_in_the_end(shop: Shop) -> None:
    await shop.save()
    payment = await shop.bill()
    shop.deployment.fault("drop_before_commit", times=TRIES)
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["UNKNOWN"])
    await shop.later().resolve()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    assert len(shop.charges()) == 1


@pytest.mark.parametrize("kind", ["error_503", "rate_limit_429"])
async def test_a_busy_processor_is_asked_again_under_the_same_key(shop: Shop, kind: str) -> None:
    await shop.save()
    payment = await shop.bill()
    shop.deployment.fault(kind, times=1 if kind == "rate_limit_429" else TRIES)
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["UNKNOWN"])
    await shop.later().resolve()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    assert len(shop.charges()) == 1


async def test_an_error_that_the_processor_would_repeat_gives_way_to_another_attempt(shop: Shop) -> None:
    """The key is burnt: its answer is a 500 for a day. The list shows no charge, so the next attempt may be made."""
    await shop.save()
    payment = await shop.bill()
    shop.deployment.fault("error_500")
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["UNKNOWN"])
    await shop.later().resolve()
    assert states(await shop.payment(payment.id)) == ("PENDING", ["DECLINED"])
    await shop.later().charge()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("SUCCEEDED", ["DECLINED", "SUCCEEDED"])
    assert payment.attempts[0].decline_code == "not_made"
    assert len(shop.charges()) == 1


async def test_nothing_else_is_tried_while_the_outcome_is_unknown(shop: Shop) -> None:
    await shop.save()
    payment = await shop.bill()
    shop.deployment.fault("drop_before_commit", times=TRIES)
    await shop.sweeps.charge()
    with pytest.raises(FailedPrecondition, match="PAYMENT_NOT_RETRIABLE"):
        await shop.retry(payment.id)
    await shop.save("pm_card_mastercard")
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["UNKNOWN"])
    assert shop.charges() == []


@pytest.mark.parametrize("was_charged", [True, False])
async def test_beyond_the_keys_life_the_charge_is_looked_up(shop: Shop, was_charged: bool) -> None:
    await shop.save()
    payment = await shop.bill()
    shop.deployment.fault("drop_after_commit" if was_charged else "drop_before_commit", times=TRIES)
    await shop.sweeps.charge()
    await shop.later(timedelta(hours=23, minutes=30)).resolve()
    await shop.later().charge()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("SUCCEEDED", ["SUCCEEDED"] if was_charged else ["DECLINED", "SUCCEEDED"])
    assert len(shop.charges()) == 1


async def test_an_attempt_whose_worker_vanished_is_taken_over_when_its_lease_ends(shop: Shop) -> None:
    """The worker is stopped while the processor holds its request."""
    await shop.save()
    payment = await shop.bill()
    shop.deployment.fault("delay", seconds=0.6)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["SUBMITTING"])
    await shop.later().resolve()
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["SUBMITTING"])
    await eventually(lambda: asyncio.to_thread(shop.charges))
    await shop.later(timedelta(seconds=61)).resolve()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    assert len(shop.charges()) == 1


async def test_a_worker_that_comes_back_late_changes_nothing(shop: Shop) -> None:
    """Its lease has ended and another has resolved the attempt; then its own answer arrives."""
    await shop.save()
    payment = await shop.bill()
    shop.deployment.fault("delay", seconds=0.5)
    late = asyncio.create_task(shop.sweeps.charge())
    await asyncio.sleep(0.2)
    other = await shop.deployment.another_worker()
    shop.later(timedelta(seconds=61))
    await other.resolve()
    await late
    shop.later()
    await other.resolve()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    assert len(shop.charges()) == 1


async def test_a_key_that_no_longer_opens_the_account_leaves_what_was_charged_unknown(shop: Shop) -> None:
    """Refusing the repeat says nothing about the first request."""
    await shop.save()
    payment = await shop.bill()
    shop.deployment.fault("drop_after_commit", times=TRIES)
    await shop.sweeps.charge()
    bad = Vault(shop.deployment.encryption_key).seal({"secret_key": "sk_live_x", "webhook_secret": "whsec_x"})
    [good] = await shop.deployment.rows("SELECT credentials FROM processor_account")
    await shop.deployment.rows("UPDATE processor_account SET credentials = $1", bad)
    other = await shop.deployment.another_worker()
    shop.later()
    await other.resolve()
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["UNKNOWN"])
    await shop.deployment.rows("UPDATE processor_account SET credentials = $1", good["credentials"])
    await shop.later().resolve()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    assert len(shop.charges()) == 1

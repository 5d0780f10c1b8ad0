"""What networks advise with a decline, and how far it is followed."""

from datetime import timedelta

import pytest
import stripe

from services.payments.domain.advice import Advice, advised, meaning, wait
from services.payments.domain.attempt import Declined
from services.payments.domain.decline import advice
from services.payments.providers.adyen.charges import outcome
from services.payments.providers.stripe.errors import outcome_of
from tests.payments.shop import Shop, states
from tests.payments.test_dunning import DAY, FUNDS, failed, pass_days, set_policy

NEVER, CUSTOMER, LATER = Advice.NEVER_AGAIN, Advice.NEEDS_CUSTOMER, Advice.RETRY_LATER


@pytest.mark.parametrize(
    ("network_advice", "word", "raw", "code", "means", "hours"),
    [
        ("03", "", "", "mac_03", NEVER, 0),
        ("03 : Do not try again", "try_again_later", "05", "mac_03", NEVER, 0),
        ("01", "", "", "mac_01", CUSTOMER, 0),
        ("02", "", "", "mac_02", None, 72),
        ("24", "", "", "mac_24", None, 1),
        ("25", "", "", "mac_25", None, 24),
        ("30", "", "", "mac_30", None, 240),
        ("99", "do_not_try_again", "", "do_not_try_again", NEVER, 0),
        ("", "confirm_card_data", "", "confirm_card_data", CUSTOMER, 0),
        ("", "something_new", "R1", "raw_R1", NEVER, 0),
        ("", "", "41 : Lost card", "raw_41", NEVER, 0),
        ("", "", "51 : Insufficient funds", "", None, 0),
        ("", "", "", "", None, 0),
    ],
)
def test_the_networks_word_counts_before_the_processors_and_the_banks(
    network_advice: str, word: str, raw: str, code: str, means: Advice | None, hours: int
) -> None:
    assert advised(network_advice, word, raw) == code
    assert (meaning(code), wait(code)) == (means, timedelta(hours=hours))


def test_it_counts_more_than_the_code_of_the_decline() -> None:
    assert advice("stripe", "insufficient_funds") is LATER
    assert advice("stripe", "insufficient_funds", "mac_03") is NEVER
    assert advice("stripe", "expired_card", "confirm_card_data") is CUSTOMER
    assert advice("stripe", "expired_card", "mac_24") is NEVER


def test_adyen_and_stripe_say_it_in_their_own_places() -> None:
    told = {"merchantAdviceCode": "21 : Payment cancellation", "refusalReasonRaw": "51 : Insufficient funds"}
    answer = {"resultCode": "Refused", "refusalReasonCode": "12", "pspReference": "8", "additionalData": told}
    assert outcome(answer) == Declined("8", "12", "The charge was declined.", "mac_21")
    error = {"code": "card_declined", "decline_code": "generic_decline", "network_advice_code": "24", "message": "No."}
    refused = stripe.CardError("No.", None, "card_declined", json_body={"error": error})
    assert outcome_of(refused) == Declined("", "generic_decline", "No.", "mac_24")


async def test_a_card_is_left_alone_as_long_as_its_network_wants_for_all_invoices(shop: Shop) -> None:
    payment = await failed(shop)
    await shop.deployment.execute("UPDATE payment_attempt SET advice_code = 'mac_26'")
    another = await shop.bill("inv_2")
    await shop.retry(payment.id)
    await shop.later(DAY).charge()
    assert states(await shop.payment(payment.id)) == ("PENDING", ["DECLINED"])
    assert states(await shop.payment(another.id)) == ("PENDING", [])
    await shop.later(DAY).charge()
    assert [len((await shop.payment(each.id)).attempts) for each in (payment, another)] in ([2, 1], [1, 1], [2, 0])


async def test_a_campaign_does_not_charge_what_the_network_forbids(shop: Shop) -> None:
    await set_policy(shop)
    payment = await failed(shop, FUNDS)
    await shop.deployment.execute("UPDATE payment_attempt SET advice_code = 'mac_03'")
    await shop.sweeps.dun()
    await pass_days(shop, 6)
    assert states(await shop.payment(payment.id)) == ("FAILED", ["DECLINED"])

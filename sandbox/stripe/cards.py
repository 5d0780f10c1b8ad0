"""Test payment methods by Stripe's names, and what each does when it is charged."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a charge failed, in the fields of Stripe's error object."""

    code: str
    decline_code: str
    message: str
    advice_code: str | None = None
    network_decline_code: str | None = None
    network_advice_code: str | None = None


class Behaviour(Enum):
    SUCCEED = "succeed"
    DECLINE = "decline"
    AUTHENTICATE = "authenticate"
    """On session: asks the customer. Off session: declined with authentication_required."""
    PROCESS = "process"
    """Bank debit: `processing` until the control API settles it."""


@dataclass(frozen=True, slots=True)
class TestMethod:
    behaviour: Behaviour
    last4: str
    brand: str = "visa"
    decline: Decline | None = None
    refund: str = "succeeded"
    """The status in which a refund begins."""


AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    "authentication_required",
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)
BANK_REFUSED = Decline(
    "payment_intent_payment_attempt_failed",
    "insufficient_funds",
    "The customer's bank account has insufficient funds to cover the payment.",
)

_GENERIC = Decline("card_declined", "generic_decline", "Your card was declined.", "try_again_later", "05")
_FUNDS = Decline(
    "card_declined", "insufficient_funds", "Your card has insufficient funds.", "try_again_later", "51", "02"
)
_EXPIRED = Decline("expired_card", "expired_card", "Your card has expired.", "do_not_try_again", "54")
_PROCESSING = Decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
    "try_again_later",
    "96",
)
_FRAUDULENT = Decline("card_declined", "fraudulent", "Your card was declined.", "do_not_try_again", "59")
_LOST = Decline("card_declined", "lost_card", "Your card was declined.", "do_not_try_again", "41")
_STOLEN = Decline("card_declined", "stolen_card", "Your card was declined.", "do_not_try_again", "43")

_METHODS = {
    "pm_card_visa": TestMethod(Behaviour.SUCCEED, "4242"),
    "pm_card_mastercard": TestMethod(Behaviour.SUCCEED, "4444", "mastercard"),
    "pm_card_chargeDeclined": TestMethod(Behaviour.DECLINE, "0002", decline=_GENERIC),
    "pm_card_chargeDeclinedInsufficientFunds": TestMethod(Behaviour.DECLINE, "9995", decline=_FUNDS),
    "pm_card_chargeDeclinedExpiredCard": TestMethod(Behaviour.DECLINE, "0069", decline=_EXPIRED),
    "pm_card_chargeDeclinedProcessingError": TestMethod(Behaviour.DECLINE, "0119", decline=_PROCESSING),
    "pm_card_chargeDeclinedFraudulent": TestMethod(Behaviour.DECLINE, "0019", decline=_FRAUDULENT),
    "pm_card_chargeDeclinedLostCard": TestMethod(Behaviour.DECLINE, "9987", decline=_LOST),
    "pm_card_chargeDeclinedStolenCard": TestMethod(Behaviour.DECLINE, "9979", decline=_STOLEN),
    "pm_card_chargeCustomerFail": TestMethod(Behaviour.DECLINE, "0341", decline=_GENERIC),
    "pm_card_authenticationRequired": TestMethod(Behaviour.AUTHENTICATE, "3184"),
    "pm_card_threeDSecure2Required": TestMethod(Behaviour.AUTHENTICATE, "3220"),
    "pm_card_pendingRefund": TestMethod(Behaviour.SUCCEED, "7726", refund="pending"),
    "pm_usBankAccount_processing": TestMethod(Behaviour.PROCESS, "0009"),
}

NAMES = tuple(_METHODS)

ANY_DECLINE = "pm_card_declined_"
"""Ours, not Stripe's: a card that is declined with the code that follows."""


def find(name: str) -> TestMethod | None:
    """By name; declining cards are also known with the prefix `pm_card_visa_`."""
    code = name.removeprefix(ANY_DECLINE)
    if code != name and code.isidentifier():
        decline = Decline("card_declined", code, "Your card was declined.")
        return TestMethod(Behaviour.DECLINE, "0000", decline=decline)
    return _METHODS.get(name) or _METHODS.get(name.replace("pm_card_visa_", "pm_card_", 1))

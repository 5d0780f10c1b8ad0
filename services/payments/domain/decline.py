"""What a decline means for the next try, by processor and code.

After the vendors' tables: Stripe's decline codes and the list its own retries leave out, Adyen's refusal reasons,
GoCardless's causes. A code that no table has is tried again later, as a bank that gives no reason may change its mind.
"""

from services.payments.domain.advice import Advice, meaning
from services.payments.domain.attempt import Attempt

_NEEDS_CUSTOMER = {
    "stripe": "authentication_required offline_pin_required online_or_offline_pin_required incorrect_cvc invalid_cvc"
    " incorrect_zip incorrect_address",
    "adyen": "11 15 16 17 18 19 24 32 33 36 37 38 39 42 43 44 45 authentication_required cancelled",
    "gocardless": "pending_customer_approval customer_approval_denied mandate_suspended_by_payer",
}
_NEVER_AGAIN = {
    "stripe": "expired_card lost_card stolen_card pickup_card restricted_card invalid_account account_closed no_account"
    " bank_account_restricted debit_not_authorized new_account_information_available incorrect_number invalid_number"
    " invalid_expiry_month invalid_expiry_year revocation_of_authorization revocation_of_all_authorizations"
    " stop_payment_order do_not_try_again card_not_supported currency_not_supported testmode_decline fraudulent"
    " merchant_blacklist highest_risk_level transaction_not_allowed not_permitted",
    "adyen": "5 6 7 8 10 14 20 22 23 25 26 31 34 35 46 50",
    "gocardless": "bank_account_closed mandate_cancelled authorisation_disputed invalid_bank_details"
    " direct_debit_not_enabled payer_deceased mandate_expired",
}
_EVERYWHERE = {"amount_not_representable": Advice.NEVER_AGAIN, "account_rejected": Advice.NEVER_AGAIN}

_ADVICE: dict[str, dict[str, Advice]] = {
    processor: _EVERYWHERE
    | dict.fromkeys(_NEEDS_CUSTOMER[processor].split(), Advice.NEEDS_CUSTOMER)
    | dict.fromkeys(_NEVER_AGAIN[processor].split(), Advice.NEVER_AGAIN)
    for processor in _NEVER_AGAIN
}


def advice(processor: str, code: str, advice_code: str = "") -> Advice:
    """Of a decline with that code, and what the network advised with it."""
    return meaning(advice_code) or _ADVICE.get(processor, _EVERYWHERE).get(code, Advice.RETRY_LATER)


def obstacle(last: Attempt | None, processor: str, default_method_id: str) -> str:
    """Why the customer's default method should not be charged again after `last`, or "".

    A method that `last` did not charge may always be.
    """
    if last is None or last.payment_method_id != default_method_id:
        return ""
    match advice(processor, last.decline_code, last.advice_code):
        case Advice.NEEDS_CUSTOMER:
            return f"{last.decline_code}: the customer must act first"
        case Advice.NEVER_AGAIN:
            return f"{last.decline_code}: this method is not charged again"
        case Advice.RETRY_LATER:
            return ""

"""Adyen's refusal reasons: codes in answers, and only their names in webhooks."""

from collections.abc import Mapping
from typing import Any

from services.payments.domain.advice import advised
from services.payments.domain.attempt import Declined, Outcome, RequiresAction

_NAMES = {
    "2": "Refused",
    "3": "Referral",
    "4": "Acquirer Error",
    "5": "Blocked Card",
    "6": "Expired Card",
    "7": "Invalid Amount",
    "8": "Invalid Card Number",
    "9": "Issuer Unavailable",
    "10": "Not supported",
    "11": "3D Not Authenticated",
    "12": "Not enough balance",
    "14": "Acquirer Fraud",
    "15": "Cancelled",
    "16": "Shopper Cancelled",
    "17": "Invalid Pin",
    "18": "Pin tries exceeded",
    "19": "Pin validation not possible",
    "20": "FRAUD",
    "21": "Not Submitted",
    "22": "FRAUD-CANCELLED",
    "23": "Transaction Not Permitted",
    "24": "CVC Declined",
    "25": "Restricted Card",
    "26": "Revocation Of Auth",
    "27": "Declined Non Generic",
    "28": "Withdrawal amount exceeded",
    "29": "Withdrawal count exceeded",
    "31": "Issuer Suspected Fraud",
    "32": "AVS Declined",
    "33": "Card requires online pin",
    "34": "No checking account available on Card",
    "35": "No savings account available on Card",
    "36": "Mobile pin required",
    "37": "Contactless fallback",
    "38": "Authentication required",
    "39": "RReq not received from DS",
    "40": "Current AID is in Penalty Box",
    "41": "CVM Required Restart Payment",
    "42": "3DS Authentication Error",
    "46": "Blocked by Adyen to prevent excessive retry fees",
    "50": "Token revoked",
}
_CODES = {name.lower(): code for code, name in _NAMES.items()}
_AUTHENTICATE = frozenset({"11", "38", "39", "42"})
"""Refused for want of 3-D Secure, which needs the customer."""


def refused(reference: str, code: str, message: str, told: Mapping[str, Any]) -> Outcome:
    """`told` is the additional data, where it has come."""
    if reference and code in _AUTHENTICATE:
        return RequiresAction(reference, code, message)
    network_advice, raw = str(told.get("merchantAdviceCode") or ""), str(told.get("refusalReasonRaw") or "")
    return Declined(reference, code, message, advised(network_advice, "", raw))


def code_of(reason: str) -> str:
    """The code of a reason by its name; "refused" where it has none."""
    return _CODES.get(reason.lower(), "refused")
